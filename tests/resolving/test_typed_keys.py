"""References by keys that are no plain text: what a decorator makes of a column, enums, booleans."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.types import TypeDecorator

import histio
from histio import BindingError, History, RunUUID, Slug, SlugList
from tests.support.bakery import number
from tests.support.columns import Guid


class Period(enum.Enum):
    DAY = "daily"
    WEEK = "weekly"


class Ticks(TypeDecorator):
    """Days, kept as a count."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else value.toordinal()

    def process_result_value(self, value, dialect):
        return None if value is None else dt.date.fromordinal(value)


class Shouted(TypeDecorator):
    """Text, kept in upper case."""

    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else value.upper()

    def process_result_value(self, value, dialect):
        return None if value is None else value.lower()


class Host:
    """Runs that refer to one row by a key of some type, and to several by lists of such."""

    def __init__(self, column_type):
        base = self.base = orm.declarative_base()
        links = sa.Table(
            "links",
            base.metadata,
            sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
            sa.Column("plan_id", sa.ForeignKey("plans.id"), primary_key=True),
        )

        class Plan(base):
            __tablename__ = "plans"
            id = sa.Column(sa.Integer, primary_key=True)
            key = sa.Column(column_type, nullable=False)
            active = sa.Column(sa.Boolean, nullable=False)

        class Run(base):
            __tablename__ = "runs"
            id = sa.Column(sa.Integer, primary_key=True)
            uuid = sa.Column(sa.String(36), unique=True, nullable=False)
            plan_id = sa.Column(sa.ForeignKey("plans.id"), nullable=False)
            other_id = sa.Column(sa.ForeignKey("plans.id"), nullable=False)
            plan = orm.relationship(Plan, foreign_keys=plan_id)
            other = orm.relationship(Plan, foreign_keys=other_id)
            plans = orm.relationship(Plan, secondary=links)

        class RunSchema(histio.RunSchema):
            class Meta:
                model, kind, collection, timestamp = Run, "run", "runs", None

            uuid = RunUUID(required=True)
            plan = Slug("plan", key="key", required=True)
            both = Slug("other", key=("key", "active"), required=True)
            plans = SlugList("plans", key="key")

        self.schema, self.plan = RunSchema, Plan


KEYS = {
    "a UUID under a decorator": (Guid(), uuid.UUID(number(1)), uuid.UUID(number(2)), number(1), number(2)),
    "an enum by its names": (sa.Enum(Period, name="names"), Period.DAY, Period.WEEK, "DAY", "WEEK"),
    "an enum by its values": (
        sa.Enum(Period, name="texts", values_callable=lambda periods: [each.value for each in periods]),
        *(Period.DAY, Period.WEEK, "daily", "weekly"),
    ),
    "an enum of texts": (sa.Enum("day", "week", name="periods"), "day", "week", "day", "week"),
    "a day under a decorator": (
        Ticks(),
        dt.date(2025, 1, 2),
        dt.date(2025, 1, 3),
        "2025-01-02",
        "2025-01-03",
    ),
    "text under a decorator": (Shouted(), "red", "blue", "red", "blue"),
}


@pytest.fixture(params=KEYS.values(), ids=KEYS)
def typed(request, create):
    column_type, first, second, *wire = request.param
    host = Host(column_type)
    rows = [host.plan(key=first, active=True), host.plan(key=second, active=False)]
    return History(create(host.base.metadata, *rows), host.schema), *wire


def run(n, key, *keys, active=True):
    return {"uuid": number(n), "plan": key, "both": {"key": key, "active": active}, "plans": sorted(keys)}


def document(*runs):
    return {"version": "1.0", "runs": list(runs)}


def test_rows_are_named_by_keys_of_every_type(typed):
    history, first, second = typed
    given = document(run(1, first, first, second), run(2, second, active=False))
    report = history.import_document(given)
    assert ([problem.message for problem in report.problems], report.imported) == ([], 2)
    assert history.export_document()["runs"] == given["runs"]
    assert history.import_document(given, on_duplicate="verify").skipped == 2


def test_a_key_that_no_row_has_is_an_unknown_reference(typed):
    history, first, _ = typed
    report = history.import_document(document(run(1, first, active=False)))
    assert [(each.code, each.pointer) for each in report.problems] == [("unknown-reference", "/runs/0/both")]


def test_a_key_in_no_form_of_its_type_is_a_problem_of_its_run(typed):
    history, first, _ = typed
    report = history.import_document(document(run(1, 7), run(2, first)))
    assert (report.imported, {each.pointer for each in report.problems}) == (
        1,
        {"/runs/0/plan", "/runs/0/both/key"},
    )


def test_an_enum_in_a_message_has_its_name(sqlite_of):
    host = Host(sa.Enum(Period))
    history = History(sqlite_of(host.base.metadata), host.schema)
    report = history.import_document(document(run(1, "DAY")))
    assert report.problems[0].message == "Plan not found: DAY"


def test_a_key_whose_values_no_field_keeps_is_refused_by_its_type():
    class Objects(TypeDecorator):
        impl = sa.String(20)
        cache_ok = True

        def process_bind_param(self, value, dialect):
            return json.dumps(value.__dict__)

        def process_result_value(self, value, dialect):
            return object()

    host = Host(Objects())
    with pytest.raises(BindingError, match=r"plans.key: a Objects\(.*\) cannot be a key"):
        History(None, host.schema)
