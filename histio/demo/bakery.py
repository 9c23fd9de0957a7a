"""The data of the demonstration: a bakery's catalog, a year of runs, and some invalid runs."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from histio import models

_SEED = 1912
_YEAR = dt.datetime(2025, 1, 1)  # noqa: DTZ001 - the bundled models store naive UTC
PRODUCTION_RUNS = 1_700
ASSEMBLY_RUNS = 300

# Ingredient: unit of measure, unit cost.
_INGREDIENTS = {
    "flour": ("kg", "1.15"),
    "butter": ("kg", "8.9"),
    "sugar": ("kg", "1.3"),
    "egg": ("each", "0.31"),
    "cream": ("l", "4.75"),
    "chocolate-70%": ("kg", "14.2"),
    "抹茶": ("g", "0.29"),
    "saffron": ("g", "9.5"),
}
DISCONTINUED = "saffron"
"""The ingredient that is deleted from the catalog at the end of the year."""

# Recipe: finished unit, yield of a batch, ingredients of a batch.
_RECIPES = {
    "chocolate-chip-cookies": ("cookie", 48, {"flour": "0.6", "butter": "0.45", "chocolate-70%": "0.55"}),
    "crème-brûlée": ("crème-brûlée-ramekin", 8, {"cream": "1", "egg": "6"}),
    "pain-de-mie": ("loaf", 6, {"flour": "3.2", "butter": "0.3"}),
    "抹茶ケーキ": ("抹茶ケーキ-slice", 12, {"flour": "0.25", "egg": "5", "抹茶": "18"}),
    "birthday-cake-🎂": ("birthday-cake-🎂-whole", 1, {"flour": "0.4", "egg": "4", "cream": "0.3"}),
    "lussekatter": ("lussekatt", 30, {"flour": "1", "sugar": "0.2", "saffron": "1"}),
}
_SEASONS = {"lussekatter": {12}}  # months; all others are baked all year round

# Product: its ingredient, unit cost.
_PACKAGING = {
    "cellophane-bag-100ct": ("cellophane-bag", "0.08"),
    "cake-box-white": ("cake-box", "0.65"),
    "ribbon-red-50m": ("ribbon", "0.012"),
}

# Finished good: finished units and packaging.
_GOODS = {
    "cookie-gift-bag": ({"cookie": 12}, {"cellophane-bag-100ct": "1", "ribbon-red-50m": "0.4"}),
    "party-box-🎉": ({"birthday-cake-🎂-whole": 1, "lussekatt": 6}, {"cake-box-white": "1"}),
    "café-sampler": ({"抹茶ケーキ-slice": 2, "loaf": 1}, {"cake-box-white": "2"}),
}

_NOTES = (None, None, None, "", "Oven ran hot", 'Table 4, "no nuts"\nsigned: Zoë 👩🏽‍🍳', "\u200b½\t\\ مرحبا")
_LONG_NOTE = "Everything went wrong. " * 217 + "All of it"  # 5,000 characters

# One production run in this many is unusual.
_FREE, _WITHOUT_LEDGER, _MISTAKEN_UNIT, _LONG_NOTED = 89, 113, 397, 499


def make_catalog() -> list[Any]:
    """Create the rows that runs refer to; the same in every call."""

    def name(slug: str) -> str:
        return slug.replace("-", " ").capitalize()

    rows: list[Any] = [models.Ingredient(slug=slug, display_name=name(slug)) for slug in _INGREDIENTS]
    for slug, (unit, _, _) in _RECIPES.items():
        recipe = models.Recipe(slug=slug, name=name(slug))
        rows += [recipe, models.FinishedUnit(slug=unit, display_name=name(unit), recipe=recipe)]
    for slug, (kind, _) in _PACKAGING.items():
        ingredient = models.Ingredient(slug=kind, display_name=name(kind))
        rows += [ingredient, models.Product(slug=slug, product_name=name(slug), ingredient=ingredient)]
    rows += [models.FinishedGood(slug=slug, display_name=name(slug)) for slug in _GOODS]
    chance = random.Random(_SEED)
    for row in rows:
        row.uuid, row.created_at, row.updated_at = _uuid(chance), _YEAR, _YEAR
    return rows


def make_year(ids: dict[tuple[type[models.Base], str], int]) -> Iterator[models.Base]:
    """Create the runs of the year with their ledgers; the same in every call."""
    chance = random.Random(_SEED)
    for number in range(1, PRODUCTION_RUNS + 1):
        yield _production_run(chance, number, ids)
    for _ in range(ASSEMBLY_RUNS):
        yield _assembly_run(chance, ids)


def _production_run(chance: random.Random, number: int, ids: dict[Any, int]) -> models.ProductionRun:
    at = _random_time(chance)
    recipe = chance.choice([slug for slug in _RECIPES if at.month in _SEASONS.get(slug, {at.month})])
    unit, yields, ingredients = _RECIPES[recipe]
    batches = chance.randint(1, 4)
    expected = batches * yields
    actual = expected - chance.randint(0, expected // 10)
    free = number % _FREE == 0  # all ingredients were a gift
    entries = [
        _entry(chance, Decimal(amount) * batches, *_INGREDIENTS[slug], free=free) | {"ingredient_slug": slug}
        for slug, amount in ingredients.items()
        if number % _WITHOUT_LEDGER != 0  # nobody recorded the ingredients
    ]
    return models.ProductionRun(
        **_identity_and_times(chance, at),
        recipe_id=ids[models.Recipe, recipe],
        # Sometimes the loaf is recorded instead of the recipe's own unit.
        finished_unit_id=ids[models.FinishedUnit, "loaf" if number % _MISTAKEN_UNIT == 0 else unit],
        num_batches=batches,
        expected_yield=expected,
        actual_yield=actual,
        produced_at=at,
        notes=_LONG_NOTE if number % _LONG_NOTED == 0 else chance.choice(_NOTES),
        **_costs(entries, actual, "total_ingredient_cost"),
        consumptions=[
            models.ProductionConsumption(**_identity_and_times(chance, at), **entry) for entry in entries
        ],
    )


def _assembly_run(chance: random.Random, ids: dict[Any, int]) -> models.AssemblyRun:
    at = _random_time(chance)
    good = chance.choice(list(_GOODS))
    units, packaging = _GOODS[good]
    quantity = chance.randint(1, 25)
    units_used = []
    for slug, each in units.items():
        cost = _round(Decimal(chance.randrange(500, 90_000)) / 10_000)
        units_used.append(
            {
                "finished_unit_id": ids[models.FinishedUnit, slug],
                "quantity_consumed": each * quantity,
                "unit_cost_at_consumption": cost,
                "total_cost": cost * each * quantity,
            }
        )
    packaging_used = [
        _entry(chance, Decimal(each) * quantity, "each", _PACKAGING[slug][1])
        | {"product_id": ids[models.Product, slug]}
        for slug, each in packaging.items()
    ]
    return models.AssemblyRun(
        **_identity_and_times(chance, at),
        finished_good_id=ids[models.FinishedGood, good],
        quantity_assembled=quantity,
        assembled_at=at,
        notes=chance.choice(_NOTES),
        **_costs([*units_used, *packaging_used], quantity, "total_component_cost"),
        finished_unit_consumptions=[
            models.AssemblyFinishedUnitConsumption(**_identity_and_times(chance, at), **entry)
            for entry in units_used
        ],
        packaging_consumptions=[
            models.AssemblyPackagingConsumption(**_identity_and_times(chance, at), **entry)
            for entry in packaging_used
        ],
    )


def _random_time(chance: random.Random) -> dt.datetime:
    """A time in the year; one in ten has microseconds."""
    microseconds = chance.randrange(1_000_000) if chance.randrange(10) == 0 else 0
    minutes = chance.randrange(365 * 24 * 60)
    return _YEAR + dt.timedelta(minutes=minutes, microseconds=microseconds)


def _identity_and_times(chance: random.Random, at: dt.datetime) -> dict[str, Any]:
    recorded = at + dt.timedelta(seconds=chance.randrange(3600))
    return {"uuid": _uuid(chance), "created_at": recorded, "updated_at": recorded}


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _entry(
    chance: random.Random, quantity: Decimal, unit: str, price: str, *, free: bool = False
) -> dict[str, Any]:
    """An entry with the quantity that was used, and its cost."""
    quantity = (quantity * chance.randint(95, 110) / 100).quantize(Decimal("0.001"))
    cost = Decimal(0) if free else quantity * Decimal(price)
    return {"quantity_consumed": quantity, "unit": unit, "total_cost": _round(cost)}


def _costs(entries: list[dict[str, Any]], quantity: int, total_name: str) -> dict[str, Decimal]:
    total = sum((entry["total_cost"] for entry in entries), Decimal(0))
    return {total_name: total, "per_unit_cost": _round(total / quantity)}


def _round(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.0001"))


def make_invalid(document: Mapping[str, Any]) -> dict[str, Any]:
    """Create seven new runs from those of *document*; all but the last are invalid, each in another way."""
    chance = random.Random(_SEED + 1)
    originals = [run for run in document["production_runs"] if run["recipe_slug"] == "crème-brûlée"][:7]
    runs = [
        original
        | {
            "uuid": _uuid(chance),
            "consumptions": [entry | {"uuid": _uuid(chance)} for entry in original["consumptions"]],
        }
        for original in originals
    ]
    runs[0]["recipe_slug"] = "creme-brulee"
    runs[1]["total_ingredient_cost"] = "12.34567"
    runs[2]["actual_yield"] = -3
    del runs[3]["produced_at"]
    runs[4]["oven"] = "the left one"
    runs[5]["consumptions"][0]["uuid"] = originals[0]["consumptions"][0]["uuid"]
    return {**document, "production_runs": runs, "assembly_runs": []}
