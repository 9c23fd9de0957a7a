"""A small bakery: its catalog, and records of runs that fit it."""

from __future__ import annotations

import uuid
from typing import Any

from histio import models

TIME = "2025-12-08T10:00:00Z"


def stock() -> list[models.Base]:
    """The catalog that the records below refer to."""
    cookies = models.Recipe(name="Cookies", slug="cookies")
    bread = models.Recipe(name="Bread", slug="bread")
    bag = models.Ingredient(display_name="Bag", slug="bag")
    return [
        models.FinishedUnit(display_name="Cookie", slug="cookie", recipe=cookies),
        models.FinishedUnit(display_name="Loaf", slug="loaf", recipe=bread),
        models.FinishedGood(display_name="Gift bag", slug="gift-bag"),
        models.Ingredient(display_name="Flour", slug="flour"),
        models.Product(product_name="100 bags", slug="bag-100", ingredient=bag),
    ]


def number(n: int) -> str:
    """A UUID that is easy to read in a failure."""
    return str(uuid.UUID(int=n))


def consumption(n: int = 101, **members: Any) -> dict[str, Any]:
    """A ledger entry of a production run."""
    return {
        "uuid": number(n),
        "ingredient_slug": "flour",
        "quantity_consumed": "4.000",
        "unit": "cups",
        "total_cost": "2.5000",
        "created_at": TIME,
        "updated_at": TIME,
    } | members


def production_run(n: int = 1, **members: Any) -> dict[str, Any]:
    """A production run with one ledger entry, in canonical form."""
    return {
        "uuid": number(n),
        "recipe_slug": "cookies",
        "finished_unit_slug": "cookie",
        "num_batches": 2,
        "expected_yield": 96,
        "actual_yield": 92,
        "produced_at": TIME,
        "notes": "Test batch",
        "total_ingredient_cost": "5.2500",
        "per_unit_cost": "0.0571",
        "created_at": TIME,
        "updated_at": TIME,
        "consumptions": [consumption(1_000_000 + n)],
    } | members


def unit_consumption(n: int = 201, **members: Any) -> dict[str, Any]:
    """A ledger entry of an assembly run for finished units."""
    return {
        "uuid": number(n),
        "finished_unit_slug": "cookie",
        "quantity_consumed": 60,
        "unit_cost_at_consumption": "0.0571",
        "total_cost": "3.4260",
        "created_at": TIME,
        "updated_at": TIME,
    } | members


def packaging(n: int = 301, **members: Any) -> dict[str, Any]:
    """A ledger entry of an assembly run for packaging."""
    return {
        "uuid": number(n),
        "product_slug": "bag-100",
        "ingredient_slug": "bag",
        "quantity_consumed": "5.000",
        "unit": "each",
        "total_cost": "1.2500",
        "created_at": TIME,
        "updated_at": TIME,
    } | members


def assembly_run(n: int = 1, **members: Any) -> dict[str, Any]:
    """An assembly run with both ledgers, in canonical form."""
    return {
        "uuid": number(n),
        "finished_good_slug": "gift-bag",
        "quantity_assembled": 5,
        "assembled_at": TIME,
        "notes": None,
        "total_component_cost": "12.5000",
        "per_unit_cost": "2.5000",
        "created_at": TIME,
        "updated_at": TIME,
        "finished_unit_consumptions": [unit_consumption(2_000_000 + n)],
        "packaging_consumptions": [packaging(3_000_000 + n)],
    } | members


def document(*production: dict[str, Any], assembly: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A document with these runs."""
    return {
        "version": "1.0",
        "exported_at": TIME,
        "production_runs": list(production),
        "assembly_runs": assembly or [],
    }


def without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    """*record* without some of its members."""
    return {name: value for name, value in record.items() if name not in names}


ASSEMBLY = assembly_run(1, total_component_cost="4.6760", per_unit_cost="0.9352")
