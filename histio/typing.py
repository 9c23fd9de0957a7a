"""Types of the records of the bundled kinds, for editors and type checkers.

Annotate records that you read from a document, or build:

    runs: list[ProductionRunRecord] = document["production_runs"]

Decimals are strings such as ``"5.2500"``, times are RFC 3339 strings in UTC, and UUIDs are hyphenated.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class ProductionConsumptionRecord(TypedDict):
    """What a production run used of one ingredient."""

    uuid: str
    ingredient_slug: str
    quantity_consumed: str
    unit: str
    total_cost: str
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class ProductionRunRecord(TypedDict):
    """A production run: batches of one recipe, with the ingredients they used."""

    uuid: str
    recipe_slug: str
    finished_unit_slug: str
    num_batches: int
    expected_yield: int
    actual_yield: int
    produced_at: str
    notes: NotRequired[str | None]
    total_ingredient_cost: str
    per_unit_cost: str
    created_at: NotRequired[str]
    updated_at: NotRequired[str]
    consumptions: NotRequired[list[ProductionConsumptionRecord]]


class AssemblyFinishedUnitConsumptionRecord(TypedDict):
    """What an assembly run used of one finished unit."""

    uuid: str
    finished_unit_slug: str
    quantity_consumed: int
    unit_cost_at_consumption: str
    total_cost: str
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class AssemblyPackagingConsumptionRecord(TypedDict):
    """What an assembly run used of one packaging product; it has at least one of the two slugs."""

    uuid: str
    product_slug: NotRequired[str]
    ingredient_slug: NotRequired[str]
    quantity_consumed: str
    unit: str
    total_cost: str
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class AssemblyRunRecord(TypedDict):
    """An assembly run: finished goods put together, with the units and packaging they used."""

    uuid: str
    finished_good_slug: str
    quantity_assembled: int
    assembled_at: str
    notes: NotRequired[str | None]
    total_component_cost: str
    per_unit_cost: str
    created_at: NotRequired[str]
    updated_at: NotRequired[str]
    finished_unit_consumptions: NotRequired[list[AssemblyFinishedUnitConsumptionRecord]]
    packaging_consumptions: NotRequired[list[AssemblyPackagingConsumptionRecord]]


class IngredientRecord(TypedDict):
    """An ingredient of the catalog."""

    slug: str
    display_name: str
    uuid: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class RecipeRecord(TypedDict):
    """A recipe of the catalog."""

    slug: str
    name: str
    uuid: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class FinishedUnitRecord(TypedDict):
    """A finished unit of the catalog, with the recipe that yields it."""

    slug: str
    display_name: str
    recipe_slug: str
    uuid: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class FinishedGoodRecord(TypedDict):
    """A finished good of the catalog."""

    slug: str
    display_name: str
    uuid: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class ProductRecord(TypedDict):
    """A product of the catalog, with the ingredient that it contains."""

    slug: str
    product_name: str
    ingredient_slug: str
    uuid: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


# The name of the member is not an identifier.
_ForEditors = TypedDict("_ForEditors", {"$schema": NotRequired[str]})


class HistoryDocument(_ForEditors):
    """A document with runs of the bundled kinds, and with the catalog if it was exported with one."""

    version: str
    exported_at: NotRequired[str]
    ingredients: NotRequired[list[IngredientRecord]]
    recipes: NotRequired[list[RecipeRecord]]
    finished_units: NotRequired[list[FinishedUnitRecord]]
    finished_goods: NotRequired[list[FinishedGoodRecord]]
    products: NotRequired[list[ProductRecord]]
    production_runs: NotRequired[list[ProductionRunRecord]]
    assembly_runs: NotRequired[list[AssemblyRunRecord]]


class ManifestPlace(TypedDict):
    """The time and the identity of a run."""

    at: NotRequired[str]
    uuid: str


class ManifestPartRecord(TypedDict):
    """A part of an export: a sealed stream in the folder of the manifest."""

    name: str
    counts: dict[str, int]
    sha256: str
    header_sha256: str
    catalog_sha256: NotRequired[str]
    first: NotRequired[ManifestPlace]
    last: NotRequired[ManifestPlace]


class ManifestRecord(TypedDict):
    """The manifest of an export in parts."""

    version: str
    exported_at: str
    kinds: list[str]
    catalog: NotRequired[list[str]]
    parts: list[ManifestPartRecord]
    sha256: str
