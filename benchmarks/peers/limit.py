"""The limit: loops by hand for exactly these tables, which check nothing.

The export merges runs and ledger entries, which the database returns in the same order. In PostgreSQL,
cursors of the server are as fast with text as with binary values, and take half the time of COPY on two
connections. In MariaDB, a text for each ledger takes half the time of a row for each entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from data import batches, run_lines, seal

from peers.drivers import Driver, Rows, connect

_BATCH = 500
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_RUN = (
    "id",
    "uuid",
    "recipe_id",
    "finished_unit_id",
    "num_batches",
    "expected_yield",
    "actual_yield",
    "produced_at",
    "notes",
    "total_ingredient_cost",
    "per_unit_cost",
    "created_at",
    "updated_at",
)
_ENTRY = (
    "production_run_id",
    "uuid",
    "ingredient_slug",
    "quantity_consumed",
    "unit",
    "total_cost",
    "created_at",
    "updated_at",
)


def warm(url: str) -> None:
    connect(url).close()


def export(url: str, path: Path) -> None:
    with closing(connect(url)) as driver:
        seal(path, _lines(driver))


def _lines(driver: Driver) -> Iterator[bytes]:
    recipes, units = (_catalog(driver, table) for table in ("recipes", "finished_units"))
    ledgers = driver.ledgers()
    owner, ledger = next(ledgers, (None, []))
    for (
        key,
        uuid,
        recipe,
        unit,
        count,
        expected,
        actual,
        at,
        notes,
        total,
        each,
        made,
        changed,
    ) in driver.runs():
        run = {
            "uuid": uuid,
            "recipe_slug": recipes[recipe],
            "finished_unit_slug": units[unit],
            "num_batches": count,
            "expected_yield": expected,
            "actual_yield": actual,
            "produced_at": at,
            "notes": notes,
            "total_ingredient_cost": total,
            "per_unit_cost": each,
            "created_at": made,
            "updated_at": changed,
            "consumptions": ledger if owner == key else [],
        }
        yield orjson.dumps({"production_run": run}, option=_OPTIONS)
        if owner == key:
            owner, ledger = next(ledgers, (None, []))


def _catalog(driver: Driver, table: str) -> dict[int, str]:
    """Slugs by key."""
    return dict(driver.select(f"SELECT id, slug FROM {table}"))  # noqa: S608


def load(url: str, path: Path) -> None:
    with closing(connect(url)) as driver:
        recipes, units = (
            {slug: key for key, slug in _catalog(driver, table).items()}
            for table in ("recipes", "finished_units")
        )
        [(last,)] = driver.select("SELECT max(id) FROM production_runs")
        keys = itertools.count((last or 0) + 1)
        for batch in batches(run_lines(path), _BATCH):
            runs = [(next(keys), orjson.loads(line)["production_run"]) for line in batch]
            driver.insert("production_runs", _RUN, _run_rows(driver, runs, recipes, units))
            driver.insert("production_consumptions", _ENTRY, _entry_rows(driver, runs))
        driver.commit()


def _run_rows(
    driver: Driver, runs: Sequence[tuple[int, Any]], recipes: Mapping[str, int], units: Mapping[str, int]
) -> Rows:
    return [
        (
            key,
            run["uuid"],
            recipes[run["recipe_slug"]],
            units[run["finished_unit_slug"]],
            run["num_batches"],
            run["expected_yield"],
            run["actual_yield"],
            driver.stamp(run["produced_at"]),
            run["notes"],
            run["total_ingredient_cost"],
            run["per_unit_cost"],
            driver.stamp(run["created_at"]),
            driver.stamp(run["updated_at"]),
        )
        for key, run in runs
    ]


def _entry_rows(driver: Driver, runs: Sequence[tuple[int, Any]]) -> Rows:
    return [
        (
            key,
            entry["uuid"],
            entry["ingredient_slug"],
            entry["quantity_consumed"],
            entry["unit"],
            entry["total_cost"],
            driver.stamp(entry["created_at"]),
            driver.stamp(entry["updated_at"]),
        )
        for key, run in runs
        for entry in run["consumptions"]
    ]
