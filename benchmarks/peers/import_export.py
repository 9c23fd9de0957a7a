"""django-import-export with bulk resources: a file for each table.

They are JSON, which is as fast here as CSV, and distinguishes null from an empty text.
"""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import normalize_times
from tablib import Dataset

from peers import bakery
from peers.bakery import create

__all__ = ["create", "export", "load", "read", "warm"]

_INTEGERS = ("num_batches", "expected_yield", "actual_yield")


def warm(url: str) -> None:
    bakery.warm(url)
    importlib.import_module("peers.bakery.resources")


def _files(path: Path) -> dict[str, Path]:
    """A file for each resource."""
    return {"RunResource": path, "ConsumptionResource": path.with_suffix(".entries.json")}


def _resource(name: str) -> Any:
    # Only when Django is set up can its models be imported.
    return getattr(importlib.import_module("peers.bakery.resources"), name)()


def export(_url: str, path: Path) -> None:
    for name, file in _files(path).items():
        file.write_text(_resource(name).export().export("json"), encoding="utf-8")


def load(_url: str, path: Path) -> None:
    for name, file in _files(path).items():
        rows = Dataset().load(file.read_text(encoding="utf-8"), "json")
        _resource(name).import_data(rows, raise_errors=True)


def read(path: Path) -> Iterator[dict[str, Any]]:
    runs, entries = (json.loads(file.read_text(encoding="utf-8")) for file in _files(path).values())
    ledgers = itertools.groupby(entries, key=lambda entry: entry.pop("production_run"))
    for run, (uuid, ledger) in zip(runs, ledgers, strict=True):
        assert uuid == run["uuid"]
        integers = {name: int(run[name]) for name in _INTEGERS}
        yield normalize_times({**run, **integers, "consumptions": list(ledger)})
