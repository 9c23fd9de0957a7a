"""Attributes that are more, or less, than a column."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.hybrid import hybrid_property

import histio
from histio import BindingError, History
from tests.support.bakery import number
from tests.support.sqlalchemy_types import full

Base = orm.declarative_base()


@dataclass
class Point:
    x: int
    y: int


class Owner(Base):
    __tablename__ = "owners"
    id = sa.Column(sa.Integer, primary_key=True)
    slug = sa.Column(sa.String(20), nullable=False)


class Thing(Base):
    __tablename__ = "things"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    x = sa.Column(sa.Integer, nullable=False)
    y = sa.Column(sa.Integer, nullable=False)
    point = orm.composite(Point, x, y)
    word = orm.column_property(sa.Column("kept_word", sa.String(20), nullable=False))
    saying = orm.synonym("word")
    shout = orm.column_property(sa.func.upper(word))
    long = orm.deferred(sa.Column(sa.Text, nullable=False), raiseload=True)
    later = orm.query_expression()
    _price = sa.Column("price", sa.Integer, nullable=False)
    owner_id = sa.Column(sa.ForeignKey(Owner.id))
    owner = orm.relationship(Owner)
    owner_slug = association_proxy("owner", "slug")

    @hybrid_property
    def price(self):
        return self._price / 100

    @price.setter
    def price(self, value):
        self._price = value * 100


def schema(model=Thing, **declared):
    meta = {"model": model, "kind": "thing", "collection": "things", "timestamp": None}
    meta |= {"exclude": ("owner_id",) if hasattr(model, "owner_id") else ()}
    names = {"Meta": type("Meta", (), meta), "uuid": histio.RunUUID(required=True), **declared}
    return type("ThingSchema", (histio.RunSchema,), names)


EXACT = {"x": 1, "y": 2, "word": "tea", "long": "and cake", "cents": 525}


def exact(**further):
    names = {name: auto_field() for name in ("x", "y", "word", "long")}
    return schema(**names, cents=histio.Integer(attribute="_price", required=True), **further)


@pytest.mark.parametrize("way", [lambda kind: kind, full])
def test_columns_that_are_deferred_composed_wrapped_or_renamed_come_back_the_same(create, way):
    history = History(create(Base.metadata), way(exact()))
    document = {"version": "1.0", "things": [{"uuid": number(1), **EXACT}]}
    assert history.import_document(document).imported == 1
    assert json.dumps(next(history.iter_runs("thing"))) == json.dumps(document["things"][0])
    assert history.import_document(document, on_duplicate="verify").problems == ()
    changed = {"version": "1.0", "things": [{"uuid": number(1), **EXACT, "x": 7, "long": "tarte"}]}
    assert history.import_document(changed, on_duplicate="update").updated == 1
    assert next(history.iter_runs("thing")) == changed["things"][0]


def test_a_synonym_is_the_column_that_it_names(create):
    kind = exact(saying=histio.Text(required=True))
    history = History(create(Base.metadata), kind_without_word(kind))
    record = {"uuid": number(1), **EXACT, "saying": "tea"}
    del record["word"]
    assert history.import_document({"version": "1.0", "things": [record]}).imported == 1
    assert next(history.iter_runs("thing")) == record


def kind_without_word(kind):
    class ThingSchema(kind):
        class Meta(kind.Meta):
            exclude = (*kind.Meta.exclude, "word")

    return ThingSchema


def test_what_is_computed_is_exported_and_read_over(create):
    kind = exact(
        shout=histio.Text(dump_only=True),
        price=histio.Number(dump_only=True),
    )
    history = History(create(Base.metadata), kind)
    record = {"uuid": number(1), **EXACT, "shout": "TEA", "price": 5.25}
    assert history.import_document({"version": "1.0", "things": [record]}).imported == 1
    assert next(history.iter_runs("thing")) == record


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"point": auto_field}, "it is a composite: declare its columns, x = auto_field(), y"),
        (
            {"point": histio.Json},
            "it is a composite: declare its columns, x = auto_field(), y",
        ),
        ({"price": auto_field}, "other attributes can be exported with dump_only=True"),
        ({"price": histio.Number}, "other attributes can be exported with dump_only=True"),
        ({"shout": auto_field}, "other attributes can be exported with dump_only=True"),
        ({"owner_slug": auto_field}, "other attributes can be exported with dump_only=True"),
        ({"later": auto_field}, "other attributes can be exported with dump_only=True"),
        ({"owner": auto_field}, "it is a relationship: name its row by Slug('owner'), or"),
        ({"owner": histio.Text}, "it is a relationship: name its row by Slug('owner'), or"),
        ({"wrd": auto_field}, "did you mean 'word'?"),
    ],
    ids=lambda each: (
        each if isinstance(each, str) else f"{next(iter(each))} as {next(iter(each.values())).__name__}"
    ),
)
def test_what_is_no_column_is_told_with_what_to_write(declared, told):
    [(name, field)] = declared.items()
    with pytest.raises(BindingError) as caught:
        History(None, schema(**{name: field()}))
    assert str(caught.value).startswith(f"ThingSchema.{name}: Thing has no column {name!r}: ")
    assert told in str(caught.value)


def test_a_value_that_only_the_hosts_own_queries_have_is_not_exported_as_null():
    kind = schema(later=histio.Integer(dump_only=True, allow_none=True))
    with pytest.raises(BindingError, match=r"^ThingSchema\.later: a query_expression has a value only in "):
        History(None, kind)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"required": True, "allow_none": True}, "so it must not be null: write allow_none=False"),
        ({"allow_none": True}, "so it must be required: write required=True"),
    ],
)
def test_an_identity_that_may_be_null_is_told_as_that(options, told):
    with pytest.raises(BindingError, match=rf"^ThingSchema\.uuid: identifies a record, {told}$"):
        History(None, exact(uuid=histio.RunUUID(**options)))


def test_a_validator_that_makes_imports_slow_is_told_when_the_history_is_made(caplog):
    base = orm.declarative_base()

    class Checked(base):
        __tablename__ = "checked"
        id = sa.Column(sa.Integer, primary_key=True)
        uuid = sa.Column(sa.String(36), unique=True, nullable=False)
        note = sa.Column(sa.String(20))

        @orm.validates("note")
        def checked(self, _name, value):
            return value

    told = (
        "thing: imports create objects, and write their values in bulk, at about a third of the speed; a rule"
        " of the field or of the database instead would cost nothing: Checked validates note"
    )
    with caplog.at_level("INFO", logger="histio"):
        history = History(None, schema(Checked, note=auto_field()))
    assert told in caplog.messages
    assert told in history.explain().splitlines()


def test_models_that_leave_all_to_histio_are_no_news(caplog):
    with caplog.at_level("INFO", logger="histio"):
        history = History(None, exact())
    assert caplog.messages == []
    assert "unit of work" not in history.explain()


def test_a_composite_leaves_runs_on_the_fast_path(sqlite_of):
    told = History(sqlite_of(Base.metadata), exact()).explain()
    assert {"thing, export: fast path", "thing, import: fast path"} <= set(told.splitlines())


def test_a_listener_beside_a_composite_is_called(sqlite_of):
    heard = []

    def hear(_mapper, _connection, row):
        heard.append(row.point)

    sa.event.listen(Thing, "after_insert", hear)
    report = History(sqlite_of(Base.metadata), exact()).import_document(
        {"version": "1.0", "things": [{"uuid": number(1), **EXACT}]}
    )
    sa.event.remove(Thing, "after_insert", hear)
    assert report.unit_of_work == {"thing": ("Thing has an after_insert listener",)}
    assert heard == [Point(1, 2)]
