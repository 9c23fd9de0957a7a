"""What types of columns and fields cost: imports and exports of hosts with one more column in their ledgers.

Runs have eight ledger entries each. The table has the median rate by processor time as a share of the rate
with a column of text. The databases are SQLite and the servers that run at the addresses of the tests.
"""

from __future__ import annotations

import argparse
import enum
import gc
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import data
import marshmallow
import sqlalchemy as sa
from databases import DATABASES, Scratch
from hosts import make_host
from marshmallow import fields, validate
from sqlalchemy.dialects import mysql

import histio

PLAIN = "text"


class Size(enum.Enum):
    """The sizes of cookies."""

    small = "s"
    large = "l"


class Detail(marshmallow.Schema):
    """A JSON object with a schema of the host."""

    oven = fields.Integer(strict=True, required=True)


class Upper(histio.Text):
    """A field of the host: text in upper case."""

    def to_wire(self, value: Any) -> Any:
        return value.upper()


class Trimmed(fields.String):
    """A field of the host: text without white space around it."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        return super()._deserialize(value, *args, **options).strip()


class Flagged(sa.types.TypeDecorator[bool]):
    """Truth values as letters."""

    impl = sa.String(1)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        return value if value is None else "Y" if value else "N"

    def process_result_value(self, value: Any, _dialect: Any) -> Any:
        return value if value is None else value == "Y"


class Worded(sa.types.TypeDecorator[str]):
    """Text that is stored with a mark."""

    impl = sa.String(50)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        return value if value is None else f"#{value}"

    def process_result_value(self, value: Any, _dialect: Any) -> Any:
        return value if value is None else value[1:]


class Case(NamedTuple):
    """A type of column with its field, and the value of a ledger entry.

    Attributes:
        type: The column's type.
        value: A value in JSON, or a function that makes one from a number.
        field: The field; None: that of `auto_field()`.
        options: Further options of the column.
        on: The databases that have the type.
    """

    type: Any
    value: Any
    field: Any = None
    options: Mapping[str, Any] = MappingProxyType({})
    on: tuple[str, ...] = DATABASES


def _uuid(n: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(n)))


_MICRO = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_ZONED = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_INTERVAL = sa.Interval().with_variant(sa.Interval(second_precision=6), "mysql", "mariadb")

CASES: dict[str, Case] = {
    PLAIN: Case(sa.String(50), "cups"),
    "nullable text": Case(sa.String(50), None, options={"nullable": True}),
    "CHAR(10)": Case(sa.CHAR(10), "cups"),
    "UUID in String(36)": Case(sa.String(36), _uuid, histio.RunUUID(required=True)),
    "UUID in CHAR(36)": Case(sa.CHAR(36), _uuid, histio.RunUUID(required=True)),
    "UUID in CHAR(32)": Case(sa.CHAR(32), _uuid, histio.RunUUID(required=True)),
    "UUID in String(32)": Case(sa.String(32), _uuid, histio.RunUUID(required=True)),
    "UUID in Uuid": Case(sa.Uuid(), _uuid),
    "UUID in BINARY(16)": Case(
        sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"),
        _uuid,
        histio.RunUUID(required=True),
    ),
    "Integer": Case(sa.Integer(), lambda n: n),
    "BigInteger": Case(sa.BigInteger(), lambda n: n),
    "cents in Integer": Case(
        sa.Integer(), lambda n: f"{n}.25", histio.FixedDecimal(minor_units=2, required=True)
    ),
    "Boolean": Case(sa.Boolean(), lambda n: n % 2 == 0),
    "Numeric(10, 4)": Case(sa.Numeric(10, 4), lambda n: f"{n}.2500"),
    "Numeric(10, 4, asdecimal=False)": Case(
        sa.Numeric(10, 4, asdecimal=False), lambda n: f"{n}.2500", histio.FixedDecimal(required=True)
    ),
    "Numeric": Case(sa.Numeric(), lambda n: str(n + 1), histio.FixedDecimal(required=True)),
    "Double with Number": Case(sa.Double(), lambda n: n + 0.5),
    "Float with FixedDecimal": Case(
        sa.Double(), lambda n: f"{n}.25", histio.FixedDecimal(precision=12, scale=2, required=True)
    ),
    "Date": Case(sa.Date(), "2025-12-08"),
    "DateTime": Case(_MICRO, "2025-12-08T10:00:00.123456Z"),
    "DateTime(timezone=True)": Case(_ZONED, "2025-12-08T10:00:00.123456Z"),
    "Epoch in BigInteger": Case(
        sa.BigInteger(), "2025-12-08T10:00:00Z", histio.Epoch(unit="s", required=True)
    ),
    "Time": Case(sa.Time(), "10:00:00"),
    "Interval": Case(_INTERVAL, "PT1H30M"),
    "Enum": Case(sa.Enum(Size, name="size"), "small"),
    "Enum, not native": Case(sa.Enum(Size, native_enum=False), "small"),
    "Choice in String": Case(sa.String(10), "small", histio.Choice("small", "large", required=True)),
    "LargeBinary": Case(sa.LargeBinary(), "aGlzdGlv"),
    "JSON": Case(sa.JSON(), lambda n: {"oven": n, "tags": ["a", "b"]}),
    "ARRAY(String)": Case(sa.ARRAY(sa.String), ["a", "b"], on=("postgresql",)),
    "ARRAY(Integer)": Case(sa.ARRAY(sa.Integer), [1, 2], on=("postgresql",)),
    "a decorator of String": Case(Worded(), "cups", histio.Text(required=True)),
    "a decorator with truth values": Case(Flagged(), lambda n: n % 2 == 0, histio.Boolean(required=True)),
    "a server default": Case(sa.String(50), "cups", options={"server_default": "x"}),
    "fields.String": Case(sa.String(50), "cups", fields.String(required=True)),
    "a subclass of fields.String": Case(sa.String(50), "cups", Trimmed(required=True)),
    "a subclass of Text": Case(sa.String(50), "CUPS", Upper(required=True)),
    "validate=": Case(sa.String(50), "cups", histio.Text(required=True, validate=validate.Length(max=9))),
    "load_default=": Case(sa.String(50), "cups", histio.Text(load_default="x")),
    "attribute= and data_key=": Case(
        sa.String(50), "cups", histio.Text(required=True, attribute="x", data_key="x")
    ),
    "fields.List in JSON": Case(sa.JSON(), ["a", "b"], fields.List(fields.String(), required=True)),
    "fields.Dict in JSON": Case(sa.JSON(), {"oven": 2}, fields.Dict(required=True)),
    "fields.Nested in JSON": Case(
        sa.JSON(),
        {"oven": 2},
        fields.Nested(Detail, required=True, metadata={"json_schema": {"type": "object"}}),
    ),
    "fields.Enum": Case(sa.Enum(Size, name="size"), "small", fields.Enum(Size, required=True)),
}


class Times(NamedTuple):
    """Seconds of processor time."""

    imports: float
    exports: float


def measure(case: Case, scratch: Scratch, count: int, folder: Path) -> Times:
    """Import *count* runs into a new database, and export them."""
    column = sa.Column(case.type, **{"nullable": False, **case.options})
    host = make_host(entry={"x": column}, line={} if case.field is None else {"x": case.field})
    engine = histio.create_engine(scratch.fresh("columns"))
    host.base.metadata.create_all(engine)
    with engine.begin() as connection:
        for name, rows in host.rows.items():
            connection.execute(sa.insert(host.base.metadata.tables[name]), rows)
    history = histio.History(engine, host.schema)
    path = folder / "runs.jsonl"
    data.write(path, (_with_value(run, case.value, n) for n, run in enumerate(data.runs(count))))
    gc.collect()  # the classes of earlier hosts
    before = time.process_time()
    report = history.import_file(path)
    imported = time.process_time()
    if report.imported != count:
        raise AssertionError(report.problems[:1])
    after = time.process_time()
    history.export_file(folder / "out.jsonl")
    exported = time.process_time()
    engine.dispose()
    if [*map(json.loads, data.run_lines(folder / "out.jsonl"))] != [*map(json.loads, data.run_lines(path))]:
        raise AssertionError("the export is not what was imported")
    return Times(imported - before, exported - after)


def _with_value(run: dict[str, Any], value: Any, n: int) -> dict[str, Any]:
    entries = [
        {**entry, "x": value(8 * n + place) if callable(value) else value}
        for place, entry in enumerate(run["consumptions"])
    ]
    return {**run, "consumptions": entries}


def main() -> None:
    """Measure what was asked for; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", nargs="+", default=DATABASES, choices=DATABASES)
    parser.add_argument(
        "--cases", nargs="+", default=[], metavar="WORDS", help="those whose names have these words"
    )
    options = parser.parse_args()
    names = [
        PLAIN,
        *(name for name in CASES if name != PLAIN and any(each in name for each in options.cases or [""])),
    ]
    found: dict[tuple[str, str], list[Times]] = defaultdict(list)
    for database in options.database:
        scratch = Scratch(database)
        try:
            for _ in range(options.rounds):
                for name in names:
                    if database not in CASES[name].on:
                        continue
                    with tempfile.TemporaryDirectory(prefix="histio-") as folder:
                        times = measure(CASES[name], scratch, options.runs, Path(folder))
                    found[database, name].append(times)
                    print(f"{database}, {name}: {times}", file=sys.stderr)
        finally:
            scratch.close()
    print("\n".join(table(options.database, names, found)))


def table(
    databases: Iterable[str], names: Iterable[str], found: dict[tuple[str, str], list[Times]]
) -> Iterable[str]:
    """The lines of the table in Markdown, with the shares of imports and exports."""
    databases = list(databases)
    yield f"| column | {' | '.join(databases)} |"
    yield "|---" * (len(databases) + 1) + "|"
    for name in names:
        cells = []
        for database in databases:
            pairs = list(zip(found[database, name], found[database, PLAIN], strict=False))
            shares = [
                f"{statistics.median(getattr(plain, way) / getattr(mine, way) for mine, plain in pairs):.2f}"
                for way in (Times._fields if pairs else ())
            ]
            cells.append(" / ".join(shares))
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
