"""
Places of the world, as geonames.org describes them.
"""

from __future__ import annotations

from django.db import models


class Continent(models.Model):
    """
    One of the seven.
    """

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=40)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Currency(models.Model):
    """
    What people pay with.
    """

    code = models.CharField(max_length=3, primary_key=True)
    name = models.CharField(max_length=40)

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "currencies"

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class Language(models.Model):
    """
    What people speak, without its regional variants.
    """

    code = models.CharField(max_length=8, primary_key=True)
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Country(models.Model):
    """
    A country or territory with an ISO 3166 code.
    """

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=80)
    capital = models.CharField(max_length=80, blank=True)
    area_km2 = models.FloatField("area (km²)")
    population = models.PositiveBigIntegerField()
    continent = models.ForeignKey(
        Continent, on_delete=models.PROTECT, related_name="countries"
    )
    currency = models.ForeignKey(
        Currency, on_delete=models.PROTECT, related_name="countries", null=True
    )
    languages = models.ManyToManyField(Language, related_name="countries", blank=True)
    neighbours = models.ManyToManyField("self", blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name


class City(models.Model):
    """
    A city of 15,000 people or more. Its id is the one geonames.org gave it.
    """

    id = models.PositiveIntegerField(primary_key=True)
    name = models.CharField(max_length=120, db_index=True)
    country = models.ForeignKey(
        Country, on_delete=models.CASCADE, related_name="cities"
    )
    population = models.PositiveIntegerField()
    latitude = models.FloatField()
    longitude = models.FloatField()
    timezone = models.CharField(max_length=40)

    class Meta:
        ordering = ["-population", "name"]
        verbose_name_plural = "cities"
        indexes = [
            models.Index(fields=["country", "-population"], name="largest_of_country"),
        ]

    def __str__(self) -> str:
        return self.name
