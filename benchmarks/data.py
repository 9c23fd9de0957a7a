"""Made-up production runs, as records and as a sealed stream; the same ones every time."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

LEDGER = ("flour", "sugar", "butter", "eggs", "salt", "vanilla", "chocolate", "baking-powder")
RECIPE, UNIT = "cookies", "cookie"
NOTES = 'Grandmother\'s "crème brûlée" 🍪\nC:\\recipes, then a\ttab; 生地 rests for 30 minutes.'

_EPOCH = dt.datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001 - naive UTC, as it is stored


def runs(count: int, *, recipe: str = RECIPE, entries: int = len(LEDGER)) -> Iterator[dict[str, Any]]:
    """Production runs in the order of an export, with so many ledger *entries*; every tenth has notes."""
    for n in range(count):
        produced = _EPOCH + dt.timedelta(minutes=n)
        place = n * (entries + 1)
        yield {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))),
            "recipe_slug": recipe,
            "finished_unit_slug": UNIT,
            "num_batches": 2,
            "expected_yield": 96,
            "actual_yield": n % 97,
            "produced_at": format_time(produced),
            "notes": None if n % 10 else f"{NOTES} {n}",
            "total_ingredient_cost": "5.0000",
            "per_unit_cost": "0.0543",
            **_stamps(produced, place),
            "consumptions": [
                {
                    "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{n}/{m}")),
                    "ingredient_slug": slug,
                    "quantity_consumed": f"{m}.250",
                    "unit": "cups",
                    "total_cost": "0.6250",
                    **_stamps(produced, place + m),
                }
                for m, slug in enumerate(itertools.islice(itertools.cycle(LEDGER), entries), start=1)
            ],
        }


def _stamps(produced: dt.datetime, place: int) -> dict[str, str]:
    """When the row at this *place* among all was written and last changed: no two in the same microsecond."""
    created = produced + dt.timedelta(seconds=31, microseconds=(place + 1) * 611_953 % 1_000_000)
    updated = created + dt.timedelta(seconds=7, microseconds=150_001)
    return {"created_at": format_time(created), "updated_at": format_time(updated)}


def format_time(moment: dt.datetime) -> str:
    """Format a naive UTC *moment* as in a record."""
    return f"{moment.isoformat()}Z"


def normalize_times(record: dict[str, Any], length: int | None = None) -> dict[str, Any]:
    """Return a run or an entry with its ISO 8601 times as the format writes them.

    Only the first *length* characters of each time count; None: all.
    """
    times = {
        name: format_time(dt.datetime.fromisoformat(value[:length]).replace(tzinfo=None))
        for name, value in record.items()
        if name.endswith("_at")
    }
    ledgers = {
        name: [normalize_times(entry, length) for entry in value]
        for name, value in record.items()
        if isinstance(value, list)
    }
    return {**record, **times, **ledgers}


def write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write *records* as a sealed stream, without histio."""
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    seal(path, (encoder.encode({"production_run": run}).encode() + b"\n" for run in records))


def seal(path: Path, lines: Iterable[bytes]) -> None:
    """Write run *lines* between a header and the trailer that seals them."""
    digest, count = hashlib.sha256(), 0
    header = b'{"header":{"version":"1.0","exported_at":"2025-12-09T12:00:00Z","kinds":["production_run"]}}\n'
    with path.open("wb") as file:
        file.write(header)
        for line in lines:
            digest.update(line)
            file.write(line)
            count += 1
        seals = {"sha256": digest.hexdigest(), "header_sha256": hashlib.sha256(header).hexdigest()}
        trailer = {"trailer": {"counts": {"production_run": count}, **seals}}
        file.write(json.dumps(trailer, separators=(",", ":")).encode() + b"\n")


def run_lines(path: Path) -> Iterator[bytes]:
    """The run lines of a sealed stream."""
    with path.open("rb") as file:
        yield from (line for line in file if line.startswith(b'{"production_run":'))


def sealed(path: Path) -> Iterator[bytes]:
    """What a sealed stream has the same whenever it was written: its run lines, then the digest of them."""
    yield from run_lines(path)
    *_, last = path.open("rb")
    yield json.loads(last)["trailer"]["sha256"].encode()


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of *size* items, and one of what is left."""
    left = iter(items)
    while batch := list(itertools.islice(left, size)):
        yield batch
