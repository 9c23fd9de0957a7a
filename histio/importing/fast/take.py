"""Import what the fast path accepts; return the rest."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import sqlalchemy as sa

from histio.database.sessions import Habits
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import FullPathError, related_mappers
from histio.exporting.pages import known_texts
from histio.files.raw_runs import RawRun
from histio.importing.batches import try_to_write
from histio.importing.counts import Tally
from histio.importing.cut_times import Cut
from histio.importing.destination import Destination
from histio.importing.fast.plan import Records
from histio.importing.fast.rows import RowWriter, find_row_writer
from histio.importing.fast.update import RunUpdater
from histio.importing.fast.values import RetryError, ValueWriter, find_value_writer
from histio.importing.model_behavior import Creation, Need
from histio.importing.row_counts import KeptRows, check_kept, core_tables, rows_of
from histio.importing.run import OnDuplicate, Run
from histio.importing.update.compare import warn_of_altered, warn_of_changed
from histio.importing.update.revisions import note_changes
from histio.kinds.keys import unique_rules
from histio.kinds.table import Kind, Table
from histio.report import KEPT, EntryCounts
from histio.tuning import tuning, with_pauses
from histio.wire import encode

Writer: TypeAlias = RowWriter | ValueWriter
"""Writes accepted records."""

_log = logging.getLogger("histio")

_UUID = len("00000000-0000-0000-0000-000000000000")
_DEPTH = 50
"""How deeply ledgers are nested at most."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """What follows from the kinds of an import alone.

    Attributes:
        blocked: By name, kinds whose runs take the full path, and why.
        may_collide: Whether constraints forbid more than rows of the same identity or key.
        core_tables: By kind, the Core tables that its runs have rows in.
    """

    blocked: Mapping[str, str]
    may_collide: bool
    core_tables: Mapping[Kind, Sequence[sa.Table]]

    @classmethod
    def from_kinds(cls, kinds: Sequence[Kind]) -> Self:
        """Derive the rules from *kinds*."""
        tables = [table for kind in kinds for table in kind.table.all()]
        reason = "there are slugs of rows that an import writes"
        blocked = {kind.name: reason for kind in kinds} if _refer_to_each_other(tables) else {}
        return cls(blocked, _may_collide(tables), {kind: core_tables(kind) for kind in kinds})


class FastPath:
    """The fast path of one transaction of an import.

    It writes new runs without a problem or a warning, skips existing ones, and updates those that differ from
    what is stored in a common way. All other runs take the full path, which is slower and gives the same
    result.

    Args:
        destination: The database.
        tally: Counts the outcomes.
        kept_rows: Decides what has to be checked after rows are written.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.
        on_duplicate: What to do with runs that exist.
        deferred: Whether deferred constraints are checked now.

    Attributes:
        written: The kinds of which runs have been written.
        entries: What was done to the ledger entries of updated runs.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        tally: Tally,
        kept_rows: KeptRows,
        habits: Habits,
        creations: Mapping[str, Creation],
        on_duplicate: OnDuplicate,
        deferred: bool,
    ) -> None:
        self._destination = destination
        self._connection = destination.connection
        self._spool = destination.spool
        self._tally = tally
        self._kept_rows = kept_rows
        self._on_duplicate = on_duplicate
        self._deferred = deferred
        rules = destination.plan.recall("fast path", _Rules.from_kinds, destination.kinds)
        self._habits = habits
        self._creations = creations
        self._blocked = rules.blocked
        self._may_collide = rules.may_collide
        self._core_tables = rules.core_tables
        self._writers: dict[str, Writer | str] = {}
        self._value_writers: dict[str, ValueWriter | str] = {}
        self._updaters: dict[str, RunUpdater | None] = {}
        self._room = KEPT
        self.entries = EntryCounts()
        self._cut: dict[int, tuple[Any, Sequence[Cut]]] = {}
        self.written: set[Kind] = set()

    def find_writer(self, kind: Kind) -> Writer | str:
        """The writer for accepted runs of *kind*; a text: why they take the full path."""
        if kind.name not in self._writers:
            self._writers[kind.name] = self._find_obstacle(kind) or self._find_writer(kind)
        return self._writers[kind.name]

    def _find_obstacle(self, kind: Kind) -> str | None:
        if tuning().full_path_only:
            return "the full path was requested"
        if self._destination.identities.scope(kind.table):
            return f"{kind.name}: its {kind.identity.title} is unique only together with other columns"
        return self._blocked.get(kind.name)

    def _find_writer(self, kind: Kind) -> Writer | str:
        creation = self._creations[kind.name]
        by_driver: RowWriter | str = "; ".join(creation.reasons)
        if creation.need is Need.ROWS:
            by_driver = find_row_writer(self._destination, kind)
        return self._find_value_writer(kind, by_driver) if isinstance(by_driver, str) else by_driver

    def _find_value_writer(self, kind: Kind, reason: str) -> ValueWriter | str:
        return find_value_writer(
            self._destination, kind, self._creations[kind.name], self._habits, reason=reason
        )

    def take(self, raw_runs: Sequence[RawRun]) -> list[RawRun]:
        """Import what the fast path accepts; return the rest."""
        self._cut.clear()
        rest: list[RawRun] = []
        new: list[tuple[Kind, Writer, list[RawRun]]] = []
        for kind in self._destination.kinds:
            own = [raw for raw in raw_runs if raw.kind == kind.name]
            writer = self.find_writer(kind) if own else ""
            if isinstance(writer, str):
                rest += own
                continue
            accepted = [raw for raw in with_pauses(own) if self._accepts(kind, raw)]
            rest += _without(own, accepted) if len(accepted) < len(own) else ()
            absent, existing = self._classify(kind, writer, accepted)
            new.append((kind, writer, absent))
            rest += existing
        for kind, writer, absent in new:
            rest += self._write(kind, writer, absent, rest)
        return rest

    def _accepts(self, kind: Kind, raw: RawRun) -> bool:
        """Whether a run has the form of *kind*; notes which of its times are cut."""
        record, cuts = self._destination.reader.cut(kind, raw.record)
        if cuts:
            self._cut[id(raw)] = record, cuts
        return self._destination.reader.accepts(raw, record)

    def _classify(
        self, kind: Kind, writer: Writer, raw_runs: list[RawRun]
    ) -> tuple[list[RawRun], list[RawRun]]:
        """The runs that do not exist, and existing ones that take the full path; others get an outcome."""
        field: Any = kind.identity.parts[0].field
        by_identity = {field.from_wire(_uuid(kind, raw)): raw for raw in raw_runs}
        if len(by_identity) < len(raw_runs):
            return [], raw_runs  # a run comes twice: the order decides
        known = self._destination.identities.find_known(kind.table, by_identity)
        if not known:
            return raw_runs, []
        foreign = self._destination.identities.find_foreign(kind, known)
        stored = {identity: raw for identity, raw in by_identity.items() if identity in known - foreign}
        absent = [raw for identity, raw in by_identity.items() if identity not in known]
        rest = self._skip(kind, stored)
        if self._on_duplicate == "update" and rest and isinstance(writer, RowWriter):
            rest = self._update(kind, writer, rest)
        return absent, [*rest.values(), *(by_identity[identity] for identity in foreign)]

    def _skip(self, kind: Kind, stored: Mapping[object, RawRun]) -> dict[object, RawRun]:
        """Skip existing runs; return those that may not be skipped, or are not known to be the same."""
        compares = self._on_duplicate in ("verify", "update")
        texts, altered = known_texts(self._connection, kind, list(stored)) if compares else ({}, set())
        rest: dict[object, RawRun] = {}
        warned: list[Run] = []
        for identity, raw in stored.items():
            uuid = _uuid(kind, raw)
            is_same = not compares or _text(raw) == texts.get(uuid)
            if self._on_duplicate == "error" or not is_same or self._spool.place(kind.name, uuid) is not None:
                rest[identity] = raw
            elif self._on_duplicate == "update" and uuid in altered:
                values = {member: raw.record.get(name) for member, name in kind.table.names.items()}
                values[kind.identity.members[0]] = identity
                warned.append(Run(kind, raw, values, outcome="skipped"))
        warn_of_altered(self._connection, kind, warned, within=self._destination.identities.scope(kind.table))
        for run in warned:
            self._tally.add(run)
        self._tally.count(kind.name, "skipped", len(stored) - len(rest) - len(warned))
        return rest

    def _update(self, kind: Kind, writer: RowWriter, stored: Mapping[object, RawRun]) -> dict[object, RawRun]:
        """Update *stored* runs; return those that take the full path."""
        updater = self._find_updater(kind, writer)
        if updater is None:
            return dict(stored)
        records = {
            identity: self._record(raw)
            for identity, raw in stored.items()
            if self._spool.place(kind.name, _uuid(kind, raw)) is None
        }
        updates = updater.update(records)
        before: dict[object, str] = {}
        for identity, (text, changes) in updates.items():
            raw = stored[identity]
            run = Run(kind, raw, {kind.identity.members[0]: identity}, outcome="skipped")
            run.note_cuts(self._cut.get(id(raw), (None, ()))[1])
            if changes:
                run.outcome = "updated"
                before[identity] = text
                mismatches = itertools.chain.from_iterable(each.mismatches for each in changes)
                self._room -= note_changes(run, mismatches, self._room)
                self.entries += functools.reduce(EntryCounts.__add__, (each.counts for each in changes))
            self._tally.add(run)
        if before:
            self.written.add(kind)
            updated = (stored[identity] for identity in before)
            self._spool.note(kind.name, ((_uuid(kind, raw), raw.place(kind.collection)) for raw in updated))
            if self._destination.receipt is not None:
                self._destination.receipt.note_updated(kind, before, self._spool)
            if self._kept_rows.must_be_compared(kind):
                self._warn_of_changed(kind, [stored[identity] for identity in before])
        return {identity: raw for identity, raw in stored.items() if identity not in updates}

    def _find_updater(self, kind: Kind, writer: RowWriter) -> RunUpdater | None:
        """What updates runs of *kind*; None: the unit of work does."""
        if kind.name not in self._updaters:
            self._updaters[kind.name] = None
            try:
                if not self._kept_rows.must_be_counted(kind):
                    self._updaters[kind.name] = RunUpdater(
                        self._destination, kind, writer, self._core_tables[kind], deferred=self._deferred
                    )
            except FullPathError as reason:
                _log.debug("updates of %s take the full path: %s", kind.name, reason)
        return self._updaters[kind.name]

    def _write(
        self, kind: Kind, writer: Writer, raw_runs: list[RawRun], others: Sequence[RawRun]
    ) -> list[RawRun]:
        """Write new runs; return those that take the full path, and those that may collide with *others*.

        *others* take the full path, and may come before them.
        """
        written = self._without_collisions(others, raw_runs)
        rest = _without(raw_runs, written)
        if not written:
            return rest
        records = [self._record(raw) for raw in written]
        try:
            fault = try_to_write(
                self._connection,
                self._core_tables[kind],
                lambda: self._insert(kind, writer, records),
                deferred=self._deferred,
            )
        except RetryError:
            return rest + self._write(kind, writer, written, others)
        except DeclinedError:
            admitted = [raw for raw in written if writer.admits(self._record(raw))]
            declined = _without(written, admitted)
            if not declined:
                raise
            rest += self._write(kind, writer, admitted, [*others, *declined])
            return rest + self._write_declined(kind, writer, declined, [*others, *rest])
        if fault is not None:
            return raw_runs  # the full path finds the run that is at fault
        self._spool.note(kind.name, ((_uuid(kind, raw), raw.place(kind.collection)) for raw in written))
        if self._destination.receipt is not None:
            own: Any = kind.identity.parts[0].field
            identities = [own.from_wire(_uuid(kind, raw)) for raw in written]
            self._destination.receipt.note_created(kind, identities, self._spool)
        self._tally.count(kind.name, "imported", len(written))
        self._warn_of_cuts(kind, written)
        if self._kept_rows.must_be_compared(kind):
            self._warn_of_changed(kind, written)
        self.written.add(kind)
        return rest

    def _write_declined(
        self, kind: Kind, writer: Writer, raw_runs: list[RawRun], others: Sequence[RawRun]
    ) -> list[RawRun]:
        """Write new runs that *writer* has declined, through SQLAlchemy; return those that cannot be."""
        if isinstance(writer, ValueWriter):
            return raw_runs
        if kind.name not in self._value_writers:
            reason = "records leave out what only SQLAlchemy fills"
            self._value_writers[kind.name] = self._find_value_writer(kind, reason)
        further = self._value_writers[kind.name]
        return raw_runs if isinstance(further, str) else self._write(kind, further, raw_runs, others)

    def _without_collisions(self, others: Sequence[RawRun], raw_runs: list[RawRun]) -> list[RawRun]:
        """Those of *raw_runs* that cannot collide with *others*."""
        if not others:
            return raw_runs
        if self._may_collide:
            return []
        taken = {uuid for raw in others for uuid in _possible_uuids(raw.record)}
        return [raw for raw in raw_runs if taken.isdisjoint(_possible_uuids(raw.record))]

    def _insert(self, kind: Kind, writer: Writer, records: Records) -> None:
        """Write *records*, and count the written rows where the database may report another number.

        Raises:
            DeclinedError: A record needs the full path.
            RowFaultError: The database did not keep every row.
        """
        writer.write(self._connection, records)
        if self._kept_rows.must_be_counted(kind):
            [part] = kind.identity.parts
            field: Any = part.field
            expected = {
                field.from_wire(record[part.name].lower()): rows_of(kind.table, record, on_wire=True)
                for record in records
            }
            check_kept(self._connection, kind.table, expected, within={})

    def _warn_of_changed(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        """Add warnings about values of written *raw_runs* that the database has changed."""
        field: Any = kind.identity.parts[0].field
        identities = [field.from_wire(_uuid(kind, raw)) for raw in raw_runs]
        texts, _ = known_texts(self._connection, kind, identities)
        odd = [raw for raw in raw_runs if self._written_text(raw) != texts.get(_uuid(kind, raw))]
        runs = [self._destination.reader.read(raw) for raw in odd]
        warn_of_changed(self._destination, kind, runs)
        for run in runs:
            run.forget_cuts()  # these have been reported
            self._tally.warn(run)

    def _record(self, raw: RawRun) -> Any:
        """The record of *raw* with its times cut."""
        return self._cut[id(raw)][0] if id(raw) in self._cut else raw.record

    def _written_text(self, raw: RawRun) -> str:
        """The JSON text of a written run, with its times cut."""
        return encode(self._cut[id(raw)][0]) if id(raw) in self._cut else _text(raw)

    def _warn_of_cuts(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        """Add the warnings about times of written *raw_runs* that were cut."""
        for raw in raw_runs if self._cut else ():
            if id(raw) in self._cut:
                run = Run(kind, raw, {kind.identity.members[0]: _uuid(kind, raw)})
                run.note_cuts(self._cut[id(raw)][1])
                self._tally.warn(run)


def _text(raw: RawRun) -> str:
    """The JSON text of an accepted run."""
    return encode(raw.record) if raw.text is None else raw.text


def _uuid(kind: Kind, raw: RawRun) -> str:
    """The UUID of an accepted run, in lower case."""
    uuid: str = raw.record[kind.identity.parts[0].name]
    return uuid.lower()


def _without(raw_runs: Sequence[RawRun], others: Sequence[RawRun]) -> list[RawRun]:
    """*raw_runs* without the *others*."""
    excluded = set(map(id, others))
    return [raw for raw in raw_runs if id(raw) not in excluded]


def _possible_uuids(value: Any, depth: int = _DEPTH) -> Iterator[str]:
    """Every text of the length of a UUID in a record, in lower case, down to a *depth*."""
    if isinstance(value, str) and len(value) == _UUID:
        yield value.lower()
    elif isinstance(value, dict | list | tuple) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _possible_uuids(each, depth - 1)


def _refer_to_each_other(tables: Sequence[Table]) -> bool:
    """Whether records of *tables* refer to rows of *tables*, so that the order of writing matters."""
    related = [mapper for table in tables for mapper in related_mappers(table)]
    return any(mapper.common_parent(table.mapper) for mapper in related for table in tables)


def _may_collide(tables: Iterable[Table]) -> bool:
    """Whether constraints of *tables* forbid more than rows of the same identity or key."""
    for table in tables:
        for core in table.core_tables:
            own = [set(table.identity_columns), set(core.primary_key)]
            if any(set(rule.columns) not in own for rule in unique_rules(core)):
                return True
            if any(type(rule).__name__ == "ExcludeConstraint" for rule in core.constraints):
                return True
    return False
