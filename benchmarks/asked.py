"""What ten runs cost beside many: exports, checks and imports of them, in a small and a large database.

The databases are filled by SQL. Each action is done once to warm up and then several times, of which the
fastest counts. The ratio is that of the largest database to the smallest.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import data
import sqlalchemy as sa
from databases import DATABASES, Scratch, create, fill
from results import NAMES

import histio
from histio.models import ProductionConsumption, ProductionRun

_EPOCH = dt.datetime(2020, 1, 1)  # noqa: DTZ001 - naive UTC, as it is stored
_RUNS: Any = ProductionRun.__table__
_ENTRIES: Any = ProductionConsumption.__table__
_ENTRIES_OF_RUN = 2


def fill_by_sql(url: str, count: int) -> None:
    """Put the catalog and *count* runs, one a minute, into a new database."""
    create(url)
    fill(url)
    engine = sa.create_engine(url)
    name = engine.dialect.name
    with engine.begin() as connection:
        if name == "mariadb":
            connection.exec_driver_sql("SET max_recursive_iterations = 4294967295")
        numbers = sa.select(sa.literal(0).label("n")).cte("numbers", recursive=True)
        numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n < count - 1))
        _insert_from(connection, _RUNS, numbers, _run_values(name, numbers.c.n))
        for place in range(_ENTRIES_OF_RUN):
            _insert_from(connection, _ENTRIES, numbers, _entry_values(name, numbers.c.n, place))
        for table in (_RUNS, _ENTRIES) if name == "postgresql" else ():
            sequence = sa.func.pg_get_serial_sequence(table.name, "id")
            connection.execute(sa.select(sa.func.setval(sequence, sa.func.max(table.c.id))))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        tables = f"TABLE {_RUNS.name}, {_ENTRIES.name}" if name == "mariadb" else ""
        connection.exec_driver_sql("VACUUM ANALYZE" if name == "postgresql" else f"ANALYZE {tables}")
    engine.dispose()


def _insert_from(connection: sa.Connection, table: Any, source: Any, values: Mapping[str, Any]) -> None:
    rows = sa.select(*values.values()).select_from(source)
    connection.execute(sa.insert(table).from_select(list(values), rows, include_defaults=False))


def _run_values(database: str, n: Any) -> Mapping[str, Any]:
    return {
        "id": n + 1,
        "uuid": _uuid(n, 0),
        "recipe_id": sa.literal(1),
        "finished_unit_id": sa.literal(1),
        "num_batches": sa.literal(2),
        "expected_yield": sa.literal(96),
        "actual_yield": n % 97,
        "produced_at": _minutes_after(database, n),
        "total_ingredient_cost": sa.literal(5),
        "per_unit_cost": sa.literal(1),
        "created_at": _minutes_after(database, n),
        "updated_at": _minutes_after(database, n),
    }


def _entry_values(database: str, n: Any, place: int) -> Mapping[str, Any]:
    return {
        "id": n * _ENTRIES_OF_RUN + place + 1,
        "uuid": _uuid(n, place + 1),
        "production_run_id": n + 1,
        "ingredient_slug": sa.literal("flour"),
        "quantity_consumed": sa.literal(4),
        "unit": sa.literal("cups"),
        "total_cost": sa.literal(3),
        "created_at": _minutes_after(database, n),
        "updated_at": _minutes_after(database, n),
    }


def _uuid(n: Any, place: int) -> Any:
    """A UUID for each *n* and *place*; those of consecutive *n* are far apart, as random ones are."""
    scattered = 10_000_000 + (sa.cast(n, sa.BigInteger) * 37_139_213) % 90_000_000
    return sa.cast(scattered, sa.String(8)).concat(f"-0000-4000-8000-{place:012}")


def _minutes_after(database: str, n: Any) -> Any:
    if database == "sqlite":
        minutes = sa.cast(n, sa.String).concat(" minutes")
        return sa.func.strftime("%Y-%m-%d %H:%M:%S.000000", str(_EPOCH), minutes)
    if database == "postgresql":
        return sa.literal(_EPOCH, sa.DateTime) + sa.func.make_interval(0, 0, 0, 0, 0, n)
    return sa.func.timestampadd(sa.text("MINUTE"), n, sa.literal(_EPOCH, sa.DateTime))


class Asked:
    """What is asked of one database; it has the same runs afterwards.

    Args:
        url: The database.
        count: How many runs it has.
        asked: How many runs are asked for.
        folder: Where to write files.

    Attributes:
        statements: The SQL statements so far.
    """

    def __init__(self, url: str, count: int, asked: int, folder: Path) -> None:
        self.statements: list[str] = []
        self._engine = histio.create_engine(url)
        sa.event.listen(self._engine, "before_cursor_execute", self._note)
        self._history = histio.History(self._engine)
        self._folder = folder
        self._last, self._middle = _at(count - asked), (_at(count // 2), _at(count // 2 + asked - 1))
        self._known = self._folder / "known.jsonl"
        self._history.export_file(self._known, kinds="production_run", since=self._last)
        runs = json.loads(f"[{','.join(line.decode() for line in data.run_lines(self._known))}]")
        known = [run["production_run"] for run in runs]
        assert len(known) == asked, "the export has what is asked for"
        self._versions = [self._write(f"{notes}.jsonl", known, notes=notes) for notes in ("one", "other")]
        self._new = self._write("new.jsonl", data.runs(asked), notes="new")

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement)

    def _write(self, name: str, runs: Any, **changes: Any) -> Path:
        data.write(self._folder / name, ({**run, **changes} for run in runs))
        return self._folder / name

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()

    def actions(self) -> Mapping[str, Callable[[], object]]:
        """What is measured, in this order."""
        history, receipt = self._history, self._folder / "receipt.jsonl"
        since: Any = {"since": self._last}
        first, last = self._middle
        return {
            "export, since": lambda: self._export(since=self._last),
            "export, since and until": lambda: self._export(since=first, until=last),
            "export, since, with catalog": lambda: self._export(since=self._last, catalog="used"),
            "export, changed_since": lambda: self._export(changed_since=self._last),
            "export, since and differs_from": lambda: self._export(differs_from=self._known, **since),
            "document, since": lambda: history.export_document(**since),
            "verify": lambda: list(histio.verify(self._known, history)),
            "check": lambda: list(histio.check_file(self._known, history=history)),
            "references": lambda: list(histio.references(self._known, history=history)),
            "import, new": lambda: history.import_file(self._new, receipt=receipt),
            "undo": lambda: (history.undo(receipt), receipt.unlink()),
            "import, skip": lambda: history.import_file(self._known),
            "import, verify": lambda: history.import_file(self._known, on_duplicate="verify"),
            "import, update": self._update,
            "copy, since": self._copy,
        }

    def _export(self, **options: Any) -> None:
        self._history.export_file(self._folder / "out.jsonl", overwrite=True, **options)

    def _update(self) -> None:
        self._versions.reverse()
        report = self._history.import_file(self._versions[0], on_duplicate="update")
        assert report.updated, "the notes differ"

    def _copy(self) -> None:
        engine = histio.create_engine("sqlite://", poolclass=sa.StaticPool)
        histio.models.Base.metadata.create_all(engine)
        report = histio.copy(self._history, histio.History(engine), since=self._last, catalog="create")
        assert report.imported, "the target was empty"
        engine.dispose()


def _at(minutes: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(minutes=minutes)


def measure(asked: Asked, only: str, repeat: int) -> Mapping[str, tuple[float, int]]:
    """The seconds and the number of SQL statements of each action whose name contains *only*."""
    seconds: dict[str, float] = {}
    statements: dict[str, int] = {}
    for turn in range(repeat + 1):
        for name, act in asked.actions().items():
            if only not in name and not (only and name in ("import, new", "undo")):
                continue
            before, began = len(asked.statements), time.perf_counter()
            act()
            took = time.perf_counter() - began
            statements[name] = len(asked.statements) - before
            if turn:
                seconds[name] = min(took, seconds.get(name, took))
    return {name: (took, statements[name]) for name, took in seconds.items()}


def main() -> None:
    """Measure what the options say, and print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--asked", type=int, default=10)
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--only", default="", help="only actions whose name contains this")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for database in options.database:
        measured = []
        for count in options.runs:
            with closing(Scratch(database)) as scratch, tempfile.TemporaryDirectory() as folder:
                url = scratch.fresh("asked")
                fill_by_sql(url, count)
                with closing(Asked(url, count, options.asked, Path(folder))) as asked:
                    measured.append(measure(asked, options.only, options.repeat))
        _print_table(NAMES[database], options.runs, measured)


def _print_table(database: str, runs: list[int], measured: list[Mapping[str, tuple[float, int]]]) -> None:
    head = [database, *(f"ms beside {count:,}" for count in runs), "ratio", "statements"]
    print(f"| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for name in measured[0]:
        seconds, counts = zip(*(each[name] for each in measured), strict=True)
        told = "/".join(dict.fromkeys(map(str, counts)))
        cells = [*(f"{1000 * each:,.1f}" for each in seconds), f"{seconds[-1] / seconds[0]:.1f}", told]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print()


if __name__ == "__main__":
    main()
