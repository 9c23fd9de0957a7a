"""Decorators of the host's: bound by what their values are, in whatever database, or refused by name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import pickle

import pytest
import sqlalchemy as sa
from marshmallow import fields
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import NullType, TypeDecorator

import histio
from histio import BindingError, History
from tests.support.bakery import number
from tests.support.columns import (
    AN_UUID,
    TIME,
    AwareDateTime,
    DecimalText,
    Epoch,
    Guid,
    exported,
    host,
    things,
)
from tests.support.sqlalchemy_types import full


class OneDatabaseGuid(Guid):
    """The same over no type in particular, as packages write it that know their databases only."""

    impl = NullType
    cache_ok = True

    def load_dialect_impl(self, dialect):
        kinds = {"postgresql": postgresql.UUID(), "sqlite": sa.CHAR(32), "mysql": sa.CHAR(32)}
        return dialect.type_descriptor({**kinds, "mariadb": sa.CHAR(32)}[dialect.name])


class JsonText(TypeDecorator):
    """JSON as text: JSONB on PostgreSQL, as sqlalchemy-utils has it."""

    impl = sa.UnicodeText
    cache_ok = True

    def load_dialect_impl(self, dialect):
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.JSONB() if native else self.impl_instance)

    def process_bind_param(self, value, dialect):
        return value if dialect.name == "postgresql" or value is None else json.dumps(value)

    def process_result_value(self, value, dialect):
        return value if dialect.name == "postgresql" or value is None else json.loads(value)


class BigJson(TypeDecorator):
    """No functions of its own: only another type on one database."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect):
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.JSONB() if native else sa.JSON())


class YesNo(TypeDecorator):
    impl = sa.CHAR(1)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value if value is None else "NY"[value]

    def process_result_value(self, value, _dialect):
        return value if value is None else value == "Y"


class Reversed(TypeDecorator):
    """Text that is kept backwards."""

    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value and value[::-1]

    def process_result_value(self, value, _dialect):
        return value and value[::-1]


class Wrapped(TypeDecorator):
    """A decorator over a decorator, with no functions of its own."""

    impl = Reversed
    cache_ok = True


class OwnString(sa.String):
    """A type of the host's, which is no decorator."""

    cache_ok = True

    def bind_processor(self, dialect):
        return lambda value: value and value[::-1]

    def result_processor(self, dialect, coltype):
        return lambda value: value and value[::-1]


@dataclasses.dataclass
class Settings:
    theme: str = "dark"


class SettingsJson(TypeDecorator):
    """JSON whose values are objects, as with pydantic's models."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return dataclasses.asdict(value)

    def process_result_value(self, value, _dialect):
        return Settings(**value)


class LooseSettingsJson(SettingsJson):
    """The same, which also takes what is no object."""

    def process_bind_param(self, value, _dialect):
        return dataclasses.asdict(value) if isinstance(value, Settings) else value


class Moment(dt.datetime):
    pass


class MomentType(TypeDecorator):
    """Times of a class of the host's."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value and dt.datetime.fromisoformat(value.isoformat())

    def process_result_value(self, value, _dialect):
        return value and Moment.fromisoformat(value.isoformat())


class Pickled(TypeDecorator):
    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return pickle.dumps(value)

    def process_result_value(self, value, _dialect):
        return pickle.loads(value)


class Colour(enum.Enum):
    RED = "r"


class ColourText(TypeDecorator):
    impl = sa.String(1)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value.value

    def process_result_value(self, value, _dialect):
        return Colour(value)


REVERSED_IN_SQLITE = sa.String(20).with_variant(Reversed(), "sqlite")
EXACT = [
    (Guid(), histio.RunUUID, [AN_UUID]),
    (OneDatabaseGuid(), histio.RunUUID, [AN_UUID]),
    (JsonText(), histio.Json, [{"a": [1, 2.5, None]}, "text", [], True]),
    (BigJson(), histio.Json, [{"a": [1, 2.5, None]}, "text", [], True]),
    (YesNo(), histio.Boolean, [True, False]),
    (Reversed(), histio.Text, ["tea", ""]),
    (Wrapped(), histio.Text, ["tea", ""]),
    (OwnString(20), histio.Text, ["tea", ""]),
    (REVERSED_IN_SQLITE, histio.Text, ["tea", ""]),
    (AwareDateTime(), histio.UtcTimestamp, [TIME]),
    (Epoch(), histio.UtcTimestamp, [TIME]),
    (DecimalText(), histio.FixedDecimal, ["5.25", "-12345678901234567890.5"]),
]


@pytest.mark.turns
@pytest.mark.parametrize(("column_type", "field", "values"), EXACT)
@pytest.mark.parametrize("way", [lambda kind: kind, full], ids=["fast", "full"])
def test_auto_field_is_the_field_of_the_values_and_keeps_them(create, column_type, field, values, way):
    metadata, kind = host(column_type, auto_field())
    assert type(kind().fields["value"]) is field
    engine = create(metadata)
    row = kind().load(things(*values)["things"][0], transient=True)
    with engine.begin() as connection:  # as the application writes it
        connection.execute(sa.insert(type(row)).values(uuid=row.uuid, value=row.value))
        text = connection.exec_driver_sql("SELECT value FROM things").scalar_one()
    history = History(engine, way(kind))
    first = things(*values)["things"][:1]
    assert list(history.iter_runs("thing")) == first
    report = history.import_document(things(*values))
    assert ([str(problem) for problem in report.problems], report.imported) == ([], len(values) - 1)
    assert json.dumps(exported(history)) == json.dumps(things(*values))
    assert history.import_document(things(*values), on_duplicate="verify").problems == ()
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM things")
    assert history.import_document({"version": "1.0", "things": first}).imported == 1
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT value FROM things").scalar_one() == text


@pytest.mark.parametrize(
    "column_type",
    [SettingsJson(), LooseSettingsJson(), MomentType(), Pickled(), sa.PickleType(), ColourText()],
)
def test_values_that_no_field_can_say_are_refused_with_what_to_write(column_type):
    told = r"^ThingSchema\.value: auto_field\(\) has no field for .*: declare a marshmallow field"
    with pytest.raises(BindingError, match=told):
        host(column_type, auto_field())


@pytest.mark.parametrize(
    ("column_type", "field", "told"),
    [
        (SettingsJson(), histio.Json(required=True), "its decorator takes no plain JSON: declare a marshm"),
        (LooseSettingsJson(), histio.Json(required=True), "its decorator takes no plain JSON: declare a m"),
        (JsonText(), histio.Text(required=True), "its decorator keeps any JSON, which takes Json"),
        (MomentType(), histio.UtcTimestamp(required=True), "it takes DateTime"),
        (MomentType(), histio.Json(required=True), "its decorator takes no plain JSON"),
        (Pickled(), histio.Json(required=True), "it keeps any Python object"),
        (Pickled(), histio.Text(required=True), "it keeps any Python object"),
        (sa.PickleType(), histio.UtcTimestamp(required=True), "it keeps any Python object"),
        (sa.PickleType(), histio.RunUUID(required=True), "it keeps any Python object"),
        (DecimalText(), histio.Boolean(required=True), "it takes Boolean"),
        (YesNo(), histio.Text(required=True), "declare the field that fits the column's type"),
        (ColourText(), histio.Choice("r", required=True), "its decorator takes no text"),
    ],
)  # fmt: skip
def test_a_field_that_is_not_of_the_decorators_values_is_refused(column_type, field, told):
    _, kind = host(column_type, field)
    with pytest.raises(BindingError, match=rf"^ThingSchema\.value: an? \w+ cannot be kept in .*{told}"):
        History(None, kind)


class SettingsField(fields.Field):
    """What the messages ask for: JSON of the values, and back."""

    def _serialize(self, value, attr, obj, **_):
        return dataclasses.asdict(value)

    def _deserialize(self, value, attr, data, **_):
        return Settings(**value)


@pytest.mark.parametrize("column_type", [SettingsJson(), sa.PickleType(), Pickled()])
def test_a_field_of_the_hosts_own_makes_json_of_such_values(create, column_type):
    field = SettingsField(required=True, metadata={"json_schema": {"type": "object"}})
    metadata, kind = host(column_type, field)
    history = History(create(metadata), kind)
    assert history.import_document(things({"theme": "light"})).imported == 1
    assert exported(history) == things({"theme": "light"})
    assert history.import_document(things({"theme": "light"}), on_duplicate="verify").problems == ()


def related(base):
    return type("Owner", (base,), {
        "__tablename__": "owners",
        "id": sa.Column(sa.Integer, primary_key=True),
        "uuid": sa.Column(sa.String(36), unique=True),
        "slug": sa.Column(sa.String(20), unique=True),
    })  # fmt: skip


def refers(*, nullable, **declared):
    base = orm.declarative_base()
    owner = related(base)
    thing = type("Thing", (base,), {
        "__tablename__": "things",
        "id": sa.Column(sa.Integer, primary_key=True),
        "uuid": sa.Column(sa.String(36), unique=True, nullable=False),
        "owner_id": sa.Column(sa.ForeignKey("owners.id"), nullable=nullable),
        "owner": orm.relationship(owner),
    })  # fmt: skip
    meta = type("Meta", (), {"model": thing, "kind": "thing", "collection": "things", "timestamp": None})
    names = {"Meta": meta, "uuid": histio.RunUUID(required=True), **declared}
    return type("ThingSchema", (histio.RunSchema,), names)


ONE = {"owner": histio.Slug("owner")}
BY_COLUMN = {"owner": histio.Slug("owner_id")}
ANOTHER_RUN = {"owner": histio.RunRef("owner")}


@pytest.mark.parametrize("declared", [ONE, BY_COLUMN, ANOTHER_RUN])
def test_a_reference_that_rows_may_lack_says_whether_it_may_be_null(declared):
    told = r"^ThingSchema\.owner: the column owner_id takes null: write allow_none=True, or required=True if"
    with pytest.raises(BindingError, match=told):
        History(None, refers(nullable=True, **declared))
    assert History(None, refers(nullable=False, **declared)).kinds == ("thing",)


@pytest.mark.parametrize("options", [{"allow_none": True}, {"required": True}, {"choice": "owner"}])
@pytest.mark.parametrize("field", [histio.Slug, histio.RunRef])
def test_a_reference_that_says_so_is_taken(field, options):
    kind = refers(nullable=True, owner=field("owner", **options))
    assert History(None, kind).kinds == ("thing",)


def test_a_null_reference_that_may_be_null_comes_back_as_null(create):
    kind = refers(nullable=True, owner=histio.Slug("owner", allow_none=True))
    history = History(create(kind.Meta.model.metadata), kind)
    document = {"version": "1.0", "things": [{"uuid": number(1), "owner": None}]}
    assert history.import_document(document).imported == 1
    assert next(history.iter_runs("thing")) == document["things"][0]
