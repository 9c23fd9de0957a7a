"""Tables that differ from their models lose nothing silently: a value is exact, or a problem names its run.

To try another table, add a row to DRIFTS or to SHAPES.
"""

from __future__ import annotations

import datetime as dt
import functools
import io
import json
from decimal import Decimal, InvalidOperation

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.dialects import mysql, postgresql

import histio
from histio import History
from tests.support.bakery import number

EVERYWHERE = ("sqlite", "postgresql", "mariadb")
SERVERS = ("postgresql", "mariadb")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
PER_SECOND = sa.DateTime().with_variant(postgresql.TIMESTAMP(precision=0), "postgresql")
Base = orm.declarative_base()


class Part(Base):
    __tablename__ = "parts"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    thing_id = sa.Column(sa.ForeignKey("things.id"), nullable=False)
    amount = sa.Column(sa.Numeric(10, 3), nullable=False)
    unit = sa.Column(sa.String(20), nullable=False)


class Thing(Base):
    __tablename__ = "things"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    made_at = sa.Column(MOMENT, nullable=False)
    name = sa.Column(sa.String(40), nullable=False)
    size = sa.Column(sa.Integer, nullable=False)
    price = sa.Column(sa.Numeric(10, 4), nullable=False)
    ratio = sa.Column(sa.Double)
    open = sa.Column(sa.Boolean, nullable=False)
    day = sa.Column(sa.Date, nullable=False)
    clock = sa.Column(sa.Time, nullable=False)
    notes = sa.Column(sa.Text)
    extra = sa.Column(sa.JSON)
    parts = orm.relationship(Part, order_by=Part.id)


class PartSchema(histio.RecordSchema):
    class Meta:
        model = Part

    uuid = histio.RunUUID(required=True)
    amount = histio.FixedDecimal(required=True)
    unit = histio.Text(required=True)


class ThingSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Thing, "thing", "things", "made_at"
        exclude = ("ratio",)

    uuid = histio.RunUUID(required=True)
    made_at = histio.UtcTimestamp(required=True)
    name = histio.Text(required=True)
    size = histio.Integer(required=True)
    price = histio.FixedDecimal(required=True)
    open = histio.Boolean(required=True)
    day = histio.Date(required=True)
    clock = histio.Time(required=True)
    notes = histio.Text(allow_none=True)
    extra = histio.Json()
    parts = Nested(PartSchema, many=True)


class WholeThingSchema(ThingSchema):
    """All columns, on the full path."""

    class Meta(ThingSchema.Meta):
        exclude = ()

    ratio = histio.Number(allow_none=True)


def row(n, **values):
    """A row as any client may store it."""
    made_at, day = dt.datetime(2025, 12, 8, 10, 0, n), dt.date(2025, 12, 8)  # noqa: DTZ001
    keys = {"id": n, "uuid": number(n), "made_at": made_at, "day": day, "clock": dt.time(10, 30)}
    numbers = {"size": 1, "price": Decimal("5.25"), "ratio": 0.5, "open": True}
    return keys | numbers | {"name": "a", "notes": None, "extra": {"a": 1}} | values


def record(n, **values):
    """A record with values that fit the model."""
    made_at = f"2025-12-08T10:00:0{n}.123456Z"
    part = {"uuid": number(100 + n), "amount": "0.125", "unit": "cups of flour"}
    keys = {"uuid": number(n), "made_at": made_at, "day": "2025-12-08", "clock": "10:30:00"}
    numbers = {"size": 1, "price": "5.2500", "ratio": 0.5, "open": True}
    return keys | numbers | {"name": "a", "notes": None, "extra": {"a": 1}, "parts": [part]} | values


GIVEN = [
    record(1),
    record(2, made_at="2025-12-08T10:00:02Z", parts=[]),
    record(3, name="x" * 40, size=2**31 - 1, price="999999.9999", ratio=0.1 + 0.2, notes="crème 🍪 " * 50),
    record(4, name=" a ", size=-(2**31), price="0.0001", ratio=-1e300, open=False, extra={"b": [2**60, 0.1]}),
    record(5, name="", size=40_000, price="0.0000", ratio=16777217.0, clock="23:59:59", notes="", extra=None),
    record(6, name="CAFÉ", size=0, made_at="1000-01-01T00:00:00Z", day="9998-12-31", clock="00:00:00"),
]

DRIFTS = {
    "none": (EVERYWHERE, {}, []),
    "a shorter text": (EVERYWHERE, {"name": sa.String(5)}, []),
    "a longer text": (EVERYWHERE, {"name": sa.String(80)}, [{"name": "x" * 60}]),
    "a padded text": (EVERYWHERE, {"name": sa.CHAR(40)}, [{"name": "abc"}]),
    "a text of one byte per character": (
        ("mariadb",),
        {"name": mysql.VARCHAR(40, charset="latin1"), "notes": mysql.TEXT(charset="ascii")},
        [],
    ),
    "a text that is binary": (EVERYWHERE, {"name": sa.LargeBinary}, [{"name": b"\xff\x00"}]),
    "a short note": (EVERYWHERE, {"notes": sa.String(10)}, []),
    "a narrower decimal": (EVERYWHERE, {"price": sa.Numeric(6, 2)}, []),
    "a wider decimal": (
        EVERYWHERE,
        {"price": sa.Numeric(20, 8)},
        [{"price": Decimal("1.23456789")}, {"price": Decimal(10**9)}],
    ),
    "a decimal that is a float": (EVERYWHERE, {"price": sa.Double}, [{"price": 1 / 3}]),
    "a decimal that is a single float": (EVERYWHERE, {"price": sa.REAL}, [{"price": 1234567.875}]),
    "a decimal that is text": (EVERYWHERE, {"price": sa.String(40)}, [{"price": "5.25"}, {"price": "much"}]),
    "a smaller integer": (EVERYWHERE, {"size": sa.SmallInteger}, []),
    "a larger integer": (EVERYWHERE, {"size": sa.BigInteger}, [{"size": 2**40}]),
    "an unsigned integer": (("mariadb",), {"size": mysql.INTEGER(unsigned=True)}, [{"size": 2**32 - 1}]),
    "an integer that is a decimal": (EVERYWHERE, {"size": sa.Numeric(12, 2)}, [{"size": Decimal("1.5")}]),
    "an integer that is text": (EVERYWHERE, {"size": sa.String(40)}, [{"size": "12"}, {"size": "x"}]),
    "an integer that may be null": (EVERYWHERE, {"size": sa.Integer}, [{"size": None}]),
    "a truth that is a number": (EVERYWHERE, {"open": sa.SmallInteger}, [{"open": 2}, {"open": 0}]),
    "a truth that is text": (EVERYWHERE, {"open": sa.String(5)}, [{"open": "yes"}]),
    "a truth that may be null": (EVERYWHERE, {"open": sa.Boolean}, [{"open": None}]),
    "times without fractions": (EVERYWHERE, {"made_at": PER_SECOND}, []),
    "a time that is a day": (EVERYWHERE, {"made_at": sa.Date}, [{"made_at": dt.date(2025, 1, 1)}]),
    "a time that is text": (EVERYWHERE, {"made_at": sa.String(40)}, [{"made_at": "yesterday"}]),
    "a time with zone": (EVERYWHERE, {"made_at": sa.TIMESTAMP(timezone=True)}, []),
    "a time that may be null": (EVERYWHERE, {"made_at": MOMENT}, [{"made_at": None}]),
    "a day that is a time": (EVERYWHERE, {"day": sa.DateTime}, [{"day": dt.datetime(2025, 1, 1, 10)}]),  # noqa: DTZ001
    "a time of day that is a time": (EVERYWHERE, {"clock": sa.DateTime}, []),
    "a single float": (EVERYWHERE, {"ratio": sa.REAL().with_variant(sa.Float(), "mysql", "mariadb")}, []),
    "a float that is a decimal": (EVERYWHERE, {"ratio": sa.Numeric(20, 4)}, [{"ratio": Decimal("0.1234")}]),
    "JSON that is text": (EVERYWHERE, {"extra": sa.Text}, [{"extra": "{"}, {"extra": '{"a": 1e400}'}]),
    "an identity that may be null": (EVERYWHERE, {"uuid": sa.String(36)}, [{"uuid": None}]),
    "an identity that is shorter": (EVERYWHERE, {"uuid": sa.String(32)}, []),
    "an identity that is a UUID": (SERVERS, {"uuid": sa.Uuid}, []),
}
"""By what has drifted: the databases, the types of columns in the database, and rows of other programs."""


@functools.cache
def drifted(what):
    """The tables as the database has them, with other types of some columns, which may be null."""
    metadata = copied()
    for name, column_type in DRIFTS[what][1].items():
        column = metadata.tables["things"].columns[name]
        column.type, column.nullable = sa.types.to_instance(column_type), True
    return metadata


def copied(*more, without=(), unit=None):
    """The tables, with *more* columns and constraints of the runs', and *without* some of its columns."""
    metadata = sa.MetaData()
    columns = [each._copy() for each in Thing.__table__.columns if each.name not in without]
    sa.Table("things", metadata, *columns, *more)
    parts = Part.__table__.to_metadata(metadata)
    parts.columns["unit"].type = unit or parts.columns["unit"].type
    return metadata


def attempt(call, nothing):
    """The result of *call*; an error that names no row leaves nothing, and says so."""
    try:
        return call()
    except (sa.exc.SQLAlchemyError, histio.HistioError):
        return nothing


def import_things(history, given):
    """Import *given* records; return the UUIDs that the report names, all of them after an error."""
    document = {"version": "1.0", "things": list(given.values())}
    report = attempt(lambda: history.import_document(document), None)
    return given.keys() if report is None else {each.uuid for each in (*report.problems, *report.warnings)}


def export_things(history):
    """The records that can be exported, the UUIDs that the report names, and the number of rows."""
    file = io.BytesIO()
    report = history.export_file(file, format="json", on_unreadable="skip")
    told = {each.uuid for each in (*report.problems, *report.warnings)}
    found = {each["uuid"]: each for each in json.loads(file.getvalue())["things"]}
    return found, told, report.exported + report.skipped


def count(engine):
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT COUNT(*) FROM things").scalar_one()


def strip(schema, records):
    """By UUID, *records* with the members that the *schema* has."""
    names = schema().fields.keys()
    return {each["uuid"]: {name: each[name] for name in each if name in names} for each in records}


def assert_nothing_is_lost_silently(engine, kind):
    history, given = History(engine, kind), strip(kind, GIVEN)
    named = import_things(history, given)
    found, told, rows = attempt(lambda: export_things(history), ({}, given.keys(), count(engine)))
    changed = {uuid: found.get(uuid) for uuid, each in given.items() if found.get(uuid) != each}
    assert {uuid: changed[uuid] for uuid in changed.keys() - named - told} == {}
    assert rows == count(engine)


KINDS = pytest.mark.parametrize("kind", [ThingSchema, WholeThingSchema], ids=["fast", "full"])


@pytest.mark.cells(8)
@KINDS
@pytest.mark.parametrize(("dialect", "what"), [(on, what) for what in DRIFTS for on in DRIFTS[what][0]])
def test_what_is_imported_comes_back_exactly_or_its_run_is_named(databases, dialect, what, kind):
    assert_nothing_is_lost_silently(databases.of_host(dialect)(drifted(what)), kind)


@pytest.mark.cells(8)
@KINDS
@pytest.mark.parametrize(
    ("dialect", "what"), [(on, what) for what in DRIFTS for on in DRIFTS[what][0] if DRIFTS[what][2]]
)
def test_what_others_store_is_exported_as_it_is_or_named(databases, dialect, what, kind):
    stored, metadata = DRIFTS[what][2], drifted(what)
    engine = databases.of_host(dialect)(metadata)
    with engine.begin() as connection:
        for n, values in enumerate(stored, 1):
            connection.execute(metadata.tables["things"].insert(), row(n, **values))
    found, told, rows = export_things(History(engine, kind))
    silent = [
        (found[number(n)], values) for n, values in enumerate(stored, 1) if number(n) in found.keys() - told
    ]
    pairs = [
        (plain(each[name]), plain(values[name])) for each, values in silent for name in each.keys() & values
    ]
    assert [exported for exported, _ in pairs] == [kept for _, kept in pairs]
    assert (rows, len(found.keys() | told)) == (len(stored), len(stored))


def plain(value):
    """A value as text that is the same in a table and in a record, apart from trailing zeros and spaces."""
    text = str(int(value) if isinstance(value, bool) else value).rstrip().removesuffix("T00:00:00Z")
    try:
        return str(Decimal(text).normalize())
    except InvalidOperation:
        return text


OTHERS = "ALTER TABLE things RENAME TO others"
SHAPES = {
    "a further column to be filled": (
        EVERYWHERE,
        copied(sa.Column("oven", sa.Integer, nullable=False)),
        [],
    ),
    "a further column with a default": (
        EVERYWHERE,
        copied(sa.Column("oven", sa.Integer, nullable=False, server_default="1")),
        [],
    ),
    "a column that is missing": (EVERYWHERE, copied(without={"day"}), []),
    "names that come once": (EVERYWHERE, copied(sa.UniqueConstraint("name")), []),
    "sizes above zero": (EVERYWHERE, copied(sa.CheckConstraint("size > 0", "positive")), []),
    "a ledger with a shorter text": (EVERYWHERE, copied(unit=sa.String(5)), []),
    "a view": (EVERYWHERE, copied(), [OTHERS, "CREATE VIEW things AS SELECT * FROM others"]),
    "a view that hides rows": (
        EVERYWHERE,
        copied(),
        [OTHERS, "CREATE VIEW things AS SELECT * FROM others WHERE size > 0"],
    ),
    "a view that refuses rows": (
        SERVERS,
        copied(),
        [OTHERS, "CREATE VIEW things AS SELECT * FROM others WHERE size > 0 WITH CHECK OPTION"],
    ),
    "a ledger without table": (EVERYWHERE, copied(), ["DROP TABLE parts"]),
}
"""By what has drifted: the databases, their tables, and what is done to them then."""


@pytest.mark.cells(4)
@KINDS
@pytest.mark.parametrize(("dialect", "what"), [(on, what) for what in SHAPES for on in SHAPES[what][0]])
def test_tables_of_another_shape_lose_nothing_either(databases, dialect, what, kind):
    _, metadata, statements = SHAPES[what]
    engine = databases.of_host(dialect)(metadata)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    assert_nothing_is_lost_silently(engine, kind)
