"""Django's own commands, with natural keys and JSON lines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import normalize_times
from django.core.management import call_command

from peers.bakery import create, warm

__all__ = ["create", "export", "keeps", "load", "read", "warm"]


def export(_url: str, path: Path) -> None:
    natural = {"natural_foreign": True, "natural_primary": True}
    call_command(
        "dumpdata",
        "bakery.ProductionRun",
        "bakery.ProductionConsumption",
        format="jsonl",
        output=path,
        **natural,
    )


def load(_url: str, path: Path) -> None:
    call_command("loaddata", path, verbosity=0)


def keeps(run: dict[str, Any]) -> dict[str, Any]:
    """Django's JSON has milliseconds only."""
    return normalize_times(run, len("2023-11-14T22:13:51.611"))


def read(path: Path) -> Iterator[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    ledgers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with path.open(encoding="utf-8") as file:
        for line in file:
            fields = json.loads(line)["fields"]
            [owner] = fields.pop("production_run", [None])
            (runs if owner is None else ledgers[owner]).append(fields)
    for run in runs:
        slugs = {f"{name}_slug": run.pop(name)[0] for name in ("recipe", "finished_unit")}
        yield normalize_times({**run, **slugs, "consumptions": ledgers[run["uuid"]]})
