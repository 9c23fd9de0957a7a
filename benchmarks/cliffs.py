"""What the habits of hosts cost: imports and exports of hosts that differ from a plain one in one thing.

Every host has runs with eight ledger entries, on SQLite. The cases take turns, a round at a time. The table
has the median rate by processor time, and the median of the shares of the plain host's rate in the same
round.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import data
import sqlalchemy as sa
from hosts import HOSTS, Host
from sqlalchemy.orm import Session

import histio

Record = dict[str, Any]

PLAIN = "plain host"
FLUSHED = "objects of the plain host, created and flushed in batches, without histio"


class Case(NamedTuple):
    """One line of the table.

    Attributes:
        host: A name in `HOSTS`.
        goal: The share of the plain host's imports to reach; None: none is set.
        export_goal: The same for exports.
        change: Changes the records before they are imported.
        on_duplicate: Imports the unchanged records first, and then the changed ones with this option.
        options: Further options of the import.
        history: Options of the history.
        with_catalog: Whether the file has the rows that runs refer to, and the database lacks them.
        sql: Changes what is stored before it is exported.
    """

    host: str = "plain"
    goal: float | None = None
    export_goal: float | None = None
    change: Callable[[Record], Record] = dict
    on_duplicate: str | None = None
    options: Mapping[str, Any] = {}
    history: Mapping[str, Any] = {}
    with_catalog: bool = False
    sql: str | None = None


def _updated(record: Record) -> Record:
    [first, *others] = record["consumptions"]
    return {**record, "notes": "again", "consumptions": [{**first, "total_cost": "9.0000"}, *others]}


def _unknown(record: Record) -> Record:
    return {**record, "recipe_slug": "unknown"}


def _named(record: Record) -> Record:
    return {**record, "meta": {"oven": 2, "tags": ["a", "b"], "ok": True}}


def _chained(record: Record) -> Record:
    """With a reference to the run before it."""
    parent, _chained.before = _chained.before, record["uuid"]  # type: ignore[attr-defined]
    return {**record, "parent_uuid": parent}


_chained.before = None  # type: ignore[attr-defined]


def _one_in_500(change: Callable[[Record], Record]) -> Callable[[Record], Record]:
    """Change the run in the middle of each 500 runs."""
    count = itertools.count(250)
    return lambda run: run if next(count) % 500 else change(run)


def _to_1_1(record: Record) -> Record:
    return {**record, "notes": record["notes"]}


CASES: dict[str, Case] = {
    PLAIN: Case(),
    "all rejected: an unknown reference": Case(
        goal=0.4, change=lambda run: {**run, "recipe_slug": "unknown"}
    ),
    "all rejected: a fault of form": Case(change=lambda run: {**run, "num_batches": "two"}),
    "all rejected: a constraint": Case("checked", change=lambda run: {**run, "num_batches": 99}),
    "one of 500 rejected: an unknown reference": Case(change=_one_in_500(_unknown), goal=0.9),
    "one of 500 rejected: a fault of form": Case(
        change=_one_in_500(lambda run: {**run, "num_batches": "two"}), goal=0.9
    ),
    "one of 500 rejected: a constraint": Case(
        "checked", change=_one_in_500(lambda run: {**run, "num_batches": 99})
    ),
    "all skipped": Case(on_duplicate="skip"),
    "all verified": Case(on_duplicate="verify"),
    "all updated": Case(goal=0.25, change=_updated, on_duplicate="update"),
    "all as stored, with on_duplicate='update'": Case(on_duplicate="update"),
    "a warning for every run (bundled models)": Case("bundled_without_ingredients", goal=0.8),
    "@validates on the UUID": Case("validator", goal=0.25),
    "@validates that changes a column": Case("changing_validator", goal=0.25),
    "@validates on entries": Case("entry_validator", goal=0.25),
    "a constructor that fills a column": Case("filling_constructor"),
    "a default in Python that reads the row": Case("default_of_the_row"),
    "a constructor": Case("constructor", goal=0.25),
    "a default in Python": Case("python_default"),
    FLUSHED: Case(),
    "a before_insert listener": Case("listener", goal=0.05),
    "a pre_load hook": Case("pre_load_hook", goal=0.5),
    "a validates hook": Case("validates_hook"),
    "a validates_schema hook": Case("validates_schema_hook"),
    "a post_load hook": Case("post_load_hook"),
    "keys in String(255)": Case("string_keys", goal=0.9),
    "Nested of marshmallow-sqlalchemy": Case("nested_of_marshmallow_sqlalchemy", goal=0.9),
    "a published schema on other models": Case("bundled_schema", goal=0.9, export_goal=0.9),
    "a field of marshmallow": Case("custom_field"),
    "UUIDs in Uuid": Case("uuid_columns", goal=0.9),
    "UUIDs in String(32)": Case("hex_columns"),
    "a JSON column": Case("json_column", change=_named),
    "joined inheritance": Case("joined_inheritance"),
    "runs that refer to runs": Case("reference_to_itself", change=_chained),
    "values=": Case("tenant", history={"values": {"tenant_id": 7}}),
    "an upgrade from an older version": Case(
        history={"version": "1.1", "upgrades": {"1.0": {"production_run": _to_1_1}}}
    ),
    "rename=": Case(
        change=lambda run: {**run, "recipe_slug": "old"},
        options={"rename": {"recipe_slug": {"old": data.RECIPE}}},
    ),
    "a catalog": Case(options={"catalog": "create"}, with_catalog=True),
    "decimals with more digits than their columns": Case(
        export_goal=0.8, sql="UPDATE consumptions SET total_cost = total_cost / 3"
    ),
}


class Times(NamedTuple):
    """Seconds of processor time; None: not measured."""

    imports: float
    exports: float | None


def measure(case: Case, host: Host, count: int, folder: Path) -> Times:
    """Import *count* runs into a new database in the empty *folder*, and export them."""
    engine = sa.create_engine(f"sqlite:///{folder / 'own.db'}")
    host.base.metadata.create_all(engine)
    catalog: dict[str, Any] = {"catalog": host.catalog} if case.with_catalog else {}
    history = histio.History(engine, host.schema, **catalog, **case.history)
    path = folder / "runs.jsonl"
    if case.with_catalog:
        fill(engine, host)
        data.write(path, data.runs(count))
        history.import_file(path)
        history.export_file(folder / "with.jsonl", catalog="used")
        path = folder / "with.jsonl"
        with engine.begin() as connection:
            for table in reversed(host.base.metadata.sorted_tables):
                connection.execute(sa.delete(table))
    else:
        fill(engine, host)
    if case.on_duplicate is not None:
        data.write(path, data.runs(count))
        history.import_file(path)
    if not case.with_catalog:
        data.write(path, map(case.change, data.runs(count)))
    options = dict(case.options) | ({"on_duplicate": case.on_duplicate} if case.on_duplicate else {})
    with timed() as imports:
        report = history.import_file(path, **options)
    outcomes = {report.imported, report.updated, report.skipped, report.rejected}
    if max(outcomes) < count * 0.99:
        raise AssertionError(f"most of {count} runs do not have the same outcome: {report}")
    if report.rejected:
        engine.dispose()
        return Times(imports[0], None)
    if case.sql is not None:
        with engine.begin() as connection:
            connection.exec_driver_sql(case.sql)
    with timed() as exports:
        history.export_file(folder / "out.jsonl")
    engine.dispose()
    return Times(imports[0], exports[0])


def fill(engine: sa.Engine, host: Host) -> None:
    """Insert the rows that the runs refer to."""
    with engine.begin() as connection:
        for name, rows in host.rows.items():
            connection.execute(sa.insert(host.base.metadata.tables[name]), rows)


def flush_in_batches(host: Host, count: int, folder: Path) -> Times:
    """Create the runs as objects, and flush them in batches: what the unit of work takes by itself."""
    engine = sa.create_engine(f"sqlite:///{folder / 'own.db'}")
    host.base.metadata.create_all(engine)
    fill(engine, host)
    entry = host.run.consumptions.property.mapper.class_
    with Session(engine) as session:
        loaded = host.schema().load(list(data.runs(count)), many=True, session=session)
        values = [(_values(run), [_values(each) for each in run.consumptions]) for run in loaded]
        session.expunge_all()
        with timed() as imports:
            for batch in data.batches(values, 500):
                session.add_all(
                    host.run(**run, consumptions=[entry(**each) for each in entries])
                    for run, entries in batch
                )
                session.flush()
                session.expunge_all()
            session.commit()
    engine.dispose()
    return Times(imports[0], None)


def _values(row: Any) -> dict[str, Any]:
    """The columns of a new object, with the keys of the rows that it refers to."""
    mapper = sa.inspect(row).mapper
    keys = {
        local.key: getattr(getattr(row, way.key), remote.key)
        for way in mapper.relationships
        if not way.uselist
        for local, remote in way.local_remote_pairs
    }
    return {each.key: getattr(row, each.key) for each in mapper.column_attrs if each.key != "id"} | keys


@contextmanager
def timed() -> Iterator[list[float]]:
    """In the list, the seconds of processor time that the block took."""
    seconds: list[float] = []
    began = time.process_time()
    yield seconds
    seconds.append(time.process_time() - began)


def main() -> None:
    """Measure what was asked for; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--cases", nargs="+", default=[], metavar="WORDS", help="those whose names have these words"
    )
    options = parser.parse_args()
    names = [
        PLAIN,
        *(name for name in CASES if name != PLAIN and any(each in name for each in options.cases or [""])),
    ]
    found: dict[str, list[Times]] = defaultdict(list)
    for _ in range(options.rounds):
        for name in names:
            case = CASES[name]
            with tempfile.TemporaryDirectory(prefix="histio-") as folder:
                work = flush_in_batches if name == FLUSHED else functools.partial(measure, case)
                found[name].append(work(HOSTS[case.host](), options.runs, Path(folder)))
            print(f"{name}: {found[name][-1]}", file=sys.stderr)
    print("\n".join(table(found, options.runs)))


def table(found: Mapping[str, list[Times]], count: int) -> Iterable[str]:
    """The lines of the table in Markdown."""
    yield "| case | import, runs/s | share | goal | export, runs/s | share | goal |"
    yield "|---|---|---|---|---|---|---|"
    for name, times in found.items():
        case = CASES[name]
        columns = [name]
        for place, goal in (("imports", case.goal), ("exports", case.export_goal)):
            pairs = [
                (getattr(mine, place), getattr(plain, place))
                for mine, plain in zip(times, found[PLAIN], strict=True)
                if getattr(mine, place) is not None
            ]
            if not pairs:
                columns += ["", "", ""]
                continue
            rate = count / statistics.median(mine for mine, _ in pairs)
            share = statistics.median(plain / mine for mine, plain in pairs)
            columns += [f"{rate:,.0f}", f"{share:.2f}", "" if goal is None else f"{goal:.2f}"]
        yield f"| {' | '.join(columns)} |"


if __name__ == "__main__":
    main()
