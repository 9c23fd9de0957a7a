"""Let updated rows take unique values from each other: the rows that hold them give them up first."""

from __future__ import annotations

import datetime as dt
import itertools
import unicodedata
import uuid
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import make_transient, make_transient_to_detached, object_session
from sqlalchemy.orm.attributes import set_committed_value

from histio.database.dialects import stored_keys
from histio.importing.batches import try_to_write
from histio.importing.row import Row
from histio.importing.update.plan import RowUpdate
from histio.importing.update.reinsert import exchange_values
from histio.kinds.column_types import underlying
from histio.kinds.keys import unique_rules
from histio.kinds.mapping import Columns, attribute
from histio.kinds.selects import is_among
from histio.kinds.table import Ledger, Table

_Place: TypeAlias = tuple[Any, ...]
"""The columns of a unique rule, the owner within which they are unique, and their values."""


@dataclass(frozen=True, slots=True, eq=False)
class _Taker:
    """A row that takes a place: a new one, or a stored one, which leaves another place.

    Attributes:
        run: The row of the run that it belongs to.
        rule: The columns of the unique rule.
        values: The values that they will have.
        takes: The place it takes; None: one of its values is null, so that others may have the same.
        leaves: The place it leaves; None: it had none.
        update: Its update; None: it is new.
        changed: The columns of the rule whose values change.
    """

    run: Row
    rule: Columns
    values: Mapping[sa.Column[Any], Any]
    takes: _Place | None
    leaves: _Place | None = None
    update: RowUpdate | None = None
    changed: Columns = ()


class UniquePlaces:
    """The unique values of the rows of one kind.

    Args:
        table: The table of the runs.

    Attributes:
        may_wait: Whether runs can wait until others have given up the values that they take.
    """

    def __init__(self, table: Table) -> None:
        self.may_wait = False
        self._rules: dict[Any, set[Columns]] = {
            core: {tuple(rule.columns) for rule in (core.primary_key, *unique_rules(core))}
            for each in table.all()
            for core in each.mapper.tables
        }
        self._has_learned = False
        self._needs: dict[Row, set[Row]] = defaultdict(set)
        self._takers: set[Row] = set()

    def learn(self, connection: Connection) -> bool:
        """Add the rules that only the database has; return whether there are any. Asks only once."""
        if self._has_learned:
            return False
        self._has_learned = True
        before = sum(map(len, self._rules.values()))
        for core, rules in self._rules.items():
            rules.update(tuple(columns) for _, columns in stored_keys(connection, core))
        return sum(map(len, self._rules.values())) > before

    def forget(self) -> None:
        """Forget which runs take values of others, once they are written."""
        self._needs.clear()
        self._takers.clear()

    def give_up(self, connection: Connection, updates: Mapping[Row, RowUpdate]) -> None:
        """Give free values, for now, to the stored rows whose values other rows in *updates* take.

        Args:
            connection: In a transaction; the rows have been loaded, and not been changed.
            updates: By the row of each run, its update.
        """
        takers = [taker for run, update in updates.items() for taker in self._find_takers(run, update)]
        takers_of: dict[_Place, list[_Taker]] = defaultdict(list)
        for taker in takers:
            if taker.takes is not None:
                takers_of[taker.takes].append(taker)
                self._takers.add(taker.run)
        leaving: dict[sa.Column[Any], list[_Taker]] = defaultdict(list)
        for holder in takers:
            others = [each for each in takers_of.get(holder.leaves or (), ()) if each is not holder]
            for other in others:
                if other.run is not holder.run:
                    self._needs[other.run].add(holder.run)
            if others:
                leaving[min(holder.changed, key=_difficulty)].append(holder)
        for column, holders in leaving.items():
            given = (taker.values[column] for taker in takers if column in taker.rule)
            taken = {each for each in given if isinstance(each, Hashable) and _fold(each) is not None}
            _free(connection, column, holders, taken)

    def postpone(self, rows: Sequence[Row]) -> set[Row]:
        """Those of *rows* that take values, if they can wait."""
        return self._takers.intersection(rows) if self.may_wait else set()

    def group(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Split *rows* of runs into groups that can be written one after the other.

        Runs that take values from each other in a circle are one group, and come after the runs that they
        need. Only what `give_up` has noted is known.
        """
        among = set(rows)
        reached = {row: frozenset(self._reach(row, among)) for row in rows}
        groups: dict[frozenset[Row], list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: len(reached[row])):
            groups[reached[row]].append(row)
        return list(groups.values())

    def _reach(self, row: Row, among: set[Row]) -> set[Row]:
        """*row* and the rows that it needs, directly or through others."""
        found, front = {row}, {row}
        while front:
            front = {need for each in front for need in self._needs.get(each, ())} & among - found
            found |= front
        return found

    def _find_takers(
        self, run: Row, update: RowUpdate, ledger: Ledger | None = None, owner: Any = None
    ) -> Iterator[_Taker]:
        """The places that a row and the rows below it take and leave."""
        table, target, new = update.table, update.target, dict(update.new_values())
        for rule in self._rules_of(table):
            changed = tuple(column for column in rule if column in new)
            if changed:
                before = {column: update.stored_value(column) for column in rule}
                after = before | {column: new[column] for column in changed}
                takes, leaves = (_place(rule, values, ledger, owner) for values in (after, before))
                yield _Taker(run, rule, after, takes, leaves, update, changed)
        for below in update.ledgers:
            for entry in below.entries:
                if isinstance(entry, RowUpdate):
                    yield from self._find_takers(run, entry, below.ledger, target)
                else:
                    yield from self._new_takers(run, entry, below.ledger, target)

    def _new_takers(self, run: Row, row: Row, ledger: Ledger, owner: Any) -> Iterator[_Taker]:
        """The places that a new entry and the entries below it take."""
        for rule in self._rules_of(ledger.table):
            values = {column: row.parameters.get(column.key) for column in rule} | dict(ledger.constants)
            yield _Taker(run, rule, values, _place(rule, values, ledger, owner))
        for below, entries in zip(ledger.table.ledgers, row.ledgers, strict=True):
            for entry in entries:
                yield from self._new_takers(run, entry, below, row)

    def _rules_of(self, table: Table) -> Iterator[Columns]:
        for core in table.mapper.tables:
            yield from self._rules[core]


def _place(
    rule: Columns, values: Mapping[sa.Column[Any], Any], ledger: Ledger | None, owner: Any
) -> _Place | None:
    """The place of a row with these *values*; None: a value is null."""
    owned = () if ledger is None else ledger.local
    given = [_fold(values[column]) for column in rule if column not in owned]
    within = id(owner) if any(column in owned for column in rule) else None
    return None if None in given or not given else (rule, within, *given)


def _fold(value: Any) -> Any:
    """*value* in a form in which values that a collation may treat as equal are equal; None: null."""
    if isinstance(value, str):
        plain = unicodedata.normalize("NFKD", value.casefold()).rstrip()
        return "".join(each for each in plain if not unicodedata.combining(each))
    if isinstance(value, sa.sql.ClauseElement):
        return None
    return value if isinstance(value, Hashable) else repr(value)


_UNITS: Mapping[type, Any] = {
    **dict.fromkeys((int, float, Decimal), 1),
    dt.date: dt.timedelta(days=1),
    dt.datetime: dt.timedelta(seconds=1),
}
"""The difference between two values of a type that is large enough for every column."""


def _takes_null(column: sa.Column[Any]) -> bool:
    return bool(column.nullable and not column.primary_key)


def _difficulty(column: sa.Column[Any]) -> tuple[bool, bool]:
    """How difficult it is to find free values for *column*: null is free, and a foreign key needs rows."""
    return not _takes_null(column), bool(column.foreign_keys)


def _free(connection: Connection, column: sa.Column[Any], holders: Sequence[_Taker], taken: set[Any]) -> None:
    """Free the values that the stored rows of *holders* have in *column*.

    They get values that no row has, and that are not *taken*. If there are none, or the database refuses
    them, ledger entries are deleted and inserted again with their new values.
    """
    updates = list({id(each.update): each.update for each in holders if each.update is not None}.values())
    values = list(_FreeValues(connection, column, holders[0], updates, taken).values(len(updates)))
    if len(values) < len(updates) or not _set(connection, column, updates, values):
        is_entry = all(each.update is not None and each.update.row is not each.run for each in holders)
        if not (is_entry and exchange_values(connection, updates)):
            return
        values = [dict(each.new_values())[column] for each in updates]
    for each, value in zip(updates, values, strict=True) if column.primary_key else ():
        _load_again(each.target, attribute(each.table.mapper, column).key, value)


def _set(
    connection: Connection, column: sa.Column[Any], updates: Sequence[RowUpdate], values: Sequence[Any]
) -> bool:
    """Set *column* to *values* in the rows of *updates*; False: the database refuses it."""
    core: Any = column.table
    keys = {f"key_{place}": key for place, key in enumerate(core.primary_key)}
    of_row = (key == sa.bindparam(name, type_=key.type) for name, key in keys.items())
    given = sa.bindparam("value", type_=column.type)
    statement = sa.update(core).where(*of_row).values({column.key: given})
    parameters = [
        {"value": value} | {name: each.stored_value(key) for name, key in keys.items()}
        for each, value in zip(updates, values, strict=True)
    ]

    def write() -> None:
        connection.execute(statement, parameters)

    return try_to_write(connection, [core], write, deferred=False) is None


def _load_again(target: Any, name: str, value: Any) -> None:
    """Let the session know *target* by the new *value* of its key."""
    session: Any = object_session(target)
    session.expunge(target)
    make_transient(target)
    set_committed_value(target, name, value)
    make_transient_to_detached(target)
    session.add(target)


@dataclass(frozen=True, slots=True)
class _FreeValues:
    """Values of a column that no row has.

    Attributes:
        column: The column.
        holder: One of the rows that get such a value.
        updates: The updates of all of them.
        taken: Values that rows will have.
    """

    connection: Connection
    column: sa.Column[Any]
    holder: _Taker
    updates: Sequence[RowUpdate]
    taken: set[Any]

    def values(self, count: int) -> Iterator[Any]:
        """*count* values, or fewer if there are not so many."""
        return itertools.islice(self._values(), count)

    def _values(self) -> Iterator[Any]:
        column = self.column
        if _takes_null(column):
            return itertools.repeat(None)
        own = [each.stored_value(column) for each in self.updates]
        if column.foreign_keys:
            return self._keys()
        if (unit := _UNITS.get(type(own[0]))) is not None:
            return self._above(unit)
        kept = underlying(column.type)
        if isinstance(own[0], str) and not isinstance(kept, sa.Enum):
            texts = {uuid.uuid4().hex[: getattr(kept, "length", None)] for _ in own}
            return iter(texts - self.taken)
        return iter({uuid.uuid4() for _ in own} if isinstance(own[0], uuid.UUID) else ())

    def _above(self, unit: Any) -> Iterator[Any]:
        """Values above all that rows have or take."""
        highest = self.connection.execute(self._stored_values(sa.func.max(self.column))).scalar()
        top = max({*self.taken, highest} - {None})
        return (top + unit * count for count in itertools.count(1))

    def _keys(self) -> Iterator[Any]:
        """Keys of related rows that no row refers to."""
        remote = next(iter(self.column.foreign_keys)).column
        unused = remote.not_in(self.taken) & remote.not_in(self._stored_values(self.column))
        return iter(self.connection.scalars(sa.select(remote).where(unused).limit(len(self.updates))).all())

    def _stored_values(self, of: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """*of* the stored rows among which the column has to be unique."""
        fixed = tuple(each for each in self.holder.rule if each not in self.holder.changed)
        scopes = {tuple(each.stored_value(column) for column in fixed) for each in self.updates}
        return sa.select(of).where(is_among(fixed, scopes) if fixed else sa.true())
