"""How much memory exports and imports use, from few runs to many, measured from outside.

For every database and size, a sealed stream of made-up runs is imported into an empty database, exported, and
imported again, each in a process of its own. Memory is the peak of the process (VmHWM, so this needs Linux)
minus what it has after importing histio and connecting to the database (VmRSS). The exported stream must have
the digest of the imported one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import histio
from histio.models import Base, FinishedUnit, Ingredient, Recipe

WORKER = """
import sys, time
import sqlalchemy as sa
import histio
action, url, path, *options = sys.argv[1:]
history = histio.History(url)
next(history.iter_runs("assembly_run"), None)
print("ready", flush=True)
sys.stdin.readline()
began = time.perf_counter()
if action == "export":
    report = history.export_file(path, overwrite=True)
    done = report.exported
else:
    report = history.import_file(path, **({"commit_every": int(options[0])} if options else {}))
    assert not report.problem_count, report.problems[0]
    done = report.imported + report.skipped
print(done, time.perf_counter() - began, flush=True)
sys.stdin.readline()
"""

MOMENT = 1_700_000_000
LEDGER = ("flour", "sugar", "butter", "eggs", "salt", "vanilla", "chocolate", "baking-powder")


def catalog() -> list[Base]:
    """What the runs refer to."""
    recipe = Recipe(name="Cookies", slug="cookies")
    unit = FinishedUnit(display_name="Cookie", slug="cookie", recipe=recipe)
    return [unit, *(Ingredient(display_name=slug, slug=slug) for slug in LEDGER)]


def runs(count: int, entries: int) -> Iterator[dict[str, Any]]:
    """Production runs in the order of an export, each with as many ledger entries."""
    for n in range(count):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(MOMENT + 60 * n))
        stamps = {"created_at": at, "updated_at": at}
        ledger = [
            {
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{n}/{m}")),
                "ingredient_slug": LEDGER[m % len(LEDGER)],
                "quantity_consumed": f"{m + 1}.250",
                "unit": "cups",
                "total_cost": "0.6250",
                **stamps,
            }
            for m in range(entries)
        ]
        yield {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))),
            "recipe_slug": "cookies",
            "finished_unit_slug": "cookie",
            "num_batches": 2,
            "expected_yield": 96,
            "actual_yield": n % 97,
            "produced_at": at,
            "notes": None,
            "total_ingredient_cost": "5.0000",
            "per_unit_cost": "0.0543",
            **stamps,
            "consumptions": ledger,
        }


def write(path: Path, count: int, entries: int) -> str:
    """A sealed stream at *path*, written without histio; its sha256."""
    digest = hashlib.sha256()
    header = {"version": "1.0", "exported_at": "2025-12-09T12:00:00Z", "kinds": ["production_run"]}
    first = json.dumps({"header": header}, separators=(",", ":")).encode() + b"\n"
    with path.open("wb") as file:
        file.write(first)
        for run in runs(count, entries):
            line = json.dumps({"production_run": run}, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
        seal = {"sha256": digest.hexdigest(), "header_sha256": hashlib.sha256(first).hexdigest()}
        trailer = {"trailer": {"counts": {"production_run": count}, **seal}}
        file.write(json.dumps(trailer, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def memory(process: subprocess.Popen[str], what: str) -> float:
    """MiB of *what* that the kernel says of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def measured(action: str, url: str, path: Path, *options: str) -> tuple[int, float, float]:
    """Runs, seconds, and MiB of one export or import in a process of its own."""
    command = [sys.executable, "-c", WORKER, action, url, str(path), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        base = memory(process, "VmRSS")
        print("go", file=process.stdin, flush=True)
        done, seconds = process.stdout.readline().split()
        peak = memory(process, "VmHWM")
        print("end", file=process.stdin, flush=True)
    return int(done), float(seconds), peak - base


def emptied(url: str) -> None:
    """Make the tables anew at *url*, with the catalog."""
    engine = histio.create_engine(url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(catalog())
        session.commit()
    engine.dispose()


def main() -> None:
    """Measure what was asked for, and print a row for each database, size and action."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--entries", type=int, default=8, help="ledger entries of a run")
    parser.add_argument("--format", default="jsonl", help="what is imported and exported")
    parser.add_argument("--commit-every", default=None)
    parser.add_argument("--url", nargs="+", help="databases; their tables are dropped")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="histio-") as directory:
        folder = Path(directory)
        urls = options.url or [f"sqlite:///{folder / 'memory.db'}"]
        print(f"{'database':12} {'runs':>9} {'action':8} {'MiB':>7} {'runs/s':>8}", flush=True)
        for count in options.runs:
            stream, out = folder / "in.jsonl", folder / f"out.{options.format}"
            sha256 = write(stream, count, options.entries)
            for url in urls:
                emptied(url)
                name = sa.make_url(url).get_backend_name()
                more = [options.commit_every] if options.commit_every else []
                for action, path in (("import", stream), ("export", out), ("again", out)):
                    doing = "export" if action == "export" else "import"
                    done, seconds, mib = measured(doing, url, path, *more)
                    assert done == count
                    print(f"{name:12} {count:>9,} {action:8} {mib:>7.1f} {done / seconds:>8,.0f}", flush=True)
                if options.format == "jsonl":
                    assert sha256 in out.read_bytes()[-1000:].decode(), "the export is not what was imported"


if __name__ == "__main__":
    main()
