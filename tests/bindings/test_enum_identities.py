"""Runs and entries that enums identify or order: databases sort these by their place in the declaration."""

from __future__ import annotations

import datetime as dt
import enum

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import Choice, History, Integer, Text
from histio.tuning import tuning

MOMENT = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


class Base(orm.DeclarativeBase):
    pass


class Period(enum.Enum):
    """Neither the names nor the values are in order."""

    WEEK = "A"
    DAY = "b"
    hour = "Z"


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    schedule_id: Mapped[int] = mapped_column(sa.ForeignKey("schedules.id"))
    period: Mapped[Period]


class Schedule(Base):
    __tablename__ = "schedules"
    id: Mapped[int] = mapped_column(primary_key=True)
    every: Mapped[int]
    period: Mapped[Period]
    tasks: Mapped[list[Task]] = relationship()


class Tariff(Base):
    __tablename__ = "tariffs"
    id: Mapped[int] = mapped_column(primary_key=True)
    period: Mapped[Period] = mapped_column(
        sa.Enum(Period, name="rate", values_callable=lambda rates: [each.value for each in rates]),
        unique=True,
    )


class TaskSchema(histio.RecordSchema):
    class Meta:
        model, order = Task, "period"

    period = Choice(required=True)


class ScheduleSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Schedule, "schedule", "schedules", None
        identity = ("every", "period")

    every = Integer(required=True)
    period = Choice(required=True)
    tasks = Nested(TaskSchema, many=True)


class TariffSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Tariff, "tariff", "tariffs", None, "period"

    period = Choice(required=True)


KINDS = (ScheduleSchema, TariffSchema)
SCHEDULES = [(every, period) for every in range(tuning().page) for period in ("DAY", "WEEK", "hour")]


@pytest.fixture
def document(create):
    """What one database exports: more runs than a page has."""
    rows = [
        Schedule(every=every, period=period, tasks=[Task(period=each) for each in Period])
        for every in range(tuning().page)
        for period in Period
    ]
    engine = create(Base.metadata, *rows, *(Tariff(period=period) for period in Period))
    return History(engine, *KINDS).export_document(exported_at=MOMENT)


def test_runs_are_sorted_by_the_text_of_an_enum_on_every_database(document):
    assert [(each["every"], each["period"]) for each in document["schedules"]] == SCHEDULES
    assert [each["period"] for each in document["tariffs"]] == ["A", "Z", "b"]


def test_entries_are_sorted_by_the_text_of_an_enum_on_every_database(document):
    [orders] = {tuple(each["period"] for each in run["tasks"]) for run in document["schedules"]}
    assert orders == ("DAY", "WEEK", "hour")


@pytest.mark.thorough
def test_runs_that_enums_identify_are_imported_verified_and_exported_again(document, create, tmp_path):
    history = History(create(Base.metadata, number=1), *KINDS)
    assert history.import_document(document).imported == len(SCHEDULES) + 3
    assert history.import_document(document, on_duplicate="verify").skipped == len(SCHEDULES) + 3
    assert history.export_document(exported_at=MOMENT) == document
    history.export_file(tmp_path / "schedules.jsonl")
    assert list(histio.diff(tmp_path / "schedules.jsonl", history)) == []


def test_runs_are_sorted_by_text_that_postgresql_compares_without_case(databases):
    base = orm.declarative_base()

    class User(base):
        __tablename__ = "users"
        id = sa.Column(sa.Integer, primary_key=True)
        mail = sa.Column(postgresql.CITEXT, unique=True, nullable=False)

    class UserSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = User, "user", "users", None, "mail"

        mail = Text(required=True)

    engine = databases("postgresql", 50)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS citext")
    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([User(mail=mail) for mail in ("b", "C", "a")])
        session.commit()
    assert [run["mail"] for run in History(engine, UserSchema).iter_runs("user")] == ["C", "a", "b"]
