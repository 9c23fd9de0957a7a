"""Find stored values that an export cannot read, or reads differently from how they are stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute, aliased

from histio.database.dialects import altered, as_it_is, order_key, unreadable
from histio.exporting.counts import ExportTally, StoredValue
from histio.kinds.fields import RunUUID
from histio.kinds.identity import Identity, IdentitySql
from histio.kinds.table import Kind, Ledger, Table
from histio.pointer import pointer
from histio.report import Problem

_Rule: TypeAlias = Callable[[Connection, InstrumentedAttribute[Any]], "sa.ColumnElement[bool] | None"]
"""Gives a condition for the values of a column that it finds; None: there can be none."""


_StoredValues: TypeAlias = Generator[StoredValue, None, None]


def refuse_unreadable(
    connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any], tally: ExportTally
) -> list[Any]:
    """Refuse runs with stored values that cannot be read.

    Args:
        connection: Only read from.
        kind: The kind of run.
        criteria: Conditions for the runs to check, apart from their time.
        bounds: Conditions for their time. A run whose time cannot be read is checked too: it meets no bounds,
            and must not be passed over.
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
    damaged = sa.or_(*_damages(connection, kind.table, model, exact=tally.exact))
    counted = sa.select(sa.func.count()).select_from(model).where(damaged, *within)
    tally.skipped += connection.execute(counted).scalar_one()
    return [sa.not_(damaged)]


def _unreadable_values(connection: Connection, kind: Kind, criteria: list[Any]) -> _StoredValues:
    """The stored values that cannot be loaded, or not exactly."""

    def describe(_column: InstrumentedAttribute[Any], _stored: Any) -> str:
        return "is stored as what cannot be read exactly."

    return _values(connection, kind, unreadable, criteria, lambda _: sa.true(), describe)


def altered_values(connection: Connection, kind: Kind, criteria: list[Any]) -> _StoredValues:
    """The stored values that SQLAlchemy reads as other values."""

    def describe(column: InstrumentedAttribute[Any], stored: Any) -> str:
        of_type = column.type.dialect_impl(connection.dialect)
        processor = of_type.result_processor(connection.dialect, None)
        read = stored if processor is None else processor(stored)
        return f"is stored as {stored} and read as {read}."

    return _values(connection, kind, altered, criteria, as_it_is, describe)


def _values(
    connection: Connection,
    kind: Kind,
    rule: _Rule,
    criteria: list[Any],
    asked: Callable[[InstrumentedAttribute[Any]], Any],
    describe: Callable[[InstrumentedAttribute[Any], Any], str],
) -> _StoredValues:
    """The values of runs and their ledgers that *rule* finds.

    Args:
        connection: Only read from.
        kind: The kind of run.
        rule: Finds the values.
        criteria: Conditions for the runs.
        asked: Gives the expression to select for a value; never null.
        describe: Says what is wrong with a value, given its column and what was selected.
    """
    run = kind.identity.sql(kind.table.mapper.class_, apart=True)
    for path, table in kind.table.paths():
        entity = kind.table.mapper.class_
        statement = sa.select(*_selected_parts(connection, run)).select_from(entity)
        for ledger in path:
            owner, entity = entity, aliased(ledger.relation.model)
            statement = statement.join(entity, sa.and_(*ledger.ties(owner, entity)))
        rules = _found_by(rule, connection, table, entity)
        if not rules:
            continue
        identity = table.identity or kind.identity
        own = identity.sql(entity, apart=True) if path and table.identity is not None else run
        statement = statement.add_columns(*_selected_parts(connection, own))
        columns = [_of(entity, table, member) for member in rules]
        found = [
            sa.case((is_so, asked(column))) for column, is_so in zip(columns, rules.values(), strict=True)
        ]
        statement = statement.add_columns(*found).where(sa.or_(*rules.values()), *criteria)
        widths = 2 * len(run.parts), 2 * (len(run.parts) + len(own.parts))
        with connection.execute(statement) as rows:
            for row in rows:
                named = _named(kind.identity, row[: widths[0]])
                of = _named(identity, row[widths[0] : widths[1]])
                for member, column, value in zip(rules, columns, row[widths[1] :], strict=True):
                    if value is not None:
                        members = (*names_of(kind.table, path), table.names[member])
                        yield StoredValue(named, members, f"{members[-1]} of {of} {describe(column, value)}")


def _selected_parts(connection: Connection, identity: IdentitySql) -> list[Any]:
    """The columns whose values `_named` takes: for each part, as stored and as read."""
    return [each for part in identity.parts for each in (as_it_is(part), _readable(connection, part))]


def _named(identity: Identity, values: Sequence[Any]) -> str:
    """An identity as text; parts that cannot be read are shown as they are stored."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return identity.words(identity.joined([raw if read is None else read for raw, read in pairs]))


def _readable(connection: Connection, column: InstrumentedAttribute[Any]) -> Any:
    """*column*, but null where its value cannot be read."""
    bad = unreadable(connection, column)
    return column if bad is None else sa.case((sa.not_(bad), column))


def _of(entity: Any, table: Table, member: str) -> Any:
    """The *member* of *entity*, an alias of the model of *table*."""
    return getattr(entity, table.attribute(member).key)


def names_of(table: Table, path: tuple[Ledger, ...]) -> Iterator[str]:
    """The names of the *path* from *table* down its ledgers."""
    for ledger in path:
        yield table.names[ledger.member]
        table = ledger.table


def refuse_ambiguous(
    connection: Connection, kind: Kind, criteria: list[Any], tally: ExportTally
) -> list[Any]:
    """Refuse runs that share their identity with another, and give what is true of those that do not.

    Pages could pass one of them over.
    """
    identity = kind.identity
    if identity.is_unique:
        return []
    own = identity.sql(kind.table.mapper.class_, apart=True)
    there = [part.is_not(None) for part in own.parts]
    exactly = sort_keys(connection, own)  # a collation may take several for the same
    shared = own.select(sa.func.count()).where(*there, *criteria).group_by(*own.parts, *exactly)
    problems, ambiguous = [], []
    for count, *values in connection.execute(shared.having(sa.func.count() > 1)):
        uuid, named = kind.named(identity.joined(values)), " and ".join(identity.names)
        text = f"{kind.name} {uuid}: {count} rows have this {named}, which should identify one."
        problems.append(Problem("error", "schema", text, pointer(*identity.steps), kind.name, uuid))
        ambiguous.append(own.equals(identity.joined(values)))
        tally.skipped += count
    tally.refuse(problems)
    return [sa.not_(sa.func.coalesce(sa.or_(*ambiguous), sa.false()))] if problems else []


def sort_keys(connection: Connection, identity: IdentitySql) -> list[sa.ColumnElement[Any]]:
    """What sorts rows by their identity, part by part, alike in all databases."""
    return [
        order_key(connection, own, of_uuids=isinstance(part.field, RunUUID))
        for part, own in zip(identity.identity.parts, identity.parts, strict=True)
    ]


def refuse_unplaced(
    connection: Connection, kind: Kind, criteria: list[Any], bounds: list[Any], tally: ExportTally
) -> list[Any]:
    """Refuse runs with NULL in their identity or time, which have no place in the order.

    Returns:
        Conditions that exclude the refused runs.
    """
    model, mapper = kind.table.mapper.class_, kind.table.mapper
    identity = kind.identity.sql(model, apart=True)
    lacking = [own.is_(None) for own in identity.parts]
    names = [part.name for part in kind.identity.parts]
    here = sa.and_(sa.or_(*lacking), *bounds)
    if kind.timestamp is not None and not kind.table.columns[kind.timestamp].nullable:
        time: Any = kind.table.attribute(kind.timestamp)
        # In MariaDB, "IS NULL" is true of a zero date where a column takes no null.
        lacking.append(sa.and_(time.is_(None), time.is_not_distinct_from(None)))
        names.append(kind.table.names[kind.timestamp])
        here = sa.or_(here, lacking[-1])  # no bounds are true of it
    keys: list[Any] = [getattr(model, mapper.get_property_by_column(each).key) for each in mapper.primary_key]
    statement = sa.select(*keys, *identity.parts, *lacking).select_from(model)
    problems = []
    for row in connection.execute(statement.where(here, *criteria)):
        uuid = kind.named(kind.identity.joined(row[len(keys) : -len(lacking)]))
        at = ", ".join(f"{key.key} {value}" for key, value in zip(keys, row, strict=False))
        # In a WHERE, MariaDB also takes the time 0000-00-00 for NULL: it is read later, and refused then.
        missing = list(dict.fromkeys(itertools.compress(names, row[-len(lacking) :])))
        tally.skipped += bool(missing)
        for name in missing:
            text = (
                f"{kind.name} {uuid}: {name} is NULL in the row with {at}, so it has no place in the order."
            )
            problems.append(Problem("error", "schema", text, pointer(name), kind.name, uuid))
    tally.refuse(problems)
    return [sa.not_(each) for each in lacking] if problems else []


def _found_by(
    rule: _Rule, connection: Connection, table: Table, entity: Any
) -> dict[str, sa.ColumnElement[bool]]:
    """By member, the condition for the values of *entity* that *rule* finds."""
    found = {member: rule(connection, _of(entity, table, member)) for member in table.columns}
    return {member: is_so for member, is_so in found.items() if is_so is not None}


def _damages(
    connection: Connection, table: Table, entity: Any, *, exact: bool
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions for rows that cannot be exported because of a stored value, in them or in their ledgers.

    *exact*: whether a value that is read as another one is such a value.
    """
    rules = (unreadable, altered) if exact else (unreadable,)
    for rule in rules:
        for is_so in _found_by(rule, connection, table, entity).values():
            yield sa.func.coalesce(is_so, sa.false())
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_damages(connection, ledger.table, below, exact=exact))
        if found:
            yield sa.exists().where(*ledger.ties(entity, below), sa.or_(*found))
