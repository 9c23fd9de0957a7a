"""Find stored values that an export cannot read, or reads differently from how they are stored."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlalchemy.types import TypeEngine

from histio.database.dialects import altered, stored_text, unreadable
from histio.exporting.tally import ExportTally, StoredValue
from histio.kinds.column_types import underlying
from histio.kinds.identity import Identity, IdentitySql
from histio.kinds.table import Kind, Ledger, Table
from histio.wire import find_rounded_in, quote

_StoredValues: TypeAlias = Generator[StoredValue, None, None]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which stored values to find, and what to say about them.

    Attributes:
        find: Returns a condition for the values of a column; None: it has no such values.
        describe: Says what is wrong with a value of a type, as it is stored and as it is read; None: nothing.
        is_readable: Whether the values can be read. False: they are described as None.
    """

    find: Callable[[Connection, InstrumentedAttribute[Any]], sa.ColumnElement[bool] | None]
    describe: Callable[[Any, Any, TypeEngine[Any]], str | None]
    is_readable: bool


def _describe_unreadable(stored: Any, _read: None, _of: TypeEngine[Any]) -> str:
    return f"is stored as {quote(stored)}, which cannot be read."


def _describe_altered(stored: Any, read: Any, of: TypeEngine[Any]) -> str | None:
    if not isinstance(underlying(of), sa.JSON):
        return f"is stored as {stored} and read as {read}."
    number = find_rounded_in(stored)
    if number is None:
        return None
    return f"is stored with {quote(number)}, which is read as {float.__repr__(number)}."


_UNREADABLE = _Rule(unreadable, _describe_unreadable, is_readable=False)
_ALTERED = _Rule(altered, _describe_altered, is_readable=True)


def refuse_unreadable(
    connection: Connection, kind: Kind, criteria: list[Any], tally: ExportTally
) -> list[Any]:
    """Refuse runs with stored values that cannot be read.

    Args:
        connection: Only read from.
        kind: The kind of run.
        criteria: Conditions for the runs to check.
        tally: Gets a problem for each value, and the number of refused runs.

    Returns:
        Conditions that exclude the refused runs.
    """
    values = _values(connection, kind, criteria, _UNREADABLE)
    if not tally.refuse(value.problem(kind, "error", "schema") for value in values):
        return []
    model = kind.table.mapper.class_
    refused = sa.or_(*_unexportable(connection, kind.table, model))
    counted = sa.select(sa.func.count()).select_from(model).where(refused, *criteria)
    tally.skipped += connection.execute(counted).scalar_one()
    return [sa.not_(refused)]


def refuse_unreadable_times(
    connection: Connection, kind: Kind, criteria: list[Any], tally: ExportTally
) -> list[Any]:
    """Refuse runs whose time cannot be read: whether it is within bounds is not known.

    The arguments and the result are those of `refuse_unreadable`.
    """
    time = None if kind.timestamp is None else kind.table.attribute(kind.timestamp)
    timeless = None if time is None else unreadable(connection, time)
    if timeless is None:
        return []
    found = sa.select(sa.literal(1)).select_from(kind.table.mapper.class_).where(timeless, *criteria)
    if connection.execute(found.limit(1)).first() is None:
        return []
    return refuse_unreadable(connection, kind, [*criteria, timeless], tally)


def altered_values(connection: Connection, kind: Kind, criteria: list[Any]) -> _StoredValues:
    """The stored values of runs and their ledgers that SQLAlchemy reads as other values."""
    return _values(connection, kind, criteria, _ALTERED)


def _values(connection: Connection, kind: Kind, criteria: list[Any], rule: _Rule) -> _StoredValues:
    """The values that *rule* finds in the runs that meet *criteria*, and in their ledgers."""
    for path, table in kind.table.paths():
        yield from _values_of_table(connection, kind, path, table, criteria, rule)


def _values_of_table(
    connection: Connection,
    kind: Kind,
    path: tuple[Ledger, ...],
    table: Table,
    criteria: list[Any],
    rule: _Rule,
) -> _StoredValues:
    """The values that *rule* finds in the rows of *table*; *path* leads to it from the run."""
    entity: Any = kind.table.mapper.class_
    run = kind.identity.sql(entity, apart=True)
    statement = sa.select(*_selected_parts(connection, run)).select_from(entity)
    for ledger in path:
        owner, entity = entity, aliased(ledger.relation.model)
        statement = statement.join(entity, sa.and_(*ledger.join_conditions(owner, entity)))
    conditions = _conditions(rule.find, connection, table, entity)
    if not conditions:
        return
    identity = table.identity or kind.identity
    own = identity.sql(entity, apart=True) if path and table.identity is not None else run
    columns = [_column_of(entity, table, member) for member in conditions]
    found = [
        value
        for column, is_found in zip(columns, conditions.values(), strict=True)
        for value in (
            sa.case((is_found, sa.func.coalesce(stored_text(connection, column), ""))),
            sa.case((is_found, column)) if rule.is_readable else sa.null(),
        )
    ]
    statement = statement.add_columns(*_selected_parts(connection, own), *found)
    statement = statement.where(sa.or_(*conditions.values()), *criteria)
    ends = 2 * len(run.parts), 2 * (len(run.parts) + len(own.parts))
    with connection.execute(statement) as rows:
        for row in rows:
            run_words = _words(kind.identity, row[: ends[0]])
            own_words = _words(identity, row[ends[0] : ends[1]])
            pairs = zip(row[ends[1] :: 2], row[ends[1] + 1 :: 2], strict=True)
            for member, column, (stored, read) in zip(conditions, columns, pairs, strict=True):
                fault = None if stored is None else rule.describe(stored, read, column.type)
                if fault is not None:
                    names = (*_names_of(kind.table, path), table.names[member])
                    yield StoredValue(run_words, names, f"{names[-1]} of {own_words} {fault}")


def _selected_parts(connection: Connection, identity: IdentitySql) -> list[Any]:
    """The columns that `_words` takes: for each part, the value as stored and as read."""
    return [
        each
        for part in identity.parts
        for each in (stored_text(connection, part), _readable(connection, part))
    ]


def _words(identity: Identity, values: Sequence[Any]) -> str:
    """An identity as text; parts that cannot be read are shown as they are stored."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return identity.format(identity.join_parts([raw if read is None else read for raw, read in pairs]))


def _readable(connection: Connection, column: InstrumentedAttribute[Any]) -> Any:
    """*column*, but null where its value cannot be read."""
    bad = unreadable(connection, column)
    return column if bad is None else sa.case((sa.not_(bad), column))


def _column_of(entity: Any, table: Table, member: str) -> Any:
    """The *member* of *entity*, an alias of the model of *table*."""
    return getattr(entity, table.attribute(member).key)


def _names_of(table: Table, path: tuple[Ledger, ...]) -> Iterator[str]:
    """The names of the *path* from *table* down its ledgers."""
    for ledger in path:
        yield table.names[ledger.member]
        table = ledger.table


def _conditions(
    find: Callable[[Connection, InstrumentedAttribute[Any]], sa.ColumnElement[bool] | None],
    connection: Connection,
    table: Table,
    entity: Any,
) -> dict[str, sa.ColumnElement[bool]]:
    """By member, the condition for the values of *entity* that *find* finds."""
    found = {member: find(connection, _column_of(entity, table, member)) for member in table.columns}
    return {member: condition for member, condition in found.items() if condition is not None}


def _unexportable(connection: Connection, table: Table, entity: Any) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions for rows with a stored value that cannot be read, in them or in their ledgers."""
    for condition in _conditions(unreadable, connection, table, entity).values():
        yield sa.func.coalesce(condition, sa.false())
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_unexportable(connection, ledger.table, below))
        if found:
            yield sa.exists().where(*ledger.join_conditions(entity, below), sa.or_(*found))
