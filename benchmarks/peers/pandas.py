"""Data frames: tables as they are, row ids included, in two files of JSON lines."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from data import RECIPE, UNIT, normalize_times

from peers.alchemy import engine, warm

__all__ = ["export", "load", "read", "warm"]

_TIMES = ["produced_at", "created_at", "updated_at"]
_SCALES = {"quantity_consumed": 3, "total_cost": 4, "total_ingredient_cost": 4, "per_unit_cost": 4}
_KEYS = {"id", "recipe_id", "finished_unit_id", "production_run_id"}


def _files(path: Path) -> dict[str, Path]:
    return {"production_runs": path, "production_consumptions": path.with_suffix(".entries.jsonl")}


def export(url: str, path: Path) -> None:
    bind = engine(url)
    for table, file in _files(path).items():
        frame = pd.read_sql(f"SELECT * FROM {table} ORDER BY id", bind, parse_dates=_TIMES)  # noqa: S608
        frame.to_json(file, orient="records", lines=True, date_format="iso", date_unit="us")


def load(url: str, path: Path) -> None:
    with engine(url).begin() as connection:
        for table, file in _files(path).items():
            frame = pd.read_json(file, orient="records", lines=True, convert_dates=_TIMES)
            frame.to_sql(table, connection, if_exists="append", index=False)


def read(path: Path) -> Iterator[dict[str, Any]]:
    runs, entries = (map(json.loads, file.open(encoding="utf-8")) for file in _files(path).values())
    ledgers = itertools.groupby(entries, key=lambda entry: entry["production_run_id"])
    for run, (key, ledger) in zip(runs, ledgers, strict=True):
        assert key == run["id"]
        run |= {"recipe_slug": RECIPE, "finished_unit_slug": UNIT, "consumptions": [*map(_record, ledger)]}
        yield _record(run)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: f"{row[name]:.{scale}f}" for name, scale in _SCALES.items() if name in row}
    return normalize_times({name: value for name, value in row.items() if name not in _KEYS} | numbers)
