"""The demonstration: a bakery's year leaves one database and comes back whole in another."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import textwrap
import time
from collections.abc import Iterable, Iterator
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

FILES = ("source.db", "target.db", "branch.db", "history.json", "broken.json")
"""What the demonstration leaves in its folder."""

EXPORTED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_COLUMNS = 80


def run(directory: Path) -> bool:
    """Play the demonstration in *directory*, which has none of `FILES`, and print what happens.

    Returns:
        Whether the history came back as it had left.
    """
    with ExitStack() as stack:
        engines = [
            create_engine(sa.URL.create("sqlite", database=str(directory / name))) for name in FILES[:3]
        ]
        for engine in engines:
            stack.callback(engine.dispose)
        return _play(directory, *engines)


def _play(directory: Path, source_engine: Engine, target_engine: Engine, branch_engine: Engine) -> bool:
    print("A bakery's year leaves one database and comes back whole in another.")
    print("The lines marked >>> do the same in Python, beside the files.\n")
    clock = _Clock()
    fill(source_engine, bakery.catalog(), with_runs=True)
    for engine in (target_engine, branch_engine):
        fill(engine, reversed(bakery.catalog()), with_runs=False)
    clock.step("1 Fill source.db with a catalog and a year of runs;")
    _say(
        "target.db gets the same catalog under other row ids, and no runs; so does",
        "branch.db, for you to try",
    )

    source, target = History(source_engine), History(target_engine)
    document = source.export_document(exported_at=EXPORTED_AT)
    exported = _write(directory / "history.json", document)
    clock.step("2 Export to history.json")
    _say(
        ">>> import datetime as dt, histio, json, pathlib",
        ">>> new_year = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)",
        '>>> source = histio.History("sqlite:///source.db")',
        ">>> document = source.export_document(exported_at=new_year)",
        ">>> text = json.dumps(document, ensure_ascii=False, indent=2)",
        '>>> pathlib.Path("history.json").write_text(text, "utf-8")',
        f"{', '.join(_sizes(document))}; {len(exported) / 1e6:.1f} MB",
    )

    report = target.import_document(document)
    clock.step("3 Import into target.db")
    _say(
        '>>> target = histio.History("sqlite:///target.db")',
        ">>> report = target.import_document(document)",
        _counts(report),
    )
    _show({problem.code: problem for problem in report.warnings}.values())

    returned = _text(target.export_document(exported_at=EXPORTED_AT))
    clock.step("4 Export from target.db and compare with history.json")
    _say(
        ">>> target.export_document(exported_at=new_year) == document",
        f"sha256 {_digest(exported)} and {_digest(returned)}: "
        + ("identical, byte for byte" if returned == exported else "NOT THE SAME"),
    )

    report = target.import_document(document)
    clock.step("5 Import once more")
    _say(">>> report = target.import_document(document)", _counts(report))

    broken = bakery.broken(document)
    _write(directory / "broken.json", broken)
    report = target.import_document(broken)
    clock.step("6 Import broken.json: new runs, all but one of them damaged")
    _say(
        '>>> text = pathlib.Path("broken.json").read_text("utf-8")',
        ">>> report = target.import_document(json.loads(text))",
        _counts(report),
        ">>> for problem in report.problems: print(problem.code, problem)",
    )
    _show(report.problems)
    return returned == exported


class _Clock:
    """Prints the steps, each with the seconds since the one before."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def step(self, title: str) -> None:
        now = time.perf_counter()
        seconds = f"{now - self._since:.1f} s"
        print(f"{title:{_COLUMNS - 8}}{seconds:>8}")
        self._since = now


def _say(*lines: str) -> None:
    for line in lines:
        print(f"  {line}")


def _show(problems: Iterable[Problem]) -> None:
    for problem in problems:
        _say(
            *textwrap.wrap(
                f"{problem.code} {problem}",
                _COLUMNS - 2,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _counts(report: ImportReport) -> str:
    names = ("imported", "skipped", "rejected")
    counts = [f"{getattr(report, name):,} {name}" for name in names]
    return ", ".join([*counts, f"{report.warning_count} warnings"])


def _sizes(document: dict[str, Any]) -> Iterator[str]:
    entries = 0
    for name, runs in document.items():
        if isinstance(runs, list):
            yield f"{len(runs):,} {name.replace('_', ' ')}"
            entries += sum(len(ledger) for run in runs for ledger in run.values() if isinstance(ledger, list))
    yield f"{entries:,} ledger entries"


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


def _write(path: Path, document: dict[str, Any]) -> bytes:
    content = _text(document)
    path.write_bytes(content)
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def fill(engine: Engine, catalog: Iterable[Any], *, with_runs: bool) -> None:
    """Make the tables and fill them; the ingredient that was struck off is gone in the end."""
    models.Base.metadata.create_all(engine)
    with Session(engine) as session:
        rows = list(catalog)
        session.add_all(rows)
        session.flush()
        ids = {(type(row), row.slug): row.id for row in rows}
        session.add_all(bakery.year(ids) if with_runs else ())
        session.flush()
        session.execute(sa.delete(models.Ingredient).where(models.Ingredient.slug == bakery.STRUCK_OFF))
        session.commit()
