"""The tables as django-import-export has them: in bulk, and without a look at what is there."""

from __future__ import annotations

from typing import Any, ClassVar

from import_export.fields import Field
from import_export.resources import ModelResource
from import_export.widgets import CachedForeignKeyWidget, CharWidget, DateTimeWidget

from peers.bakery.models import FinishedUnit, ProductionConsumption, ProductionRun, Recipe

_MOMENT = "%Y-%m-%dT%H:%M:%S.%f"


class BulkResource(ModelResource):
    created_at = Field("created_at", "created_at", DateTimeWidget(_MOMENT))
    updated_at = Field("updated_at", "updated_at", DateTimeWidget(_MOMENT))

    related: ClassVar[tuple[str, ...]]

    class Meta:
        abstract = True
        exclude = ("id",)
        import_id_fields = ("uuid",)
        use_bulk = True
        use_transactions = True
        force_init_instance = True
        skip_diff = True

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related(*self.related)


class RunResource(BulkResource):
    recipe = Field("recipe", "recipe_slug", CachedForeignKeyWidget(Recipe, "slug"))
    finished_unit = Field("finished_unit", "finished_unit_slug", CachedForeignKeyWidget(FinishedUnit, "slug"))
    produced_at = Field("produced_at", "produced_at", DateTimeWidget(_MOMENT))
    notes = Field("notes", "notes", CharWidget(coerce_to_string=False, allow_blank=False))

    related = ("recipe", "finished_unit")

    class Meta:
        model = ProductionRun


class ConsumptionResource(BulkResource):
    production_run = Field("production_run", "production_run", CachedForeignKeyWidget(ProductionRun, "uuid"))

    related = ("production_run",)

    class Meta:
        model = ProductionConsumption
