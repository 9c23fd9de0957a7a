"""Runs that the gate has accepted, brought to their ends without marshmallow; what is odd is given back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import named_mappers
from histio.exporting.pages import known_texts
from histio.files.raw_runs import RawRun
from histio.importing.bulk import attempted
from histio.importing.counts import Tally
from histio.importing.destination import Destination
from histio.importing.fast.rows import Records, Rows, compiled_rows
from histio.importing.identities import Identities
from histio.importing.parse import OnDuplicate, Reader, Run
from histio.importing.row_builder import RowBuilder
from histio.importing.row_counts import RowCounts, check_kept, core_tables, rows_of
from histio.importing.spool import Spool
from histio.importing.truncation import Cut
from histio.importing.update.compare import note_altered
from histio.kinds.mapping import unique_rules
from histio.kinds.table import Kind, Table

_UUID = 36
_DEPTH = 50
"""Ledgers are not nested more deeply."""


class Swift:
    """The happy path of one transaction of an import.

    Args:
        connection: In a transaction; what is written stays in it.
        kinds: The kinds of run that may come.
        reader: Knows the form of runs.
        barred: By kind, why its runs may not come this way.
        builder: Resolves what records refer to.
        identities: Knows which runs exist.
        spool: Remembers which runs this import has written.
        tally: Counts what becomes of runs.
        counts: Tells whether written rows have to be counted.
        compares: Whether runs that exist are left alone if they are the same; otherwise they are in any case.
        updates: Whether existing runs are updated, so that values stored with more digits are warned of.
        skips: Whether runs that exist are left alone at all.
        deferred: Whether deferred constraints are checked now.
    """

    def __init__(
        self,
        connection: Connection,
        kinds: Sequence[Kind],
        *,
        reader: Reader,
        barred: Mapping[str, str],
        builder: RowBuilder,
        identities: Identities,
        spool: Spool,
        tally: Tally,
        counts: RowCounts,
        skips: bool,
        compares: bool,
        updates: bool,
        deferred: bool,
    ) -> None:
        self._connection = connection
        self._kinds = kinds
        self._reader = reader
        self._barred = barred
        self._builder = builder
        self._identities = identities
        self._spool = spool
        self._tally = tally
        self._skips = skips
        self._compares = compares
        self._updates = updates
        self._deferred = deferred
        self._has_rules = _has_rules(table for kind in kinds for table in kind.table.all())
        self._made: dict[str, Rows | str] = {}
        self._counts = counts
        self._cut: dict[int, tuple[Any, Sequence[Cut]]] = {}
        self.written: set[Kind] = set()

    def rows(self, kind: Kind) -> Rows | str:
        """What writes runs of *kind*; a text: why they have to go the careful way."""
        if kind.name not in self._made:
            why = self._barred.get(kind.name)
            if why is None and self._identities.scope(kind.table):
                why = f"{kind.name}: its {kind.identity.title} is unique beside other columns only"
            self._made[kind.name] = why or compiled_rows(self._connection, kind, self._builder)
        return self._made[kind.name]

    def take(self, raw_runs: Sequence[RawRun]) -> list[RawRun]:
        """Bring *raw_runs* to their ends; give back those that have to go the careful way."""
        self._cut.clear()
        left: list[RawRun] = []
        fresh: list[tuple[Kind, Rows, list[RawRun]]] = []
        for kind in self._kinds:
            some = [raw for raw in raw_runs if raw.kind == kind.name]
            rows = self.rows(kind) if some else ""
            if isinstance(rows, Rows):
                fine = [raw for raw in some if self._takes(kind, raw)]
                left += _without(some, fine) if len(fine) < len(some) else ()
                new, known = self._classified(kind, fine)
                fresh.append((kind, rows, new))
                left += known
            else:
                left += some
        for kind, rows, new in fresh:
            left += self._write(kind, rows, new, left)
        return left

    def _takes(self, kind: Kind, raw: RawRun) -> bool:
        record, cuts = self._reader.cut(kind, raw.record)
        if cuts:
            self._cut[id(raw)] = record, cuts
        return self._reader.accepts(raw, record)

    def _classified(self, kind: Kind, raw_runs: list[RawRun]) -> tuple[list[RawRun], list[RawRun]]:
        """Those of *raw_runs* that do not exist, and those that do and are not ended by that."""
        field: Any = kind.identity.parts[0].field
        by_identity = {field.from_wire(_uuid(kind, raw)): raw for raw in raw_runs}
        if len(by_identity) < len(raw_runs):
            return [], raw_runs  # a run comes twice: the order decides
        known = self._identities.find_known(kind.table, by_identity)
        if not known:
            return raw_runs, []
        stored = {identity: raw for identity, raw in by_identity.items() if identity in known}
        fresh = [raw for identity, raw in by_identity.items() if identity not in known]
        return fresh, self._settle(kind, stored)

    def _apart_from(self, odd: Sequence[RawRun], raw_runs: list[RawRun]) -> list[RawRun]:
        """Those of *raw_runs* that cannot be in the way of the *odd* ones, which may come before them."""
        if not odd:
            return raw_runs
        if self._has_rules:
            return []
        taken = {uuid for raw in odd for uuid in _texts_in(raw.record)}
        return [raw for raw in raw_runs if taken.isdisjoint(_texts_in(raw.record))]

    def _settle(self, kind: Kind, stored: Mapping[object, RawRun]) -> list[RawRun]:
        """Leave runs alone that exist already, where that is all there is to do."""
        texts, altered = known_texts(self._connection, kind, list(stored)) if self._compares else ({}, set())
        left: list[RawRun] = []
        warned: list[Run] = []
        for identity, raw in stored.items():
            uuid = _uuid(kind, raw)
            same = not self._compares or (raw.text is not None and raw.text == texts.get(uuid))
            if not (self._skips and same) or self._spool.place(kind.name, uuid) is not None:
                left.append(raw)
            elif self._updates and uuid in altered:
                values = {member: raw.record.get(name) for member, name in kind.table.names.items()}
                warned.append(
                    Run(kind, raw, values | {kind.identity.members[0]: identity}, outcome="skipped")
                )
        note_altered(self._connection, kind, warned, within=self._identities.scope(kind.table))
        for run in warned:
            self._tally.add(run)
        self._tally.count(kind.name, "skipped", len(stored) - len(left) - len(warned))
        return left

    def _write(self, kind: Kind, rows: Rows, raw_runs: list[RawRun], odd: Sequence[RawRun]) -> list[RawRun]:
        """Write runs that do not exist; give back those that are odd, or in the way of *odd* ones."""
        apart = self._apart_from(odd, raw_runs)
        left = _without(raw_runs, apart)
        if not apart:
            return left
        records = [self._record(raw) for raw in apart]
        try:
            fault = attempted(
                self._connection,
                core_tables(kind),
                lambda: self._insert(kind, rows, records),
                deferred=self._deferred,
            )
        except DeclinedError:
            admitted = [raw for raw in apart if rows.admits(self._record(raw))]
            declined = _without(apart, admitted)
            if not declined:
                raise
            return left + declined + self._write(kind, rows, admitted, [*odd, *declined])
        if fault is not None:
            return raw_runs  # which of them, the careful way finds out
        self._spool.note(kind.name, ((_uuid(kind, raw), raw.place(kind.collection)) for raw in apart))
        self._tally.count(kind.name, "imported", len(apart))
        self._warn(kind, apart)
        self.written.add(kind)
        return left

    def _insert(self, kind: Kind, rows: Rows, records: Records) -> None:
        rows.write(self._connection, records)
        if self._counts.are_needed(kind):
            [part] = kind.identity.parts
            field: Any = part.field
            name = part.name
            meant = {
                field.from_wire(record[name].lower()): rows_of(kind.table, record, on_wire=True)
                for record in records
            }
            check_kept(self._connection, kind.table, meant, within={})

    def _record(self, raw: RawRun) -> Any:
        """The record of *raw* with its times cut."""
        return self._cut[id(raw)][0] if id(raw) in self._cut else raw.record

    def _warn(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        """Add the warnings about times of written *raw_runs* that were cut."""
        for raw in raw_runs if self._cut else ():
            if id(raw) in self._cut:
                run = Run(kind, raw, {kind.identity.members[0]: _uuid(kind, raw)})
                run.note_cuts(self._cut[id(raw)][1])
                self._tally.warn(run.warnings)


def open_fast_path(
    destination: Destination,
    *,
    tally: Tally,
    counts: RowCounts,
    unit_of_work: Mapping[str, Sequence[str]],
    on_duplicate: OnDuplicate,
    deferred: bool,
) -> Swift:
    """The fast path of one transaction.

    Args:
        destination: The database.
        tally: Counts the outcomes.
        counts: Tells whether written rows have to be counted.
        unit_of_work: By kind, why its runs are written by the unit of work.
        on_duplicate: What to do with runs that exist.
        deferred: Whether deferred constraints are checked now.
    """
    barred = {name: "; ".join(reasons) for name, reasons in unit_of_work.items()}
    tables = [table for kind in destination.kinds for table in kind.table.all()]
    # References to rows that this import writes depend on the order in which they are written.
    named = [mapper for table in tables for mapper in named_mappers(table)]
    if any(mapper.common_parent(table.mapper) for mapper in named for table in tables):
        barred = {kind.name: "there are slugs of rows that an import writes" for kind in destination.kinds}
    return Swift(
        destination.connection,
        destination.kinds,
        reader=destination.reader,
        barred=barred,
        builder=destination.builder,
        identities=destination.identities,
        spool=destination.spool,
        tally=tally,
        counts=counts,
        skips=on_duplicate != "error",
        compares=on_duplicate in ("verify", "update"),
        updates=on_duplicate == "update",
        deferred=deferred,
    )


def _uuid(kind: Kind, raw: RawRun) -> str:
    """The UUID of an accepted run, as the wire has it."""
    uuid: str = raw.record[kind.identity.parts[0].name]
    return uuid.lower()


def _without(raw_runs: Sequence[RawRun], others: Sequence[RawRun]) -> list[RawRun]:
    """Those of *raw_runs* that are none of the *others*."""
    those = set(map(id, others))
    return [raw for raw in raw_runs if id(raw) not in those]


def _texts_in(value: Any, depth: int = _DEPTH) -> Iterator[str]:
    """Every text of the length of a UUID in a record, in lower case, down to a *depth*."""
    if isinstance(value, str) and len(value) == _UUID:
        yield value.lower()
    elif isinstance(value, dict | list | tuple) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(each, depth - 1)


def _has_rules(tables: Iterable[Table]) -> bool:
    """Whether rows of *tables* can be in each other's way by more than their identity."""
    for table in tables:
        own = [set(table.identity_columns), set(table.rows.primary_key)]
        if any(set(rule.columns) not in own for rule in unique_rules(table.rows)):
            return True
        if any(type(rule).__name__ == "ExcludeConstraint" for rule in table.rows.constraints):
            return True
    return False
