"""What a scaffold makes of ledgers, and of columns that it cannot bind."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from histio import History
from histio.scaffold import scaffold
from tests.test_columns import Guid
from tests.test_scaffold import run

ONE = uuid.UUID(int=1)


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


def number():
    return sa.Column(sa.Integer, primary_key=True)


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
    assert (
        '            "a",  # RunUUID would identify entries by it, and it takes nulls' in source.splitlines()
    )
