"""Import what the fast path accepts; return the rest."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from histio.database.sessions import Habits
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.pages import known_texts
from histio.files.raw_runs import RawRun
from histio.importing.batches import try_to_write
from histio.importing.counts import Tally
from histio.importing.destination import Destination
from histio.importing.fast.plan import Records
from histio.importing.fast.repeated import UuidReader, find_repeated, identity_values, possible_uuids
from histio.importing.fast.writers import Writer, Writers
from histio.importing.model_behavior import Creation
from histio.importing.parse import Prepared
from histio.importing.row_counts import KeptRows, check_kept, rows_of
from histio.importing.run import OnDuplicate, Outcome, Run
from histio.importing.update.compare import warn_of_altered, warn_of_changed
from histio.kinds.table import Kind, Table
from histio.tuning import with_pauses
from histio.wire import encode

_SMALL = 16
"""Of so many runs or fewer, one of which is refused by a constraint, all take the full path."""


class FastPath:
    """The fast path of one transaction of an import.

    It writes new runs, skips existing ones, and rejects those that refer to rows which do not exist. All
    other runs take the full path, which is slower and gives the same result.

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
        noted: By id of the raw run, the runs of the last call with an outcome and something to report.
        read: By id of the raw run, those of the last call that take the full path and have been read.
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
        self._prepared: dict[int, Prepared] = {}
        self.noted: dict[int, Run] = {}
        self.read: dict[int, Run] = {}
        self.written: set[Kind] = set()

    def find_writer(self, kind: Kind) -> Writer | str:
        """The writer for accepted runs of *kind*; a text: why they take the full path."""
        return self._writers.find(kind)

    def take(self, raw_runs: Sequence[RawRun]) -> list[RawRun]:
        """Import, skip or reject what the fast path accepts; return the rest."""
        self._prepared.clear()
        self.noted.clear()
        self.read.clear()
        rest: list[RawRun] = []
        fresh: list[tuple[Kind, Writer, list[RawRun]]] = []
        for kind in self._destination.kinds:
            own = [raw for raw in raw_runs if raw.kind == kind.name]
            writer = self.find_writer(kind) if own else ""
            if isinstance(writer, str):
                rest += own
                continue
            accepted = [raw for raw in with_pauses(own) if self._accepts(raw)]
            rest += _without(own, accepted) if len(accepted) < len(own) else ()
            absent, existing = self._classify(kind, accepted)
            rest += existing
            fresh.append((kind, writer, absent))
        for kind, writer, absent in fresh:
            rest += self._import(kind, writer, absent, rest)
        for raw in rest if self.noted else ():
            self.noted.pop(id(raw), None)
        return rest

    def _accepts(self, raw: RawRun) -> bool:
        """Whether a run has the form of its kind; notes its record if it is imported in another form."""
        prepared = self._destination.reader.prepare(raw)
        if prepared is None or not prepared.passes():
            return False
        if prepared.record is not raw.record:
            self._prepared[id(raw)] = prepared
        return True

    def _classify(self, kind: Kind, raw_runs: list[RawRun]) -> tuple[list[RawRun], list[RawRun]]:
        """The runs that do not exist, and existing ones that take the full path; others are skipped."""
        field: Any = kind.identity.parts[0].field
        by_identity = {field.from_wire(self._uuid(kind, raw)): raw for raw in raw_runs}
        if len(by_identity) < len(raw_runs):
            return [], raw_runs  # a run comes twice: the order decides
        known = self._destination.identities.find_known(kind.table, by_identity)
        if not known:
            return raw_runs, []
        stored = {identity: raw for identity, raw in by_identity.items() if identity in known}
        absent = [raw for identity, raw in by_identity.items() if identity not in known]
        return absent, self._skip(kind, stored)

    def _skip(self, kind: Kind, stored: Mapping[object, RawRun]) -> list[RawRun]:
        """Skip existing runs; return those that may not be skipped, or are not known to be the same."""
        compares = self._on_duplicate in ("verify", "update")
        texts, altered = known_texts(self._connection, kind, list(stored)) if compares else ({}, set())
        rest: list[RawRun] = []
        warned: list[Run] = []
        for identity, raw in stored.items():
            uuid = self._uuid(kind, raw)
            is_same = not compares or (not self._is_cut(raw) and self._text(raw) == texts.get(uuid))
            if self._on_duplicate == "error" or not is_same or self._spool.place(kind.name, uuid) is not None:
                rest.append(raw)
            elif self._on_duplicate == "update" and uuid in altered:
                run, record = self._note(kind, raw), self._record(raw)
                run.values = {member: record.get(name) for member, name in kind.table.names.items()}
                run.values[kind.identity.members[0]] = identity
                warned.append(run)
        warn_of_altered(self._connection, kind, warned, within=self._destination.identities.scope(kind.table))
        self._end(kind, _without(list(stored.values()), rest), "skipped")
        return rest

    def _note(self, kind: Kind, raw: RawRun) -> Run:
        """The run of *raw*, in which something is noted."""
        run = self.noted.get(id(raw))
        if run is None:
            run = self.noted[id(raw)] = Run(kind, raw, identity_values(kind.table, self._record(raw)))
            if id(raw) in self._prepared:
                self._prepared[id(raw)].note(run)
        return run

    def _note_faults(self, kind: Kind, writer: Writer, raw_runs: Sequence[RawRun]) -> None:
        """Note the faults of references, and forget what was noted of these runs before."""
        for index, found in writer.related.find_faults([self._record(raw) for raw in raw_runs]).items():
            self.noted.pop(id(raw_runs[index]), None)
            run = self._note(kind, raw_runs[index])
            for steps, fault in found:
                run.note(fault.fault, *steps, hint=fault.hint, warning=fault.warning)

    def _end(self, kind: Kind, raw_runs: Sequence[RawRun], outcome: Outcome) -> None:
        """Set the outcome of runs, and count those about which nothing is noted."""
        for raw in raw_runs if self._prepared else ():
            if id(raw) in self._prepared and self._prepared[id(raw)].is_noted:
                self._note(kind, raw)
        noted = [self.noted[id(raw)] for raw in raw_runs if id(raw) in self.noted] if self.noted else []
        for run in noted:
            run.outcome = outcome
            if outcome == "skipped":
                run.forget_cuts()
        self._tally.count(kind.name, outcome, len(raw_runs) - len(noted))

    def _import(
        self, kind: Kind, writer: Writer, raw_runs: list[RawRun], others: Sequence[RawRun]
    ) -> list[RawRun]:
        """Write new runs, and reject those with faults of references; return those that take the full path.

        *others* take the full path, and may come before them.
        """
        if writer.related.has_faults:
            self._note_faults(kind, writer, raw_runs)
        noted = self.noted
        faulty = [raw for raw in raw_runs if id(raw) in noted and noted[id(raw)].problems] if noted else []
        alone = self._without_collisions(kind, others, raw_runs) if others or faulty else raw_runs
        rest = _without(raw_runs, alone)
        if faulty:
            alone, faulty = _without(alone, faulty), _without(faulty, rest)
            rest += self._reject(kind, writer, faulty)
        had_faults = writer.related.has_faults
        try:
            return rest + self._write(kind, writer, alone)
        except DeclinedError:
            if writer.related.has_faults > had_faults:  # the first ones
                return rest + self._import(kind, writer, alone, [*others, *rest])
            admitted = self._select_admitted(writer, alone)
            declined = _without(alone, admitted)
            if not declined and writer.related.has_faults == had_faults:
                raise
            rest += self._import(kind, writer, admitted, [*others, *rest, *declined])
            further = self._writers.find_further(kind, writer)
            if further is None:
                return rest + declined
            return rest + self._import(kind, further, declined, [*others, *rest])

    def _select_admitted(self, writer: Writer, raw_runs: list[RawRun]) -> list[RawRun]:
        """Those of *raw_runs* that *writer* accepts."""
        if writer.admits([self._record(raw) for raw in raw_runs]):
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
            + [(raw, uuids.read(self._record(raw))) for raw in raw_runs]
        )
        return [raw for raw in raw_runs if id(raw) not in repeated]

    def _may_be_written(self, raw: RawRun) -> bool:
        """Whether the full path may write a run: not if it is not well-formed."""
        if id(raw) not in self.read:
            self.read[id(raw)] = self._destination.reader.read(raw)
        return self.read[id(raw)].well_formed

    def _reject(self, kind: Kind, writer: Writer, raw_runs: list[RawRun]) -> list[RawRun]:
        """Reject runs with faults of references; return those that may have other faults, too."""
        if not raw_runs or not writer.keeps([self._record(raw) for raw in raw_runs]):
            return raw_runs
        sought: dict[Table, dict[Any, RawRun]] = {}
        for raw in raw_runs:
            for table, identity, _ in self.noted[id(raw)].entries():
                if table.is_shared:
                    sought.setdefault(table, {})[identity] = raw
        find_known = self._destination.identities.find_known
        rest = [own[identity] for table, own in sought.items() for identity in find_known(table, own)]
        self._end(kind, _without(raw_runs, rest), "rejected")
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
            records = [self._record(raw) for raw in some]
            fault = try_to_write(
                self._connection,
                self._writers.core_tables[kind],
                functools.partial(self._insert, kind, writer, records),
                deferred=self._deferred,
            )
            if fault is None:
                self._note_written(kind, some)
                size *= 2
            elif size > _SMALL and len(some) > _SMALL:
                size = max(len(some) // 4, _SMALL)
                continue
            elif self._writers.may_collide:
                return rest + left
            else:
                rest += some
            left = left[len(some) :]
        return rest

    def _note_written(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        self._spool.note(kind.name, ((self._uuid(kind, raw), raw.place(kind.collection)) for raw in raw_runs))
        if self._destination.receipt is not None:
            own: Any = kind.identity.parts[0].field
            identities = [own.from_wire(self._uuid(kind, raw)) for raw in raw_runs]
            self._destination.receipt.note_created(kind, identities, self._spool)
        if self._kept_rows.must_be_compared(kind):
            self._warn_of_changed(kind, raw_runs)
        self._end(kind, raw_runs, "imported")
        self.written.add(kind)

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
        identities = [field.from_wire(self._uuid(kind, raw)) for raw in raw_runs]
        texts, _ = known_texts(self._connection, kind, identities)
        odd = [raw for raw in raw_runs if self._text(raw) != texts.get(self._uuid(kind, raw))]
        runs = [self._note(kind, raw) for raw in odd]
        for run in runs:
            run.values = self._destination.reader.read(run.raw).values
        warn_of_changed(self._destination, kind, runs)

    def _record(self, raw: RawRun) -> Any:
        """The record of *raw* as it is imported."""
        return self._prepared[id(raw)].record if id(raw) in self._prepared else raw.record

    def _uuid(self, kind: Kind, raw: RawRun) -> str:
        """The UUID of an accepted run, in lower case."""
        uuid: str = self._record(raw)[kind.identity.parts[0].name]
        return uuid.lower()

    def _is_cut(self, raw: RawRun) -> bool:
        return id(raw) in self._prepared and bool(self._prepared[id(raw)].cuts)

    def _text(self, raw: RawRun) -> str:
        """The JSON text of an accepted run as it is imported."""
        record = self._record(raw)
        return encode(record) if raw.text is None or record is not raw.record else raw.text


def _without(raw_runs: Sequence[RawRun], others: Sequence[RawRun]) -> list[RawRun]:
    """*raw_runs* without the *others*."""
    excluded = set(map(id, others))
    return [raw for raw in raw_runs if id(raw) not in excluded]
