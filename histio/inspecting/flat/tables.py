"""The flat tables of a kind, one for its records and one for each of its ledgers, and their rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from histio.inspecting.flat.columns import INTEGER, Column
from histio.kinds.table import Kind, Ledger, Table


@dataclass(frozen=True, slots=True, eq=False)
class FlatTable:
    """A flat table.

    Attributes:
        name: Its name: that of the kind's list in a document, and the path to the ledger.
        keys: The columns that say to which record an entry belongs, and its position in the ledger; empty:
            the records are runs or catalog rows.
        own: The columns of the members of a record.
        ledgers: The tables of the ledgers of its records, with the name of the member and the ledger.
    """

    name: str
    keys: tuple[Column, ...]
    own: tuple[Column, ...]
    ledgers: tuple[tuple[str, Ledger, FlatTable], ...] = field(repr=False)

    @property
    def file_stem(self) -> str:
        """The name without characters that names of files and sheets cannot have."""
        return re.sub(r"[^\w.-]", "_", self.name)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns."""
        return (*self.keys, *self.own)

    def all(self) -> Iterator[FlatTable]:
        """This table and those of its ledgers, at any depth."""
        yield self
        for _, _, below in self.ledgers:
            yield from below.all()

    def rows(self, record: Mapping[str, Any], *keys: Any) -> Iterator[tuple[FlatTable, list[Any]]]:
        """The rows of a valid *record* and of its ledger entries, each with its table; owners come first.

        Args:
            record: A record of this table, in JSON form.
            keys: The values of the key columns.
        """
        yield self, [*keys, *(column.read(record) for column in self.own)]
        for name, ledger, below in self.ledgers:
            # The first keys identify the run, whose own table does not have them.
            owner = keys or [column.read(record) for column in below.keys if column.member is not None]
            for position, entry in enumerate(ledger.to_list(record.get(name)), 1):
                yield from below.rows(entry, *owner, *([position] if ledger.many else []))


def plan_tables(kind: Kind) -> FlatTable:
    """The table of the records of *kind*, with those of its ledgers."""
    members = {column.member: column for column in _own_columns(kind.table)}
    identity = [members[name].renamed(f"{kind.name}_{name}") for name in kind.identity.names]
    return _plan(kind.table, kind.collection, (), identity)


def _plan(table: Table, name: str, keys: Sequence[Column], to_ledgers: Sequence[Column]) -> FlatTable:
    """The flat table of *table*; *to_ledgers* are the first keys of its ledgers."""
    own = _own_columns(table)
    return FlatTable(
        name,
        _unique(keys, own),
        own,
        tuple(_plan_ledger(ledger, table.names[ledger.member], name, to_ledgers) for ledger in table.ledgers),
    )


def _plan_ledger(
    ledger: Ledger, name: str, owner: str, keys: Sequence[Column]
) -> tuple[str, Ledger, FlatTable]:
    own = [Column(f"{name}_position", INTEGER)] if ledger.many else []
    keys = [*keys, *own]
    return name, ledger, _plan(ledger.table, f"{owner}.{name}", keys, keys)


def _own_columns(table: Table) -> tuple[Column, ...]:
    ledgers = {ledger.member for ledger in table.ledgers}
    fields = ((table.names[member], each) for member, each in table.fields.items() if member not in ledgers)
    return tuple(Column.of_field(name, each) for name, each in fields)


def _unique(keys: Sequence[Column], own: Sequence[Column]) -> tuple[Column, ...]:
    """The *keys*, with underscores after names that other columns have."""
    taken = {column.name.casefold() for column in own}
    found = []
    for key in keys:
        name = key.name
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        found.append(key.renamed(name))
    return tuple(found)
