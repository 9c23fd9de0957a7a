"""Hosts with ledgers of every sort, and pairs of versions of their runs."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio

RUN = "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11"
TEXT = sa.String(40)


class Base(orm.DeclarativeBase):
    pass


def key() -> Any:
    return mapped_column(primary_key=True)


def made_up_key() -> Any:
    """A key that does not grow."""
    return mapped_column(sa.String(36), primary_key=True, default=lambda: str(uuid.uuid4()))


def to(table: str) -> Any:
    return mapped_column(sa.ForeignKey(f"{table}.id"))


class Job(Base):
    """A run with a ledger of each sort."""

    __tablename__ = "jobs"
    id: Mapped[int] = key()
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    notes: Mapped[list[Note]] = relationship(cascade="all, delete-orphan")
    marks: Mapped[list[Mark]] = relationship(cascade="all, delete-orphan")
    steps: Mapped[list[Step]] = relationship(cascade="all, delete-orphan")
    stages: Mapped[list[Stage]] = relationship(cascade="all, delete-orphan")
    loose: Mapped[list[Loose]] = relationship(cascade="all, delete-orphan")
    seals: Mapped[list[Seal]] = relationship(cascade="all, delete-orphan")
    proof: Mapped[Proof | None] = relationship(cascade="all, delete-orphan")


class Note(Base):
    """Nothing but its position notes it apart."""

    __tablename__ = "notes"
    id: Mapped[int] = key()
    job_id: Mapped[int] = to("jobs")
    value: Mapped[int]
    more: Mapped[int | None]
    parts: Mapped[list[Part]] = relationship(cascade="all, delete-orphan")
    tokens: Mapped[list[Token]] = relationship(cascade="all, delete-orphan")


class Part(Base):
    """A step of an entry."""

    __tablename__ = "parts"
    id: Mapped[int] = key()
    note_id: Mapped[int] = to("notes")
    place: Mapped[int]
    value: Mapped[int]


class Token(Base):
    """An entry of an entry that nothing but its position notes apart."""

    __tablename__ = "tokens"
    id: Mapped[int] = key()
    note_id: Mapped[int] = to("notes")
    value: Mapped[int]


class Mark(Base):
    """Identified in its run, and recorded in an order of its own."""

    __tablename__ = "marks"
    id: Mapped[int] = key()
    job_id: Mapped[int] = to("jobs")
    code: Mapped[str] = mapped_column(TEXT)
    value: Mapped[int]


class Step(Base):
    """Ordered by its place, which several may share: these are in the order of their recording."""

    __tablename__ = "steps"
    id: Mapped[int] = key()
    job_id: Mapped[int] = to("jobs")
    place: Mapped[int]
    value: Mapped[int]
    more: Mapped[int | None]


class Stage(Base):
    """Identified in its run, and ordered as a step is."""

    __tablename__ = "stages"
    id: Mapped[int] = key()
    job_id: Mapped[int] = to("jobs")
    code: Mapped[str] = mapped_column(TEXT)
    place: Mapped[int]
    value: Mapped[int]


class Loose(Base):
    """Ordered by its place, and beyond that by its content."""

    __tablename__ = "loose"
    key: Mapped[str] = made_up_key()
    job_id: Mapped[int] = to("jobs")
    place: Mapped[int]
    value: Mapped[int]
    more: Mapped[int | None]


class Seal(Base):
    """Identified in its run, and ordered by that."""

    __tablename__ = "seals"
    key: Mapped[str] = made_up_key()
    job_id: Mapped[int] = to("jobs")
    code: Mapped[str] = mapped_column(TEXT)
    value: Mapped[int]


class Proof(Base):
    """The one entry of its ledger."""

    __tablename__ = "proofs"
    id: Mapped[int] = key()
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id"), unique=True)
    code: Mapped[str] = mapped_column(TEXT)
    value: Mapped[int]


def whole() -> histio.Integer:
    return histio.Integer(required=True)


def schema_of(model_: type[Any], meta: dict[str, Any], **members: Any) -> type[histio.RecordSchema]:
    names = {"Meta": type("Meta", (), {"model": model_} | meta)}
    return type(f"{model_.__name__}Schema", (histio.RecordSchema,), names | members)


def code() -> histio.Text:
    return histio.Text(required=True)


def more() -> histio.Integer:
    return histio.Integer(allow_none=True)


PartSchema = schema_of(Part, {"order": "place"}, place=whole(), value=whole())
TokenSchema = schema_of(Token, {}, value=whole())
NoteSchema = schema_of(
    Note,
    {},
    value=whole(),
    more=more(),
    parts=Nested(PartSchema, many=True),
    tokens=Nested(TokenSchema, many=True),
)
MarkSchema = schema_of(Mark, {"identity": "code"}, code=code(), value=whole())
StepSchema = schema_of(Step, {"order": "place"}, place=whole(), value=whole(), more=more())
StageSchema = schema_of(
    Stage, {"identity": "code", "order": "place"}, code=code(), place=whole(), value=whole()
)
LooseSchema = schema_of(
    Loose, {"order": "place", "exclude": ("key",)}, place=whole(), value=whole(), more=more()
)
SealSchema = schema_of(Seal, {"identity": "code", "exclude": ("key",)}, code=code(), value=whole())
ProofSchema = schema_of(Proof, {"identity": "code"}, code=code(), value=whole())


class JobSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Job, "job", "jobs", None

    uuid = histio.RunUUID(required=True)
    notes = Nested(NoteSchema, many=True)
    marks = Nested(MarkSchema, many=True)
    steps = Nested(StepSchema, many=True)
    stages = Nested(StageSchema, many=True)
    loose = Nested(LooseSchema, many=True)
    seals = Nested(SealSchema, many=True)
    proof = Nested(ProofSchema, allow_none=True)


class PlainBase(orm.DeclarativeBase):
    pass


class Plain(PlainBase):
    """A run that takes the fast path, with the same ledgers as far as that takes them."""

    __tablename__ = "jobs"
    id: Mapped[int] = key()
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    notes: Mapped[list[PlainNote]] = relationship(cascade="all, delete-orphan")
    marks: Mapped[list[PlainMark]] = relationship(cascade="all, delete-orphan")


class PlainNote(PlainBase):
    __tablename__ = "notes"
    id: Mapped[int] = key()
    job_id: Mapped[int] = to("jobs")
    value: Mapped[int]
    more: Mapped[int | None]


class PlainMark(PlainBase):
    __tablename__ = "marks"
    id: Mapped[int] = key()
    job_id: Mapped[int] = to("jobs")
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    value: Mapped[int]


class PlainSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Plain, "job", "jobs", None

    uuid = histio.RunUUID(required=True)
    notes = Nested(schema_of(PlainNote, {}, value=whole(), more=more()), many=True)
    marks = Nested(schema_of(PlainMark, {}, uuid=histio.RunUUID(required=True), value=whole()), many=True)


# --- what may be said of a run --------------------------------------------------------------------------

small = st.integers(1, 2)
codes = st.sampled_from("abcd")


def entries(members: dict[str, Any], *, optional: dict[str, Any] | None = None, by: str | None = None) -> Any:
    """Lists of entries: some leave *optional* members out; no two have the same value of *by*."""
    known = (lambda entry: entry[by]) if by is not None else None
    return st.lists(st.fixed_dictionaries(members, optional=optional), max_size=4, unique_by=known)


optional_member = {"more": small | st.none()}


def notes(*, complete: bool) -> Any:
    own = {
        "value": small,
        "parts": entries({"place": small, "value": small}),
        "tokens": entries({"value": small}),
    }
    return entries(own | optional_member) if complete else entries(own, optional=optional_member)


def ledgers(*, complete: bool) -> dict[str, Any]:
    """The ledgers of a job; the entries of *complete* ones leave nothing out."""
    placed = {"place": small, "value": small}
    more = entries(placed | optional_member) if complete else entries(placed, optional=optional_member)
    return {
        "notes": notes(complete=complete),
        "marks": entries({"code": codes, "value": small}, by="code"),
        "steps": more,
        "stages": entries({"code": codes} | placed, by="code"),
        "loose": more,
        "seals": entries({"code": codes, "value": small}, by="code"),
        "proof": st.none() | st.fixed_dictionaries({"code": codes, "value": small}),
    }


def plain_ledgers() -> dict[str, Any]:
    """The ledgers of a run that takes the fast path."""
    return {
        "notes": entries({"value": small} | optional_member),
        "marks": entries({"uuid": codes, "value": small}, by="uuid"),
    }


def identified(number: int, version: dict[str, Any]) -> dict[str, Any]:
    """A *version* of the run of this *number*; its codes become UUIDs where entries are to have such."""
    marks = [
        mark | ({"uuid": f"{RUN[:-2]}{mark['uuid']}{number:x}"} if "uuid" in mark else {})
        for mark in version.get("marks", ())
    ]
    return {"uuid": f"{RUN[:-1]}{number:x}"} | version | ({"marks": marks} if "marks" in version else {})


@st.composite
def versions(draw: Any, ledgers: dict[str, Any], *, may_lack: bool) -> tuple[Any, Any]:
    """A run as it is stored, and as a file has it: nothing differs, or a ledger, or the order of entries.

    Where it *may_lack* one, the file leaves out a ledger.
    """
    stored = draw(st.fixed_dictionaries(ledgers))
    other = dict(stored)
    for name in draw(st.lists(st.sampled_from(list(ledgers)), max_size=2, unique=True)):
        entries = stored[name]
        if not isinstance(entries, list) or draw(st.integers(0, 3)) == 0:
            other[name] = draw(ledgers[name])
        elif draw(st.booleans()) or not entries:
            other[name] = draw(st.permutations(entries))
        else:
            place = draw(st.integers(0, len(entries) - 1))
            other[name] = [*entries[:place], *entries[place + 1 :]]
    if may_lack and draw(st.booleans()):
        del other[draw(st.sampled_from(list(ledgers)))]
    return stored, other
