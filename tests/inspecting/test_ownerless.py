"""An audit of a database names the rows of ledgers that belong to no run."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import History, cli
from tests.support.bakery import document, number, production_run


class Base(orm.DeclarativeBase):
    pass


def key():
    return mapped_column(primary_key=True)


def to(name):
    """A column like a foreign key that no database enforces."""
    return mapped_column(sa.Integer, nullable=True)


class Bake(Base):
    __tablename__ = "bakes"
    id: Mapped[int] = key()
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    steps: Mapped[list[Step]] = relationship(primaryjoin="Bake.id == foreign(Step.bake_id)")
    notes: Mapped[list[Note]] = relationship(
        primaryjoin="and_(Bake.id == foreign(Note.owner_id), Note.owner == 'bake')"
    )


class Roast(Base):
    __tablename__ = "roasts"
    id: Mapped[int] = key()
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    steps: Mapped[list[Step]] = relationship(primaryjoin="Roast.id == foreign(Step.roast_id)")
    notes: Mapped[list[Note]] = relationship(
        primaryjoin="and_(Roast.id == foreign(Note.owner_id), Note.owner == 'roast')", overlaps="notes"
    )


class Step(Base):
    """A step of a bake or of a roast."""

    __tablename__ = "steps"
    id: Mapped[int] = key()
    bake_id: Mapped[int | None] = to("bakes")
    roast_id: Mapped[int | None] = to("roasts")
    name: Mapped[str] = mapped_column(sa.String(40))
    measures: Mapped[list[Measure]] = relationship(primaryjoin="Step.id == foreign(Measure.step_id)")


class Measure(Base):
    """An entry of a ledger's ledger."""

    __tablename__ = "measures"
    id: Mapped[int] = key()
    step_id: Mapped[int | None] = to("steps")
    value: Mapped[int]


class Note(Base):
    """A note on anything."""

    __tablename__ = "notes"
    id: Mapped[int] = key()
    owner: Mapped[str] = mapped_column(sa.String(40))
    owner_id: Mapped[int | None] = to("bakes")
    text: Mapped[str] = mapped_column(sa.String(40))


class MeasureSchema(histio.RecordSchema):
    class Meta:
        model = Measure

    value = histio.Integer(required=True)


class StepSchema(histio.RecordSchema):
    class Meta:
        model = Step
        exclude = ("bake_id", "roast_id")

    name = histio.Text(required=True)
    measures = Nested(MeasureSchema, many=True)


class NoteSchema(histio.RecordSchema):
    class Meta:
        model = Note

    text = histio.Text(required=True)


class BakeSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Bake, "bake", "bakes", None

    uuid = histio.RunUUID(required=True)
    steps = Nested(StepSchema, many=True)
    notes = Nested(NoteSchema, many=True)


class RoastSchema(BakeSchema):
    class Meta:
        model, kind, collection, timestamp = Roast, "roast", "roasts", None


ROWS = {
    Bake: [{"id": 1, "uuid": number(1)}],
    Roast: [{"id": 2, "uuid": number(2)}],
    Step: [
        {"id": 1, "bake_id": 1, "roast_id": None, "name": "a"},
        {"id": 2, "bake_id": None, "roast_id": 2, "name": "b"},
        {"id": 3, "bake_id": None, "roast_id": None, "name": "of neither"},
        {"id": 4, "bake_id": 2, "roast_id": 1, "name": "of one that is gone"},
    ],
    Measure: [
        {"id": 1, "step_id": 1, "value": 1},
        {"id": 2, "step_id": 9, "value": 1},
        {"id": 3, "step_id": None, "value": 1},
    ],
    Note: [
        {"id": 1, "owner": "bake", "owner_id": 1, "text": "a"},
        {"id": 2, "owner": "roast", "owner_id": 2, "text": "b"},
        {"id": 3, "owner": "bake", "owner_id": 2, "text": "of a roast's id"},
        {"id": 4, "owner": "cow", "owner_id": 7, "text": "of something else"},
    ],
}
FOUND = {
    "bake: the row of steps with id 3 has no owner: bake_id is NULL and roast_id is NULL.": "/steps",
    "bake: the row of steps with id 4 has no owner: bake_id is 2 and roast_id is 1.": "/steps",
    "bake: the row of steps.measures with id 2 has no owner: step_id is 9.": "/steps/measures",
    "bake: the row of steps.measures with id 3 has no owner: step_id is NULL.": "/steps/measures",
    "bake: the row of notes with id 3 has no owner: owner_id is 2.": "/notes",
}


def test_rows_without_owner_are_named_by_an_audit_of_any_database(create):
    engine = create(Base.metadata)
    with engine.begin() as connection:
        for model, rows in ROWS.items():
            connection.execute(sa.insert(model), rows)
    found = list(histio.audit(History(engine, BakeSchema, RoastSchema)))
    assert {problem.message: problem.pointer for problem in found} == FOUND
    assert {(problem.severity, problem.code, problem.kind) for problem in found} == {
        ("warning", "audit", "bake")
    }


def test_the_command_line_names_them(sqlite, capsys):
    History(sqlite).import_document(document(production_run(1)))
    with sqlite3.connect(sqlite.url.database) as client:  # which enforces no foreign keys
        client.execute("UPDATE production_consumptions SET production_run_id = 99")
    assert cli.main(["audit", "--strict", "--url", sqlite.url.render_as_string()]) == 1
    assert "consumptions with id 1 has no owner: production_run_id is 99." in capsys.readouterr().out
