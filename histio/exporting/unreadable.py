"""Find stored values that an export cannot read, or reads differently from how they are stored."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute, aliased

from histio.database.dialects import EVERY_ROW, Ranges, altered, has_row, stored_text, unreadable
from histio.doubles import find_rounded_in
from histio.exporting.tally import ExportTally, StoredValue
from histio.kinds.column_types import underlying
from histio.kinds.fields import Json
from histio.kinds.identity import Identity, IdentitySql
from histio.kinds.mapping import attribute
from histio.kinds.table import Kind, Ledger, Reference, Table
from histio.wire import quote

_StoredValues: TypeAlias = Generator[StoredValue, None, None]


class _Place(NamedTuple):
    """A column, and the condition for those of its values that are found.

    Attributes:
        name: The member that has the values.
        column: The column.
        is_json: Whether they are any JSON, perhaps as text.
        condition: The condition.
    """

    name: str
    column: Any
    is_json: bool
    condition: sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which stored values to find, and what to say about them.

    Attributes:
        find: Returns a condition for the values of a column, which may be any JSON; None: there are none.
        describe: Says what is wrong with a value, as it is stored and as it is read; None: nothing.
        is_readable: Whether the values can be read. False: they are described as None.
    """

    find: Callable[..., sa.ColumnElement[bool] | None]
    describe: Callable[[_Place, Any, Any], str | None]
    is_readable: bool

    def places(self, connection: Connection, table: Table, entity: Any) -> Iterator[_Place]:
        """The columns of *entity*, an alias of the model of *table*, with the values that are found."""
        for member in table.columns:
            column: Any = getattr(entity, table.attribute(member).key)
            is_json = isinstance(table.fields[member], Json)
            yield from self._place(connection, table.names[member], column, is_json=is_json)

    def key_places(
        self, connection: Connection, table: Table, reference: Reference, related: Any
    ) -> Iterator[_Place]:
        """The key columns of *related*, an alias of the model of a *reference* of *table*."""
        for member, (key, *_) in reference.slugs.items():
            for column in (getattr(related, path) for path in key if "." not in path):
                yield from self._place(connection, table.names[member], column, is_json=False)

    def _place(self, connection: Connection, name: str, column: Any, *, is_json: bool) -> Iterator[_Place]:
        is_json = is_json or isinstance(underlying(column.type), sa.JSON)
        condition = self.find(connection.dialect, column, is_json=is_json)
        if condition is not None:
            yield _Place(name, column, is_json, condition)


def _find_unreadable(dialect: sa.Dialect, column: Any, **_: bool) -> sa.ColumnElement[bool] | None:
    return unreadable(dialect, column)


def _describe_unreadable(_place: _Place, stored: Any, _read: None) -> str:
    return f"is stored as {quote(stored)}, which cannot be read."


def _describe_altered(place: _Place, stored: Any, read: Any) -> str | None:
    if not place.is_json:
        return f"is stored as {stored} and read as {read}."
    number = find_rounded_in(stored)
    if number is None:
        return None
    return f"is stored with {quote(number)}, which is read as {number.double}."


_UNREADABLE = _Rule(_find_unreadable, _describe_unreadable, is_readable=False)
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
    connection: Connection,
    kind: Kind,
    criteria: list[Any],
    tally: ExportTally,
    ranges: Ranges = EVERY_ROW,
) -> list[Any]:
    """Refuse runs whose time cannot be read: whether it is within bounds is not known.

    The arguments and the result are those of `refuse_unreadable`; *ranges* are where to look.
    """
    time = None if kind.timestamp is None else kind.table.attribute(kind.timestamp)
    timeless = None if time is None else unreadable(connection.dialect, time)
    if timeless is None or not has_row(connection, kind.table.mapper.class_, ranges, timeless, *criteria):
        return []
    readable: list[Any] = []
    for each in ranges:  # they have no rows in common
        readable = refuse_unreadable(connection, kind, [*criteria, timeless, each], tally) or readable
    return readable


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
    places = list(rule.places(connection, table, entity))
    for reference in table.references if rule.is_readable else ():
        related: Any = aliased(reference.relation.model)
        keys = list(rule.key_places(connection, table, reference, related))
        if keys:
            places += keys
            statement = statement.join(related, _tie(table, reference, entity, related), isouter=True)
    if not places:
        return
    identity = table.identity or kind.identity
    own = identity.sql(entity, apart=True) if path and table.identity is not None else run
    found = [
        value
        for place in places
        for value in (
            sa.case((place.condition, sa.func.coalesce(stored_text(connection.dialect, place.column), ""))),
            sa.case((place.condition, place.column)) if rule.is_readable else sa.null(),
        )
    ]
    statement = statement.add_columns(*_selected_parts(connection, own), *found)
    statement = statement.where(sa.or_(*(place.condition for place in places)), *criteria)
    ends = 2 * len(run.parts), 2 * (len(run.parts) + len(own.parts))
    with connection.execute(statement) as rows:
        for row in rows:
            run_words = _words(kind.identity, row[: ends[0]])
            own_words = _words(identity, row[ends[0] : ends[1]])
            pairs = zip(row[ends[1] :: 2], row[ends[1] + 1 :: 2], strict=True)
            for place, (stored, read) in zip(places, pairs, strict=True):
                fault = None if stored is None else rule.describe(place, stored, read)
                if fault is not None:
                    names = (*kind.table.path_names(path), place.name)
                    yield StoredValue(run_words, names, f"{names[-1]} of {own_words} {fault}")


def _tie(table: Table, reference: Reference, entity: Any, related: Any) -> sa.ColumnElement[bool]:
    """The condition for the row of *related* that a row of *entity* refers to."""
    relation = reference.relation
    return sa.and_(
        *(
            getattr(entity, attribute(table.mapper, local).key)
            == getattr(related, attribute(relation.mapper, remote).key)
            for local, remote in zip(relation.local, relation.remote, strict=True)
        )
    )


def _selected_parts(connection: Connection, identity: IdentitySql) -> list[Any]:
    """The columns that `_words` takes: for each part, the value as stored and as read."""
    return [
        each
        for part in identity.parts
        for each in (stored_text(connection.dialect, part), _readable(connection, part))
    ]


def _words(identity: Identity, values: Sequence[Any]) -> str:
    """An identity as text; parts that cannot be read are shown as they are stored."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return identity.format(identity.join_parts([raw if read is None else read for raw, read in pairs]))


def _readable(connection: Connection, column: InstrumentedAttribute[Any]) -> Any:
    """*column*, but null where its value cannot be read."""
    bad = unreadable(connection.dialect, column)
    return column if bad is None else sa.case((sa.not_(bad), column))


def _unexportable(connection: Connection, table: Table, entity: Any) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions for rows with a stored value that cannot be read, in them or in their ledgers."""
    for place in _UNREADABLE.places(connection, table, entity):
        yield sa.func.coalesce(place.condition, sa.false())
    for ledger in table.ledgers:
        below = aliased(ledger.relation.model)
        found = list(_unexportable(connection, ledger.table, below))
        if found:
            yield sa.exists().where(*ledger.join_conditions(entity, below), sa.or_(*found))
