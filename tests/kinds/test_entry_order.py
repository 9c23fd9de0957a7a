"""The order of the entries of a ledger: by several members, alike in every database, at linear cost."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import random
import sys
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import History
from histio.records import RecordSchema
from tests.support import lab

MOMENT = dt.datetime.fromisoformat(lab.TIME)
RUN = "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11"
TEXTS = ("B", "Z", "a", "a ", "b", "é", "ﬀ", "\U0001f600")  # by code point


class Base(orm.DeclarativeBase):
    pass


class Grade(enum.Enum):
    HIGH = 1
    LOW = 2
    MEDIUM = 3


class Place(Base):
    __tablename__ = "places"
    id: Mapped[int] = mapped_column(primary_key=True)
    hall: Mapped[str] = mapped_column(sa.String(40))
    shelf: Mapped[int]


class Trip(Base):
    __tablename__ = "trips"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    stops: Mapped[list[Stop]] = relationship()
    marks: Mapped[list[Mark]] = relationship()


class Stop(Base):
    """An entry whose key grows."""

    __tablename__ = "stops"
    id: Mapped[int] = mapped_column(primary_key=True)
    trip_id: Mapped[int] = mapped_column(sa.ForeignKey(Trip.id))
    key: Mapped[str | None] = mapped_column(
        sa.String(40).with_variant(sa.String(40, collation="utf8mb4_general_ci"), "mysql", "mariadb")
    )
    step: Mapped[int | None]
    grade: Mapped[Grade]
    place_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Place.id))
    place: Mapped[Place | None] = relationship()


class Mark(Base):
    """An entry whose key is made up."""

    __tablename__ = "marks"
    key_of_row: Mapped[str] = mapped_column(
        sa.String(36), primary_key=True, default=lambda: str(uuid.uuid4())
    )
    trip_id: Mapped[int] = mapped_column(sa.ForeignKey(Trip.id))
    key: Mapped[str] = mapped_column(sa.String(40))
    step: Mapped[int]
    value: Mapped[int]


def schema_of(*stop_order: str) -> type[histio.RunSchema]:
    """A schema of trips whose stops have this *order*."""

    class StopSchema(histio.RecordSchema):
        class Meta:
            model, order = Stop, stop_order

        key = histio.Text(allow_none=True)
        step = histio.Integer(allow_none=True)
        grade = histio.Choice(required=True)
        place = histio.Slug("place", key=("hall", "shelf"), allow_none=True)

    class MarkSchema(histio.RecordSchema):
        class Meta:
            model, order, exclude = Mark, ("key", "step"), ("key_of_row",)

        key = histio.Text(required=True)
        step = histio.Integer(required=True)
        value = histio.Integer(required=True)

    class TripSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Trip, "trip", "trips", None

        uuid = histio.RunUUID(required=True)
        stops = Nested(StopSchema, many=True)
        marks = Nested(MarkSchema, many=True)

    return TripSchema


PLACES = [("East", 2), ("East", 10), ("west", 1)]


def catalog() -> list[Any]:
    return [Place(hall=hall, shelf=shelf) for hall, shelf in PLACES]


def stop(**members: Any) -> dict[str, Any]:
    return {"key": None, "step": None, "grade": "LOW", "place": None} | members


def trips(stops: Any = (), marks: Any = ()) -> dict[str, Any]:
    return {"version": "1.0", "trips": [{"uuid": RUN, "stops": [*stops], "marks": [*marks]}]}


def at(hall: str, shelf: int) -> dict[str, Any]:
    return {"hall": hall, "shelf": shelf}


ORDERS = {
    "text by code point, then a number": (
        ("key", "step"),
        [stop(key=key, step=step) for key in TEXTS for step in (None, -1, 2, 10)],
    ),
    "a number, then text": (
        ("step", "key"),
        [stop(key=key, step=step) for step in (None, -1, 2, 10) for key in (None, *TEXTS)],
    ),
    "the names of an enum, then a number": (
        ("grade", "step"),
        [stop(grade=name, step=step) for name in ("HIGH", "LOW", "MEDIUM") for step in (None, 1)],
    ),
    "a key of several columns, then text": (
        ("place", "key"),
        [
            stop(place=place, key=key)
            for place in (None, *itertools.starmap(at, PLACES))
            for key in (None, "a", "b")
        ],
    ),
    "text, then what the format does not have": (
        ("key", "place_id"),
        [stop(key="a"), *(stop(key="a", place=at(*each)) for each in PLACES), stop(key="b")],
    ),
}


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize(("order", "stops"), ORDERS.values(), ids=ORDERS)
def test_entries_leave_in_the_order_of_all_members(create, order, stops):
    history = History(create(Base.metadata, *catalog()), schema_of(*order))
    shuffled = random.Random(3).sample(stops, len(stops))
    assert history.import_document(trips(shuffled)).imported == 1
    [record] = history.iter_runs("trip")
    assert record["stops"] == stops
    for mode in ("verify", "update"):
        report = history.import_document(trips(stops), on_duplicate=mode)
        assert (report.skipped, report.problems) == (1, ())


@pytest.mark.parametrize("turn", [1, -1])
def test_entries_of_the_same_place_leave_as_they_were_recorded(create, turn):
    history = History(create(Base.metadata, *catalog()), schema_of("key", "step"))
    tied = [stop(key="a", step=1, grade=name) for name in ("LOW", "HIGH", "MEDIUM")][::turn]
    history.import_document(trips([stop(key="b"), *tied, stop(key="a")]))
    [record] = history.iter_runs("trip")
    assert record["stops"] == [stop(key="a"), *tied, stop(key="b")]


def test_entries_without_a_growing_key_leave_alike_from_every_database(create):
    marks = [
        {"key": key, "step": step, "value": value} for key in "ab" for step in (1, 2) for value in (8, 9)
    ]
    for seed in range(3):
        engine = create(Base.metadata, *catalog())
        history = History(engine, schema_of("key"))
        history.import_document(trips(marks=random.Random(seed).sample(marks, len(marks))))
        [record] = history.iter_runs("trip")
        assert record["marks"] == marks


def test_an_order_of_several_members_takes_the_full_path_and_explain_says_so():
    text = History("sqlite://", schema_of("key", "step")).explain()
    assert "its entries are in another order than that of a growing key" in text


# --- what it costs -----------------------------------------------------------------------------------------


def calls(function):
    """How many calls *function* makes, in Python and C."""
    made = 0

    def count(_frame, event, _argument):
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return made


def some(count):
    """So many stops, no two in the same place."""
    return trips([stop(key=f"k{n % 7}", step=n) for n in range(count)])


def backwards(count):
    """The same the other way round, with another grade."""
    return trips([each | {"grade": "HIGH"} for each in some(count)["trips"][0]["stops"]][::-1])


def fewer(count):
    """The first half of them."""
    return trips(some(count)["trips"][0]["stops"][: count // 2])


WAYS = {
    "import": lambda history, count: lambda: history.import_document(some(count)),
    "export": lambda history, count: stored(history, count) and history.export_document,
    "verify": lambda history, count: (
        stored(history, count) and (lambda: history.import_document(some(count), on_duplicate="verify"))
    ),
    "update": lambda history, count: (
        stored(history, count) and (lambda: history.import_document(backwards(count), on_duplicate="update"))
    ),
    "removal": lambda history, count: (
        stored(history, count) and (lambda: history.import_document(fewer(count), on_duplicate="update"))
    ),
}


def stored(history, count):
    return history.import_document(some(count)).imported == 1


@pytest.mark.thorough
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_further_entry_costs_what_those_before_it_did(sqlite_of, way):
    made = {}
    for count in (10, 250, 500, 1_000):  # the first one fills caches
        engine = sqlite_of(Base.metadata, *catalog())
        made[count] = calls(way(History(engine, schema_of("key", "step")), count))
    before, after = made[500] - made[250], made[1_000] - made[500]
    assert after < 2 * before * 1.1


def test_only_entries_in_the_same_place_are_asked_what_they_say(sqlite_of, monkeypatch):
    history = History(sqlite_of(Base.metadata, *catalog()), schema_of("key"))
    apart = [{"key": "a", "step": n, "value": n} for n in range(50)]
    tied = [{"key": "b", "step": 1, "value": n} for n in range(3)]
    history.import_document(trips(marks=[*apart, *tied]))
    dumped = []
    dump = RecordSchema.dump

    def note(self, row, **options):
        dumped.append(row)
        return dump(self, row, **options)

    monkeypatch.setattr(RecordSchema, "dump", note)
    [record] = history.iter_runs("trip")
    assert record["marks"] == [*apart, *tied]
    assert sum(isinstance(row, Mark) for row in dumped) == len(tied)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_large_ledger_takes_no_more_statements_than_a_small_one(sqlite_of, count_statements, way):
    made = {}
    for count in (40, 2_000):
        engine = sqlite_of(Base.metadata, *catalog())
        work = way(History(engine, schema_of("key", "step")), count)
        statements = count_statements(engine)
        work()
        made[count] = len(statements.all)
    assert made[2_000] == made[40]


def test_an_entry_that_was_changed_by_hand_goes_to_its_new_place(create):
    engine = create(Base.metadata, *catalog())
    history = History(engine, schema_of("key", "step"))
    history.import_document(trips([stop(key="a", step=1), stop(key="a", step=2)]))
    with Session(engine) as session:
        session.scalars(sa.select(Stop).where(Stop.step == 1)).one().step = 3
        session.commit()
    [record] = history.iter_runs("trip")
    assert [each["step"] for each in record["stops"]] == [2, 3]
