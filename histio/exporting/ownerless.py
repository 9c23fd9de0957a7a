"""Find rows of ledgers that belong to no run, so that no export contains them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper

from histio.database.dialects import stored_text
from histio.kinds.mapping import attribute, key_attributes
from histio.kinds.table import Kind, Ledger
from histio.pointer import pointer
from histio.report import Problem


class _Place(NamedTuple):
    """A ledger, its kind of run, and the names that lead to it in a record."""

    kind: Kind
    ledger: Ledger
    names: tuple[str, ...]


def find_ownerless(connection: Connection, kinds: Iterable[Kind]) -> Iterator[Problem]:
    """Yield a warning for each row of a ledger without owner: its foreign key is NULL, or names no row.

    One statement for each table of entries. A row of a table that several ledgers share needs one owner.
    """
    places: dict[Mapper[Any], list[_Place]] = {}
    for place in _places(kinds):
        places.setdefault(place.ledger.table.mapper, []).append(place)
    for mapper in {kind.table.mapper for kind in kinds}:
        places.pop(mapper, None)  # its rows are runs of their own
    for mapper, sharing in places.items():
        # Whether a row to which its owner has the foreign key should have one, the database does not say.
        if not any(place.ledger.owner_has_key for place in sharing):
            yield from _ownerless_rows(connection, mapper, sharing)


def _places(kinds: Iterable[Kind]) -> Iterator[_Place]:
    for kind in kinds:
        for path, _ in kind.table.paths():
            if path:
                yield _Place(kind, path[-1], tuple(kind.table.path_names(path)))


def _ownerless_rows(connection: Connection, mapper: Mapper[Any], sharing: list[_Place]) -> Iterator[Problem]:
    """Yield a warning for each row of *mapper* that has an owner in none of the ledgers *sharing* them."""
    ledgers = [place.ledger for place in sharing]
    keys = key_attributes(mapper)
    ties = list({tie.key: tie for each in ledgers for _, tie in _ties(mapper, each)}.values())
    meant = (sa.and_(sa.true(), *each.constant_conditions(mapper.class_)) for each in ledgers)
    rows = sa.select(*(stored_text(connection.dialect, each) for each in (*keys, *ties)))
    rows = rows.where(sa.or_(*meant), *(sa.not_(_has_owner(mapper, each)) for each in ledgers))
    kind, _, names = sharing[0]
    for row in connection.execute(rows):
        at = ", ".join(f"{key.key} {value}" for key, value in zip(keys, row, strict=False))
        named = (
            f"{tie.key} is {'NULL' if value is None else value}"
            for tie, value in zip(ties, row[len(keys) :], strict=True)
        )
        text = f"{kind.name}: the row of {'.'.join(names)} with {at} has no owner: {' and '.join(named)}."
        yield Problem("warning", "audit", text, pointer(*names), kind.name)


def _ties(mapper: Mapper[Any], ledger: Ledger) -> Iterator[tuple[sa.Column[Any], Any]]:
    """The columns of the owner, and the attributes of the entry's model that are equal to them."""
    for local, remote in zip(ledger.relation.local, ledger.relation.remote, strict=True):
        yield local, attribute(mapper, remote)


def _has_owner(mapper: Mapper[Any], ledger: Ledger) -> sa.ColumnElement[bool]:
    """The condition for rows of *mapper* that *ledger* has in the record of some row."""
    owner = ledger.relation.local[0].table.alias()
    tied = (owner.c[local.key] == tie for local, tie in _ties(mapper, ledger))
    return sa.exists().where(*tied, *ledger.constant_conditions(mapper.class_))
