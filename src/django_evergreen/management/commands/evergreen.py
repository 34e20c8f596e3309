"""
``manage.py evergreen``: the doctor.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ...doctor import examine
from ...doctor._report import report


class Command(BaseCommand):
    help = (
        "Tells where each middleware, view, receiver, cache and database of this "
        "project runs under ASGI, why, and what to change for what gain."
    )
    # What is wrong is what it's asked for.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--all",
            action="store_true",
            dest="show_all",
            help="Also list the views and receivers that run on the loop.",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="Write all of it as JSON.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            diagnosis = examine()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if options["as_json"]:
            self.stdout.write(json.dumps(diagnosis.as_dict(), indent=2))
            return
        for line in report(diagnosis, self.style, show_all=options["show_all"]):
            self.stdout.write(line)
