"""Types of the records of the bundled kinds, for editors and type checkers.

`export_production_history`, `export_assembly_history` and `History.iter_runs` return them. Annotate other
records that you read from a document, or build:

    runs: list[ProductionRunRecord] = document["production_runs"]

Decimals are strings such as ``"5.2500"``, times are RFC 3339 strings in UTC, and UUIDs are hyphenated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Generic, Literal, NotRequired, TypeAlias, TypedDict

import sqlalchemy as sa
from typing_extensions import TypeVar


class BundledKinds:
    """What `History[BundledKinds]` has: the bundled kinds, as every history without kinds of its own."""


Kinds_co = TypeVar("Kinds_co", covariant=True, default=object)
"""The kinds of a `History`: `BundledKinds`, or anything."""


_Session = TypeVar("_Session")


class IterationOptions(TypedDict, Generic[_Session], total=False):
    """The options of `History.iter_runs` and `AsyncHistory.iter_runs`."""

    since: dt.date | None
    until: dt.date | None
    changed_since: dt.date | None
    where: sa.ColumnElement[bool] | None
    exact: bool
    session: _Session | None


class DocumentOptions(TypedDict, Generic[_Session], total=False):
    """The options of `History.export_document` and `AsyncHistory.export_document`, without ``kinds``."""

    since: dt.date | None
    until: dt.date | None
    changed_since: dt.date | None
    where: sa.ColumnElement[bool] | Mapping[str, sa.ColumnElement[bool]] | None
    catalog: Literal["used", "all"] | None
    exported_at: dt.datetime | None
    exact: bool
    session: _Session | None


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


class _Written(_ForEditors):
    version: str
    exported_at: NotRequired[str]


class _Exported(_ForEditors):
    version: str
    exported_at: str


class _Catalog(TypedDict):
    ingredients: NotRequired[list[IngredientRecord]]
    recipes: NotRequired[list[RecipeRecord]]
    finished_units: NotRequired[list[FinishedUnitRecord]]
    finished_goods: NotRequired[list[FinishedGoodRecord]]
    products: NotRequired[list[ProductRecord]]


class HistoryDocument(_Written, _Catalog):
    """A document with runs of the bundled kinds, with the catalog if it was exported with one.

    An export of all bundled kinds always has both lists of runs; it is a `CompleteHistory`.
    """

    production_runs: NotRequired[list[ProductionRunRecord]]
    assembly_runs: NotRequired[list[AssemblyRunRecord]]


class CompleteHistory(_Exported, _Catalog):
    """What `History.export_document` returns of all bundled kinds, with the catalog if it was asked for."""

    production_runs: list[ProductionRunRecord]
    assembly_runs: list[AssemblyRunRecord]


class ProductionHistory(_Exported):
    """What `export_production_history` returns."""

    production_runs: list[ProductionRunRecord]


class AssemblyHistory(_Exported):
    """What `export_assembly_history` returns."""

    assembly_runs: list[AssemblyRunRecord]


Document: TypeAlias = dict[str, Any] | HistoryDocument | CompleteHistory | ProductionHistory | AssemblyHistory
"""A document with runs of any kinds, as exports return it and imports take it."""


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
