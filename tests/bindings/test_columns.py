"""Whatever type a host's column has, its values leave in one form and come back the same."""

from __future__ import annotations

import json
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow import fields, validate
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

import histio
from histio import BindingError, ExportError, History
from tests.support.bakery import TIME, number
from tests.support.columns import (
    AN_UUID,
    AwareDateTime,
    DecimalText,
    Epoch,
    Guid,
    Size,
    exported,
    host,
    things,
)
from tests.support.reports import codes_of, outcomes


class Text200(sa.types.TypeDecorator):
    """A decorator that changes nothing but the type's name."""

    impl = sa.String(200)
    cache_ok = True


def values_of(kind):
    return [each.value for each in kind]


BINARY_16 = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
MICROSECONDS = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
EXACT = [
    (sa.String(36), histio.RunUUID(required=True), [AN_UUID]),
    (sa.CHAR(36), histio.RunUUID(required=True), [AN_UUID]),
    (sa.String(32), histio.RunUUID(required=True), [AN_UUID]),
    (sa.Uuid(), histio.RunUUID(required=True), [AN_UUID]),
    (sa.Uuid(as_uuid=False), histio.RunUUID(required=True), [AN_UUID]),
    (sa.Uuid(native_uuid=False), histio.RunUUID(required=True), [AN_UUID]),
    (sa.LargeBinary(16), histio.RunUUID(required=True), [AN_UUID]),
    (BINARY_16, histio.RunUUID(required=True), [AN_UUID]),
    (Guid(), histio.RunUUID(required=True), [AN_UUID]),
    (Text200(), histio.Text(required=True), ["x", "crème 🍪", ""]),
    (sa.Numeric(10, 2), histio.FixedDecimal(required=True), ["5.25", "0.00", "12345678.90"]),
    (sa.Numeric(10), histio.FixedDecimal(required=True), ["5", "1234567890"]),
    (sa.Numeric(15, 5), histio.FixedDecimal(required=True, signed=True), ["-1234567890.12345", "0.00000"]),
    (sa.Numeric(10, 2, asdecimal=False), histio.FixedDecimal(required=True), ["5.25", "12345678.90"]),
    (sa.Double(), histio.FixedDecimal(precision=12, scale=3, required=True), ["0.100", "123456789.125"]),
    (sa.Integer(), histio.FixedDecimal(minor_units=2, required=True), ["5.25", "0.05", "9999999.99"]),
    (sa.BigInteger(), histio.FixedDecimal(minor_units=3, required=True, signed=True), ["-5.250"]),
    (DecimalText(), histio.FixedDecimal(precision=30, scale=10, required=True), [f"{10**20 - 1}.0123456789"]),
    (sa.Double(), histio.Number(required=True), [0.1, 1e-300, -1.7976931348623157e308, 3.0]),
    (sa.SmallInteger(), histio.Integer(required=True), [-(2**15), 2**15 - 1]),
    (sa.BigInteger(), histio.Integer(required=True), [-(2**63), 2**63 - 1]),
    (sa.Integer(), histio.Integer(required=True), [0, 2**31 - 1]),
    (sa.Boolean(), histio.Boolean(required=True), [True, False]),
    (sa.Date(), histio.Date(required=True), ["1000-01-01", "2024-02-29", "9998-12-31"]),
    (sa.DateTime(), histio.UtcTimestamp(required=True), [TIME]),
    (sa.DateTime(timezone=True), histio.UtcTimestamp(required=True), [TIME]),
    (AwareDateTime(), histio.UtcTimestamp(required=True), [TIME]),
    (Epoch(), histio.UtcTimestamp(required=True), [TIME]),
    (MICROSECONDS, histio.UtcTimestamp(required=True), ["2025-12-08T10:00:00.000001Z"]),
    (sa.Enum(Size, native_enum=False), histio.Choice(required=True), ["SMALL", "LARGE"]),
    (sa.Enum(Size, name="size"), histio.Choice(required=True), ["SMALL"]),
    (sa.Enum(Size, values_callable=values_of, name="size2"), histio.Choice(required=True), ["s", "l"]),
    (sa.Enum("red", "blue", name="colour"), histio.Choice(required=True), ["red"]),
    (sa.String(10), histio.Choice("red", "blue", required=True), ["blue"]),
    (sa.JSON(), histio.Json(required=True), [{"a": [1, 2.5, None, "é"], "b": {}}, [], "x", 1, True]),
    (sa.JSON(), fields.List(fields.String(), required=True), [["a", "b"], []]),
    (sa.String(10), fields.String(required=True, validate=validate.Length(1, 4)), ["abcd"]),
    (sa.Time(), fields.Time(required=True), ["10:30:00"]),
]  # fmt: skip


@pytest.mark.turns
@pytest.mark.parametrize(("column_type", "field", "values"), EXACT)
def test_a_value_leaves_and_comes_back_as_the_same_bytes(create, column_type, field, values):
    metadata, kind = host(column_type, field)
    history = History(create(metadata), kind)
    report = history.import_document(things(*values))
    assert ([str(problem) for problem in report.problems], report.imported) == ([], len(values))
    assert json.dumps(exported(history)) == json.dumps(things(*values))
    assert Draft202012Validator(history.json_schema()).is_valid(things(*values))
    again = history.import_document(things(*values), on_duplicate="verify")
    assert (again.skipped, again.problems) == (len(values), ())


@pytest.mark.parametrize(
    ("column_type", "field"),
    [
        (sa.Numeric(10, 2), histio.FixedDecimal),
        (sa.Integer(), histio.Integer),
        (sa.Double(), histio.Number),
        (sa.Boolean(), histio.Boolean),
        (sa.Date(), histio.Date),
        (mysql.DATETIME(fsp=3), histio.UtcTimestamp),
        (sa.CHAR(5), histio.Text),
        (sa.String(32), histio.RunUUID),
        (sa.Enum(Size), histio.Choice),
        (sa.JSON(), histio.Json),
    ],
)
def test_null_is_valid_to_every_validator_where_it_is_allowed(column_type, field):
    _, kind = host(column_type, field(allow_none=True), nullable=True)
    assert Draft202012Validator(History(None, kind).json_schema()).is_valid(things(None))
    assert kind(load_instance=False).load(things(None)["things"][0])["value"] is None


@pytest.mark.parametrize(
    "column_type",
    [sa.String(36), sa.String(32), sa.Uuid(), sa.Uuid(as_uuid=False), sa.LargeBinary(16), Guid()],
)
def test_runs_are_known_and_ordered_by_a_uuid_in_any_kind_of_column(create, column_type):
    base = orm.declarative_base()
    names = {"__tablename__": "things", "id": sa.Column(sa.Integer, primary_key=True)}
    thing = type("Thing", (base,), names | {"uuid": sa.Column(column_type, unique=True)})
    meta = type("Meta", (), {"model": thing, "kind": "thing", "collection": "things", "timestamp": None})
    kind = type("ThingSchema", (histio.RunSchema,), {"Meta": meta, "uuid": histio.RunUUID(required=True)})
    history = History(create(base.metadata), kind)
    digits = [f"{n:08x}-{n:04x}-4000-8000-{999 - n:012x}" for n in range(450)]
    given = {"version": "1.0", "things": [{"uuid": digit} for digit in reversed(digits)]}
    assert outcomes(history.import_document(given)) == (450, 0, 0)
    assert [run["uuid"] for run in history.iter_runs("thing")] == digits
    again = given | {"things": [{"uuid": digits[5].upper()}, {"uuid": digits[5]}]}
    assert outcomes(history.import_document(again)) == (0, 2, 0)


@pytest.mark.parametrize(
    ("column_type", "field", "value", "code"),
    [
        (sa.Integer(), histio.FixedDecimal(minor_units=2, required=True), "5.251", "precision"),
        (sa.Integer(), histio.FixedDecimal(minor_units=2, required=True), "10000000.00", "out-of-range"),
        (sa.SmallInteger(), histio.Integer(required=True), 2**15, "out-of-range"),
        (sa.Date(), histio.Date(required=True), "2025-02-29", "schema"),
        (sa.Date(), histio.Date(required=True), "2025-02-28\n", "schema"),
        (sa.Boolean(), histio.Boolean(required=True), 1, "schema"),
        (sa.Double(), histio.Number(required=True), "1", "schema"),
        (sa.Enum(Size), histio.Choice(required=True), "s", "schema"),
        (sa.JSON(), histio.Json(required=True), ["\x00"], "schema"),
        (mysql.DATETIME(fsp=3), histio.UtcTimestamp(required=True), "2025-12-08T10:00:00.1234Z", "precision"),
        (mysql.TINYINT(), histio.Integer(required=True), 128, "out-of-range"),
        (mysql.INTEGER(unsigned=True), histio.Integer(required=True), -1, "out-of-range"),
        (sa.String(10), fields.String(required=True, validate=validate.Length(1, 4)), "abcde", "schema"),
    ],
)  # fmt: skip
def test_what_the_column_cannot_hold_is_a_problem_to_every_validator(column_type, field, value, code):
    _, kind = host(column_type, field)
    history = History(None, kind)
    engine = histio.create_engine("sqlite://")
    with engine.connect() as connection:
        found = codes_of(history.check(things(value), session=connection))
    engine.dispose()
    assert [each for _, each in found] == [code]
    assert not Draft202012Validator(history.json_schema()).is_valid(things(value))


@pytest.mark.slow
@pytest.mark.parametrize(("fraction", "kept"), [("", 1), (".000000", 1), (".5", 0)])
def test_a_fraction_that_mariadb_would_drop_in_silence_is_a_problem(databases, fraction, kept):
    metadata, kind = host(sa.DateTime(), histio.UtcTimestamp(required=True))
    history = History(databases.of_host("mariadb")(metadata), kind)
    report = history.import_document(things(f"2025-12-08T10:00:00{fraction}Z"))
    assert report.imported == kept
    assert [problem.code for problem in report.problems] == ["precision"] * (1 - kept)


@pytest.mark.parametrize(("dialect", "value"), [("sqlite", "0.1234567890123456"), ("mariadb", "0.5")])
def test_digits_that_an_unlimited_decimal_would_lose_are_a_problem(databases, dialect, value):
    metadata, kind = host(sa.Numeric(), histio.FixedDecimal(required=True))
    history = History(databases.of_host(dialect)(metadata), kind)
    report = history.import_document(things("5", value))
    assert (report.imported, codes_of(report.problems)) == (1, [("/things/1/value", "precision")])


@pytest.mark.parametrize(
    ("actual", "value", "expected"),
    [
        ("TEXT", "x" * 70_000, ("/things/0/value", "out-of-range")),
        ("ENUM('x')", "y", ("/things/0", "constraint")),
    ],
)
def test_a_lenient_mariadb_is_made_to_refuse_what_it_would_cut(databases, actual, value, expected):
    metadata, kind = host(sa.Text(), histio.Text(required=True))
    engine = databases.of_host("mariadb")(metadata)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER TABLE things MODIFY value {actual}")
        connection.exec_driver_sql("SET SESSION sql_mode = ''")
        report = History(None, kind).import_document(things(value, "x"), session=connection)
        assert (report.imported, codes_of(report.problems)) == (1, [expected])
        assert connection.exec_driver_sql("SELECT @@SESSION.sql_mode").scalar_one() == ""


@pytest.mark.parametrize(
    ("column_type", "field", "stored"),
    [
        (sa.Date(), histio.Date(required=True), "2025-12-08 10:00:00"),
        (sa.Date(), histio.Date(required=True), "2025-02-30"),
        (sa.String(32), histio.RunUUID(required=True), AN_UUID.upper()),
        (sa.Uuid(), histio.RunUUID(required=True), "x"),
        (sa.Uuid(), histio.RunUUID(required=True), AN_UUID[:-1] + "g"),
        (sa.Double(), histio.Number(required=True), 9e999),
        (sa.Integer(), histio.FixedDecimal(minor_units=2, required=True), 525.7),
        (sa.String(9), histio.Text(required=True, validate=validate.OneOf(["a", "b"])), "c"),
        (sa.Enum(Size, native_enum=False), histio.Choice(required=True), "SMALL "),
    ],
)
def test_what_sqlite_stores_in_spite_of_a_columns_type_is_named(sqlite_of, column_type, field, stored):
    metadata, kind = host(column_type, field)
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        statement = "INSERT INTO things (id, uuid, value) VALUES (1, ?, ?)"
        connection.exec_driver_sql(statement, (number(1), stored))
    with pytest.raises(ExportError, match=f"thing {number(1)}: "):
        History(engine, kind).export_document()


@pytest.mark.parametrize("column_type", [sa.LargeBinary(), sa.Interval(), sa.Time()])
def test_a_column_that_no_field_speaks_for_is_refused_by_name(column_type):
    _, kind = host(column_type, histio.Text(required=True))
    with pytest.raises(BindingError, match=r"ThingSchema\.value: a Text cannot be kept in"):
        History(None, kind)


def test_auto_field_is_the_histio_field_of_its_column():
    class Base(orm.DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        uuid: orm.Mapped[UUID]
        name: orm.Mapped[str] = orm.mapped_column(sa.String(10))
        note: orm.Mapped[str | None]
        price: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(6, 2), server_default="0")
        size: orm.Mapped[Size]

    class ThingSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Thing, "thing", "things", None

        uuid = auto_field()
        label = auto_field("name")
        note = auto_field()
        price = auto_field()
        size = auto_field()

    found = ThingSchema().fields
    assert [
        (name, type(field).__name__, field.required, field.allow_none) for name, field in found.items()
    ] == [
        ("uuid", "RunUUID", True, False),
        ("label", "Text", True, False),
        ("note", "Text", False, True),
        ("price", "FixedDecimal", False, False),
        ("size", "Choice", True, False),
    ]
    rules = History(None, ThingSchema).json_schema()["$defs"]["thing"]["properties"]
    assert rules["label"]["maxLength"] == 10
    assert rules["price"]["pattern"] == r"^-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,2}0*)?$"
    assert rules["size"]["enum"] == ["SMALL", "LARGE"]
