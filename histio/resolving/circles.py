"""Find circles of references, and the rows that can be written before those that they refer to."""

from __future__ import annotations

import functools
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from histio.database.dialects import can_defer
from histio.kinds.column_types import is_decorated
from histio.kinds.table import Kind, Links, Reference, Table
from histio.report import Problem


@dataclass(frozen=True, slots=True)
class Blank:
    """Values for the columns of a reference while the row that it refers to does not exist yet.

    Attributes:
        values: By column key, a function that returns a value.
        is_null: Whether the values are null. False: the constraint has to be deferred until the row exists.
    """

    values: Mapping[str, Callable[[], Any]]
    is_null: bool

    def make(self) -> dict[str, Any]:
        """Values for one row."""
        return {key: make() for key, make in self.values.items()}


def blank_of(table: Table, reference: Reference | Links, dialect: sa.Dialect) -> Blank | None:
    """The `Blank` for a *reference* of runs; None: the row that it refers to has to be written first.

    It is null if a column is nullable. Otherwise, if the constraint can be deferred, it has values that no
    row has.
    """
    taken = {*table.columns.values(), *table.identity_columns, *table.mapper.primary_key}
    taken.update(
        column for each in table.references if each is not reference for column in each.relation.local
    )
    columns = [column for column in reference.relation.local if column not in taken]
    values = {column.key: make for column in columns if (make := _stand_in(column, dialect)) is not None}
    is_null = any(column.nullable for column in columns)
    if len(values) < len(columns) or not (is_null or (columns and _may_defer(columns, dialect))):
        return None
    return Blank(values, is_null)


def _stand_in(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[], Any] | None:
    """A function that returns values for *column*: null, or values that no row has; None: there is none."""
    if column.nullable:
        return lambda: None
    match None if is_decorated(column.type, dialect) else column.type:
        case sa.Integer():
            return functools.partial(next, itertools.count(-1, -1))
        case sa.Uuid(as_uuid=as_uuid):
            return uuid.uuid4 if as_uuid else lambda: str(uuid.uuid4())
        case sa.String(length=length):
            return lambda: uuid.uuid4().hex[:length]
    return None


def _may_defer(columns: Sequence[sa.Column[Any]], dialect: sa.Dialect) -> bool:
    keys = {key.constraint for column in columns for key in column.foreign_keys} - {None}
    return all(can_defer(constraint, dialect) for constraint in keys)


def find_reachable(kinds: Sequence[Kind], refers: Callable[[Kind, Kind], bool]) -> dict[Kind, set[Kind]]:
    """The kinds that each of *kinds* refers to, directly or through other kinds.

    *refers* says whether a kind refers directly to another, or to itself.
    """
    found = {kind: {other for other in kinds if refers(kind, other)} for kind in kinds}
    for between, kind in itertools.product(kinds, kinds):
        if between in found[kind]:
            found[kind] |= found[between]
    return found


def stuck_kinds(kinds: Sequence[Kind], dialect: sa.Dialect) -> dict[Kind, list[str]]:
    """The kinds whose runs no import can write to a database of *dialect*, with the columns that prevent it.

    Their runs refer to each other, or to themselves, in a circle, so that none can be written first.
    """
    hard = {
        (kind, other): list(_hard_columns(kind, other, dialect))
        for kind, other in itertools.product(kinds, kinds)
    }
    from_each = find_reachable(kinds, lambda kind, other: bool(hard[kind, other]))
    return {
        kind: [
            name for other in kinds if kind in from_each[other] or other is kind for name in hard[kind, other]
        ]
        for kind in kinds
        if kind in from_each[kind]
    }


def _hard_columns(kind: Kind, other: Kind, dialect: sa.Dialect) -> Iterator[str]:
    """The columns by which every run of *kind* refers to a run of *other* that has to be written first."""
    for table, named in kind.refers_to(other):
        if table is not kind.table or isinstance(named, Links):
            continue
        needed = not any(column.nullable for column in named.relation.local)
        if needed and blank_of(table, named, dialect) is None:
            yield from map(str, named.relation.local)


def circle_warnings(kinds: Sequence[Kind], dialect: sa.Dialect) -> Iterator[Problem]:
    """A warning for each of *kinds* whose runs no import can write.

    Args:
        kinds: The kinds of the exported runs and catalog rows.
        dialect: The dialect of a database that would import them.
    """
    for kind, columns in stuck_kinds(kinds, dialect).items():
        run = "row" if kind.is_catalog else "run"
        text = (
            f"No import can write these {run}s: each refers to a {run} in a circle, by {', '.join(columns)}, "
            "which is NOT NULL and has no deferrable constraint"
        )
        yield Problem("warning", "constraint", text, kind=kind.name)
