"""Fields of hosts are called for their own values, and everything else stays on the fast path."""

from __future__ import annotations

import enum
import inspect

import marshmallow
import pytest
import sqlalchemy as sa
from marshmallow import ValidationError, fields, validate
from marshmallow.fields import Field
from sqlalchemy import orm

import histio
from histio import ExportError, History
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.columns import AN_UUID, AwareDateTime, DecimalText, Guid, Size, exported, host, things
from tests.support.special_columns import into, rows_of, same_by_either_path

OBJECT = {"json_schema": {"type": "object"}}


class Oven(marshmallow.Schema):
    """A plain schema for objects in a column of JSON."""

    degrees = fields.Integer(strict=True, required=True)
    name = fields.String()


class Shouted(histio.Text):
    """Text that the database keeps in lower case."""

    def to_wire(self, value):
        return value.upper()

    def from_wire(self, value):
        return value.lower()


class Trimmed(fields.String):
    """Text that is stored without white space around it."""

    def _deserialize(self, value, *args, **options):
        return super()._deserialize(value, *args, **options).strip()


class Beside(fields.String):
    """Text that is loaded with another member of the record."""

    def _deserialize(self, value, attr, data, **options):
        return f"{super()._deserialize(value, attr, data, **options)} {data['uuid'][-1]}"


class Numbered(fields.String):
    """Text that is dumped with another attribute of the row."""

    def _serialize(self, value, attr, obj, **_):
        return f"{value} of {str(obj.uuid)[-1]}"


class Dictionary(fields.String):
    """Text whose field asks what the row is."""

    def _serialize(self, value, attr, obj, **_):
        return "from a dictionary" if isinstance(obj, dict) else value


class Curious(fields.String):
    """Text whose field asks the row, and hides that it failed."""

    def _serialize(self, value, attr, obj, **_):
        try:
            return f"{value}!" if obj.id else "?"
        except Exception:  # noqa: BLE001 - as hosts write it
            return "?"


class Worded(sa.types.TypeDecorator):
    """Text with a mark; a null is read as an empty text."""

    impl = sa.String(50)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return None if value == "" else f"#{value}"

    def process_result_value(self, value, _dialect):
        return "" if value is None else value.removeprefix("#")


class Letter(sa.types.TypeDecorator):
    """Truth values as letters."""

    impl = sa.CHAR(1)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value if value is None else "Y" if value else "N"

    def process_result_value(self, value, _dialect):
        return value if value is None else value == "Y"


class Alias(enum.Enum):
    SMALL = "s"
    TINY = "s"  # noqa: PIE796 - the case
    LARGE = "l"


TIME = "2025-12-08T10:00:00Z"
ALIKE = [
    (sa.String(50), fields.String(required=True), ["x", "crème 🍪", "", 'a\t"b"\\']),
    (sa.String(50), Shouted(required=True), ["LOUD", "ÉCLAIR"]),
    (sa.String(50), Trimmed(required=True), ["x"]),
    (sa.String(50), histio.Text(required=True, validate=validate.Length(max=4)), ["abcd"]),
    (sa.CHAR(5), histio.Text(required=True), ["abc", "abcde"]),
    (sa.CHAR(36), histio.RunUUID(required=True), [AN_UUID]),
    (sa.CHAR(32), histio.RunUUID(required=True), [AN_UUID]),
    (sa.LargeBinary(16), histio.RunUUID(required=True), [AN_UUID]),
    (Guid(), histio.RunUUID(required=True), [AN_UUID]),
    (AwareDateTime(), histio.UtcTimestamp(required=True), [TIME]),
    (DecimalText(), histio.FixedDecimal(precision=30, scale=4, required=True), ["0.2500", f"{10**20}.0000"]),
    (Worded(), histio.Text(required=True), ["x"]),
    (Letter(), histio.Boolean(required=True), [True, False]),
    (sa.Integer(), histio.FixedDecimal(minor_units=2, required=True), ["5.25"]),
    (sa.Double(), histio.Number(required=True), [0.1, -3.0, 1e-7, 1e16]),
    (sa.Numeric(10, 2, asdecimal=False), histio.FixedDecimal(required=True), ["5.25"]),
    (sa.Interval(), histio.Duration(required=True), ["PT1H"]),
    (sa.Enum(Size, name="size"), fields.Enum(Size, required=True), ["SMALL", "LARGE"]),
    (sa.Enum(Alias, native_enum=False), histio.Choice(required=True), ["SMALL", "LARGE"]),
    (sa.JSON(), fields.List(fields.String(), required=True), [["a", "b"], []]),
    (sa.JSON(), fields.Dict(required=True), [{"a": [1, 2.5, None]}, {}]),
    (sa.JSON(), fields.Nested(Oven, required=True, metadata=OBJECT), [{"degrees": 200, "name": "é"}]),
]  # fmt: skip


@pytest.mark.turns
@pytest.mark.parametrize(("column_type", "field", "values"), ALIKE)
def test_a_value_of_any_field_is_the_same_by_either_path(create, column_type, field, values):
    same_by_either_path(create, *host(column_type, field), values)


@pytest.mark.parametrize(("column_type", "field", "values"), ALIKE)
def test_no_field_of_a_column_takes_a_run_off_the_fast_path(sqlite_of, column_type, field, values):
    metadata, kind = host(column_type, field)
    explained = History(sqlite_of(metadata), kind).explain()
    assert "thing, export: fast path" in explained
    assert "thing, import: fast path" in explained


NULLS = [
    (sa.String(50), fields.String(allow_none=True)),
    (sa.JSON(), fields.Dict(allow_none=True)),
    (sa.JSON(), fields.Nested(Oven, allow_none=True, metadata=OBJECT)),
    (sa.Double(), histio.Number(allow_none=True)),
    (DecimalText(), histio.FixedDecimal(precision=30, scale=4, allow_none=True)),
    (Guid(), histio.RunUUID(allow_none=True)),
    (Letter(), histio.Boolean(allow_none=True)),
]


@pytest.mark.turns
@pytest.mark.parametrize(("column_type", "field"), NULLS)
def test_null_is_the_same_by_either_path(create, column_type, field):
    same_by_either_path(create, *host(column_type, field, nullable=True), [None])


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        (Trimmed(required=True), " x ", "x"),
        (Beside(required=True), "x", "x 0"),
        (Dictionary(required=True), "x", "x"),
        (Numbered(required=True), "x", "x of 0"),
        (Curious(required=True), "x", "x!"),
        (fields.Function(lambda row: f"{row.value}.", str.upper, metadata={"json_schema": {}}), "x", "X."),
    ],
)
def test_what_a_field_makes_of_a_value_is_the_same_by_either_path(sqlite_of, field, given, expected):
    metadata, kind = host(sa.String(50), field)
    engine = sqlite_of(metadata)
    assert into(engine, kind, given).imported == 1
    stored = rows_of(engine, kind)
    assert exported(History(engine, kind)) == things(expected)
    with tuned(full_path_only=True):
        assert exported(History(engine, kind)) == things(expected)
        assert into(engine, kind, given).imported == 1
    assert rows_of(engine, kind) == stored


@pytest.mark.parametrize(
    ("options", "stored"),
    [({"load_default": "bread"}, "bread"), ({"load_default": lambda: "roll"}, "roll")],
)
def test_a_member_that_is_left_out_has_the_default_of_its_field(sqlite_of, options, stored):
    metadata, kind = host(sa.String(50), histio.Text(**options))
    engine = sqlite_of(metadata)
    runs = [{"uuid": number(1)}, {"uuid": number(2), "value": "cake"}]
    assert History(engine, kind).import_document({"version": "1.0", "things": runs}).imported == 2
    assert [row[-1] for row in rows_of(engine, kind)] == [stored, "cake"]


def test_a_decorator_of_the_host_also_converts_nulls(sqlite_of):
    metadata, kind = host(Worded(), histio.Text(required=True), nullable=True)
    engine = sqlite_of(metadata)
    assert into(engine, kind, "", "x").imported == 2
    assert [row[-1] for row in rows_of(engine, kind)] == [None, "#x"]
    assert exported(History(engine, kind)) == things("", "x")


@pytest.mark.skipif(
    "pre_load" not in inspect.signature(Field.__init__).parameters,
    reason="this marshmallow has no such option",
)
def test_functions_of_a_field_for_loading_are_called(sqlite_of):
    metadata, kind = host(sa.String(50), histio.Text(required=True, pre_load=str.strip, post_load=str.upper))
    engine = sqlite_of(metadata)
    assert into(engine, kind, " x ").imported == 1
    assert exported(History(engine, kind)) == things("X")


def refuse(value):
    if value != "good":
        raise ValidationError("Not good.")


def fail(value):
    if value != "good":
        raise RuntimeError(value)


@pytest.mark.parametrize("rule", [refuse, fail])
def test_a_value_that_its_field_refuses_rejects_its_own_run_only(sqlite_of, rule):
    metadata, kind = host(sa.String(50), fields.String(required=True, validate=rule))
    engine = sqlite_of(metadata)
    report = into(engine, kind, "good", "bad", "good")
    assert (report.imported, report.rejected) == (2, 1)
    with tuned(full_path_only=True):
        assert into(engine, kind, "good", "bad", "good") == report


@pytest.mark.parametrize(
    ("column_type", "field", "stored"),
    [
        (sa.Uuid(), fields.UUID(required=True), f"{{{AN_UUID}}}"),
        (sa.Date(), fields.Date(required=True), "2025-12-08 10:00:00"),
        (sa.JSON(), fields.Dict(required=True), '{"a": '),
        (sa.Enum(Size, native_enum=False), fields.Enum(Size, required=True), "MEDIUM"),
        (Letter(), histio.Boolean(required=True), None),
        (sa.String(9), fields.String(required=True), b"\xff"),
    ],
)
def test_a_row_that_no_field_can_dump_is_named(sqlite_of, column_type, field, stored):
    metadata, kind = host(column_type, field, nullable=True)
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO things (uuid, value) VALUES (?, ?)", (number(1), stored))
    with pytest.raises(ExportError, match=f"thing {number(1)}: ") as fast:
        History(engine, kind).export_document()
    with tuned(full_path_only=True), pytest.raises(ExportError) as full:
        History(engine, kind).export_document()
    assert str(fast.value) == str(full.value)


def test_a_decimal_that_is_read_as_another_is_a_warning_with_a_field_of_the_host(sqlite_of, tmp_path):
    metadata, kind = host(sa.Numeric(10, 2), histio.FixedDecimal(required=True, validate=lambda _: True))
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO things (uuid, value) VALUES (?, 1.005)", (number(1),))
    report = History(engine, kind).export_file(tmp_path / "things.jsonl")
    assert [warning.code for warning in report.warnings] == ["precision"]


def test_members_that_are_only_dumped_or_only_loaded_take_the_fast_path(sqlite_of):
    base = orm.declarative_base()
    columns = {name: sa.Column(sa.String(9)) for name in ("seen", "hidden")}
    thing = type(
        "Thing",
        (base,),
        {
            "__tablename__": "things",
            "id": sa.Column(sa.Integer, primary_key=True),
            "uuid": sa.Column(sa.String(36), unique=True),
            **columns,
        },
    )
    meta = type("Meta", (), {"model": thing, "kind": "thing", "collection": "things", "timestamp": None})
    members = {
        "Meta": meta,
        "uuid": histio.RunUUID(required=True),
        "seen": fields.String(dump_only=True),
        "hidden": histio.Text(load_only=True, allow_none=True),
    }
    kind = type("ThingSchema", (histio.RunSchema,), members)
    engine = sqlite_of(base.metadata)
    history = History(engine, kind)
    given = {"version": "1.0", "things": [{"uuid": number(1), "hidden": "x"}]}
    assert history.import_document(given).imported == 1
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE things SET seen = 'y'")
    assert "thing, export: fast path" in history.explain()
    assert exported(history)["things"] == [{"uuid": number(1), "seen": "y"}]
    with tuned(full_path_only=True):
        assert exported(history)["things"] == [{"uuid": number(1), "seen": "y"}]
    assert [row[2:] for row in rows_of(engine, kind)] == [("y", "x")]


def test_a_field_is_called_once_for_each_value(sqlite_of):
    loaded, dumped = [], []

    class Counted(fields.String):
        def _serialize(self, value, *args, **options):
            dumped.append(value)
            return super()._serialize(value, *args, **options)

        def _deserialize(self, value, *args, **options):
            loaded.append(value)
            return super()._deserialize(value, *args, **options)

    metadata, kind = host(sa.String(9), Counted(required=True))
    history = History(sqlite_of(metadata), kind)
    values = [str(n) for n in range(300)]
    assert history.import_document(things(*values)).imported == 300
    assert len(exported(history)["things"]) == 300
    assert (loaded, dumped) == (values, values)


UPDATES = [
    (fields.String(required=True), "x", "y"),
    (Shouted(required=True), "X", "Y"),
    (histio.Text(required=True, validate=validate.Length(max=4)), "x", "y"),
    (fields.Dict(required=True), {"a": 1}, {"a": True}),
    (histio.Json(required=True), {"a": 1}, {"a": 1.0}),
]


@pytest.mark.parametrize(("field", "stored", "given"), UPDATES)
def test_an_update_of_a_field_of_the_host_is_the_same_by_either_path(sqlite_of, field, stored, given):
    metadata, kind = host(
        sa.JSON() if isinstance(stored, dict) else sa.String(9), field, {"unbound": "ignore"}
    )
    engine = sqlite_of(metadata)
    reports, rows = [], []
    for full_path_only in (False, True):
        into(engine, kind, stored, stored)
        with tuned(full_path_only=full_path_only):
            report = History(engine, kind).import_document(things(given, stored), on_duplicate="update")
        reports.append(report)
        rows.append([row[1:] for row in rows_of(engine, kind)])
    assert reports[0] == reports[1]
    assert rows[0] == rows[1]


def test_a_default_of_a_field_counts_in_an_update_too(sqlite_of):
    metadata, kind = host(sa.String(9), histio.Text(load_default="bread"))
    engine = sqlite_of(metadata)
    into(engine, kind, "cake")
    without = {"version": "1.0", "things": [{"uuid": number(0)}]}
    assert History(engine, kind).import_document(without, on_duplicate="update").updated == 1
    assert exported(History(engine, kind)) == things("bread")


@pytest.mark.parametrize("rule", [refuse, fail])
def test_a_field_of_a_host_is_called_where_models_have_validators_too(sqlite_of, rule):
    seen = []

    def note(_thing, _name, value):
        seen.append(value)
        return value

    check = orm.validates("value")(note)
    metadata, kind = host(sa.String(50), fields.String(required=True, validate=rule), check=check)
    report = into(sqlite_of(metadata), kind, "good", "bad", "good")
    assert (report.imported, report.rejected, set(seen)) == (2, 1, {"good"})
