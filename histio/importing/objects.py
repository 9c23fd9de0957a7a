"""Write rows in bulk, with the values that a host's constructors and validators give their objects."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.collections import collection_adapter

from histio.database.sessions import Habits, own_session
from histio.importing.bulk import insert_in_bulk
from histio.importing.model_behavior import Creation, Need, has_set_listener
from histio.importing.orm import (
    NewObject,
    ObjectWriter,
    attributes,
    blaming_rows,
    by_attribute,
    has_default,
    insert_by_unit_of_work,
    set_nulls,
    values_from_owner,
)
from histio.importing.row import Insert, Row
from histio.kinds.mapping import Columns
from histio.kinds.table import Table
from histio.resolving.construct import construct

Changes: TypeAlias = Mapping[Row, Mapping[str, Any]]
"""By row and column key, values of objects that differ from those of the row; `_ABSENT`: there is none."""

_ABSENT = object()


def choose_insert(
    creation: Creation, habits: Habits, *, within: Columns, count: Insert | None, counts_all: bool = False
) -> Insert:
    """A function that writes rows as their models need it.

    Args:
        creation: How the rows are created.
        habits: The habits of the session that is used.
        within: Columns that identify a row together with its identity, if the identity alone is not unique.
        count: Checks that the database has exactly the rows that were written; None: nobody does.
        counts_all: Whether to count rows that were written in bulk too.
    """
    if creation.need is Need.ROWS:
        insert: Insert = functools.partial(insert_in_bulk, within=within)
    elif creation.need is Need.FLUSH:
        insert = insert_by_unit_of_work(habits)
    else:
        insert = InsertObjects(creation, habits, within, None if counts_all else count)
    if count is None or not (counts_all or creation.need is Need.FLUSH):
        return insert
    return functools.partial(_insert_and_count, insert, count)


def _insert_and_count(
    insert: Insert, count: Insert, connection: Connection, table: Table, rows: Sequence[Row]
) -> None:
    insert(connection, table, rows)
    count(connection, table, rows)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What is known of rows besides their values.

    Attributes:
        complete: Adds the ledger entries that were left out of the rows, as no objects are created of them.
        write: Writes the rows, if the host's code leaves them as they are.
    """

    complete: Callable[[], object]
    write: Callable[[], object]


@dataclass(frozen=True, slots=True)
class InsertObjects:
    """Creates objects for rows, and writes their values in bulk.

    If the host's code did more than set columns, the unit of work writes the objects.

    Attributes:
        creation: How the rows are created.
        habits: The habits of the session that is used.
        within: As in `insert_in_bulk`.
        count: Checks that the database has exactly the rows that were flushed; None: nobody does.
    """

    creation: Creation
    habits: Habits
    within: Columns
    count: Insert | None

    def __call__(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Row],
        shortcut: Shortcut | None = None,
    ) -> None:
        """Write *rows* of *table* with their ledgers."""
        with own_session(connection, self.habits) as session:
            writer = ObjectWriter(session, self.creation.silent)
            with blaming_rows(table):
                objects, changes = self._create(writer, session, table, rows)
            if shortcut is not None and changes != {}:
                shortcut.complete()
            if changes is None:
                with blaming_rows(table):
                    writer.flush(objects) if objects else writer.write(table, rows)
                if self.count is not None:
                    self.count(connection, table, rows)
                return
        if changes or shortcut is None:
            changed = apply_changes(rows, changes) if changes else rows
            insert_in_bulk(connection, table, changed, within=self.within)
        else:
            shortcut.write()

    def _create(
        self, writer: ObjectWriter, session: Session, table: Table, rows: Sequence[Row]
    ) -> tuple[Sequence[Any], Changes | None]:
        """Create objects for *rows*; return those that can be flushed, and the changes of the host's code."""
        if self.creation.need is Need.OBJECTS:
            objects = writer.create(table, rows)
            other = writer.has_apart or _has_other_work(session)
            return objects, None if other else read_changes(writer.created)
        created = _create_columns(self.creation.tables, table, rows)
        return (), None if created is None else read_changes(created)


def _has_other_work(session: Session) -> bool:
    """Whether the host's code has added, deleted or changed objects of *session*."""
    changed = (each for each in session.dirty if session.is_modified(each, include_collections=False))
    return bool(session.new or session.deleted) or any(True for _ in changed)


def _create_columns(tables: frozenset[Table], table: Table, rows: Iterable[Row]) -> list[NewObject] | None:
    """Objects, without relationships, for those of *rows* and their entries that are in *tables*.

    None: entries need values that their owner has only after it is written.
    """
    created: list[NewObject] = []
    return created if all(_create(created, tables, table, row, {}) for row in rows) else None


def _create(
    created: list[NewObject], tables: frozenset[Table], table: Table, row: Row, fixed: Mapping[str, Any]
) -> bool:
    """Add the objects for *row* and its entries to *created*; False: some can only be created later."""
    values = {**by_attribute(table.mapper, row.parameters), **fixed}
    if table in tables:
        new = construct(table.mapper.class_, values)
        set_nulls(table.mapper, new, row.parameters)
        created.append(NewObject(table, row, new, values, fixed))
    for place in _places(table, tables):
        ledger = table.ledgers[place]
        keys = values_from_owner(table, ledger, values)
        for entry in row.ledgers[place]:
            if keys is None or not _create(created, tables, ledger.table, entry, keys):
                return False
    return True


@functools.lru_cache(maxsize=256)
def _places(table: Table, tables: frozenset[Table]) -> Sequence[int]:
    """The places of the ledgers of *table* that have some of *tables*."""
    return [place for place, each in enumerate(table.ledgers) if not tables.isdisjoint(each.table.all())]


def read_changes(created: Sequence[NewObject]) -> Changes | None:
    """What the host's code has changed in the columns of new objects; None: it has changed more."""
    owners = {
        id(entry): each.new
        for each in created
        for ledger in each.table.ledgers
        for entry in ledger.to_list(each.given.get(ledger.relation.name))
    }
    changes: dict[Row, dict[str, Any]] = {}
    for each in created:
        given = each.given
        for name, value in vars(each.new).items():
            if given.get(name, _ABSENT) is value or name == "_sa_instance_state":
                continue
            if name in each.table.mapper.relationships:
                if not _is_as_given(value, given.get(name), owners.get(id(each.new))):
                    return None
                continue
            column = _columns(each.table.mapper).get(name)
            if column is None or _is_set_by_flush(each, name, column):
                continue
            if isinstance(value, sa.sql.elements.Null) and given.get(name, _ABSENT) is None:
                continue
            if (
                name in each.fixed
                or hasattr(value, "__clause_element__")
                or isinstance(value, sa.ClauseElement)
            ):
                return None
            changes.setdefault(each.row, {})[column.key] = _ABSENT if _is_left_out(column, value) else value
    return changes


def _is_as_given(value: Any, given: Any, owner: Any) -> bool:
    """Whether the relationship of a new object has the *value* that was *given*, or leads to its *owner*."""
    if value is None or value is owner:
        return given is None
    if getattr(value, "_sa_adapter", None) is None:
        return False
    members = list(collection_adapter(value))
    wanted = list(given or ())
    return len(members) == len(wanted) and all(map(operator.is_, members, wanted))


@functools.cache
def _columns(mapper: Mapper[Any]) -> Mapping[str, sa.Column[Any]]:
    """By attribute, the column that it is mapped to."""
    return {attribute: mapper.columns[attribute] for attribute in attributes(mapper).values()}


def _is_set_by_flush(new: NewObject, name: str, column: sa.Column[Any]) -> bool:
    """Whether a flush overwrites the attribute *name* of *column*: with a version, or a related key."""
    mapper = new.table.mapper
    if column is mapper.version_id_col and mapper.version_id_generator is not False:
        return True
    if has_set_listener(mapper.class_, name):  # it hears of the key that the flush sets
        return False
    return any(
        column in reference.relation.local
        and reference.relation.writable is not None
        and None not in [new.row.parameters.get(each.key) for each in reference.relation.local]
        for reference in new.table.references
    )


def _is_left_out(column: sa.Column[Any], value: Any) -> bool:
    """Whether a flush leaves *column* out of the INSERT if its attribute has *value*."""
    is_filled = column.primary_key or has_default(column)
    return value is None and is_filled and not column.type.should_evaluate_none


def apply_changes(rows: Sequence[Row], changes: Changes) -> list[Row]:
    """*rows* with their *changes*."""
    return [_apply(row, changes) for row in rows]


def _apply(row: Row, changes: Changes) -> Row:
    own = changes.get(row, {})
    parameters = {key: value for key, value in {**row.parameters, **own}.items() if value is not _ABSENT}
    return Row(parameters, tuple(apply_changes(entries, changes) for entries in row.ledgers), row.links)
