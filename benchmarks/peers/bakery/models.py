"""Models with the columns of `histio.models`, and natural keys."""

# ruff: noqa: DJ008 - nobody looks at them
from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class NaturalManager(models.Manager[Any]):
    """Finds a row by its natural key."""

    def get_by_natural_key(self, key: str) -> Any:
        return self.get(**{self.model.NATURAL: key})


class Row(models.Model):
    """What every table has."""

    NATURAL: ClassVar = "slug"

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, unique=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = NaturalManager()

    class Meta:
        abstract = True

    def natural_key(self) -> tuple[str]:
        return (getattr(self, self.NATURAL),)


class Recipe(Row):
    name = models.CharField(max_length=200)
    slug = models.CharField(max_length=200, unique=True)

    class Meta:
        db_table = "recipes"


class Ingredient(Row):
    display_name = models.CharField(max_length=200)
    slug = models.CharField(max_length=200, unique=True)

    class Meta:
        db_table = "ingredients"


class FinishedUnit(Row):
    display_name = models.CharField(max_length=200)
    slug = models.CharField(max_length=200, unique=True)
    recipe = models.ForeignKey(Recipe, models.RESTRICT)

    class Meta:
        db_table = "finished_units"


class ProductionRun(Row):
    NATURAL = "uuid"

    recipe = models.ForeignKey(Recipe, models.RESTRICT)
    finished_unit = models.ForeignKey(FinishedUnit, models.RESTRICT)
    num_batches = models.IntegerField()
    expected_yield = models.IntegerField()
    actual_yield = models.IntegerField()
    produced_at = models.DateTimeField()
    notes = models.TextField(null=True)  # noqa: DJ001 - the bundled column
    total_ingredient_cost = models.DecimalField(max_digits=10, decimal_places=4)
    per_unit_cost = models.DecimalField(max_digits=10, decimal_places=4)

    class Meta:
        db_table = "production_runs"
        ordering = ("produced_at", "uuid")
        indexes = (models.Index(fields=("produced_at", "uuid"), name="by_time"),)


class ProductionConsumption(Row):
    NATURAL = "uuid"

    production_run = models.ForeignKey(ProductionRun, models.CASCADE, related_name="consumptions")
    ingredient_slug = models.CharField(max_length=200, db_index=True)
    quantity_consumed = models.DecimalField(max_digits=10, decimal_places=3)
    unit = models.CharField(max_length=50)
    total_cost = models.DecimalField(max_digits=10, decimal_places=4)

    class Meta:
        db_table = "production_consumptions"
        ordering = ("id",)
