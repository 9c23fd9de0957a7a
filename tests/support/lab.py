"""A laboratory: a host whose runs and entries are identified, and ordered, by several members together."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio

TIME = "2025-12-10T00:00:00Z"


class Base(orm.DeclarativeBase):
    pass


Name = sa.String(40).with_variant(sa.String(40, collation="utf8mb4_general_ci"), "mysql", "mariadb")
Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


class Project(Base):
    __tablename__ = "projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(Name)


class Sample(Base):
    """Identified by two columns of its own, which are its primary key."""

    __tablename__ = "samples"
    site: Mapped[str] = mapped_column(Name, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str | None] = mapped_column(sa.String(40))
    readings: Mapped[list[Reading]] = relationship(cascade="all, delete-orphan")


class Reading(Base):
    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(Name)
    number: Mapped[int]
    key: Mapped[str] = mapped_column(sa.String(40))
    step: Mapped[int | None]
    value: Mapped[int]
    __table_args__ = (sa.ForeignKeyConstraint(["site", "number"], ["samples.site", "samples.number"]),)


class Study(Base):
    """Identified by the project that it belongs to, and a number there."""

    __tablename__ = "studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(sa.ForeignKey(Project.id))
    number: Mapped[int]
    began: Mapped[dt.datetime] = mapped_column(Moment)
    title: Mapped[str] = mapped_column(sa.String(40))
    base_id: Mapped[int | None] = mapped_column(sa.ForeignKey("studies.id"))
    site: Mapped[str | None] = mapped_column(Name)
    sample_number: Mapped[int | None]
    project: Mapped[Project] = relationship()
    base: Mapped[Study | None] = relationship(remote_side=[id])
    sample: Mapped[Sample | None] = relationship()
    trials: Mapped[list[Trial]] = relationship(cascade="all, delete-orphan")
    __table_args__ = (
        sa.UniqueConstraint("project_id", "number", name="uq_study"),
        sa.ForeignKeyConstraint(["site", "sample_number"], ["samples.site", "samples.number"]),
    )


class Trial(Base):
    """Identified in its study by two columns, which order it as well."""

    __tablename__ = "trials"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey(Study.id))
    phase: Mapped[str] = mapped_column(sa.String(40))
    attempt: Mapped[int]
    score: Mapped[int]
    values: Mapped[list[Value]] = relationship(cascade="all, delete-orphan")
    __table_args__ = (sa.UniqueConstraint("study_id", "phase", "attempt"),)


class Value(Base):
    __tablename__ = "trial_values"
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(sa.ForeignKey(Trial.id))
    value: Mapped[int]


class Review(Base):
    """Identified by the study that it is of, whose identity has two parts itself, and a letter."""

    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey(Study.id))
    letter: Mapped[str] = mapped_column(sa.String(40))
    verdict: Mapped[str] = mapped_column(sa.String(40))
    study: Mapped[Study] = relationship()
    __table_args__ = (sa.UniqueConstraint("study_id", "letter"),)


class Visit(Base):
    """Identified as a study is; nothing about it keeps an export from the fast path."""

    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(sa.ForeignKey(Project.id))
    number: Mapped[int]
    began: Mapped[dt.datetime] = mapped_column(Moment)
    project: Mapped[Project] = relationship()
    notes: Mapped[list[Note]] = relationship(cascade="all, delete-orphan")
    __table_args__ = (sa.UniqueConstraint("project_id", "number"),)


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    visit_id: Mapped[int] = mapped_column(sa.ForeignKey(Visit.id))
    text: Mapped[str] = mapped_column(sa.String(40))


class ReadingSchema(histio.RecordSchema):
    class Meta:
        model, order = Reading, ("key", "step")

    key = histio.Text(required=True)
    step = histio.Integer(allow_none=True)
    value = histio.Integer(required=True)


class SampleSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Sample, "sample", "samples", None
        identity = ("site", "number")

    site = histio.Text(required=True)
    number = histio.Integer(required=True)
    note = histio.Text(allow_none=True)
    readings = Nested(ReadingSchema, many=True)


class ValueSchema(histio.RecordSchema):
    class Meta:
        model = Value

    value = histio.Integer(required=True)


class TrialSchema(histio.RecordSchema):
    class Meta:
        model = Trial
        identity = order = ("phase", "attempt")

    phase = histio.Text(required=True)
    attempt = histio.Integer(required=True)
    score = histio.Integer(required=True)
    values = Nested(ValueSchema, many=True)


class StudySchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Study, "study", "studies", "began"
        identity = ("project", "number")

    project = histio.Slug("project", required=True)
    number = histio.Integer(required=True)
    began = histio.UtcTimestamp(required=True)
    title = histio.Text(required=True)
    base = histio.RunRef("base", key=("project.slug", "number"), allow_none=True)
    sample = histio.Slug("sample", key=("site", "number"), allow_none=True)
    trials = Nested(TrialSchema, many=True)


class ReviewSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Review, "review", "reviews", None
        identity = ("study", "letter")

    study = histio.RunRef("study", key=("project.slug", "number"), required=True)
    letter = histio.Text(required=True)
    verdict = histio.Text(required=True)


class NoteSchema(histio.RecordSchema):
    class Meta:
        model = Note

    text = histio.Text(required=True)


class VisitSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Visit, "visit", "visits", "began"
        identity = ("project", "number")

    project = histio.Slug("project", required=True)
    number = histio.Integer(required=True)
    began = histio.UtcTimestamp(required=True)
    notes = Nested(NoteSchema, many=True)


KINDS = (ReviewSchema, StudySchema, SampleSchema)
PROJECTS = ("acme", "beta", "Acme", "a b", 'q"', "ée")


def catalog(*, backwards: bool = False) -> list[Any]:
    """Projects, with row ids that depend on the direction."""
    return [Project(slug=slug) for slug in (reversed(PROJECTS) if backwards else PROJECTS)]


def reading(key: str = "mass", step: int | None = 1, value: int = 5) -> dict[str, Any]:
    """The record of a reading."""
    return {"key": key, "step": step, "value": value}


def sample(site: str = "north", number: int = 1, **members: Any) -> dict[str, Any]:
    """The record of a sample."""
    return {"site": site, "number": number, "note": None, "readings": [reading()]} | members


def trial(phase: str = "first", attempt: int = 1, **members: Any) -> dict[str, Any]:
    """The record of a trial."""
    return {"phase": phase, "attempt": attempt, "score": 3, "values": [{"value": 2}, {"value": 1}]} | members


def study(project: str = "acme", number: int = 1, **members: Any) -> dict[str, Any]:
    """The record of a study."""
    record = {"project": project, "number": number, "began": "2025-12-01T10:00:00Z", "title": "A study"}
    return record | {"base": None, "sample": None, "trials": [trial()]} | members


def named(project: str = "acme", number: int = 1) -> dict[str, Any]:
    """A study, as others name it."""
    return {"project.slug": project, "number": number}


def review(project: str = "acme", number: int = 1, letter: str = "a", **members: Any) -> dict[str, Any]:
    """The record of a review."""
    return {"study": named(project, number), "letter": letter, "verdict": "fine"} | members


def visit(project: str = "acme", number: int = 1, **members: Any) -> dict[str, Any]:
    """The record of a visit."""
    record = {"project": project, "number": number, "began": "2025-12-01T10:00:00Z"}
    return record | {"notes": [{"text": "z"}, {"text": "a"}]} | members


def document(*studies: dict[str, Any], samples: Any = (), reviews: Any = ()) -> dict[str, Any]:
    """A document of these records, as they stand."""
    head = {"version": "1.0", "exported_at": TIME}
    return head | {"samples": [*samples], "studies": [*studies], "reviews": [*reviews]}


def visits(*records: dict[str, Any]) -> dict[str, Any]:
    """A document of these visits."""
    return {"version": "1.0", "exported_at": TIME, "visits": [*records]}
