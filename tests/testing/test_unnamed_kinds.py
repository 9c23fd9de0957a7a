"""The conformance kit on kinds that say no more than their names, or have few runs."""

from __future__ import annotations

import itertools

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import History
from tests.support.conformance import check_host


class Base(orm.DeclarativeBase):
    pass


class Label(Base):
    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(sa.ForeignKey("boxes.id"))
    name: Mapped[str] = mapped_column(sa.String(20))


class Box(Base):
    __tablename__ = "boxes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    things: Mapped[list[Thing]] = relationship()
    spares: Mapped[list[Spare]] = relationship()


class Spare(Base):
    __tablename__ = "spares"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(sa.ForeignKey("boxes.id"))
    name: Mapped[str] = mapped_column(sa.String(20))


class LabelSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Label, "label", "labels", None, "name"

    name = histio.Text(required=True)


class ThingSchema(histio.AutoRecordSchema):
    class Meta:
        model = Thing


class SpareSchema(histio.AutoRecordSchema):
    class Meta:
        model = Spare


class BoxSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Box, "box", "boxes", None, "name"

    name = histio.Text(required=True)
    things = Nested(ThingSchema, many=True)
    spares = Nested(SpareSchema, many=True)


NUMBERS = itertools.count()


def make_runs(session, count):
    session.add_all(Label(name=f"label {number}") for number in itertools.islice(NUMBERS, count))


@pytest.mark.slow
def test_runs_that_differ_in_their_identity_alone_are_runs_enough(create):
    check_host(History(create(Base.metadata), LabelSchema), make_runs=make_runs)


def make_labels_and_boxes(session, count):
    """Eight labels, and then boxes."""
    for place in range(count):
        name = f"number {next(NUMBERS)}"
        box = Box(name=name, things=[Thing(name=name)], spares=[Spare(name=name)])
        session.add(Label(name=name) if place < 8 else box)


@pytest.mark.slow
def test_statements_are_not_compared_with_those_for_no_run_at_all(create):
    history = History(create(Base.metadata), LabelSchema, BoxSchema)
    skipped = check_host(history, make_runs=make_labels_and_boxes)
    assert any("box" in line for line in skipped)
