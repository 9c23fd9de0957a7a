"""Find the indexes that a database lacks, without which exports and imports read whole tables."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import create_index, stored_indexes
from histio.kinds.table import Kind

_Columns: TypeAlias = Sequence[sa.Column[Any]]


def explain_missing_indexes(connection: Connection, kind: Kind, scope: Collection[Any]) -> list[str]:
    """A line for each index that *kind* needs and the database lacks: what that costs, and how to create it.

    Args:
        connection: To the database.
        kind: The kind of run.
        scope: Columns that identify a run together with its identity: an index may begin with them.
    """
    lines: dict[tuple[sa.Column[Any], ...], str] = {}
    for columns, cost in _needed(kind):
        stored = stored_indexes(connection, columns[0].table)
        if stored is None or columns in lines or _is_served(columns, scope, stored, cost):
            continue
        names = ", ".join(column.name for column in columns)
        where = f"no index of {columns[0].table.name} begins with {names}"
        lines[columns] = f"{kind.name}: {where}: {cost}. {create_index(connection, columns)}"
    return list(lines.values())


_ORDER = "each page of an export, and an export with since or until, reads the whole table and sorts it"
_IDENTITY = "each batch of an import, and verify, reads the whole table"
_LEDGER = "each page of an export, and each update, reads the whole table"
_CHANGED = "changed_since reads the whole table"


def _needed(kind: Kind) -> Iterator[tuple[tuple[sa.Column[Any], ...], str]]:
    """The columns of the indexes that *kind* needs, and what it costs to lack one."""
    own = tuple(part.column for part in kind.identity.parts if part.relation is None)
    if own:
        yield own, _IDENTITY
    time = None if kind.timestamp is None else kind.table.columns[kind.timestamp]
    if time is not None:
        yield (time, *own) if all(column.table is time.table for column in own) else (time,), _ORDER
    for path, table in kind.table.paths():
        if path and _is_of_one_table(path[-1].relation.remote):
            yield tuple(path[-1].relation.remote), _LEDGER
        for links in table.links:
            if _is_of_one_table(links.relation.remote):
                yield tuple(links.relation.remote), _LEDGER
        if table.changed is not None and not kind.is_catalog:
            yield (table.columns[table.changed],), _CHANGED


def _is_of_one_table(columns: _Columns) -> bool:
    return len({column.table for column in columns}) == 1


def _is_served(columns: _Columns, scope: Iterable[Any], stored: Iterable[Sequence[str]], cost: str) -> bool:
    """Whether one of the *stored* indexes finds rows by *columns*, and sorts them if that is the *cost*."""
    names = [column.name for column in columns]
    if cost == _ORDER:
        return any(list(index[: len(names)]) == names for index in stored)
    first = {column.name for column in scope if column.table is columns[0].table} - set(names)
    found = (list(itertools.dropwhile(first.__contains__, index)) for index in stored)
    return any(set(index[: len(names)]) == set(names) for index in found)
