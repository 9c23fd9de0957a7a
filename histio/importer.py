"""The way in: read → classify → resolve → write → report, a set of runs at a time."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.comparison import differences, stored_values
from histio.compiler.collector import paused
from histio.compiler.obstacles import named_mappers
from histio.compiler.rows import Rows
from histio.compiler.texts import Texts, compiled_texts
from histio.dependencies import Dependencies
from histio.dialects import (
    RowFaultError,
    advance_sequence,
    check_deferred,
    check_engines,
    hides_rivals,
    limits,
    refresh_statistics,
    savepoint,
    strict,
)
from histio.entries import Entry, Item, Unreadable
from histio.exporter import PAGE
from histio.identities import Identities
from histio.kinds import Kind, Table
from histio.mapping import attribute, unique_on
from histio.repetitions import duplicate, note_entries, note_repeated
from histio.report import Code, Fault, Problem
from histio.resolver import Finding, Found, Resolver, Sought, Values
from histio.rows import Constants, RowBuilder
from histio.runs import Reader, Run
from histio.sessions import Habits
from histio.spool import Spool
from histio.swift import Swift
from histio.tally import Tally
from histio.unit_of_work import insert_by_unit_of_work, reasons
from histio.updates import Updater
from histio.writer import BATCH, Row, insert_in_bulk, write

_log = logging.getLogger("histio")

AnyItem = TypeVar("AnyItem", bound=Item)
OnDuplicate = Literal["skip", "error", "update", "verify"]

_MANY = 10_000
"""Runs that change a database so much that its statistics are to follow at once."""

_FIT = " that could go in"
"""Beside the scope of all runs of a model, that of those with which nothing is wrong."""

_WINDOW = 4 * 2**20
"""Runs are looked at in windows of one batch, or of this many characters if that is less."""


class Import:
    """One transaction of an import.

    Args:
        connection: In a transaction; what is written stays in it.
        kinds: The kinds of run that may come.
        reader: Reads them.
        tally: Counts what becomes of them.
        spool: Remembers what the transactions of the same import have to know of each other.
        values: By attribute, what columns are filled with that the format leaves out.
        habits: Of the session that is used, for kinds that the unit of work writes.
        on_duplicate: What to do with a run whose identity exists.

    Attributes:
        unit_of_work: By kind, why its runs are written by the unit of work.
    """

    def __init__(
        self,
        connection: Connection,
        kinds: Sequence[Kind],
        *,
        reader: Reader,
        tally: Tally,
        spool: Spool,
        values: Constants,
        habits: Habits,
        on_duplicate: OnDuplicate = "skip",
    ) -> None:
        self._connection = connection
        self.kinds = kinds
        self._on_duplicate = on_duplicate
        self._reader = reader
        self._tally = tally
        self._spool = spool
        self._values = values
        self._dependencies = Dependencies(kinds)
        tables = [table for kind in kinds for table in kind.table.all()]
        self._tables = [rows for table in tables for rows in table.core_tables]
        self._deferred = True
        self._finally = False
        self._identities = Identities(connection, self._values)
        # A run may refer to one of an earlier import, whatever that was filled with.
        runs = {
            kind.table.mapper.class_: {
                attribute(kind.table.mapper, column).key: value
                for column, value in self._identities.scope(kind.table).items()
            }
            for kind in kinds
        }
        self._resolver = Resolver(
            connection.execute, tables, scope=self._values, scopes=runs, standing=self._standing
        )
        limit = functools.partial(limits, connection.dialect)
        self._builder = RowBuilder(
            kinds,
            self._resolver,
            values=self._values,
            limits={table: limit(table.columns) for table in tables},
        )
        self.unit_of_work = {kind.name: why for kind in kinds if (why := reasons(kind, habits))}
        self._habits = habits
        self._by_unit_of_work = insert_by_unit_of_work(habits)
        self._written: set[Kind] = set()

    def texts(self, kind: Kind) -> Texts | str:
        """What makes JSON of stored runs of *kind*; likewise."""
        return compiled_texts(kind, self._connection.dialect)

    def rows(self, kind: Kind) -> Rows | str:
        """What writes accepted runs of *kind*; a text: why they have to go through marshmallow."""
        return self._make_swift().rows(kind)

    @property
    def refers_to_runs(self) -> bool:
        """Whether runs of some kind name other runs."""
        return self._dependencies.any

    @property
    def has_limits(self) -> bool:
        """Whether the database keeps less of some values than the format allows."""
        return any(self._builder.limits.values())

    def expect(self, entries: Iterable[Entry]) -> None:
        """Find out which of *entries* could go in, wherever they stand; `look` then takes those for found."""
        self._foresee((entry, None) for entry in entries)
        for again in self._waiting():
            self._foresee(again)

    def _foresee(self, items: Iterable[tuple[Entry, int | None]]) -> None:
        for window in windows(items):
            numbers = {self._reader.read(entry): number for entry, number in window}
            self._look_at(list(numbers))
            for run, number in numbers.items():
                if not run.problems:
                    self._note_keys(run, _FIT)
                elif self._waits(run):
                    self._spool.wait(run.entry, number)
            self._resolver.let_go()

    def _note_keys(self, run: Run, of: str = "") -> None:
        scope = _scope(run.kind.table.mapper.class_) + of
        self._spool.note(scope, [(repr(sought), run.place) for sought in self._dependencies.keys_of(run)])

    def found(self, table: Table, record: Values) -> tuple[list[Found], list[Finding]]:
        """The rows that a loaded *record* of *table* names, and what is wrong with its references."""
        self._resolver.collect(table, [record])
        self._resolver.fetch()
        rows, findings = [], []
        for reference in table.references:
            row, wrong = self._resolver.resolve(reference, record)
            rows += [] if row is None else [row]
            findings += wrong
        for links in table.links:
            linked, wrong = self._resolver.linked(links, record)
            rows += linked
            findings += wrong
        return rows, findings

    def named(self, table: Table, records: Sequence[Values]) -> list[list[Finding]]:
        """What is wrong with the references of each of *records*, loaded ones of *table*."""
        self._resolver.collect(table, records)
        self._resolver.fetch()
        found = [
            [
                *self._resolver.findings(table, record),
                *(each for one in table.snapshots for each in self._resolver.look_after(one, record)),
            ]
            for record in records
        ]
        self._resolver.let_go()
        return found

    def check(self, entries: Iterable[Entry]) -> list[Problem]:
        """What is wrong with *entries*: form, references, and UUIDs that come twice. Writes nothing."""
        runs = self.look(entries)
        for run in runs:
            if not run.problems:  # otherwise it will not go in, and leaves its identities to others
                note_repeated(run, self._spool)
        return [problem for run in runs for problem in (*run.problems, *run.warnings)]

    def look(self, entries: Iterable[Entry]) -> list[Run]:
        """The runs of *entries*, with what is wrong with the form and the references of each."""
        runs = [self._reader.read(entry) for entry in entries]
        self._look_at(runs)
        self._resolver.let_go()
        return runs

    def _look_at(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._note_keys(run)
        for other, _, chain, value in (each for run in runs for each in self._dependencies.names(run)):
            model = other.table.mapper.class_
            for sought in ((key, value) for key in chain):
                if self._spool.place(_scope(model) + _FIT, repr(sought)) is not None:
                    self._resolver.promise(model, sought)
        with savepoint(self._connection):
            for wave in self._dependencies.waves(runs):
                self._builder.build(wave)
                for run in wave:
                    note_entries(run)
                    for sought in () if run.problems else self._dependencies.keys_of(run):
                        self._resolver.promise(run.kind.table.mapper.class_, sought)

    def run(
        self, items: Iterable[Item], *, last: bool = True, atomic: bool = False, dry_run: bool = False
    ) -> bool:
        """Write what *items* hold and the database lacks, and count what becomes of every run.

        Args:
            items: In any order; what raises while they are given takes everything back.
            last: Whether no further items will come, so that what waits for others need not wait any longer.
            atomic: Take everything back if a run is rejected.
            dry_run: Take everything back.

        Returns:
            Whether everything was taken back because a run was rejected.

        Raises:
            sqlalchemy.exc.DBAPIError: What is no run's fault; nothing is written then.
        """
        with savepoint(self._connection) as nested:
            check_engines(self._connection, self._tables)
            self._deferred = self._may_check_deferred()
            self._updater = self._make_updater()
            self._swift = self._make_swift()
            self._finally = False
            with strict(self._connection):
                self._take((item, None) for item in items)
                if last:
                    self._take_waiting()
            self._tally.add_entries(self._updater.entries)
            withheld = atomic and self._tally.rejected > 0
            if dry_run or withheld:
                nested.rollback()
            else:
                self._written |= self._swift.written
                self._advance_sequences()
                if last and self._tally.written >= _MANY:
                    refresh_statistics(self._connection, self._tables)
        return withheld

    def _take(self, items: Iterable[tuple[Item, int | None]], *, finally_: bool = False) -> None:
        """Bring *items* to their ends, a window at a time.

        Those that name runs which are not there are put aside, with their number; *finally_* they are not.
        """
        self._finally = finally_
        for window in windows(items):
            numbers = {self._reader.read(entry): number for entry, number in self._take_swiftly(window)}
            runs = list(numbers)
            for run in runs:
                self._note_keys(run)
            for wave in self._dependencies.waves(runs):
                pending = wave
                while pending:
                    pending = self._import(pending)
            for run in runs:
                if run.outcome is None:
                    self._spool.wait(run.entry, numbers[run])
                else:
                    self._tally.add(run)
            self._resolver.let_go()

    def _take_swiftly(self, window: Sequence[tuple[Item, int | None]]) -> list[tuple[Entry, int | None]]:
        """Bring to their ends what of *window* is no run, or as it should be; give back the rest."""
        entries: list[tuple[Entry, int | None]] = []
        for item, number in window:
            if isinstance(item, Unreadable):
                self._tally.refuse(item)
            else:
                entries.append((item, number))
        swift = [entry for entry, number in entries if number is None]
        with paused():
            left = set(map(id, self._swift.take(swift)))
        ended = {id(entry) for entry in swift} - left
        return [(entry, number) for entry, number in entries if id(entry) not in ended]

    def _take_waiting(self) -> None:
        for again in self._waiting():
            self._take(again)
        self._take(self._spool.again(backwards=False), finally_=True)

    def _waiting(self) -> Iterator[Iterator[tuple[Entry, int]]]:
        """What waits for other runs, from the end and from the beginning, as long as that helps."""
        backwards, before = True, None
        while self._spool.waiting and self._spool.waiting != before:
            before = self._spool.waiting
            yield self._spool.again(backwards=backwards)
            backwards = not backwards

    def _standing(self, model: type[Any], sought: Sought) -> str | None:
        return self._spool.place(_scope(model), repr(sought))

    def _may_check_deferred(self) -> bool:
        """Whether deferred constraints may be checked: not where the caller's own work still breaks them."""
        try:
            with savepoint(self._connection):
                check_deferred(self._connection, self._tables)
        except (sa.exc.IntegrityError, RowFaultError):
            _log.warning("the session's own work breaks a deferred constraint: those are left to its COMMIT")
            return False
        return True

    def _advance_sequences(self) -> None:
        """Keys that came with the document must not be given away again."""
        for table in (table for kind in self._written for table in kind.table.all()):
            given = table.rows.autoincrement_column
            if given is not None and given in table.columns.values():
                try:
                    with savepoint(self._connection):
                        advance_sequence(self._connection, given)
                except sa.exc.ProgrammingError:
                    _log.warning(
                        "the sequence of %s could not be moved behind the keys that were imported", given
                    )

    def _import(self, runs: list[Run]) -> list[Run]:
        """Bring *runs* to their ends; give back those that share an identity with one that was tried now.

        Those are looked at again: what became of the other decides what they are. Runs that name runs which
        are not there come to no end yet, unless nothing will come any more.
        """
        fresh = self._classify(runs)
        rows = self._builder.build(fresh)
        fresh = self._classify_entries(fresh)
        accepted: list[Run] = []
        again: list[Run] = []
        taken: set[tuple[Table, Any]] = set()
        for run in fresh:
            own = {(table, identity) for table, identity, _ in run.identities() if table.is_shared}
            if run.well_formed and taken & own:
                run.problems.clear()
                run.warnings.clear()
                again.append(run)
            elif run.problems:
                run.outcome = None if self._waits(run) else "rejected"
            else:
                accepted.append(run)
                taken |= own
        for kind in self.kinds:
            self._write(kind, {run: rows[run] for run in accepted if run.kind is kind})
        return again

    def _waits(self, run: Run) -> bool:
        """Whether a run that *run* names may still come."""
        return not self._finally and any(
            self._resolver.lacks(reference.relation.mapper.class_, chain, value)
            for _, reference, chain, value in self._dependencies.names(run)
        )

    def _classify(self, runs: list[Run]) -> list[Run]:
        """Settle the well-formed runs whose identity exists; give back the others."""
        fresh = []
        for kind in self.kinds:
            of_kind = [run for run in runs if run.kind is kind]
            known = self._identities.known(kind.table, [run.identity for run in of_kind if run.well_formed])
            for run in self._identities.of_others(kind, [run for run in of_kind if run.identity in known]):
                text = f"{duplicate(kind.table, run.identity)}, of a row that is no {kind.name}"
                run.note(Fault(text, "duplicate"), *kind.identity.steps)
                run.outcome = "rejected"
            known_here = [run for run in of_kind if run.outcome is None and run.well_formed]
            stored = [run for run in known_here if run.identity in known]
            self._settle(kind, stored)
            settled = set(stored)
            fresh += [run for run in of_kind if run.outcome is None and run not in settled]
        return fresh

    def _make_updater(self) -> Updater:
        def note_update(run: Run, known: Collection[tuple[Table, Any]]) -> None:
            note_entries(run, known, self._written_here([run], known))

        return Updater(
            self._connection,
            builder=self._builder,
            identities=self._identities,
            habits=self._habits,
            deferred=self._deferred,
            note_entries=note_update,
        )

    def _make_swift(self) -> Swift:
        barred = {name: "; ".join(why) for name, why in self.unit_of_work.items()}
        # What names rows that this import writes depends on the order in which they are written.
        written = [table.mapper for kind in self.kinds for table in kind.table.all()]
        named = (
            mapper for kind in self.kinds for table in kind.table.all() for mapper in named_mappers(table)
        )
        if any(mapper.common_parent(each) for mapper in named for each in written):
            barred = {kind.name: "there are slugs of rows that an import writes" for kind in self.kinds}
        return Swift(
            self._connection,
            self.kinds,
            reader=self._reader,
            barred=barred,
            builder=self._builder,
            identities=self._identities,
            spool=self._spool,
            tally=self._tally,
            skips=self._on_duplicate != "error",
            compares=self._on_duplicate in ("verify", "update"),
            deferred=self._deferred,
        )

    def _settle(self, kind: Kind, runs: list[Run]) -> None:
        """Deal with runs whose identity exists as the caller wishes."""
        if self._on_duplicate == "update":
            for run in runs:  # whatever was noted before it was known to exist is noted again
                run.problems.clear()
                run.warnings.clear()
            for ended in self._updater.update(kind, runs):
                self._note_updates(kind, ended)
            self._resolver.forget_missing(kind.table.mapper.class_)
            return
        if self._on_duplicate == "verify":
            for start in range(0, len(runs), PAGE):
                self._verify(kind, runs[start : start + PAGE])
        for run in runs:
            again = self._spool.place(kind.name, run.uuid or "") is not None
            code: Code = "duplicate-in-document" if again else "duplicate"
            fault = Fault(duplicate(kind.table, run.identity), code)
            if self._on_duplicate == "error":
                run.note(fault, *kind.identity.steps)
            elif again:
                run.note(fault, *kind.identity.steps, warning=True)
            run.outcome = "rejected" if run.problems else "skipped"

    def _note_updates(self, kind: Kind, runs: list[Run]) -> None:
        """Write down which of *runs* were copies, and which are written now; let some wait for others."""
        for run in runs:
            if run.outcome == "rejected" and self._waits(run):
                run.outcome = None
            elif self._spool.place(kind.name, run.uuid or "") is not None:
                fault = Fault(duplicate(kind.table, run.identity), "duplicate-in-document")
                run.note(fault, *kind.identity.steps, warning=True)
        updated = [run for run in runs if run.outcome == "updated"]
        self._spool.note(kind.name, [(run.uuid or "", run.place) for run in updated])
        self._written |= {kind} if updated else set()

    def _verify(self, kind: Kind, runs: list[Run]) -> None:
        within = self._identities.scope(kind.table)
        found = stored_values(self._connection, kind, runs, within=within)
        for run, stored in zip(runs, found, strict=True):
            told = [stored] if isinstance(stored, str) else differences(kind.table, run.values, stored)
            conflict = "; ".join(told)
            if conflict:
                run.note(Fault(f"Differs from the stored run: {conflict}", "conflict"))

    def _classify_entries(self, runs: list[Run]) -> list[Run]:
        """Note ledger entries whose identity exists under another run, or comes twice in their own.

        Runs that another client has written, with their entries, since they were looked up are settled; the
        others are given back.
        """
        sought: dict[Table, list[Any]] = {}
        for run in runs:
            for table, identity, _ in run.entries():
                if table.is_shared:
                    sought.setdefault(table, []).append(identity)
        known = {
            (table, found)
            for table, wanted in sought.items()
            for found in self._identities.known(table, wanted)
        }
        if known:
            runs = self._classify(runs)
        own = self._written_here(runs, known)
        for run in runs:
            note_entries(run, known, own)
        return runs

    def _written_here(
        self, runs: list[Run], entries: Collection[tuple[Table, Any]]
    ) -> set[tuple[Table, Any]]:
        """Those of the stored *entries* that came with runs which this import has written."""
        found = set()
        for kind, table in {(run.kind, table) for run in runs for table, _, _ in run.entries()}:
            stored = [identity for of, identity in entries if of is table]
            owners = self._identities.owners(kind, table, stored) if stored else {}
            for identity, owner in owners.items():
                if self._spool.place(kind.name, kind.named(owner)) is not None:
                    found.add((table, identity))
        return found

    def _write(self, kind: Kind, rows: dict[Run, Row]) -> None:
        runs = list(rows)
        of_rows = {row: run for run, row in rows.items()}
        identity = unique_on(kind.identity.columns)
        entries = {
            name
            for table in kind.table.all()
            if table.is_shared
            for name in unique_on(table.identity_columns)
        } - identity

        def rivals(some: Sequence[Row]) -> set[Row]:
            known = self._identities.known(kind.table, [of_rows[row].identity for row in some], now=True)
            return {row for row in some if of_rows[row].identity in known}

        by_unit_of_work = kind.name in self.unit_of_work
        bulk = functools.partial(insert_in_bulk, within=tuple(self._identities.scope(kind.table)))
        insert = self._by_unit_of_work if by_unit_of_work else bulk
        failures = write(
            self._connection,
            kind.table,
            list(rows.values()),
            deferred=self._deferred,
            rivals=rivals,
            insert=insert,
        )
        for place, constraint in failures:
            run = runs[place]
            # Another client may have written the run since it was looked up; where this transaction reads an
            # older moment, the constraint alone tells.
            if rivals([rows[run]]) or (constraint in identity and hides_rivals(self._connection)):
                self._settle(kind, [run])
                continue
            duplicate = Fault(f"Duplicate UUID of a ledger entry: {constraint}", "duplicate")
            same = " (the database takes the identity of another row for the same)" * (constraint in identity)
            refused = Fault(f"Cannot be written: {constraint}{same}", "constraint")
            run.note(duplicate if constraint in entries else refused)
            run.outcome = "rejected"
        for run in runs:
            if run.outcome is None:
                run.outcome = "imported"
                self._written.add(kind)
        self._spool.note(
            kind.name, [(run.uuid or "", run.place) for run in runs if run.outcome == "imported"]
        )
        if runs:
            self._resolver.forget_missing(kind.table.mapper.class_)


def windows(items: Iterable[tuple[AnyItem, int | None]]) -> Iterator[list[tuple[AnyItem, int | None]]]:
    """*items* in groups of which each can be held in memory."""
    left = iter(items)
    while True:
        with paused():
            window = list(_window(left))
        if not window:
            return
        yield window


def _window(items: Iterator[tuple[AnyItem, int | None]]) -> Iterator[tuple[AnyItem, int | None]]:
    size = 0
    for count, (item, number) in enumerate(items, 1):
        yield item, number
        size += item.size if isinstance(item, Entry) else len(item.text)
        if count == BATCH or size >= _WINDOW:
            return


def _scope(model: type[Any]) -> str:
    return f"{model.__module__}.{model.__qualname__}"
