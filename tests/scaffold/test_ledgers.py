"""What a scaffold makes of ledgers, and of columns that it cannot bind."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from histio import History
from histio.scaffold import scaffold
from tests.support.columns import Guid
from tests.support.scaffolds import Shape, run

ONE = uuid.UUID(int=1)


def number():
    return sa.Column(sa.Integer, primary_key=True)


class Base(orm.DeclarativeBase):
    pass


def owner_of(**columns):
    """A model with a ledger whose entries have *columns*, and the model of the ledger."""
    base = orm.declarative_base()
    key = {} if any(column.primary_key for column in columns.values()) else {"id": number()}
    owner_id = sa.Column(sa.ForeignKey("owners.id"), nullable=False)
    entry = type("Entry", (base,), {"__tablename__": "entries", "owner_id": owner_id, **key, **columns})

    class Owner(base):
        __tablename__ = "owners"
        id = number()
        name = sa.Column(sa.String(20), unique=True, nullable=False)
        entries = orm.relationship(entry)

    return Owner, entry


KEY = {"primary_key": True}
UNIQUE = {"unique": True, "nullable": False}
GIVEN = {"nullable": False}


@pytest.mark.parametrize(
    ("first", "second", "line", "identity"),
    [
        (("id", sa.Uuid(), KEY), ("item", sa.Uuid(), {}), "item = RunUUID(allow_none=True)", ["id"]),
        (("a", sa.Uuid(), GIVEN), ("b", sa.Uuid(), UNIQUE), "b = RunUUID(required=True)", ["b"]),
        (("a", sa.Uuid(), {}), ("b", sa.Uuid(), GIVEN), "b = UUID(required=True)", []),
        (("a", sa.Uuid(), {}), ("uuid", sa.String(36), {}), "uuid = Text(allow_none=True)", []),
    ],
    ids=["the key", "a unique one", "none is unique", "text"],
)
def test_a_uuid_identifies_an_entry_only_where_it_is_unique(sqlite_of, first, second, line, identity):
    columns = {name: sa.Column(kind, **options) for name, kind, options in (first, second)}
    owner, entry = owner_of(**columns)
    binding = run(source := scaffold(owner), Owner=owner, Entry=entry)
    assert f"    {line}" in source.splitlines()
    ledger = source[: source.index("class OwnerSchema")]
    assert [text for text in ledger.splitlines() if " identity" in text] == [
        f'        identity = "{name}"' for name in identity
    ]
    rows = owner(name="ann", entries=[entry(**{first[0]: ONE, second[0]: value_of(second[1])})])
    document = History(sqlite_of(owner.metadata, rows), binding.OwnerSchema).export_document()
    assert document["owners"][0]["entries"] == [dict.fromkeys(columns, str(ONE))]
    other = History(sqlite_of(owner.metadata, number=1), binding.OwnerSchema)
    assert other.import_document(document).problems == ()
    assert other.export_document()["owners"] == document["owners"]


def value_of(kind):
    """What a row has in a column of this *kind*."""
    return kind.python_type(str(ONE))


def test_a_uuid_that_nothing_but_a_run_uuid_keeps_identifies_entries_or_is_left_out():
    of = {"a": sa.Column(sa.Uuid(as_uuid=False)), "b": sa.Column(Guid(), **GIVEN)}
    assert '        identity = "b"  # not unique in the database' in scaffold(owner_of(**of)[0]).splitlines()
    source = scaffold(owner_of(a=sa.Column(sa.Uuid(as_uuid=False)))[0])
    assert '"a",  # RunUUID would identify entries by it, and it may be missing' in source


class Document(Base):
    """Its key is of a type that no field keeps."""

    __tablename__ = "documents"
    id = sa.Column(Shape(), primary_key=True)


class Plan(Base):
    __tablename__ = "plans"
    id = number()
    code = sa.Column(sa.String(20), unique=True, nullable=False)
    site_document_id = sa.Column(sa.ForeignKey(Document.id), nullable=False)
    other_document_id = sa.Column(sa.ForeignKey(Document.id))
    other_document = orm.relationship(Document, foreign_keys=other_document_id)
    outline = sa.Column(Shape(), nullable=False)
    rooms = orm.relationship("Room")


class Room(Base):
    __tablename__ = "rooms"
    id = number()
    outline = sa.Column(Shape(), nullable=False)
    plan_id = sa.Column(sa.ForeignKey(Plan.id), nullable=False)


class Area(Base):
    __tablename__ = "areas"
    id = number()
    name = sa.Column(sa.String(20), unique=True, nullable=False)


NEEDED = "        # An import needs a field or values= for what is NOT NULL: "


@pytest.mark.parametrize(
    "line",
    [
        f"{NEEDED}site_document_id, outline.",
        f"{NEEDED}outline.",
        '            "outline",  # auto_field() has no field for Shape(): its values are not JSON',
        '            "site_document_id",  # documents.id: a Shape() cannot be a key',
        '            "other_document_id",  # documents.id: a Shape() cannot be a key',
        "    rooms = Nested(RoomSchema, many=True)",
    ],
    ids=["of a run", "of a ledger", "a column", "a foreign key", "over a relationship", "the ledger stays"],
)
def test_what_no_field_keeps_is_left_out_by_its_attribute(line):
    source = scaffold(Plan, Area)
    assert [each for each in source.splitlines() if each.startswith(line)] != []
    assert run(source).history.kinds == ("plan", "area")


def test_the_rest_of_a_table_with_a_column_that_no_field_keeps_is_imported(sqlite_of):
    binding = run(scaffold(Plan, Area))
    kinds = (binding.PlanSchema, binding.AreaSchema)
    engine = sqlite_of(Base.metadata, Document(id="d"))
    document = History(engine, *kinds).export_document()
    document |= {"plans": [{"code": "p", "rooms": [{}]}], "areas": [{"name": "north"}]}
    values = {"outline": "o", "site_document_id": "d"}
    report = History(engine, *kinds, values=values).import_document(document)
    assert (report.imported, report.problems) == (2, ())
