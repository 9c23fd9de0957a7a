"""The bundled kinds of run and of catalog row, each described by a marshmallow schema.

A schema names its model; its fields declare which members are columns, slugs of related rows and ledgers.
Exports, checks, imports and the published JSON Schema are derived from it.
"""

from __future__ import annotations

from typing import ClassVar

from marshmallow.fields import Nested

from histio import models
from histio.kinds.audits import AtMost, Audit, NotEmpty, PerUnit, Sum
from histio.kinds.charts import Compare
from histio.kinds.fields import FixedDecimal, Integer, RunUUID, Slug, Text, UtcTimestamp
from histio.records import CatalogSchema, RecordSchema, RunSchema

_RECORDED = ("created_at", "updated_at")


def _uuid(what: str) -> RunUUID:
    return RunUUID(
        required=True,
        description=f"Identifies {what} across databases.",
        example="7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11",
    )


def _created_at() -> UtcTimestamp:
    return UtcTimestamp(
        description="When the row was recorded; left out: the time of the import.",
        example="2025-12-08T10:02:11.120000Z",
    )


def _updated_at() -> UtcTimestamp:
    return UtcTimestamp(
        description="When the row was last changed; left out: the time of the import.",
        example="2025-12-08T10:02:11.120000Z",
    )


def _money(description: str, example: str) -> FixedDecimal:
    return FixedDecimal(required=True, description=description, example=example)


def _ledger(schema: type[RecordSchema], description: str) -> Nested:
    return Nested(schema, many=True, metadata={"description": description, "examples": [[]]})


class ProductionConsumptionSchema(RecordSchema):
    """What a production run used of one ingredient."""

    class Meta(RecordSchema.Meta):
        model = models.ProductionConsumption
        optional: ClassVar[tuple[str, ...]] = _RECORDED

    uuid: RunUUID = _uuid("the ledger entry")
    ingredient_slug: Slug = Slug(
        snapshot_of="Ingredient",
        required=True,
        description="The ingredient at the time. It may have been renamed or deleted since.",
        example="flour",
    )
    quantity_consumed: FixedDecimal = FixedDecimal(
        positive=True, required=True, description="How much was used, in the unit.", example="4.000"
    )
    unit: Text = Text(
        required=True, description="The unit of the quantity, as the application names it.", example="cups"
    )
    total_cost: FixedDecimal = _money("What the quantity cost.", "2.5000")
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class ProductionRunSchema(RunSchema):
    """Batches of one recipe, made at one time, with the ingredients they used."""

    class Meta(RunSchema.Meta):
        model = models.ProductionRun
        kind = "production_run"
        collection = "production_runs"
        timestamp = "produced_at"
        optional: ClassVar[tuple[str, ...]] = ("notes", *_RECORDED)
        audits: ClassVar[tuple[Audit, ...] | None] = (
            NotEmpty(("consumptions",)),
            Sum("total_ingredient_cost", ("consumptions.total_cost",)),
            PerUnit("per_unit_cost", "total_ingredient_cost", "actual_yield"),
            AtMost("actual_yield", "expected_yield", times="2"),
        )
        charts: ClassVar[tuple[Compare, ...]] = (Compare("expected_yield", "actual_yield"),)

    uuid: RunUUID = _uuid("the run")
    recipe_slug: Slug = Slug(
        "recipe", required=True, description="The recipe that was made.", example="chocolate-chip-cookies"
    )
    finished_unit_slug: Slug = Slug(
        "finished_unit",
        agrees="recipe",
        required=True,
        description="What the recipe yielded.",
        example="chocolate-chip-cookie",
    )
    num_batches: Integer = Integer(
        minimum=1, required=True, description="How many batches were made.", example=2
    )
    expected_yield: Integer = Integer(
        minimum=0, required=True, description="How many units were planned.", example=96
    )
    actual_yield: Integer = Integer(
        minimum=0, required=True, description="How many units came out.", example=92
    )
    produced_at: UtcTimestamp = UtcTimestamp(
        required=True, description="When the run was made.", example="2025-12-08T10:00:00Z"
    )
    notes: Text = Text(
        allow_none=True, description="Free text; null and left out are the same.", example="Test batch"
    )
    total_ingredient_cost: FixedDecimal = _money("What all ingredients of the run cost.", "5.2500")
    per_unit_cost: FixedDecimal = _money("What one unit cost.", "0.0571")
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()
    consumptions: Nested = _ledger(
        ProductionConsumptionSchema, "The ingredients used, in the order they were recorded."
    )


class AssemblyFinishedUnitConsumptionSchema(RecordSchema):
    """What an assembly run used of one finished unit."""

    class Meta(RecordSchema.Meta):
        model = models.AssemblyFinishedUnitConsumption
        optional: ClassVar[tuple[str, ...]] = _RECORDED
        audits: ClassVar[tuple[Audit, ...] | None] = (
            PerUnit("unit_cost_at_consumption", "total_cost", "quantity_consumed"),
        )

    uuid: RunUUID = _uuid("the ledger entry")
    finished_unit_slug: Slug = Slug(
        "finished_unit", required=True, description="The unit that was used.", example="chocolate-chip-cookie"
    )
    quantity_consumed: Integer = Integer(
        minimum=1, required=True, description="How many units were used.", example=60
    )
    unit_cost_at_consumption: FixedDecimal = _money("What one unit cost at the time.", "0.0571")
    total_cost: FixedDecimal = _money("What the quantity cost.", "3.4260")
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class AssemblyPackagingConsumptionSchema(RecordSchema):
    """What an assembly run used of one packaging product."""

    class Meta(RecordSchema.Meta):
        model = models.AssemblyPackagingConsumption
        optional: ClassVar[tuple[str, ...]] = ("ingredient_slug", *_RECORDED)

    uuid: RunUUID = _uuid("the ledger entry")
    product_slug: Slug = Slug(
        "product",
        description="The product that was used. Without it, the one product of the ingredient.",
        example="cellophane-bag-100ct",
    )
    ingredient_slug: Slug = Slug(
        "product",
        key="ingredient.slug",
        description="The ingredient of the product.",
        example="cellophane-bag",
    )
    quantity_consumed: FixedDecimal = FixedDecimal(
        positive=True, required=True, description="How much was used, in the unit.", example="5.000"
    )
    unit: Text = Text(
        required=True, description="The unit of the quantity, as the application names it.", example="each"
    )
    total_cost: FixedDecimal = _money("What the quantity cost.", "1.2500")
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class AssemblyRunSchema(RunSchema):
    """Finished goods put together at one time, with the units and packaging they used."""

    class Meta(RunSchema.Meta):
        model = models.AssemblyRun
        kind = "assembly_run"
        collection = "assembly_runs"
        timestamp = "assembled_at"
        optional: ClassVar[tuple[str, ...]] = ("notes", *_RECORDED)
        audits: ClassVar[tuple[Audit, ...] | None] = (
            NotEmpty(("finished_unit_consumptions", "packaging_consumptions")),
            Sum(
                "total_component_cost",
                ("finished_unit_consumptions.total_cost", "packaging_consumptions.total_cost"),
            ),
            PerUnit("per_unit_cost", "total_component_cost", "quantity_assembled"),
        )

    uuid: RunUUID = _uuid("the run")
    finished_good_slug: Slug = Slug(
        "finished_good", required=True, description="What was put together.", example="cookie-gift-bag"
    )
    quantity_assembled: Integer = Integer(
        minimum=1, required=True, description="How many were put together.", example=5
    )
    assembled_at: UtcTimestamp = UtcTimestamp(
        required=True, description="When the run was made.", example="2025-12-09T09:30:00Z"
    )
    notes: Text = Text(
        allow_none=True, description="Free text; null and left out are the same.", example="Gift order"
    )
    total_component_cost: FixedDecimal = _money("What all units and packaging of the run cost.", "12.5000")
    per_unit_cost: FixedDecimal = _money("What one finished good cost.", "2.5000")
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()
    finished_unit_consumptions: Nested = _ledger(
        AssemblyFinishedUnitConsumptionSchema, "The finished units used, in the order they were recorded."
    )
    packaging_consumptions: Nested = _ledger(
        AssemblyPackagingConsumptionSchema, "The packaging used, in the order it was recorded."
    )


class _BundledCatalogSchema(CatalogSchema):
    class Meta(CatalogSchema.Meta):
        identity: ClassVar[str | tuple[str, ...] | None] = "slug"
        optional: ClassVar[tuple[str, ...]] = ("uuid", *_RECORDED)


def _slug(what: str, example: str) -> Slug:
    return Slug(required=True, description=f"Identifies {what} across databases.", example=example)


def _name(what: str, example: str) -> Text:
    return Text(required=True, description=f"What people call {what}.", example=example)


def _row_uuid() -> RunUUID:
    return RunUUID(
        description="The UUID of the row where it is created; left out: a new one.",
        example="7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11",
    )


class IngredientSchema(_BundledCatalogSchema):
    """What recipes use and products contain."""

    class Meta(_BundledCatalogSchema.Meta):
        model = models.Ingredient
        kind = "ingredient"
        collection = "ingredients"

    slug: Slug = _slug("the ingredient", "flour")
    display_name: Text = _name("the ingredient", "Flour")
    uuid: RunUUID = _row_uuid()
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class RecipeSchema(_BundledCatalogSchema):
    """What production runs follow."""

    class Meta(_BundledCatalogSchema.Meta):
        model = models.Recipe
        kind = "recipe"
        collection = "recipes"

    slug: Slug = _slug("the recipe", "chocolate-chip-cookies")
    name: Text = _name("the recipe", "Chocolate Chip Cookies")
    uuid: RunUUID = _row_uuid()
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class FinishedUnitSchema(_BundledCatalogSchema):
    """What one recipe yields."""

    class Meta(_BundledCatalogSchema.Meta):
        model = models.FinishedUnit
        kind = "finished_unit"
        collection = "finished_units"

    slug: Slug = _slug("the unit", "chocolate-chip-cookie")
    display_name: Text = _name("the unit", "Chocolate Chip Cookie")
    recipe_slug: Slug = Slug(
        "recipe",
        required=True,
        description="The recipe that yields the unit.",
        example="chocolate-chip-cookies",
    )
    uuid: RunUUID = _row_uuid()
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class FinishedGoodSchema(_BundledCatalogSchema):
    """What assembly runs put together."""

    class Meta(_BundledCatalogSchema.Meta):
        model = models.FinishedGood
        kind = "finished_good"
        collection = "finished_goods"

    slug: Slug = _slug("the finished good", "cookie-gift-bag")
    display_name: Text = _name("the finished good", "Cookie Gift Bag")
    uuid: RunUUID = _row_uuid()
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


class ProductSchema(_BundledCatalogSchema):
    """What is bought of one ingredient, such as packaging."""

    class Meta(_BundledCatalogSchema.Meta):
        model = models.Product
        kind = "product"
        collection = "products"

    slug: Slug = _slug("the product", "cellophane-bag-100ct")
    product_name: Text = _name("the product", "Cellophane Bags, 100 Count")
    ingredient_slug: Slug = Slug(
        "ingredient", required=True, description="The ingredient of the product.", example="cellophane-bag"
    )
    uuid: RunUUID = _row_uuid()
    created_at: UtcTimestamp = _created_at()
    updated_at: UtcTimestamp = _updated_at()


BUNDLED: tuple[type[RunSchema], ...] = (ProductionRunSchema, AssemblyRunSchema)

BUNDLED_CATALOG: tuple[type[CatalogSchema], ...] = (
    IngredientSchema,
    RecipeSchema,
    FinishedUnitSchema,
    FinishedGoodSchema,
    ProductSchema,
)
