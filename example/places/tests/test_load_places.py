"""
The command ``load_places``, with the real data.
"""

from __future__ import annotations

import io
from unittest import mock

from django.core.management import call_command
from django.db import DatabaseError
from django.test import TestCase, TransactionTestCase

from places.geonames import Geonames
from places.models import City, Continent, Country


class LoadPlacesTests(TestCase):
    """
    What is there after one run, and after two.
    """

    @classmethod
    def setUpTestData(cls) -> None:
        call_command("load_places", verbosity=0)

    def test_everything_is_there(self) -> None:
        self.assertEqual(Continent.objects.count(), 7)
        self.assertEqual(Country.objects.count(), 250)
        self.assertGreater(City.objects.count(), 30_000)

    def test_relations_are_there(self) -> None:
        switzerland = Country.objects.get(code="CH")
        neighbours = {country.code for country in switzerland.neighbours.all()}
        languages = {language.name for language in switzerland.languages.all()}
        self.assertEqual(neighbours, {"AT", "DE", "FR", "IT", "LI"})
        self.assertLessEqual({"French", "German", "Italian"}, languages)
        self.assertEqual(switzerland.currency.code, "CHF")
        self.assertEqual(switzerland.cities.first().name, "Zürich")

    def test_second_run_updates_and_adds_nothing(self) -> None:
        cities = City.objects.count()
        borders = Country.neighbours.through.objects.count()
        Country.objects.filter(code="CH").update(name="Elsewhere")
        call_command("load_places", verbosity=0)
        self.assertEqual(City.objects.count(), cities)
        self.assertEqual(Country.neighbours.through.objects.count(), borders)
        self.assertEqual(Country.objects.get(code="CH").name, "Switzerland")


class LoadPlacesOutputTests(TransactionTestCase):
    """
    What the command says, and what it leaves when it fails.
    """

    def test_says_what_was_loaded(self) -> None:
        out, bar = io.StringIO(), io.StringIO()
        with mock.patch("sys.stderr", bar):
            call_command("load_places", stdout=out)
        self.assertIn("250 countries", out.getvalue())
        self.assertIn("100%", bar.getvalue())

    def test_failure_leaves_nothing_behind(self) -> None:
        nowhere = [City(id=1, name="Nowhere", country=None)]
        broken = mock.patch.object(Geonames, "cities", return_value=nowhere)
        with broken, self.assertRaises(DatabaseError):
            call_command("load_places", verbosity=0)
        self.assertFalse(Continent.objects.exists())
