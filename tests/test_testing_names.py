"""The conformance kit on a kind that says no more than its name."""

from __future__ import annotations

import itertools

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

import histio
from histio import History, testing


class Base(orm.DeclarativeBase):
    pass


class Label(Base):
    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class LabelSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Label, "label", "labels", None, "name"

    name = histio.Text(required=True)


NUMBERS = itertools.count()


def make_runs(session, count):
    session.add_all(Label(name=f"label {number}") for number in itertools.islice(NUMBERS, count))


def test_runs_that_differ_in_their_identity_alone_are_runs_enough(create):
    testing.check_host(History(create(Base.metadata), LabelSchema), make_runs=make_runs)
