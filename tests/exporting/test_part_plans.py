"""The parts of an export: together they have each run once, in order, whatever sorts the runs."""

from __future__ import annotations

import datetime as dt
import uuid
from itertools import chain

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import histio
from histio import History
from histio.exporting.pages import export_texts
from histio.exporting.parts.plan import plan_parts
from histio.exporting.selection import Filters
from histio.exporting.tally import ExportTally
from histio.tuning import tuned
from tests.support.bakery import number

MOMENT = dt.datetime(2025, 12, 8)  # noqa: DTZ001
COUNT = 23


def host(identity, made_at, **meta):
    """A kind whose runs are sorted by a column *made_at*, and then by *identity*; None: by that alone."""
    base = orm.declarative_base()
    columns = {"id": sa.Column(sa.Integer, primary_key=True), "code": identity}
    fields = {"code": meta.pop("field", histio.Text(required=True))}
    if made_at is not None:
        columns["made_at"] = made_at
        fields["made_at"] = histio.UtcTimestamp(allow_none=made_at.nullable, required=not made_at.nullable)
    model = type("Thing", (base,), {"__tablename__": "things", **columns})
    names = {
        "model": model,
        "kind": "thing",
        "collection": "things",
        "identity": "code",
        "timestamp": None if made_at is None else "made_at",
    }
    return type("ThingSchema", (histio.RunSchema,), {"Meta": type("Meta", (), names | meta), **fields}), model


def code(**options):
    return sa.Column(sa.String(36), nullable=False, **options)


HOSTS = {
    "a time": host(code(unique=True), sa.Column(sa.DateTime, nullable=False)),
    "a time that may be missing": host(code(unique=True), sa.Column(sa.DateTime, nullable=True)),
    "a time with a zone": host(code(unique=True), sa.Column(sa.DateTime(timezone=True), nullable=False)),
    "the identity alone": host(code(unique=True), None),
    "a UUID": host(
        sa.Column(sa.Uuid, unique=True, nullable=False),
        sa.Column(sa.DateTime, nullable=False),
        field=histio.RunUUID(required=True),
    ),
    "an identity that is not unique": host(code(), sa.Column(sa.DateTime, nullable=False)),
}


def rows_of(model):
    """Runs of which several have the same time, and a third has none if it may be missing."""
    columns = model.__table__.columns
    for n in range(COUNT):
        found = {
            "code": uuid.UUID(number(n * 7 % COUNT)) if isinstance(columns.code.type, sa.Uuid) else number(n)
        }
        if "made_at" in columns:
            made_at = MOMENT + dt.timedelta(hours=n % 5)
            has_none = columns.made_at.nullable and n % 3 == 0
            zone = dt.UTC if columns.made_at.type.timezone else None
            found["made_at"] = None if has_none else made_at.replace(tzinfo=zone)
        yield found


def texts_of(connection, kind, filters, tally):
    return [text for page in export_texts(connection, kind, filters, tally) for text in page]


def read(engine, schema, parts, **filters):
    """What is read at once, and what is read part by part."""
    history = History(engine, schema)
    [kind] = history.bound.kinds
    chosen, tallies = (
        Filters(**filters),
        (ExportTally(on_unreadable="skip"), ExportTally(on_unreadable="skip")),
    )
    with history.bound.database.reading(None) as connection:
        planned, _ = plan_parts(connection, {kind: chosen}, parts)
        apart = [
            texts_of(connection, kind, Filters(**filters, part=part), tallies[1]) for part in planned[kind]
        ]
        return texts_of(connection, kind, chosen, tallies[0]), apart, tallies


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize("sorted_by", HOSTS)
def test_parts_have_each_run_once_in_order(create, sorted_by, full):
    schema, model = HOSTS[sorted_by]
    engine = create(model.metadata)
    with engine.begin() as connection:
        connection.execute(model.__table__.insert(), list(rows_of(model)))
    for parts in (1, 4, COUNT + 5):
        with tuned(page=2, full_path_only=full):
            whole, apart, _ = read(engine, schema, parts)
        assert (list(chain(*apart)), len(apart)) == (whole, min(parts, COUNT))
        assert max(map(len, apart)) - min(map(len, apart)) <= 1 + COUNT // min(parts, COUNT)


@pytest.mark.parametrize("bounds", [{"since": MOMENT + dt.timedelta(hours=1)}, {"until": MOMENT.date()}])
@pytest.mark.parametrize("sorted_by", ["a time", "a time that may be missing"])
def test_parts_have_the_runs_within_bounds(create, sorted_by, bounds):
    schema, model = HOSTS[sorted_by]
    engine = create(model.metadata)
    with engine.begin() as connection:
        connection.execute(model.__table__.insert(), list(rows_of(model)))
    whole, apart, _ = read(engine, schema, 4, **bounds)
    assert (list(chain(*apart)), len(apart)) == (whole, 4)


def test_runs_that_have_no_place_are_reported_once(create):
    schema, model = HOSTS["an identity that is not unique"]
    engine = create(model.metadata)
    with engine.begin() as connection:
        connection.execute(model.__table__.insert(), list(rows_of(model)))
        connection.execute(sa.update(model).where(model.id <= 2).values(code="twice"))
    whole, apart, (expected, found) = read(engine, schema, 4)
    assert list(chain(*apart)) == whole
    assert (found.skipped, found.problems) == (expected.skipped, expected.problems)
    assert (found.skipped, len(found.problems)) == (2, 1)


def test_runs_that_come_after_the_plan_are_in_a_part(create):
    schema, model = HOSTS["a time"]
    engine = create(model.metadata)
    rows = list(rows_of(model))
    history = History(engine, schema)
    [kind] = history.bound.kinds
    with engine.begin() as connection:
        connection.execute(model.__table__.insert(), rows[5:15])
    with history.bound.database.reading(None) as connection:
        planned, _ = plan_parts(connection, {kind: Filters()}, 3)
    early, late = MOMENT - dt.timedelta(days=9), MOMENT + dt.timedelta(days=9)
    with engine.begin() as connection:
        connection.execute(model.__table__.insert(), [*rows[:3], *rows[20:]])
        connection.execute(
            model.__table__.insert(), [{"code": "a", "made_at": early}, {"code": "z", "made_at": late}]
        )
    tally = ExportTally()
    with history.bound.database.reading(None) as connection:
        apart = [texts_of(connection, kind, Filters(part=part), tally) for part in planned[kind]]
        assert list(chain(*apart)) == texts_of(connection, kind, Filters(), tally)
