"""Runs → rows through the ORM, where bulk inserts would pass over what a host's models do by themselves."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper, Session

from histio.database.dialects import RowFaultError
from histio.database.sessions import Habits, own_session
from histio.importing.row import Insert, Row, owner_columns
from histio.kinds.listeners import composite_listeners
from histio.kinds.mapping import KEYS_PER_STATEMENT, Columns, Relation, attribute, is_among, select_rows
from histio.kinds.table import Kind, Ledger, Table
from histio.resolving.construct import construct, custom_constructors, has_dataclass_init

_NULLS = (type(None), sa.sql.elements.Null)


def reasons(kind: Kind, habits: Habits) -> tuple[str, ...]:
    """Why runs of *kind* have to be written by the unit of work; none: they are written in bulk."""
    found = [f"the session has {_a(event)} listener" for event in habits.listeners]
    return tuple(dict.fromkeys([*found, *_of_tree(kind.table, frozenset())]))


def unit_of_work_reasons(kinds: Iterable[Kind], habits: Habits) -> dict[str, tuple[str, ...]]:
    """By name, the *kinds* whose runs the unit of work has to write, with the reasons."""
    return {kind.name: why for kind in kinds if (why := reasons(kind, habits))}


def _of_tree(table: Table, given: frozenset[Any]) -> Iterator[str]:
    """Reasons of *table* and its ledgers; *given* are the columns that its owner fills."""
    name = table.mapper.class_.__name__
    yield from (f"{name} {reason}" for reason in _of_table(table))
    unknown = set(owner_columns(table)) - set(table.columns.values()) - given
    if table.identity is None and unknown and table.growing_key is None:
        yield f"{name} has ledgers, and neither an identity nor a key that grows"
    for ledger in table.ledgers:
        yield from _of_tree(ledger.table, frozenset(ledger.local))


def acting_tables(kinds: Iterable[Kind]) -> list[Table]:
    """The tables of *kinds* whose models have constructors or listeners of their own."""
    return [table for kind in kinds for table in kind.table.all() if any(_of_table(table))]


def _a(event: str) -> str:
    return f"an {event}" if event[0] in "aeiou" else f"a {event}"


def _of_table(table: Table) -> Iterator[str]:
    mapper = table.mapper
    for event in ("before_insert", "after_insert"):
        if len(list(getattr(mapper.dispatch, event))) > composite_listeners(mapper, event):
            yield f"has {_a(event)} listener"
    if any(
        not listener.__module__.startswith("sqlalchemy.orm.mapper")
        for listener in mapper.class_manager.dispatch.init
    ):
        yield "has an init listener"
    yield from (f"validates {name}" for name in mapper.validators)
    yield from (
        f"has a set listener on {prop.key}"
        for prop in mapper.column_attrs
        if prop.key not in mapper.validators and _set_listeners(mapper.class_, prop.key)
    )
    yield from (
        f"has a listener on {name}"
        for name in mapper.relationships.keys()  # noqa: SIM118 - no dict
        if _collection_listeners(mapper, name)
    )
    yield from _of_construction(table)
    if len(mapper.tables) > 1:
        yield "is mapped to several tables"
    for ledger in table.ledgers:
        if ledger.owner_has_key:
            yield f"keeps the key of {ledger.relation.name}"


def _collection_listeners(mapper: Mapper[Any], name: str) -> bool:
    """Whether a host listens to what is put into a relationship, as SQLAlchemy does itself."""
    dispatch = getattr(mapper.class_, name).dispatch
    own = ("sqlalchemy.orm.unitofwork", "sqlalchemy.orm.attributes")
    found = (listener for event in ("append", "set", "bulk_replace") for listener in getattr(dispatch, event))
    return name not in mapper.validators and any(listener.__module__ not in own for listener in found)


def _set_listeners(model: type[Any], key: str) -> list[Any]:
    attribute = getattr(model, key, None)  # a column that inheritance uses may have none
    return [] if attribute is None else list(attribute.dispatch.set)


def _of_construction(table: Table) -> Iterator[str]:
    """What making an object does and inserting its row would not."""
    mapper, model = table.mapper, table.mapper.class_
    yield from custom_constructors(model)
    for field in dataclasses.fields(model) if has_dataclass_init(model) else ():
        column = mapper.columns.get(field.name)
        given = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if given and column is not None and _only_there(table, column):
            yield f"has a dataclass default for {field.name}"


def _only_there(table: Table, column: Any) -> bool:
    """Whether nothing but the dataclass fills *column*."""
    return column.default is None and column.server_default is None and column not in table.columns.values()


def insert_by_unit_of_work(habits: Habits) -> Insert:
    """A way to write rows: as ORM objects, in a session of histio's own on the same connection.

    Listeners of the models fire, and those of the session's *habits*; what the caller has pending stays as it
    is. What the host's code raises is the rows' fault.
    """

    def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        with own_session(connection, habits) as session:
            try:
                Work(session).write(table, rows)
            except sa.exc.StatementError:  # what the database says, or a driver
                raise
            except Exception as error:
                raise RowFaultError(f"{type(error).__name__}: {error}") from error

    return insert


class Work:
    """Rows made into objects of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.related: dict[tuple[Relation, tuple[Any, ...]], Any] = {}
        self._apart: list[tuple[Table, Ledger, Any, list[Row]]] = []
        self._loose: list[Any] = []
        self.counters: list[tuple[Mapper[Any], Any, Any]] = []

    def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Write *rows*; ledgers that no relationship ties to their owners follow those."""
        self.load_related(table, rows)
        self._flush([self.object(table, row, {}) for row in rows])
        while self._apart:
            apart, self._apart = self._apart, []
            for owners, ledger, owner, entries in apart:
                keys = further_of(ledger) | {
                    attribute(ledger.table.mapper, local).key: getattr(
                        owner, attribute(owners.mapper, own).key
                    )
                    for local, own in zip(ledger.local, ledger.owner, strict=True)
                }
                self._session.add_all([self.object(ledger.table, entry, keys) for entry in entries])
            self._flush([])

    def _flush(self, made: Sequence[Any]) -> None:
        """Write the objects in *made*, and the entries that no cascade adds along with their owners."""
        self._session.add_all([*made, *self._loose])
        self._loose.clear()
        self._session.flush()
        self._set_counters()

    def _set_counters(self) -> None:
        """Set the counters of versions that the records give: the unit of work begins them anew."""
        for mapper, row, value in self.counters:
            counter: Any = mapper.version_id_col
            key = zip(mapper.primary_key, mapper.primary_key_from_instance(row), strict=True)
            kept = sa.update(counter.table).where(*(column == each for column, each in key))
            self._session.connection().execute(kept.values({counter.key: value}))
        self.counters.clear()

    def load_related(self, table: Table, rows: Iterable[Row]) -> None:
        """Fetch what *rows* and their ledgers refer to, a set at a time."""
        rows = list(rows)
        for reference in table.references:
            keys = [_key(reference.relation, row) for row in rows]
            self._fetch(reference.relation, reference.relation.remote, keys)
        for place, links in enumerate(table.links):
            _, remote = links.relation.link or ((), ())
            self._fetch(links.relation, remote, (key for row in rows for key in row.links[place]))
        for place, ledger in enumerate(table.ledgers):
            self.load_related(ledger.table, (entry for row in rows for entry in row.ledgers[place]))

    def _fetch(self, relation: Relation, remote: Columns, keys: Iterable[tuple[Any, ...]]) -> None:
        wanted = list({key for key in keys if None not in key})
        columns = [attribute(relation.mapper, column) for column in remote]
        for start in range(0, len(wanted), KEYS_PER_STATEMENT):
            among = is_among(columns, wanted[start : start + KEYS_PER_STATEMENT])
            for row, *key in self._session.execute(select_rows(relation.model, *columns).where(among)):
                self.related[relation, tuple(key)] = row

    def object(self, table: Table, row: Row, extra: Mapping[str, Any]) -> Any:
        """The object of *row*, with *extra* values by attribute."""
        values = {**_by_attribute(table.mapper, row.parameters), **extra}
        for reference in table.references:
            found = self.related.get((reference.relation, _key(reference.relation, row)))
            if reference.relation.writable is not None and found is not None:
                values[reference.relation.name] = found
        for place, links in enumerate(table.links):
            values[links.relation.name] = [self.related[links.relation, key] for key in row.links[place]]
        apart = []
        for place, ledger in enumerate(table.ledgers):
            keys = _from_owner(table, ledger, values)
            if keys is None or not _keeps_order(ledger):
                apart.append((ledger, row.ledgers[place]))
                continue
            entries = [self.object(ledger.table, entry, keys) for entry in row.ledgers[place]]
            values[ledger.relation.name] = entries if ledger.many else next(iter(entries), None)
            self._loose += () if cascades(ledger) else entries
        made = construct(table.mapper.class_, values)
        # The unit of work takes None for nothing that was said, and calls the default.
        vars(made).update(dict.fromkeys(_nulls(table.mapper, row.parameters), sa.null()))
        counter = table.mapper.version_id_col
        if counter is not None and counter in table.columns.values() and counter.key in row.parameters:
            self.counters.append((table.mapper, made, row.parameters[counter.key]))
        self._apart += [(table, ledger, made, entries) for ledger, entries in apart if entries]
        return made


def _key(relation: Relation, row: Row) -> tuple[Any, ...]:
    return tuple(row.parameters.get(column.key) for column in relation.local)


def _from_owner(table: Table, ledger: Ledger, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an entry is filled with beyond the relationship's columns; None: only the written row knows."""
    filled = further_of(ledger)
    for local, own in list(zip(ledger.local, ledger.owner, strict=True))[len(ledger.relation.local) :]:
        name = attribute(table.mapper, own).key
        if name not in values:
            return None
        filled[attribute(ledger.table.mapper, local).key] = values[name]
    return filled


def further_of(ledger: Ledger) -> dict[str, Any]:
    return {attribute(ledger.table.mapper, column).key: value for column, value in ledger.constants.items()}


def _keeps_order(ledger: Ledger) -> bool:
    """Whether entries that are assigned to the relationship are written in their order: a set's are not."""
    way = ledger.relation.writable
    made: Any = None if way is None or way.collection_class is None else way.collection_class()
    return way is not None and not isinstance(made, set)


def cascades(ledger: Ledger) -> bool:
    """Whether adding an owner to a session also adds its entries."""
    way = ledger.relation.writable
    return way is not None and way.cascade.save_update


@functools.cache
def _attributes(mapper: Mapper[Any]) -> Mapping[str, str]:
    """By column key, the attribute that it is mapped to."""
    return {
        column.key: prop.key
        for prop in mapper.column_attrs
        for column in prop.columns
        if isinstance(column, sa.Column)
    }


def _nulls(mapper: Mapper[Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    """The attributes that *parameters* give as NULL, of columns that have a default."""
    for name, key in _attributes(mapper).items():
        column = mapper.columns[key]
        has_default = column.default is not None or column.server_default is not None
        if has_default and name in parameters and isinstance(parameters[name], _NULLS):
            yield key


def _by_attribute(mapper: Mapper[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    keys = _attributes(mapper)
    # A new object's attribute that is not set is SQL's NULL.
    return {
        keys[name]: value
        for name, value in parameters.items()
        if name in keys and not isinstance(value, sa.sql.elements.Null)
    }
