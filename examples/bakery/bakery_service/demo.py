"""The service with something in it: a branch that has baked for four months, and files to upload.

Everything is made up, and the same each time: what is here already is not made again.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from fastapi import FastAPI

from bakery_service import app as service
from bakery_service.history import VERSION

BRANCH = "Oven Lane"
DATABASE_URL = "sqlite+aiosqlite:///bakery.db"
FIRST = dt.datetime(2025, 8, 1, 5, tzinfo=dt.UTC)
DAYS = 122

# Recipe: pastry, pieces of a batch, ingredients of a batch in kg and their prices.
RECIPES = {
    "Cheese scones": ("cheese-scone", 20, {"flour": ("1.2", "1.15"), "cheddar": ("0.4", "9.8")}),
    "Cinnamon knots": ("cinnamon-knot", 18, {"flour": ("1.5", "1.15"), "cinnamon": ("0.02", "24")}),
    "Country loaf": ("country-loaf", 8, {"flour": ("5", "1.15"), "salt": ("0.1", "0.6")}),
    "Hot cross buns": ("hot-cross-bun", 24, {"flour": ("1.4", "1.15"), "raisins": ("0.5", "4.2")}),
}
# Those of another branch only.
ELSEWHERE = {
    "Lemon tart": ("lemon-tart-slice", 12, {"butter": ("0.5", "8.9"), "lemons": ("0.8", "2.6")}),
    "Rye bread": ("rye-loaf", 6, {"rye flour": ("4", "1.4")}),
}
REMARKS = (None, None, None, "Oven ran hot", "Table 4: no nuts", "Double order for the school fête")


def create_app() -> FastAPI:
    """The service, whose branch has something in it when it starts."""
    database_url, branch = os.environ.get("DATABASE_URL", DATABASE_URL), os.environ.get("BRANCH", BRANCH)
    app = service.create_app(database_url, branch, samples=samples(branch))
    start = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with start(app) as state:
            await app.state.bakery.history.import_document(year(branch), catalog="create")
            yield state

    app.router.lifespan_context = lifespan
    return app


def year(branch: str) -> dict[str, Any]:
    """The document of a *branch*: its recipes, what it has baked, and what people thought of that."""
    return document(branch, RECIPES, [FIRST + dt.timedelta(days=day) for day in range(DAYS)])


def samples(branch: str) -> dict[str, bytes]:
    """Files to upload, by name."""
    week = [FIRST + dt.timedelta(days=DAYS + day) for day in range(7)]
    return {
        "other-branch.jsonl": stream(document("Mill Street", RECIPES | ELSEWHERE, week)),
        "corrections.jsonl": stream(corrected(year(branch))),
        "mistakes.jsonl": stream(mistaken(document("Market Hall", RECIPES, week[:3]))),
    }


def document(branch: str, recipes: dict[str, Any], days: list[dt.datetime]) -> dict[str, Any]:
    """Two or three bakes a day. The same arguments make the same document."""
    chance = random.Random(branch)
    bakes = [
        bake(chance, uuid.uuid5(uuid.NAMESPACE_DNS, f"{branch}/{day:%F}/{name}"), day, name, *recipes[name])
        for day in days
        for name in sorted(chance.sample(sorted(recipes), chance.randint(2, 3)))
    ]
    return {
        "version": VERSION,
        "recipes": [{"name": name} for name in recipes],
        "pastries": [{"slug": slug, "recipe": name} for name, (slug, _, _) in recipes.items()],
        "production_runs": bakes,
        "tastings": [tasting(chance, each) for each in bakes[::9]],
    }


def bake(
    chance: random.Random,
    identity: uuid.UUID,
    day: dt.datetime,
    recipe: str,
    pastry: str,
    pieces: int,
    ingredients: dict[str, tuple[str, str]],
) -> dict[str, Any]:
    """A production run with its ledgers."""
    batches, burnt = chance.randint(1, 4), chance.choice((0, 0, 0, 1, 2))
    baked = batches * pieces - chance.randint(0, 2)
    used = [
        {
            "uuid": str(uuid.uuid5(identity, slug)),
            "ingredient_slug": slug,
            "quantity_consumed": str(Decimal(amount) * batches),
            "unit": "kg",
            "total_cost": str(Decimal(amount) * batches * Decimal(price)),
        }
        for slug, (amount, price) in ingredients.items()
    ]
    cost = sum(Decimal(each["total_cost"]) for each in used)
    return {
        "uuid": str(identity),
        "recipe_slug": recipe,
        "finished_unit_slug": pastry,
        "num_batches": batches,
        "expected_yield": batches * pieces,
        "actual_yield": baked,
        "produced_at": f"{day + dt.timedelta(minutes=chance.randrange(360)):%FT%TZ}",
        "notes": chance.choice(REMARKS),
        "total_ingredient_cost": str(cost),
        "per_unit_cost": f"{cost / baked:.4f}",
        "consumptions": used,
        "losses": [{"reason": "burnt", "pieces": burnt}] if burnt else [],
    }


def tasting(chance: random.Random, of: dict[str, Any]) -> dict[str, Any]:
    """What somebody thought of a bake."""
    return {
        "uuid": str(uuid.uuid5(uuid.UUID(of["uuid"]), "tasting")),
        "production_run": of["uuid"],
        "tasted_on": of["produced_at"][:10],
        "taster": chance.choice(("Ada", "Grace", "Noor", "Søren")),
        "stars": chance.randint(2, 5),
    }


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """The last bakes of a *document*, counted once more."""
    bakes = [
        run | {"actual_yield": run["actual_yield"] - 1, "notes": "Counted again"}
        for run in document["production_runs"][-6:]
    ]
    return {"version": VERSION, "production_runs": bakes}


def mistaken(document: dict[str, Any]) -> dict[str, Any]:
    """A *document* as somebody might write it by hand."""
    faults: list[dict[str, Any]] = [
        {"recipe_slug": "Hot cross bun"},
        {"recipe_slug": "Hot cross bun"},
        {"num_batches": "two"},
        {"total_ingredient_cost": "3.123456"},
        {"produced_at": "2025-11-31T08:00:00Z"},
        {"oven": 2},
    ]
    bakes = [run | faults.pop() if faults else run for run in document["production_runs"]]
    return {"version": VERSION, "production_runs": bakes}


def stream(document: dict[str, Any]) -> bytes:
    """The *document* as a stream that was written by hand."""
    lists = {
        "recipes": "recipe",
        "pastries": "pastry",
        "production_runs": "production_run",
        "tastings": "tasting",
    }
    catalog = [lists[name] for name in ("recipes", "pastries") if name in document]
    header = {"version": VERSION, "sealed": False} | ({"catalog": catalog} if catalog else {})
    records = [{kind: record} for name, kind in lists.items() for record in document.get(name, ())]
    return "".join(f"{json.dumps(line)}\n" for line in [{"header": header}, *records]).encode()
