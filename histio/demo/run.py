"""Run the demonstration: export a bakery's year from one database, and import it into another."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from histio import models
from histio.database.dialects import create_engine
from histio.demo import bakery
from histio.history import History
from histio.report import ImportReport, Problem

FILES = ("source.db", "target.db", "history.json", "broken.json")
"""The files that the demonstration writes."""

EXPORTED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_COLUMNS = 80


def run(directory: Path) -> bool:
    """Run the demonstration in *directory*, which has none of `FILES`, and print each step.

    Returns:
        Whether the second export is identical to the first.
    """
    with ExitStack() as stack:
        engines = [
            create_engine(sa.URL.create("sqlite", database=str(directory / name))) for name in FILES[:2]
        ]
        for engine in engines:
            stack.callback(engine.dispose)
        return _run_steps(directory, *engines)


def _run_steps(directory: Path, source_engine: Engine, target_engine: Engine) -> bool:
    print("A bakery's year of production runs moves from one database to another.")
    print("Lines with >>> do the same in Python, in the folder of the files.\n")
    clock = _Clock()
    fill(source_engine, bakery.make_catalog(), with_runs=True)
    models.Base.metadata.create_all(target_engine)
    clock.step("1 Fill source.db with recipes and a year of runs; target.db is empty")

    source, target = History(source_engine), History(target_engine)
    document = source.export_document(catalog="used", exported_at=EXPORTED_AT)
    exported = _write(directory / "history.json", document)
    clock.step("2 Export to history.json")
    _print_lines(
        ">>> import datetime as dt, histio, json, pathlib",
        ">>> new_year = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)",
        '>>> source = histio.History("sqlite:///source.db")',
        '>>> document = source.export_document(catalog="used", exported_at=new_year)',
        ">>> text = json.dumps(document, ensure_ascii=False, indent=2)",
        '>>> pathlib.Path("history.json").write_text(text, "utf-8")',
        f"{', '.join(_format_sizes(document, source))}; {len(exported) / 1e6:.1f} MB",
    )

    report = target.import_document(document, catalog="create")
    created = sum(counts.imported for counts in report.catalog.values())
    clock.step("3 Import into target.db, with the rows that the runs refer to")
    _print_lines(
        '>>> target = histio.History("sqlite:///target.db")',
        '>>> report = target.import_document(document, catalog="create")',
        f"{created} recipes, units, goods, products and ingredients created",
        _format_counts(report),
    )
    _print_problems({problem.code: problem for problem in report.warnings}.values())

    returned = _text(target.export_document(catalog="used", exported_at=EXPORTED_AT))
    clock.step("4 Export from target.db and compare with history.json")
    _print_lines(
        '>>> target.export_document(catalog="used", exported_at=new_year) == document',
        f"sha256 {_digest(exported)} and {_digest(returned)}: "
        + ("identical, byte for byte" if returned == exported else "DIFFERENT"),
    )

    report = target.import_document(document)
    clock.step("5 Import again")
    _print_lines(">>> report = target.import_document(document)", _format_counts(report))

    broken = bakery.make_invalid(document)
    _write(directory / "broken.json", broken)
    report = target.import_document(broken)
    clock.step("6 Import broken.json: seven new runs, six of them invalid")
    _print_lines(
        '>>> text = pathlib.Path("broken.json").read_text("utf-8")',
        ">>> report = target.import_document(json.loads(text))",
        _format_counts(report),
        ">>> for problem in report.problems: print(problem.code, problem)",
    )
    _print_problems(report.problems)
    return returned == exported


class _Clock:
    """Prints the steps, each with its duration in seconds."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def step(self, title: str) -> None:
        now = time.perf_counter()
        seconds = f"{now - self._since:.1f} s"
        print(f"{title:{_COLUMNS - 8}}{seconds:>8}")
        self._since = now


def _print_lines(*lines: str) -> None:
    for line in lines:
        print(f"  {line}")


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        _print_lines(
            *textwrap.wrap(
                f"{problem.code} {problem}",
                _COLUMNS - 2,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _format_counts(report: ImportReport) -> str:
    names = ("imported", "skipped", "rejected")
    counts = [f"{getattr(report, name):,} {name}" for name in names]
    return ", ".join([*counts, f"{report.warning_count} warnings"])


def _format_sizes(document: Mapping[str, Any], history: History) -> Iterator[str]:
    entries = 0
    for name in (kind.collection for kind in history.bound.kinds):
        runs = document[name]
        yield f"{len(runs):,} {name.replace('_', ' ')}"
        entries += sum(len(ledger) for run in runs for ledger in run.values() if isinstance(ledger, list))
    yield f"{entries:,} ledger entries"


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


def _write(path: Path, document: Mapping[str, Any]) -> bytes:
    content = _text(document)
    path.write_bytes(content)
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def fill(engine: Engine, catalog: Iterable[Any], *, with_runs: bool) -> None:
    """Create the tables and fill them; the discontinued ingredient is deleted at the end."""
    models.Base.metadata.create_all(engine)
    with Session(engine) as session:
        rows = list(catalog)
        session.add_all(rows)
        session.flush()
        ids = {(type(row), row.slug): row.id for row in rows}
        session.add_all(bakery.make_year(ids) if with_runs else ())
        session.flush()
        session.execute(sa.delete(models.Ingredient).where(models.Ingredient.slug == bakery.DISCONTINUED))
        session.commit()
