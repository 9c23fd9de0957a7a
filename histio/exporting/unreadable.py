"""Find stored values that an export cannot read, or reads differently from how they are stored."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute, aliased

from histio.database.dialects import altered, as_it_is, unreadable
from histio.exporting.tally import ExportTally, StoredValue
from histio.kinds.identity import Identity, IdentitySql
from histio.kinds.table import Kind, Ledger, Table

_StoredValues: TypeAlias = Generator[StoredValue, None, None]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which stored values to find, and what to say about them.

    Attributes:
        find: Returns a condition for the values of a column; None: it has no such values.
        select: Returns the expression to select for a value; never null.
        describe: Says what is wrong with a value, from its column and what was selected.
    """

    find: Callable[[Connection, InstrumentedAttribute[Any]], sa.ColumnElement[bool] | None]
    select: Callable[[InstrumentedAttribute[Any]], Any]
    describe: Callable[[InstrumentedAttribute[Any], Any], str]


def refuse_unreadable(
    connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any], tally: ExportTally
) -> list[Any]:
    """Refuse runs with stored values that cannot be read.

    Args:
        connection: Only read from.
        kind: The kind of run.
        criteria: Conditions for the runs to check, apart from their time.
        bounds: Conditions for their time. Runs whose time cannot be read are checked too.
        tally: Gets a problem for each value, and the number of refused runs.

    Returns:
        Conditions that exclude the refused runs.
    """
    timed = kind.timestamp is not None and bool(bounds)
    timeless = unreadable(connection, kind.table.attribute(kind.timestamp or "")) if timed else None
    within = [*criteria, *bounds] if timeless is None else [*criteria, sa.or_(timeless, sa.and_(*bounds))]
    values = _unreadable_values(connection, kind, within)
    found = tally.refuse(value.problem(kind, "error", "schema") for value in values)
    if tally.exact:
        values = altered_values(connection, kind, within)
        found |= tally.refuse(value.problem(kind, "error", "precision") for value in values)
    if not found:
        return []
    model = kind.table.mapper.class_
    refused = sa.or_(*_unexportable(connection, kind.table, model, exact=tally.exact))
    counted = sa.select(sa.func.count()).select_from(model).where(refused, *within)
    tally.skipped += connection.execute(counted).scalar_one()
    return [sa.not_(refused)]


def _unreadable_values(connection: Connection, kind: Kind, criteria: list[Any]) -> _StoredValues:
    """The stored values that cannot be loaded, or not exactly."""

    def describe(_column: InstrumentedAttribute[Any], _stored: Any) -> str:
        return "is stored in a form that cannot be read exactly."

    return _values(connection, kind, criteria, _Rule(unreadable, lambda _: sa.true(), describe))


def altered_values(connection: Connection, kind: Kind, criteria: list[Any]) -> _StoredValues:
    """The stored values of runs and their ledgers that SQLAlchemy reads as other values."""

    def describe(column: InstrumentedAttribute[Any], stored: Any) -> str:
        of_type = column.type.dialect_impl(connection.dialect)
        processor = of_type.result_processor(connection.dialect, None)
        read = stored if processor is None else processor(stored)
        return f"is stored as {stored} and read as {read}."

    return _values(connection, kind, criteria, _Rule(altered, as_it_is, describe))


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
        sa.case((is_found, rule.select(column)))
        for column, is_found in zip(columns, conditions.values(), strict=True)
    ]
    statement = statement.add_columns(*_selected_parts(connection, own), *found)
    statement = statement.where(sa.or_(*conditions.values()), *criteria)
    ends = 2 * len(run.parts), 2 * (len(run.parts) + len(own.parts))
    with connection.execute(statement) as rows:
        for row in rows:
            run_words = _words(kind.identity, row[: ends[0]])
            own_words = _words(identity, row[ends[0] : ends[1]])
            for member, column, value in zip(conditions, columns, row[ends[1] :], strict=True):
                if value is not None:
                    names = (*_names_of(kind.table, path), table.names[member])
                    text = f"{names[-1]} of {own_words} {rule.describe(column, value)}"
                    yield StoredValue(run_words, names, text)


def _selected_parts(connection: Connection, identity: IdentitySql) -> list[Any]:
    """The columns that `_words` takes: for each part, the value as stored and as read."""
    return [each for part in identity.parts for each in (as_it_is(part), _readable(connection, part))]


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


def _unexportable(
    connection: Connection, table: Table, entity: Any, *, exact: bool
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions for rows that cannot be exported because of a stored value, in them or in their ledgers.

    *exact*: whether a value that is read as another one is such a value.
    """
    for find in (unreadable, altered) if exact else (unreadable,):
        for condition in _conditions(find, connection, table, entity).values():
            yield sa.func.coalesce(condition, sa.false())
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_unexportable(connection, ledger.table, below, exact=exact))
        if found:
            yield sa.exists().where(*ledger.join_conditions(entity, below), sa.or_(*found))
