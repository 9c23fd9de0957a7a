"""Changes of stored runs → the database: through the ORM's unit of work, as a host's own code would do it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified, set_committed_value
from sqlalchemy.orm.collections import collection_adapter

from histio.database.dialects import RowFaultError
from histio.database.sessions import Habits, own_session
from histio.importing.bulk import insert_in_bulk
from histio.importing.orm import ObjectWriter, cascades, constant_values
from histio.importing.row import Insert, Row
from histio.importing.row_counts import check_kept, rows_of
from histio.importing.run import Values
from histio.importing.update.plan import (
    LedgerUpdate,
    Removal,
    RowUpdate,
    conflicts,
    count_entries,
    plan_update,
    stored_entries,
)
from histio.kinds.identity import Identity
from histio.kinds.mapping import KEYS_PER_STATEMENT, Columns, attribute, is_among, select_rows
from histio.kinds.table import Ledger, Links, Table
from histio.resolving.construct import assign
from histio.resolving.eager import eager_options, fetch_apart

Scope: TypeAlias = Mapping[sa.Column[Any], Any]
"""Columns beside which the identity of a run is unique, and their values."""

Done: TypeAlias = dict[Row, Counter[str] | str]
"""What was done to the ledger entries of each run; a text: why nothing of it could be changed."""


def amend_by_unit_of_work(habits: Habits, given: Mapping[Row, Values], within: Scope, done: Done) -> Insert:
    """A way to write rows of runs that exist: in a session of histio's own, with the host's *habits*.

    Of each row, only what is *given* is changed. What was done is noted in *done*. What the host's code
    raises is the rows' fault.
    """

    def amend(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        # Others may have changed the entries before they had to wait for this transaction.
        with own_session(connection, habits, now=True) as session:
            try:
                done.update(_Amendment(session).make(table, {row: given[row] for row in rows}, within))
            except (sa.exc.StatementError, RowFaultError):  # what the database says, or a driver
                raise
            except Exception as error:
                raise RowFaultError(f"{type(error).__name__}: {error}") from error

    return amend


class _Amendment(ObjectWriter):
    """Changes objects of one session to the values of rows."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._amended: dict[int, Any] = {}
        self._released: set[tuple[int, str]] = set()

    def make(self, table: Table, given: Mapping[Row, Values], within: Scope) -> Done:
        """Change what is stored of runs; rows below *table* that are new come with them."""
        assert table.identity is not None  # noqa: S101 - the table of runs
        identities = [table.identity.of(values) for values in given.values()]
        found = self._load(table, table.identity, identities, within)
        changes: list[RowUpdate] = []
        done: Done = {}
        for (made, values), identity in zip(given.items(), identities, strict=True):
            row = found.get(identity)
            if row is None:
                done[made] = "another client has just removed it"
                continue
            stored = table.schema.load(table.schema.dump(row))
            change = plan_update(table, row, values, made, stored)
            done[made] = "; ".join(conflicts(change)) or Counter(count_entries(change))
            changes += [] if isinstance(done[made], str) else [change]
        self.load_related(table, given)
        self._release(table, [change.target for change in changes])
        self._remove(removal for change in changes for removal in change.removals())
        for change in changes:
            self._amend(change)
        self.write(table, [])
        self._bring_into_order(table, changes)
        meant = {table.identity.of(change.given): _meant(change) for change in changes}
        check_kept(self._session.connection(), table, meant, within=within, now=True)
        return done

    def _release(self, table: Table, rows: Sequence[Any]) -> None:
        """Make the *rows* of runs refer to each other by their columns only, not by relationships.

        The unit of work finds no order for objects that refer to each other in a circle.
        """
        self._amended = {id(row): row for row in rows}
        for way in (each.relation for each in table.references if each.relation.writable is not None):
            for row in rows:
                if id(sa.inspect(row).dict.get(way.name)) in self._amended:
                    self._session.expire(row, [way.name])
                    self._released.add((id(row), way.name))

    def _load(
        self, table: Table, identity: Identity, identities: Sequence[Any], within: Scope
    ) -> dict[Any, Any]:
        """The objects of runs with all that belongs to them, by identity."""
        own = identity.sql(table.mapper.class_)
        scope = [column == value for column, value in within.items()]
        statement = own.join(select_rows(table.mapper.class_, *own.parts)).options(*eager_options(table))
        rows = self._session.execute(statement.where(own.among(identities), *scope)).all()
        fetch_apart(self._session, table, [row for row, *_ in rows])
        return {identity.normal(identity.joined(values)): row for row, *values in rows}

    def _remove(self, removals: Iterator[tuple[int, Removal]]) -> None:
        """Delete entries, the deepest first: what is unique about them may come again with others."""
        levels: dict[int, list[Removal]] = defaultdict(list)
        for depth, removal in removals:
            levels[depth].append(removal)
        for depth in sorted(levels, reverse=True):
            _detach(levels[depth])
            for removal in levels[depth]:
                self._session.delete(removal.entry)
            self._session.flush()

    def _amend(self, change: RowUpdate) -> None:
        table, row = change.table, change.target
        made, counter = change.row.parameters, table.mapper.version_id_col
        for member, column in table.columns.items():
            if member in change.members and column is not counter:
                name = table.attribute(member).key
                setattr(row, name, made[column.key])
                if not sa.inspect(row).attrs[name].history.has_changes():
                    flag_modified(row, name)  # within JSON, 1 and true are the same to SQLAlchemy
        self._relate(change)
        for ledger in table.ledgers:
            copied = _keys(table, ledger, row, beyond=True)
            for entry in stored_entries(table, ledger, row) if copied else ():
                for name, value in copied.items():
                    setattr(entry, name, value)
        for entries in change.ledgers:
            self._amend_entries(change, entries)
        if change.touches_row:
            self._keep_given(change)

    def _relate(self, change: RowUpdate) -> None:
        """Let the row refer to the related rows that the document names."""
        table, row, made = change.table, change.target, change.row
        for way in (each.relation for each in table.references if change.members & each.slugs.keys()):
            key = tuple(made.parameters.get(column.key) for column in way.local)
            for column, value in zip(way.local, key, strict=True):
                setattr(row, attribute(table.mapper, column).key, value)
            related = self.related.get((way, key))
            by_column = id(related) in self._amended or (id(row), way.name) in self._released
            if way.writable is not None and related is not None and not by_column:
                setattr(row, way.name, related)
        for links, keys in zip(table.links, made.links, strict=True):
            if links.member in change.members:
                assign(row, links.relation.name, [self.related[links.relation, key] for key in keys])

    def _keep_given(self, change: RowUpdate) -> None:
        """Let neither ``onupdate`` nor a counter of versions speak where the document has spoken."""
        table, row = change.table, change.target
        for member, column in table.columns.items():
            if member not in change.given or member in table.computed:
                continue
            if column is table.mapper.version_id_col:
                self.counters.append((table.mapper, row, change.row.parameters[column.key]))
            elif column.onupdate is not None or column.server_onupdate is not None:
                flag_modified(row, table.attribute(member).key)

    def _amend_entries(self, change: RowUpdate, entries: LedgerUpdate) -> None:
        ledger, relation = entries.ledger, entries.ledger.relation
        keys = constant_values(ledger) | _keys(
            change.table, ledger, change.target, beyond=ledger.owner_has_key
        )
        new = []
        for each in entries.entries:
            if isinstance(each, RowUpdate):
                self._amend(each)
                entries.objects.append(each.target)
            else:
                new.append(self.build(ledger.table, each, keys))
                entries.objects.append(new[-1])
        if not new:
            return
        if not cascades(ledger):
            self._session.add_all(new)
        if relation.writable is None:
            return
        if relation.apart:
            for entry in new:
                getattr(change.target, relation.name).add(entry)
        elif not ledger.many:
            setattr(change.target, relation.name, new[0])
        elif isinstance(getattr(change.target, relation.name), list):
            setattr(change.target, relation.name, entries.objects)
        else:  # one that loses the order, or whose keys are changing as well
            self._session.add_all(new)

    def _bring_into_order(self, table: Table, changes: Sequence[RowUpdate]) -> None:
        """Write entries anew that come after others which were recorded later."""
        keys: dict[Ledger, list[tuple[Any, ...]]] = defaultdict(list)
        for _, entries in (each for change in changes for each in change.all_ledgers()):
            if entries.rewritten:
                growing = entries.ledger.table.growing_key
                name = attribute(entries.ledger.table.mapper, growing).key  # type: ignore[arg-type]
                keys[entries.ledger] += [
                    (getattr(entries.objects[place], name),) for place in entries.rewritten
                ]
        for ledger in _deepest_first(table):
            if ledger in keys:
                _write_anew(self._session.connection(), ledger, keys[ledger])


def _meant(change: RowUpdate) -> Row:
    """The rows that should be there after *change*, without their values."""
    stored = rows_of(change.table, change.stored)
    amended = {
        each.ledger: [_meant(entry) if isinstance(entry, RowUpdate) else entry for entry in each.entries]
        for each in change.ledgers
    }
    ledgers = (
        amended.get(ledger, entries)
        for ledger, entries in zip(change.table.ledgers, stored.ledgers, strict=True)
    )
    links = (
        given if each.member in change.given else kept
        for each, given, kept in zip(change.table.links, change.row.links, stored.links, strict=True)
    )
    return Row({}, tuple(ledgers), tuple(links))


def _detach(removals: Sequence[Removal]) -> None:
    """Take entries out of their owners' relationships, without telling the host that the owners change."""
    of_lists: dict[int, tuple[Any, set[int]]] = {}
    for removal in removals:
        relation, owner = removal.ledger.relation, removal.owner
        if removal.ledger.owner_has_key:
            setattr(owner, relation.name, None)
        elif relation.apart:
            continue
        elif not removal.ledger.many:
            set_committed_value(owner, relation.name, None)
        elif isinstance(found := getattr(owner, relation.name), list):
            of_lists.setdefault(id(found), (found, set()))[1].add(id(removal.entry))
        else:
            collection_adapter(found).remove_without_event(removal.entry)
    for found, gone in of_lists.values():  # at once: a list would look for each from its beginning
        list.__setitem__(found, slice(None), [each for each in found if id(each) not in gone])


def _keys(table: Table, ledger: Ledger, owner: Any, *, beyond: bool) -> dict[str, Any]:
    """By attribute, what ties an entry to its *owner*; only what goes *beyond* the relationship itself."""
    pairs = list(zip(ledger.local, ledger.owner, strict=True))
    return {
        attribute(ledger.table.mapper, local).key: getattr(owner, attribute(table.mapper, own).key)
        for local, own in pairs[len(ledger.relation.local) if beyond else 0 :]
    }


def _deepest_first(table: Table) -> Iterator[Ledger]:
    for ledger in table.ledgers:
        yield from _deepest_first(ledger.table)
        yield ledger


def _write_anew(connection: Connection, ledger: Ledger, keys: Sequence[tuple[Any, ...]]) -> None:
    """Give the entries with these growing *keys* new ones, in that order; nothing else of them changes."""
    growing: Any = ledger.table.growing_key
    taken = _take(connection, ledger.table, (growing,), keys)
    beside = () if ledger.table.is_shared else ledger.relation.remote
    rows = [row for key in keys for row in taken[key]]
    insert_in_bulk(connection, ledger.table, rows, within=beside, ordered=True)


def _take(
    connection: Connection, table: Table, columns: Columns, keys: Sequence[tuple[Any, ...]]
) -> dict[tuple[Any, ...], list[Row]]:
    """Delete the rows whose *columns* have one of the *keys*, and all below them; give them back by those."""
    taken: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    kept = [each for each in table.rows.columns if each is not table.growing_key and each.computed is None]
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        among = is_among(columns, keys[start : start + KEYS_PER_STATEMENT])
        stored = connection.execute(sa.select(table.rows).where(among).order_by(*table.rows.primary_key))
        rows = stored.mappings().all()
        below = [
            (
                each.relation.local,
                _take(connection, each.table, each.relation.remote, _keys_below(rows, each)),
            )
            for each in table.ledgers
        ]
        linked = [(links.relation.local, _take_links(connection, links, rows)) for links in table.links]
        connection.execute(sa.delete(table.rows).where(among))
        for row in rows:
            parameters = {each.key: _again(each, row[each]) for each in kept}
            entries = tuple(some[_values(row, own)] for own, some in below)
            pairs = tuple(some[_values(row, own)] for own, some in linked)
            taken[_values(row, columns)].append(Row(parameters, entries, pairs))
    return taken


def _take_links(
    connection: Connection, links: Links, rows: Sequence[Any]
) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Delete the links of *rows*; give back the keys of the related rows, by those of the rows."""
    taken: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    own, (there, _) = links.relation.remote, links.relation.link or ((), ())
    among = is_among(own, [_values(row, links.relation.local) for row in rows])
    for row in connection.execute(sa.select(*own, *there).where(among)).mappings():
        taken[_values(row, own)].append(_values(row, there))
    connection.execute(sa.delete(own[0].table).where(among))
    return taken


def _keys_below(rows: Sequence[Any], ledger: Ledger) -> list[tuple[Any, ...]]:
    """The keys of *rows* that their entries hold: none where it is the other way round."""
    return [] if ledger.owner_has_key else [_values(row, ledger.relation.local) for row in rows]


def _values(row: Any, columns: Columns) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def _again(column: sa.Column[Any], value: Any) -> Any:
    """A *value* that was read, to be written as it was: None would be JSON's null."""
    return sa.null() if value is None and isinstance(column.type, sa.JSON) else value
