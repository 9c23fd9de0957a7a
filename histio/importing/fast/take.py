"""Import what the fast path accepts; return the rest."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from histio.database.dialects import Repeated
from histio.database.sessions import Habits
from histio.exporting.fast.columns import DeclinedError
from histio.files.raw_runs import RawRun
from histio.importing.batches import try_to_write
from histio.importing.counts import Tally
from histio.importing.destination import Destination
from histio.importing.fast.by_value import Records
from histio.importing.fast.existing import ExistingRuns
from histio.importing.fast.repeated import UuidReader, find_repeated, possible_uuids
from histio.importing.fast.values import RetryError
from histio.importing.fast.window import Window, without
from histio.importing.fast.writers import Writer, Writers
from histio.importing.model_behavior import Creation
from histio.importing.row_counts import KeptRows, check_kept, rows_of
from histio.importing.run import OnDuplicate, Run
from histio.kinds.table import Kind, Table
from histio.report import EntryCounts
from histio.tuning import with_pauses

_SMALL = 16
"""Of so many runs or fewer, one of which is refused by a constraint, all take the full path."""


class FastPath:
    """The fast path of one transaction of an import.

    It writes new runs, rejects those that refer to rows which do not exist, skips existing ones, and updates
    those that differ from what is stored in a common way. All other runs take the full path, which is slower
    and gives the same result.

    Args:
        destination: The database.
        tally: Counts the outcomes.
        kept_rows: Decides what has to be checked after rows are written.
        habits: The habits of the session that is used.
        creations: By name of a kind, how its rows are created.
        on_duplicate: What to do with runs that exist.
        deferred: Whether deferred constraints are checked now.

    Attributes:
        read: By id of the raw run, those of the last call that take the full path and have been read.
        referable: Those that the last call has written, if runs may refer to them.
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
        self._writers = Writers(destination, habits=habits, creations=creations)
        self._window = Window(destination, tally)
        self._open_existing = functools.partial(
            ExistingRuns,
            destination,
            self._window,
            kept_rows=kept_rows,
            writers=self._writers,
            on_duplicate=on_duplicate,
            deferred=deferred,
        )
        self._existing: ExistingRuns | None = None
        self._written: set[Kind] = set()
        self.read: dict[int, Run] = {}
        self.referable: list[RawRun] = []

    @property
    def written(self) -> set[Kind]:
        """The kinds of which runs have been written."""
        return self._written | (set() if self._existing is None else self._existing.written)

    @property
    def entries(self) -> EntryCounts:
        """What was done to the ledger entries of updated runs."""
        return EntryCounts() if self._existing is None else self._existing.entries

    @property
    def noted(self) -> Mapping[int, Run]:
        """By id of the raw run, the runs of the last call with an outcome and something to report."""
        return self._window.noted

    def find_writer(self, kind: Kind) -> Writer | str:
        """The writer for accepted runs of *kind*; a text: why they take the full path."""
        return self._writers.find(kind)

    def take(self, raw_runs: Sequence[RawRun]) -> list[RawRun]:
        """Import, skip or reject what the fast path accepts; return the rest."""
        self._window.clear()
        self.read.clear()
        self.referable.clear()
        rest: list[RawRun] = []
        fresh: list[tuple[Kind, Writer, list[RawRun]]] = []
        for kind in self._destination.kinds:
            own = [raw for raw in raw_runs if raw.kind == kind.name]
            writer = self.find_writer(kind) if own else ""
            if isinstance(writer, str):
                rest += own
                continue
            accepted = [raw for raw in with_pauses(own) if self._window.accepts(raw)]
            rest += without(own, accepted) if len(accepted) < len(own) else ()
            absent, existing = self._classify(kind, writer, accepted)
            rest += existing
            fresh.append((kind, writer, absent))
        for kind, writer, absent in fresh:
            later = self._find_later(writer, absent) if self._writers.refer else []
            rest += later
            rest += self._import(kind, writer, without(absent, later) if later else absent, rest)
        self._window.forget(rest)
        return rest

    def _classify(
        self, kind: Kind, writer: Writer, raw_runs: list[RawRun]
    ) -> tuple[list[RawRun], list[RawRun]]:
        """The runs that do not exist, and existing ones that take the full path; others get an outcome."""
        by_identity = dict(zip(self._window.identities(kind, raw_runs), raw_runs, strict=True))
        if len(by_identity) < len(raw_runs):
            return [], raw_runs  # a run comes twice: the order decides
        known = self._destination.identities.find_known(kind.table, by_identity)
        if not known:
            return raw_runs, []
        foreign = self._destination.identities.find_foreign(kind, known)
        stored = {identity: raw for identity, raw in by_identity.items() if identity in known - foreign}
        absent = [raw for identity, raw in by_identity.items() if identity not in known]
        self._existing = self._existing or self._open_existing()
        rest = self._existing.settle(kind, writer, stored)
        return absent, [*rest, *(by_identity[identity] for identity in foreign)]

    def _note_faults(self, kind: Kind, writer: Writer, raw_runs: Sequence[RawRun]) -> None:
        """Note the faults of references, and forget what was noted of these runs before."""
        self._window.forget(raw_runs)
        listed = raw_runs if self._tally.room is None else self._choose_listed(writer, raw_runs)
        records = list(map(self._window.record, listed))
        for index, found in writer.references.find_faults(records).items():
            run = self._window.note(kind, listed[index])
            for steps, fault in found:
                run.note(fault.fault, *steps, hint=fault.hint, warning=fault.warning)
        if len(listed) < len(raw_runs):
            writer.references.find_hints(list(map(self._window.record, without(raw_runs, listed))))

    def _find_later(self, writer: Writer, raw_runs: Sequence[RawRun]) -> list[RawRun]:
        """Those of *raw_runs* of which references have faults, perhaps until other runs are written."""
        writer.references.forget_faults()
        faults = writer.references.find_faults(list(map(self._window.record, raw_runs)))
        writer.references.forget_faults()
        return [raw_runs[index] for index in sorted(faults)]

    def _choose_listed(self, writer: Writer, raw_runs: Sequence[RawRun]) -> Sequence[RawRun]:
        """The runs whose faults are listed; the warnings of the others are counted."""
        faults = writer.references.count_faults(list(map(self._window.record, raw_runs)))
        listed, room = set(faults.problems), self._tally.room or 0
        for index, count in sorted(faults.warnings.items()):
            if room > 0:
                listed.add(index)
                room -= count
            elif index not in listed:
                self._window.count_warnings(raw_runs[index], count)
        return [raw_runs[index] for index in sorted(listed)]

    def _import(
        self, kind: Kind, writer: Writer, raw_runs: list[RawRun], others: Sequence[RawRun]
    ) -> list[RawRun]:
        """Write new runs, and reject those with faults of references; return those that take the full path.

        *others* take the full path, and may come before them.
        """
        if writer.references.has_faults:
            self._note_faults(kind, writer, raw_runs)
        noted = self._window.noted
        faulty = [raw for raw in raw_runs if id(raw) in noted and noted[id(raw)].problems] if noted else []
        alone = self._without_collisions(kind, others, raw_runs) if others or faulty else raw_runs
        rest = without(raw_runs, alone)
        if faulty:
            alone, faulty = without(alone, faulty), without(faulty, rest)
            rest += self._reject(kind, writer, faulty)
        had_faults = writer.references.has_faults
        try:
            return rest + self._write(kind, writer, alone)
        except DeclinedError:
            if writer.references.has_faults > had_faults:  # the first ones
                return rest + self._import(kind, writer, alone, [*others, *rest])
            admitted = self._select_admitted(writer, alone)
            declined = without(alone, admitted)
            if not declined and writer.references.has_faults == had_faults:
                raise
            rest += self._import(kind, writer, admitted, [*others, *rest, *declined])
            further = self._writers.find_further(kind, writer)
            if further is None:
                return rest + declined
            return rest + self._import(kind, further, declined, [*others, *rest])

    def _select_admitted(self, writer: Writer, raw_runs: list[RawRun]) -> list[RawRun]:
        """Those of *raw_runs* that *writer* accepts."""
        if writer.admits([self._window.record(raw) for raw in raw_runs]):
            return raw_runs
        half = len(raw_runs) // 2
        parts = (raw_runs[:half], raw_runs[half:]) if half else ()
        return [raw for part in parts for raw in self._select_admitted(writer, part)]

    def _without_collisions(
        self, kind: Kind, others: Sequence[RawRun], raw_runs: list[RawRun]
    ) -> list[RawRun]:
        """Those of *raw_runs* that cannot collide with each other or with *others*."""
        if self._writers.may_collide and any(map(self._may_be_written, others)):
            return []
        uuids = UuidReader(kind.table)
        repeated = find_repeated(
            [(raw, list(set(possible_uuids(raw.record)))) for raw in others]
            + [(raw, uuids.read(self._window.record(raw))) for raw in raw_runs]
        )
        return [raw for raw in raw_runs if id(raw) not in repeated]

    def _may_be_written(self, raw: RawRun) -> bool:
        """Whether the full path may write a run: not if it is not well-formed."""
        if id(raw) not in self.read:
            self.read[id(raw)] = self._destination.reader.read(raw)
        return self.read[id(raw)].well_formed

    def _reject(self, kind: Kind, writer: Writer, raw_runs: list[RawRun]) -> list[RawRun]:
        """Reject runs with faults of references; return those that may have other faults, too."""
        if not raw_runs or not writer.keeps([self._window.record(raw) for raw in raw_runs]):
            return raw_runs
        sought: dict[Table, dict[Any, RawRun]] = {}
        for raw in raw_runs:
            for table, identity, _ in self._window.noted[id(raw)].entries():
                if table.is_shared:
                    sought.setdefault(table, {})[identity] = raw
        find_known = self._destination.identities.find_known
        rest = [own[identity] for table, own in sought.items() for identity in find_known(table, own)]
        self._window.end(kind, without(raw_runs, rest), "rejected")
        return list({id(raw): raw for raw in rest}.values())

    def _write(self, kind: Kind, writer: Writer, raw_runs: list[RawRun]) -> list[RawRun]:
        """Write new runs; return a few among which some are refused, and what may collide with those.

        Raises:
            DeclinedError: A record needs the full path.
        """
        left, size = raw_runs, len(raw_runs)
        rest: list[RawRun] = []
        while left:
            some = left[:size]
            records = [self._window.record(raw) for raw in some]
            try:
                fault = try_to_write(
                    self._connection,
                    self._writers.core_tables[kind],
                    functools.partial(self._insert, kind, writer, records),
                    deferred=self._deferred,
                )
            except RetryError:
                continue
            if fault is None:
                self._note_written(kind, some)
                size *= 2
            elif isinstance(fault, Repeated) and self._has_rivals(kind, some):
                return rest + left
            elif size > _SMALL and len(some) > _SMALL:
                size = max(len(some) // 4, _SMALL)
                continue
            elif self._writers.may_collide:
                return rest + left
            else:
                rest += some
            left = left[len(some) :]
        return rest

    def _has_rivals(self, kind: Kind, raw_runs: Sequence[RawRun]) -> bool:
        """Whether another client has written some of the runs since they were looked up."""
        identities = self._window.identities(kind, raw_runs)
        return bool(self._destination.identities.find_known(kind.table, identities, now=True))

    def _note_written(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        self._spool.note(
            kind.name, ((self._window.uuid(kind, raw), raw.place(kind.collection)) for raw in raw_runs)
        )
        if self._destination.receipt is not None:
            identities = self._window.identities(kind, raw_runs)
            self._destination.receipt.note_created(kind, identities, self._spool)
        if self._kept_rows.must_be_compared(kind):
            self._window.warn_of_changed(kind, raw_runs)
        self._window.end(kind, raw_runs, "imported")
        self._written.add(kind)
        if self._writers.refer:
            self._destination.resolver.forget_missing(kind.table.mapper.class_)
            self.referable += raw_runs

    def _insert(self, kind: Kind, writer: Writer, records: Records) -> None:
        """Write *records*, and count the written rows where the database may report another number.

        Raises:
            DeclinedError: A record needs the full path.
            RowFaultError: The database did not keep every row.
        """
        writer.write(records)
        if self._kept_rows.must_be_counted(kind):
            [part] = kind.identity.parts
            field: Any = part.field
            expected = {
                field.from_wire(record[part.name].lower()): rows_of(kind.table, record, on_wire=True)
                for record in records
            }
            check_kept(self._connection, kind.table, expected, within={})
