"""Write rows as ORM objects, so that constructors and listeners of a host's models are called."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper, Session

from histio.database.dialects import RowFaultError
from histio.database.sessions import Habits, own_session
from histio.importing.model_behavior import keeps_order
from histio.importing.row import Insert, Row
from histio.kinds.column_types import is_renewed
from histio.kinds.mapping import Columns, attribute
from histio.kinds.relations import Relation
from histio.kinds.selects import KEYS_PER_STATEMENT, is_among, select_rows
from histio.kinds.table import Ledger, Table
from histio.log import log_handled
from histio.resolving.construct import construct, construct_silently

_NULLS = (type(None), sa.sql.elements.Null)


def insert_by_unit_of_work(habits: Habits) -> Insert:
    """A function that writes rows as ORM objects, in a session of histio's own on the same connection.

    Listeners of the models are called, and those of the session's *habits*. Objects that are pending in the
    caller's session stay pending. An exception of the host's code becomes a RowFaultError.
    """

    def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        with own_session(connection, habits) as session, blaming_rows(table):
            ObjectWriter(session).write(table, rows)

    return insert


@contextmanager
def blaming_rows(table: Table) -> Iterator[None]:
    """A block in which the host's code is called: its exceptions become a RowFaultError."""
    try:
        yield
    except (sa.exc.StatementError, RowFaultError):  # raised by the database or its driver
        raise
    except Exception as error:  # the host's code may raise anything, and the row is to blame
        log_handled(f"the host's code refuses rows of {table.rows}", error)
        raise RowFaultError(f"{type(error).__name__}: {error}") from error


class NewObject(NamedTuple):
    """An object that was created for a row.

    Attributes:
        table: The table of the row.
        row: The row.
        new: The object.
        given: The values that it was created with, by attribute.
        fixed: Those of them that tie it to its owner.
    """

    table: Table
    row: Row
    new: Any
    given: Mapping[str, Any]
    fixed: Collection[str]


class ObjectWriter:
    """Makes the objects of rows, and writes them in one session.

    Args:
        session: The session.
        silent: The tables whose objects are created without calling code of the host.

    Attributes:
        related: Related objects that were loaded, by relation and key.
        counters: For new objects, the version counters that the records have.
        created: The objects that were created, owners after their entries.
    """

    def __init__(self, session: Session, silent: Collection[Table] = ()) -> None:
        self._session = session
        self._silent = silent
        self.related: dict[tuple[Relation, tuple[Any, ...]], Any] = {}
        self.counters: list[tuple[Mapper[Any], Any, Any]] = []
        self.created: list[NewObject] = []
        # Entries that are written after their owners, because no relationship ties them.
        self._apart: list[tuple[Table, Ledger, Any, list[Row]]] = []
        # Entries that no cascade adds to the session along with their owners.
        self._loose: list[Any] = []

    def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Write *rows* with their ledgers."""
        self.flush(self.create(table, rows))

    def create(self, table: Table, rows: Sequence[Row]) -> list[Any]:
        """Objects for *rows*, with all entries that need not be written after their owners."""
        self.load_related(table, rows)
        return [self.build(table, row, {}) for row in rows]

    @property
    def has_apart(self) -> bool:
        """Whether there are entries for which no object was created yet."""
        return bool(self._apart)

    def flush(self, objects: Sequence[Any]) -> None:
        """Write *objects* with their entries, and then the entries that are written after their owners."""
        self._flush(objects)
        while self._apart:
            apart, self._apart = self._apart, []
            for owners, ledger, owner, entries in apart:
                keys = constant_values(ledger) | _owner_values(owners, ledger, owner)
                self._session.add_all([self.build(ledger.table, entry, keys) for entry in entries])
            self._flush([])

    def load_related(self, table: Table, rows: Iterable[Row]) -> None:
        """Load the objects that *rows* and their ledger entries refer to, a set at a time."""
        rows = list(rows)
        for reference in table.references:
            keys = [_local_key(reference.relation, row) for row in rows]
            self._load_objects(reference.relation, reference.relation.remote, keys)
        for place, links in enumerate(table.links):
            _, remote = links.relation.link or ((), ())
            self._load_objects(links.relation, remote, (key for row in rows for key in row.links[place]))
        for place, ledger in enumerate(table.ledgers):
            self.load_related(ledger.table, (entry for row in rows for entry in row.ledgers[place]))

    def build(self, table: Table, row: Row, extra: Mapping[str, Any]) -> Any:
        """A new object for *row*, with its ledger entries, and with *extra* values by attribute."""
        values = {**by_attribute(table.mapper, row.parameters), **extra}
        self._add_related(values, table, row)
        apart = self._add_entries(values, table, row)
        # The host's code may change the lists that it gets.
        given = values if not table.ledgers and not table.links else _copy_lists(values)
        make = construct_silently if table in self._silent else construct
        new = make(table.mapper.class_, values)
        set_nulls(table.mapper, new, row.parameters)
        self.created.append(NewObject(table, row, new, given, extra))
        counter = table.mapper.version_id_col
        if counter is not None and counter in table.columns.values() and counter.key in row.parameters:
            self.counters.append((table.mapper, new, row.parameters[counter.key]))
        self._apart += [(table, ledger, new, entries) for ledger, entries in apart if entries]
        return new

    def _load_objects(self, relation: Relation, remote: Columns, keys: Iterable[tuple[Any, ...]]) -> None:
        wanted = list({key for key in keys if None not in key})
        columns = [attribute(relation.mapper, column) for column in remote]
        for start in range(0, len(wanted), KEYS_PER_STATEMENT):
            among = is_among(columns, wanted[start : start + KEYS_PER_STATEMENT])
            for row, *key in self._session.execute(select_rows(relation.model, *columns).where(among)):
                self.related[relation, tuple(key)] = row

    def _add_related(self, values: dict[str, Any], table: Table, row: Row) -> None:
        """Add the related objects of *row* to *values*."""
        for reference in table.references:
            found = self.related.get((reference.relation, _local_key(reference.relation, row)))
            if reference.relation.writable is not None and found is not None:
                values[reference.relation.name] = found
        for place, links in enumerate(table.links):
            values[links.relation.name] = [self.related[links.relation, key] for key in row.links[place]]

    def _add_entries(self, values: dict[str, Any], table: Table, row: Row) -> list[tuple[Ledger, list[Row]]]:
        """Add the ledger entries of *row* to *values*; return those that are written after their owner."""
        apart = []
        for place, ledger in enumerate(table.ledgers):
            keys = values_from_owner(table, ledger, values)
            if keys is None or not keeps_order(ledger):
                apart.append((ledger, row.ledgers[place]))
                continue
            entries = [self.build(ledger.table, entry, keys) for entry in row.ledgers[place]]
            values[ledger.relation.name] = ledger.collect(entries)
            self._loose += () if cascades(ledger) else entries
        return apart

    def _flush(self, objects: Sequence[Any]) -> None:
        """Write *objects*, and their ledger entries that no cascade adds to the session."""
        self._session.add_all([*objects, *self._loose])
        self._loose.clear()
        self._session.flush()
        self._set_counters()

    def _set_counters(self) -> None:
        """Set the version counters to the values of the records, because the unit of work restarts them."""
        for mapper, row, value in self.counters:
            counter: Any = mapper.version_id_col
            key = zip(mapper.primary_key, mapper.primary_key_from_instance(row), strict=True)
            stored = sa.update(counter.table).where(*(column == each for column, each in key))
            kept = {column: column for column in counter.table.columns if is_renewed(column)}
            self._session.connection().execute(stored.values(kept | {counter: value}))
        self.counters.clear()


def _copy_lists(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [*value] if type(value) is list else value for name, value in values.items()}


def _local_key(relation: Relation, row: Row) -> tuple[Any, ...]:
    return tuple(row.parameters.get(column.key) for column in relation.local)


def _owner_values(owners: Table, ledger: Ledger, owner: Any) -> dict[str, Any]:
    """By attribute, the values of the written object *owner* that its entries are filled with."""
    return {
        attribute(ledger.table.mapper, local).key: getattr(owner, attribute(owners.mapper, own).key)
        for local, own in zip(ledger.local, ledger.owner, strict=True)
    }


def values_from_owner(table: Table, ledger: Ledger, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Values from the owner besides the relationship's columns; None: not known until it is written."""
    filled = constant_values(ledger)
    for local, own in list(zip(ledger.local, ledger.owner, strict=True))[len(ledger.relation.local) :]:
        name = attribute(table.mapper, own).key
        if name not in values:
            return None
        filled[attribute(ledger.table.mapper, local).key] = values[name]
    return filled


def constant_values(ledger: Ledger) -> dict[str, Any]:
    """By attribute, the values that all entries of *ledger* have."""
    return {attribute(ledger.table.mapper, column).key: value for column, value in ledger.constants.items()}


def cascades(ledger: Ledger) -> bool:
    """Whether adding an owner to a session also adds its entries."""
    way = ledger.relation.writable
    return way is not None and way.cascade.save_update


@functools.cache
def attributes(mapper: Mapper[Any]) -> Mapping[str, str]:
    """By column key, the attribute that the column is mapped to."""
    return {
        column.key: prop.key
        for prop in mapper.column_attrs
        for column in prop.columns
        if isinstance(column, sa.Column)
    }


def set_nulls(mapper: Mapper[Any], new: Any, parameters: Mapping[str, Any]) -> None:
    """Set the attributes of a *new* object that are NULL in *parameters*, although they have a default.

    For an attribute that is None, the unit of work would call the default.
    """
    for name, key in _with_default(mapper):
        if name in parameters and isinstance(parameters[name], _NULLS):
            vars(new)[key] = sa.null()


@functools.cache
def _with_default(mapper: Mapper[Any]) -> Sequence[tuple[str, str]]:
    """The keys of columns that have a default, each with its attribute."""
    columns = mapper.columns
    return [(name, key) for name, key in attributes(mapper).items() if has_default(columns[key])]


def has_default(column: sa.Column[Any]) -> bool:
    """Whether something fills *column* where an INSERT leaves it out."""
    return column.default is not None or column.server_default is not None


def by_attribute(mapper: Mapper[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """*parameters* by attribute, without NULL of SQL."""
    keys = attributes(mapper)
    # An attribute of a new object that is not set becomes SQL's NULL.
    return {
        keys[name]: value
        for name, value in parameters.items()
        if name in keys and not isinstance(value, sa.sql.elements.Null)
    }
