"""Delete runs with all their rows: in bulk, or by the unit of work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine import Connection
from sqlalchemy.orm import RelationshipDirection, selectinload

from histio.database.dialects import RowFaultError
from histio.database.sessions import Habits, own_session
from histio.importing.row import Insert, Row
from histio.importing.undo.references import Key, Place, run_key
from histio.importing.update.apply import detach
from histio.importing.update.plan import Removal, get_entries
from histio.kinds.mapping import attribute
from histio.kinds.selects import KEYS_PER_STATEMENT, is_among, select_rows
from histio.kinds.table import Kind, Ledger, Table
from histio.log import log_handled
from histio.resolving.eager import eager_options, fetch_apart

_EVENTS = ("before_delete", "after_delete")


def wants_unit_of_work(kind: Kind, habits: Habits) -> bool:
    """Whether the unit of work has to delete runs of *kind*, because listeners of the host want to know."""
    listeners = (
        listener
        for table in kind.table.all()
        for event in _EVENTS
        for listener in getattr(table.mapper.dispatch, event)
    )
    is_joined = any(not isinstance(table.mapper.local_table, sa.Table) for table in kind.table.all())
    return bool(habits.listeners) or is_joined or any(True for _ in listeners)


def delete_by_unit_of_work(
    kind: Kind, habits: Habits, keys: Mapping[Row, Key], *, only_entries: bool
) -> Insert:
    """A function that deletes runs of *kind* as a host's own code would do it.

    Args:
        kind: The kind.
        habits: The habits of the host's own session.
        keys: By row, the primary key of the run that it stands for.
        only_entries: Whether to delete only the rows that refer to the runs' own rows.

    Returns:
        The function. It raises RowFaultError for whatever the host's code raises.
    """

    def delete(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        with own_session(connection, habits, now=True) as session:
            try:
                statement = select_rows(table.mapper.class_).options(
                    *_collections(table), *eager_options(table)
                )
                wanted = is_among(run_key(kind), [keys[row] for row in rows])
                runs = list(session.scalars(statement.where(wanted)).unique())
                fetch_apart(session, table, runs)
                _delete_objects(session, table, runs, only_entries=only_entries)
            except (sa.exc.StatementError, RowFaultError):  # raised by the database or its driver
                raise
            except Exception as error:  # the host's code may raise anything, and the row is to blame
                log_handled(f"the host's code refuses to delete rows of {table.rows}", error)
                raise RowFaultError(f"{type(error).__name__}: {error}") from error
        if not only_entries:
            _check_gone(connection, kind, [keys[row] for row in rows])

    return delete


def _collections(table: Table) -> Iterator[Any]:
    """Options that load what the unit of work looks at when an object is deleted, in a SELECT each."""
    formats = {ledger.relation.name for ledger in table.ledgers} | {
        each.relation.name for each in table.links
    }
    for way in table.mapper.relationships:
        is_kept = way.viewonly or way.passive_deletes or way.lazy in ("dynamic", "write_only")
        if not is_kept and way.key not in formats and way.direction is not RelationshipDirection.MANYTOONE:
            yield selectinload(way.class_attribute)


def _delete_objects(session: orm.Session, table: Table, runs: Sequence[Any], *, only_entries: bool) -> None:
    """Delete the objects of *runs* with their entries, the deepest first."""
    levels: dict[int, list[Any]] = defaultdict(list)
    removals: dict[int, list[Removal]] = defaultdict(list)
    for run in runs:
        levels[0] += [] if only_entries else [run]
        for depth, removal in _removals(table, run, 0, only_entries=only_entries):
            levels[depth].append(removal.entry)
            if not removal.ledger.owner_has_key:  # otherwise, its owner is deleted before
                removals[depth].append(removal)
    for depth in sorted(levels, reverse=True):
        detach(removals[depth])
        for each in levels[depth]:
            if each in session:  # a cascade may have deleted it
                session.delete(each)
        session.flush()


def _removals(
    table: Table, row: Any, depth: int, *, only_entries: bool = False
) -> Iterator[tuple[int, Removal]]:
    """The entries below the object *row*, with the depth at which each is deleted.

    *only_entries*: without those that *row* refers to.
    """
    for ledger in table.ledgers:
        if only_entries and ledger.owner_has_key:
            continue
        below = depth + (-1 if ledger.owner_has_key else 1)
        for entry in get_entries(table, ledger, row):
            yield below, Removal(ledger, row, entry)
            yield from _removals(ledger.table, entry, below)


def delete_in_bulk(kind: Kind, keys: Mapping[Row, Key], *, only_entries: bool) -> Insert:
    """A function that deletes runs of *kind*, with a DELETE for each of their tables.

    Args:
        kind: The kind.
        keys: By row, the primary key of the run that it stands for.
        only_entries: Whether to delete only the rows that refer to the runs' own rows.
    """

    def delete(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        runs = [keys[row] for row in rows]
        found = {path: _find(connection, kind, path, below, runs) for path, below in table.paths()}
        _delete_entries(connection, table, (), found)
        if not only_entries:
            _delete(connection, table, (), found)
            _check_gone(connection, kind, runs)

    return delete


_Found = Mapping[tuple[Ledger, ...], list[Any]]
"""By path, the rows of the records: the values of the columns that their deletion needs."""


def _columns(table: Table) -> list[sa.Column[Any]]:
    """The columns that identify a row of *table* and its links."""
    keys: list[Any] = [*table.mapper.primary_key]
    return list(dict.fromkeys([*keys, *(column for links in table.links for column in links.relation.local)]))


def _find(
    connection: Connection, kind: Kind, path: tuple[Ledger, ...], table: Table, runs: Collection[Key]
) -> list[Any]:
    statement, entity = Place(kind, path, table).join()
    wanted = (getattr(entity, attribute(table.mapper, column).key) for column in _columns(table))
    found = statement.with_only_columns(*wanted).where(is_among(run_key(kind), runs))
    return list(connection.execute(found))


def _delete_entries(connection: Connection, table: Table, path: tuple[Ledger, ...], found: _Found) -> None:
    """Delete the rows that refer to those of *table* at *path*: entries, with all below them, and links."""
    for ledger in table.ledgers:
        if not ledger.owner_has_key:
            _delete_entries(connection, ledger.table, (*path, ledger), found)
            _delete(connection, ledger.table, (*path, ledger), found)
    columns = _columns(table)
    for links in table.links:
        places = [columns.index(column) for column in links.relation.local]
        keys = [tuple(row[place] for place in places) for row in found[path]]
        _delete_among(connection, links.relation.remote[0].table, links.relation.remote, keys)


def _delete(connection: Connection, table: Table, path: tuple[Ledger, ...], found: _Found) -> None:
    """Delete the rows of *table* at *path*, and then the entries that they refer to."""
    keys = [tuple(row[: len(table.mapper.primary_key)]) for row in found[path]]
    for mapper in table.mapper.iterate_to_root():  # the table of a subclass before that of its base
        core: Any = mapper.local_table
        if mapper.inherits is None or core is not mapper.inherits.local_table:
            _delete_among(connection, core, list(core.primary_key) or list(mapper.primary_key), keys)
    for ledger in table.ledgers:
        if ledger.owner_has_key:
            _delete_entries(connection, ledger.table, (*path, ledger), found)
            _delete(connection, ledger.table, (*path, ledger), found)


def _delete_among(connection: Connection, core: Any, columns: Sequence[Any], keys: Sequence[Key]) -> None:
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        among = is_among(columns, keys[start : start + KEYS_PER_STATEMENT])
        connection.execute(sa.delete(core).where(among))


def _check_gone(connection: Connection, kind: Kind, runs: Collection[Key]) -> None:
    """Check that the database has deleted *runs*, because a trigger or a rule may keep rows.

    Raises:
        RowFaultError: A run is still there.
    """
    own = run_key(kind)
    if connection.execute(sa.select(*own).where(is_among(own, runs)).limit(1)).first() is not None:
        raise RowFaultError("the database did not delete every row")
