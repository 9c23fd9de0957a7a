"""The physical limit: a loop by hand for exactly these tables, which checks nothing."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from data import batches, run_lines, seal

from peers.drivers import Driver, Rows, connect

_PAGE, _BATCH = 200, 500
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_RUN = {
    "id": "int",
    "uuid": "text",
    "recipe_id": "int",
    "finished_unit_id": "int",
    "num_batches": "int",
    "expected_yield": "int",
    "actual_yield": "int",
    "produced_at": "time",
    "notes": "text",
    "total_ingredient_cost": "money",
    "per_unit_cost": "money",
    "created_at": "time",
    "updated_at": "time",
}
_ENTRY = {
    "production_run_id": "int",
    "uuid": "text",
    "ingredient_slug": "text",
    "quantity_consumed": "quantity",
    "unit": "text",
    "total_cost": "money",
    "created_at": "time",
    "updated_at": "time",
}


def warm(url: str) -> None:
    connect(url).close()


def export(url: str, path: Path, connecting: Callable[[str], Driver] = connect) -> None:
    with closing(connecting(url)) as driver:
        seal(path, _lines(driver))


def _lines(driver: Driver) -> Iterator[bytes]:
    recipes, units = (_catalog(driver, table) for table in ("recipes", "finished_units"))
    for page in _pages(driver):
        ledgers = _ledgers(driver, [row[0] for row in page])
        for row in page:
            key, uuid, recipe, unit, count, expected, actual, at, notes, total, each, made, changed, _ = row
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
                "consumptions": ledgers[key],
            }
            yield orjson.dumps({"production_run": run}, option=_OPTIONS)


def _catalog(driver: Driver, table: str) -> dict[int, str]:
    """Slugs by key."""
    return dict(driver.select({"id": "int", "slug": "text"}, f"FROM {table}"))


def _pages(driver: Driver) -> Iterator[Rows]:
    """Rows of runs in their order, each with the time by which the database sorts it."""
    columns = {**_RUN, "production_runs.produced_at": "text"}
    following = "produced_at >= ? AND (produced_at > ? OR uuid > ?)"
    rest = f"FROM production_runs WHERE {following} ORDER BY produced_at, uuid LIMIT {_PAGE}"
    moment, uuid = "1000-01-01", ""
    while rows := driver.select(columns, rest, (moment, moment, uuid)):
        yield rows
        moment, uuid = rows[-1][-1], rows[-1][1]


def _ledgers(driver: Driver, keys: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """The entries of the runs with these *keys*."""
    among = ", ".join(map(str, keys))
    rest = f"FROM production_consumptions WHERE production_run_id IN ({among}) ORDER BY production_run_id, id"
    ledgers = defaultdict(list)
    for key, uuid, ingredient, quantity, unit, cost, made, changed in driver.select(_ENTRY, rest):
        entry = {
            "uuid": uuid,
            "ingredient_slug": ingredient,
            "quantity_consumed": quantity,
            "unit": unit,
            "total_cost": cost,
            "created_at": made,
            "updated_at": changed,
        }
        ledgers[key].append(entry)
    return ledgers


def load(url: str, path: Path) -> None:
    with closing(connect(url)) as driver:
        recipes, units = (
            {slug: key for key, slug in _catalog(driver, table).items()}
            for table in ("recipes", "finished_units")
        )
        [(last,)] = driver.select({"max(id)": "int"}, "FROM production_runs")
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
