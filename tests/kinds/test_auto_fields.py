"""auto_field() wherever it is written, the Nested of marshmallow-sqlalchemy, and unknown members."""

from __future__ import annotations

import marshmallow
import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field
from marshmallow_sqlalchemy.fields import Nested as SQLAlchemyNested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import BindingError, History


class Base(orm.DeclarativeBase):
    pass


class Step(Base):
    __tablename__ = "auto_steps"
    id: Mapped[int] = mapped_column(primary_key=True)
    walk_id: Mapped[int] = mapped_column(sa.ForeignKey("auto_walks.id"))
    metres: Mapped[int]


class Walk(Base):
    __tablename__ = "auto_walks"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    place: Mapped[str] = mapped_column(sa.String(20))
    steps: Mapped[list[Step]] = relationship()


class Placed:
    """No schema, and no model."""

    place = auto_field()


class PlacedBase(histio.RunSchema):
    """A schema without a model."""

    place = auto_field()


class StepSchema(histio.RecordSchema):
    class Meta:
        model = Step

    metres = auto_field()


def walk_schema(*bases, meta=(), **members):
    options = {"model": Walk, "kind": "walk", "collection": "walks", "timestamp": None, "identity": "code"}
    own = {"code": histio.Text(required=True), "steps": Nested(StepSchema, many=True)} | members
    meta = type("Meta", (), options | dict(meta))
    return type("WalkSchema", bases or (histio.RunSchema,), own | {"Meta": meta})


PLACES = [
    ((Placed, histio.RunSchema), {}),
    ((PlacedBase,), {}),
    ((), {"place": auto_field()}),
    ((), {"spot": auto_field("place")}),
]


@pytest.mark.parametrize(("bases", "members"), PLACES, ids=["a mixin", "a base", "itself", "another name"])
def test_an_auto_field_is_resolved_when_the_model_is_known(bases, members):
    properties = History(None, walk_schema(*bases, **members)).json_schema()["$defs"]["walk"]["properties"]
    assert properties[next(iter(members), "place")]["maxLength"] == 20


def test_an_auto_field_of_a_base_follows_the_model_of_a_subclass():
    class Own(orm.DeclarativeBase):
        pass

    class Trip(Own):
        __tablename__ = "trips"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(sa.String(20), unique=True)
        place: Mapped[int]

    base = walk_schema(place=auto_field())
    trip = walk_schema(base, meta={"model": Trip, "exclude": ("steps",)})
    assert History(None, trip).json_schema()["$defs"]["walk"]["properties"]["place"]["type"] == "integer"


def test_an_auto_field_without_a_column_is_a_binding_error():
    kind = walk_schema(place=auto_field(), plcae=auto_field())
    with pytest.raises(
        BindingError, match=r"WalkSchema\.plcae: Walk has no column 'plcae': did you mean 'place'"
    ):
        History(None, kind)


def test_an_auto_field_without_a_column_is_an_error_of_direct_use_too():
    with pytest.raises(BindingError, match="Walk has no column 'plcae'"):
        walk_schema(place=auto_field(), plcae=auto_field())()


def test_a_subclassed_ledger_without_a_model_is_held_against_the_hosts():
    class NamedStepSchema(StepSchema):
        metres = auto_field(data_key="length")

    class Own(orm.DeclarativeBase):
        pass

    class Leg(Own):
        __tablename__ = "legs"
        id: Mapped[int] = mapped_column(primary_key=True)
        ride_id: Mapped[int] = mapped_column(sa.ForeignKey("rides.id"))
        metres: Mapped[int]
        colour: Mapped[str] = mapped_column(sa.String(7))

    class Ride(Own):
        __tablename__ = "rides"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(sa.String(20), unique=True)
        steps: Mapped[list[Leg]] = relationship()

    ledger = type("LegSchema", (NamedStepSchema,), {"colour": auto_field()})
    kind = walk_schema(meta={"model": Ride}, steps=Nested(ledger, many=True))
    rules = History(None, kind).json_schema()["$defs"]
    assert set(rules["leg"]["properties"]) == {"length", "colour"}


def test_the_nested_of_marshmallow_sqlalchemy_is_as_good_as_marshmallows(create):
    engine = create(Base.metadata)
    kind = walk_schema(place=auto_field(), steps=SQLAlchemyNested(StepSchema, many=True))
    history = History(engine, kind)
    given = {"code": "a", "place": "hill", "steps": [{"metres": 5}]}
    assert history.import_document({"version": "1.0", "walks": [given]}).imported == 1
    assert list(history.iter_runs("walk")) == [given]
    assert History(engine, walk_schema(place=auto_field())).json_schema() == history.json_schema()


def test_the_nested_of_marshmallow_sqlalchemy_takes_the_fast_path(sqlite_of):
    engine = sqlite_of(Base.metadata)
    plain = History(engine, walk_schema(place=auto_field()))
    nested = History(engine, walk_schema(place=auto_field(), steps=SQLAlchemyNested(StepSchema, many=True)))
    assert nested.explain() == plain.explain()


class LaxSchema(histio.RecordSchema):
    class Meta:
        model = Step
        unknown = marshmallow.EXCLUDE

    metres = auto_field()


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": {"unknown": marshmallow.EXCLUDE}},
        {"meta": {"unknown": marshmallow.INCLUDE}},
        {"steps": Nested(LaxSchema, many=True)},
        {"steps": Nested(StepSchema, many=True, unknown=marshmallow.EXCLUDE)},
        {"steps": Nested(StepSchema(unknown=marshmallow.INCLUDE), many=True)},
        {"steps": SQLAlchemyNested(StepSchema, many=True, unknown=marshmallow.EXCLUDE)},
    ],
)
def test_unknown_members_cannot_be_allowed(changes):
    with pytest.raises(BindingError, match=r"(EX|IN)CLUDE: an unknown member is always an error"):
        History(None, walk_schema(place=auto_field(), **changes))
