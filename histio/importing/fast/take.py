"""Import what the fast path accepts; return the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import counts_truly
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.pages import known_texts
from histio.files.raw_runs import RawRun
from histio.importing.bulk import attempted
from histio.importing.classify import Identities
from histio.importing.counts import Tally
from histio.importing.fast.plan import Records
from histio.importing.fast.rows import RowWriter, find_row_writer
from histio.importing.parse import Reader, Run
from histio.importing.row_builder import RowBuilder
from histio.importing.row_counts import check_kept, rows_of
from histio.importing.spool import Spool
from histio.importing.truncation import Cut
from histio.importing.update.compare import note_altered
from histio.kinds.mapping import unique_rules
from histio.kinds.table import Kind, Table

_UUID = len("00000000-0000-0000-0000-000000000000")
_DEPTH = 50
"""Ledgers are not nested more deeply."""


class FastPath:
    """The fast path of one transaction of an import.

    It writes new runs without a problem or a warning, and skips existing ones. All other runs take the full
    path, which is slower and gives the same result.

    Args:
        connection: In a transaction; what is written stays in it.
        kinds: The kinds of run that may come.
        reader: Knows the form of runs.
        blocked: By kind, why its runs take the full path.
        builder: Resolves references.
        identities: Knows which runs exist.
        spool: Remembers which runs this import has written.
        tally: Counts the outcomes of runs.
        skips: Whether existing runs may be skipped.
        compares: Whether they are skipped only if they are the same.
        updates: Whether existing runs are updated, so that values stored with more digits are warned of.
        deferred: Whether deferred constraints are checked now.

    Attributes:
        written: The kinds of which runs have been written.
    """

    def __init__(
        self,
        connection: Connection,
        kinds: Sequence[Kind],
        *,
        reader: Reader,
        blocked: Mapping[str, str],
        builder: RowBuilder,
        identities: Identities,
        spool: Spool,
        tally: Tally,
        skips: bool,
        compares: bool,
        updates: bool,
        deferred: bool,
    ) -> None:
        self._connection = connection
        self._kinds = kinds
        self._reader = reader
        self._blocked = blocked
        self._builder = builder
        self._identities = identities
        self._spool = spool
        self._tally = tally
        self._skips = skips
        self._compares = compares
        self._updates = updates
        self._deferred = deferred
        self._may_collide = _may_collide(table for kind in kinds for table in kind.table.all())
        self._writers: dict[str, RowWriter | str] = {}
        self._must_count: dict[str, bool] = {}
        self._cut: dict[int, tuple[Any, Sequence[Cut]]] = {}
        self.written: set[Kind] = set()

    def find_writer(self, kind: Kind) -> RowWriter | str:
        """The writer for accepted runs of *kind*; a text: why they take the full path."""
        if kind.name not in self._writers:
            reason = self._blocked.get(kind.name)
            if reason is None and self._identities.scope(kind.table):
                reason = f"{kind.name}: its {kind.identity.title} is unique beside other columns only"
            self._writers[kind.name] = reason or find_row_writer(self._connection, kind, self._builder)
        return self._writers[kind.name]

    def must_count(self, kind: Kind) -> bool:
        """Whether written rows of *kind* have to be counted: the database may report another number."""
        if kind.name not in self._must_count:
            self._must_count[kind.name] = not counts_truly(self._connection, _tables(kind))
        return self._must_count[kind.name]

    def take(self, raw_runs: Sequence[RawRun]) -> list[RawRun]:
        """Import what the fast path accepts; return the rest."""
        self._cut.clear()
        rest: list[RawRun] = []
        new: list[tuple[Kind, RowWriter, list[RawRun]]] = []
        for kind in self._kinds:
            own = [raw for raw in raw_runs if raw.kind == kind.name]
            writer = self.find_writer(kind) if own else ""
            if isinstance(writer, str):
                rest += own
                continue
            accepted = [raw for raw in own if self._accepts(kind, raw)]
            rest += _without(own, accepted) if len(accepted) < len(own) else ()
            absent, existing = self._classify(kind, accepted)
            new.append((kind, writer, absent))
            rest += existing
        for kind, writer, absent in new:
            rest += self._write(kind, writer, absent, rest)
        return rest

    def _accepts(self, kind: Kind, raw: RawRun) -> bool:
        """Whether a run has the form of *kind*; notes which of its times are cut."""
        record, cuts = self._reader.cut(kind, raw.record)
        if cuts:
            self._cut[id(raw)] = record, cuts
        return self._reader.takes(raw, record)

    def _classify(self, kind: Kind, raw_runs: list[RawRun]) -> tuple[list[RawRun], list[RawRun]]:
        """The runs that do not exist, and existing ones that take the full path; others are skipped."""
        field: Any = kind.identity.parts[0].field
        by_identity = {field.from_wire(_uuid(kind, raw)): raw for raw in raw_runs}
        if len(by_identity) < len(raw_runs):
            return [], raw_runs  # a run comes twice: the order decides
        known = self._identities.known(kind.table, by_identity)
        if not known:
            return raw_runs, []
        stored = {identity: raw for identity, raw in by_identity.items() if identity in known}
        absent = [raw for identity, raw in by_identity.items() if identity not in known]
        return absent, self._skip(kind, stored)

    def _skip(self, kind: Kind, stored: Mapping[object, RawRun]) -> list[RawRun]:
        """Skip existing runs; return those that may not be skipped, or are not known to be the same."""
        texts, altered = known_texts(self._connection, kind, list(stored)) if self._compares else ({}, set())
        rest: list[RawRun] = []
        warned: list[Run] = []
        for identity, raw in stored.items():
            uuid = _uuid(kind, raw)
            is_same = not self._compares or (raw.text is not None and raw.text == texts.get(uuid))
            if not (self._skips and is_same) or self._spool.place(kind.name, uuid) is not None:
                rest.append(raw)
            elif self._updates and uuid in altered:
                values = {member: raw.record.get(name) for member, name in kind.table.names.items()}
                values[kind.identity.members[0]] = identity
                warned.append(Run(kind, raw, values, outcome="skipped"))
        note_altered(self._connection, kind, warned, within=self._identities.scope(kind.table))
        for run in warned:
            self._tally.add(run)
        self._tally.count(kind.name, "skipped", len(stored) - len(rest) - len(warned))
        return rest

    def _write(
        self, kind: Kind, writer: RowWriter, raw_runs: list[RawRun], others: Sequence[RawRun]
    ) -> list[RawRun]:
        """Write new runs; return those that take the full path, and those that may collide with *others*.

        *others* take the full path, and may come before them.
        """
        written = self._free_of(others, raw_runs)
        rest = _without(raw_runs, written)
        if not written:
            return rest
        records = [self._record(raw) for raw in written]
        try:
            fault = attempted(
                self._connection,
                _tables(kind),
                lambda: self._insert(kind, writer, records),
                deferred=self._deferred,
            )
        except DeclinedError:
            admitted = [raw for raw in written if writer.admits(self._record(raw))]
            declined = _without(written, admitted)
            if not declined:
                raise
            return rest + declined + self._write(kind, writer, admitted, [*others, *declined])
        if fault is not None:
            return raw_runs  # the full path finds the run that is at fault
        self._spool.note(kind.name, ((_uuid(kind, raw), raw.place(kind.collection)) for raw in written))
        self._tally.count(kind.name, "imported", len(written))
        self._warn_of_cuts(kind, written)
        self.written.add(kind)
        return rest

    def _free_of(self, others: Sequence[RawRun], raw_runs: list[RawRun]) -> list[RawRun]:
        """Those of *raw_runs* that cannot collide with *others*."""
        if not others:
            return raw_runs
        if self._may_collide:
            return []
        taken = {uuid for raw in others for uuid in _possible_uuids(raw.record)}
        return [raw for raw in raw_runs if taken.isdisjoint(_possible_uuids(raw.record))]

    def _insert(self, kind: Kind, writer: RowWriter, records: Records) -> None:
        """Write *records*, and count the written rows where the database may report another number.

        Raises:
            DeclinedError: A record needs the full path.
            RowFaultError: The database did not keep every row.
        """
        writer.write(self._connection, records)
        if self.must_count(kind):
            [part] = kind.identity.parts
            field: Any = part.field
            expected = {
                field.from_wire(record[part.name].lower()): rows_of(kind.table, record, on_wire=True)
                for record in records
            }
            check_kept(self._connection, kind.table, expected, within={})

    def _record(self, raw: RawRun) -> Any:
        """The record of *raw* with its times cut."""
        return self._cut[id(raw)][0] if id(raw) in self._cut else raw.record

    def _warn_of_cuts(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        """Add the warnings about times of written *raw_runs* that were cut."""
        for raw in raw_runs if self._cut else ():
            if id(raw) in self._cut:
                run = Run(kind, raw, {kind.identity.members[0]: _uuid(kind, raw)})
                run.note_cuts(self._cut[id(raw)][1])
                self._tally.warn(run.warnings)


def _tables(kind: Kind) -> list[sa.Table]:
    """All Core tables that runs of *kind* fill."""
    return [each for table in kind.table.all() for each in table.core_tables]


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


def _may_collide(tables: Iterable[Table]) -> bool:
    """Whether constraints of *tables* forbid more than rows of the same identity or key."""
    for table in tables:
        own = [set(table.identity_columns), set(table.rows.primary_key)]
        if any(set(rule.columns) not in own for rule in unique_rules(table.rows)):
            return True
        if any(type(rule).__name__ == "ExcludeConstraint" for rule in table.rows.constraints):
            return True
    return False
