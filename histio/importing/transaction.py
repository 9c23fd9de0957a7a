"""The way in: read → classify → resolve → write → report, a set of runs at a time."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    RowFaultError,
    advance_sequence,
    check_deferred,
    check_engines,
    hides_rivals,
    limits,
    refresh_statistics,
    savepoint,
    stored_columns,
    strict,
)
from histio.database.sessions import Habits
from histio.exporting.fast.collector import paused
from histio.exporting.fast.formatter import RowFormatter, find_formatter
from histio.exporting.fast.obstacles import named_mappers
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.importing.bulk import Row, insert_in_bulk, write
from histio.importing.circles import circle_warnings
from histio.importing.classify import Identities
from histio.importing.collisions import find_collision
from histio.importing.counts import Tally
from histio.importing.fast.rows import Rows
from histio.importing.fast.take import Swift
from histio.importing.graph import LEFT, Need, RunGraph
from histio.importing.orm import insert_by_unit_of_work, reasons
from histio.importing.parse import Reader, Run
from histio.importing.repetitions import duplicate, note_entries, note_repeated, shared_identities
from histio.importing.row_builder import Constants, RowBuilder
from histio.importing.row_counts import counted
from histio.importing.run_order import Dependencies
from histio.importing.spool import Spool
from histio.importing.truncation import Truncation
from histio.importing.two_steps import RunsOfWindow, TwoSteps, WaitingRuns
from histio.importing.update.compare import differences, given_values, stored_values
from histio.importing.update.update import Updater
from histio.kinds.mapping import attribute, unique_on
from histio.kinds.table import Kind, Table
from histio.report import Code, Fault, Problem
from histio.resolving.resolve import Found, MemberFault, Resolver, Sought, Values
from histio.tuning import tuning

_log = logging.getLogger("histio")

AnyItem = TypeVar("AnyItem", bound=RawItem)
OnDuplicate = Literal["skip", "error", "update", "verify"]


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
        truncate_times: Whether times are cut to the digits of a second that their columns keep.

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
        truncate_times: bool = False,
    ) -> None:
        self._connection = connection
        self.kinds = kinds
        self._on_duplicate = on_duplicate
        self._reader = reader
        self._tally = tally
        self._spool = spool
        self._values = values
        self._dependencies = Dependencies(kinds, connection.dialect)
        self._open: dict[Run, list[Need]] = {}
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
        written = [column for table in tables for column in table.columns.values()]
        self._stored = stored_columns(connection, written)
        kept = {table: limits(connection.dialect, table, self._stored) for table in tables}
        self._builder = RowBuilder(
            kinds, self._resolver, values=self._values, limits=kept, blanks=self._dependencies.blanks
        )
        if truncate_times:
            self._reader = reader.truncating(Truncation(kept))
        self.unit_of_work = {kind.name: why for kind in kinds if (why := reasons(kind, habits))}
        self._habits = habits
        self._by_unit_of_work = insert_by_unit_of_work(habits)
        self._written: set[Kind] = set()

    def formatter(self, kind: Kind) -> RowFormatter | str:
        """What makes JSON of stored runs of *kind*; likewise."""
        return find_formatter(kind, self._connection.dialect)

    def rows(self, kind: Kind) -> Rows | str:
        """What writes accepted runs of *kind*; a text: why they have to go through marshmallow."""
        return self._make_swift().rows(kind)

    def circle_warnings(self) -> list[Problem]:
        """A warning for each kind whose runs no import can write."""
        return list(circle_warnings(self.kinds, self._connection.dialect))

    @property
    def refers_to_runs(self) -> bool:
        """Whether runs of some kind name other runs."""
        return self._dependencies.any

    @property
    def has_limits(self) -> bool:
        """Whether the database keeps less of some values than the format allows."""
        return any(self._builder.limits.values())

    def expect(self, raw_runs: Iterable[RawRun]) -> None:
        """Find out which of *raw_runs* could be imported; `look` then resolves references to them."""
        numbers = itertools.count()
        for window in windows((raw, None) for raw in raw_runs):
            runs = [self._reader.read(raw) for raw, _ in window]
            self._look_at(runs)
            for run in runs:
                needs = self._dependencies.lacking(run, self._resolver)
                if _is_open(run, needs):
                    self._spool.graph.add(next(numbers), self._dependencies.names_of(run), needs)
            self._resolver.let_go()
        self._spool.graph.solve()

    def _note_keys(self, run: Run) -> None:
        scope = _scope(run.kind.table.mapper.class_)
        self._spool.note(scope, [(repr(sought), run.place) for sought in self._dependencies.keys_of(run)])

    def found(self, table: Table, record: Values) -> tuple[list[Found], list[MemberFault]]:
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

    def as_stored(self, table: Table, record: dict[str, Any]) -> dict[str, Any]:
        """A loaded *record* of *table* with the slugs that an export would write of the rows it names."""
        [stored] = self._builder.as_stored(table, [record], fill=True)
        self._resolver.let_go()
        return stored

    def named(self, table: Table, records: Sequence[Values]) -> list[list[MemberFault]]:
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

    def check(self, raw_runs: Iterable[RawRun]) -> list[Problem]:
        """What is wrong with *raw_runs*: form, references, and UUIDs that come twice. Writes nothing."""
        given = list(raw_runs)
        if self.refers_to_runs:
            self.expect(given)
        runs = self.look(given)
        for run in runs:
            if not run.problems:  # otherwise it will not go in, and leaves its identities to others
                note_repeated(run, self._spool)
        return [problem for run in runs for problem in (*run.problems, *run.warnings)]

    def look(self, raw_runs: Iterable[RawRun]) -> list[Run]:
        """The runs of *raw_runs*, with what is wrong with the form and the references of each."""
        runs = [self._reader.read(raw) for raw in raw_runs]
        for run in runs:
            self._dependencies.expect(run, self._spool.graph, self._resolver, hard=True)
        self._look_at(runs)
        self._resolver.break_promises()
        self._resolver.let_go()
        return runs

    def _look_at(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._note_keys(run)
        with savepoint(self._connection):
            self._builder.build(runs)
        for run in runs:
            note_entries(run)

    def run(
        self, items: Iterable[RawItem], *, last: bool = True, atomic: bool = False, dry_run: bool = False
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
            self._two_steps = self._make_two_steps()
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
                if last and self._tally.written >= tuning().refresh_from:
                    refresh_statistics(self._connection, self._tables)
        return withheld

    def _take(self, items: Iterable[tuple[RawItem, int | None]], *, finally_: bool = False) -> None:
        """Bring *items* to their ends, a window at a time.

        Those that name runs which are not there are put aside, with their number; *finally_* they are not.
        """
        self._finally = finally_
        for window in windows(items):
            numbers = {self._reader.read(raw): number for raw, number in self._take_swiftly(window)}
            runs = list(numbers)
            self._open.clear()
            for run in runs:
                self._note_keys(run)
            for wave in self._dependencies.waves(runs):
                pending = wave
                while pending:
                    pending = self._import(pending)
            self._write_open(runs)
            for run in runs:
                if run.outcome is None:
                    self._wait(run, numbers[run])
                else:
                    self._tally.add(run)
            if self._spool.waiting:
                self._provide(self._spool.graph, runs)
            self._resolver.let_go()

    def _write_open(self, runs: Sequence[Run]) -> None:
        """Write those of *runs* that need nothing but each other."""
        still = [run for run in runs if run.outcome is None and run in self._open]
        if not still:
            return
        graph = self._spool.window
        graph.clear()
        for number, run in enumerate(still):
            graph.add(number, self._dependencies.names_of(run), self._open[run])
        self._provide(graph, runs)
        self._two_steps.write(graph, RunsOfWindow(dict(enumerate(still))))

    def _wait(self, run: Run, number: int | None) -> None:
        number = self._spool.wait(run.raw, number)
        if run in self._open:
            self._spool.graph.add(number, self._dependencies.names_of(run), self._open[run])

    def _provide(self, graph: RunGraph, runs: Sequence[Run]) -> None:
        """Let *graph* know which of *runs* are stored now."""
        written = (run for run in runs if run.outcome in ("imported", "updated"))
        graph.provide(name for run in written for name in self._dependencies.names_of(run))

    def _take_swiftly(self, window: Sequence[tuple[RawItem, int | None]]) -> list[tuple[RawRun, int | None]]:
        """Bring to their ends what of *window* is no run, or as it should be; give back the rest."""
        raw_runs: list[tuple[RawRun, int | None]] = []
        for item, number in window:
            if isinstance(item, UnreadableLine):
                self._tally.refuse(item)
            else:
                raw_runs.append((item, number))
        swift = [raw for raw, number in raw_runs if number is None]
        with paused():
            left = set(map(id, self._swift.take(swift)))
        ended = {id(raw) for raw in swift} - left
        return [(raw, number) for raw, number in raw_runs if id(raw) not in ended]

    def _take_waiting(self) -> None:
        """Write what waits and can go in, in its order; then reject the rest."""
        before = None
        while self._spool.waiting and self._spool.waiting != before:
            before = self._spool.waiting
            waiting = WaitingRuns(self._spool, self._reader, self._tally)
            self._two_steps.write(self._spool.graph, waiting)
            self._spool.end(number for number, _, step in self._spool.graph.runs() if step != LEFT)
            if self._on_duplicate != "update":
                break
            self._take(self._spool.again())  # runs that exist, and are to name some that were written now
        self._take(self._spool.again(), finally_=True)

    def _standing(self, model: type[Any], sought: Sought) -> str | None:
        """Why the run that has the key of *sought* is not there, though the document has it."""
        place = self._spool.place(_scope(model), repr(sought))
        circle = " or refers back in a circle" if model in self._dependencies.stuck else ""
        return None if place is None else f"{place} has it, but is rejected{circle}"

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
            own = shared_identities(run)
            if run.well_formed and taken & own:
                run.forget()
                again.append(run)
            elif run.problems:
                self._reject_or_wait(run)
            else:
                accepted.append(run)
                taken |= own
        for kind in self.kinds:
            self._write(kind, {run: rows[run] for run in accepted if run.kind is kind}, self._deferred)
        return again

    def _reject_or_wait(self, run: Run) -> None:
        """Reject a *run* with problems, unless a run that it names may still come."""
        needs = [] if self._finally else self._dependencies.lacking(run, self._resolver)
        run.outcome = None if needs else "rejected"
        if needs and _is_open(run, needs):
            self._open[run] = needs

    def _writable(self, runs: list[Run]) -> list[Run]:
        """Those of *runs* that do not exist; of several that have an identity in common, the first."""
        known = {
            kind: self._identities.known(kind.table, [run.identity for run in runs if run.kind is kind])
            for kind in self.kinds
        }
        taken: set[tuple[Table, Any]] = set()
        fresh = []
        for run in (run for run in runs if run.identity not in known[run.kind]):
            own = shared_identities(run)
            if not taken & own:
                fresh.append(run)
                taken |= own
        return self._classify_entries(fresh)

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
            stored=self._stored,
            note_entries=note_update,
        )

    def _make_two_steps(self) -> TwoSteps:
        return TwoSteps(
            self._connection,
            self.kinds,
            dependencies=self._dependencies,
            builder=self._builder,
            resolver=self._resolver,
            identities=self._identities,
            spool=self._spool,
            habits=self._habits,
            deferred=self._deferred,
            classify=self._writable,
            write_rows=self._write,
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
            updates=self._on_duplicate == "update",
            deferred=self._deferred,
        )

    def _settle(self, kind: Kind, runs: list[Run]) -> None:
        """Deal with runs whose identity exists as the caller wishes."""
        if self._on_duplicate == "update":
            for run in runs:  # whatever was noted before it was known to exist is noted again
                run.forget()
            for ended in self._updater.update(kind, runs):
                self._note_updates(kind, ended)
            self._resolver.forget_missing(kind.table.mapper.class_)
            return
        if self._on_duplicate == "verify":
            for start in range(0, len(runs), tuning().page):
                self._verify(kind, runs[start : start + tuning().page])
        else:
            for run in runs:
                run.forget_cuts()
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
            if (
                run.outcome == "rejected"
                and not self._finally
                and self._dependencies.lacking(run, self._resolver)
            ):
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
        given = given_values(kind.table, runs, found, self._builder.as_stored)
        for run, stored in zip(runs, found, strict=True):
            told = [stored] if isinstance(stored, str) else differences(kind.table, given[run], stored)
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

    def _write(self, kind: Kind, rows: dict[Run, Row], deferred: bool) -> None:  # noqa: FBT001
        runs = list(rows)
        identities = {row: run.identity for run, row in rows.items()}
        identity = unique_on(*kind.identity.columns)
        entries = {
            name: table.identity.title
            for table in kind.table.all()
            if table.identity is not None and table.is_shared
            for name in unique_on(*table.identity.columns) - identity
        }

        def rivals(some: Sequence[Row]) -> set[Row]:
            known = self._identities.known(kind.table, [identities[row] for row in some], now=True)
            return {row for row in some if identities[row] in known}

        by_unit_of_work = kind.name in self.unit_of_work
        within = self._identities.scope(kind.table)
        bulk = functools.partial(insert_in_bulk, within=tuple(within))
        insert = self._by_unit_of_work if by_unit_of_work else bulk
        is_counted = bool(rows) and (by_unit_of_work or self._swift.counts(kind))
        failures = write(
            self._connection,
            kind.table,
            list(rows.values()),
            deferred=deferred,
            rivals=rivals,
            insert=counted(insert, identities=identities, within=within) if is_counted else insert,
        )
        for place, constraint in failures:
            run = runs[place]
            # Another client may have written the run since it was looked up; where this transaction reads an
            # older moment, the constraint alone tells.
            if rivals([rows[run]]) or (constraint in identity and hides_rivals(self._connection)):
                self._settle(kind, [run])
                continue
            collision = find_collision(
                self._connection,
                kind.table,
                rows[run],
                constraint=constraint,
                insert=insert,
                deferred=self._deferred,
                stored=self._stored,
            )
            same = "; the database takes the identity of another row for the same" * (constraint in identity)
            fault = Fault(f"Cannot be written: {collision or constraint}{same}", "constraint")
            if constraint in entries and collision is None:
                fault = Fault(f"Duplicate {entries[constraint]} of a ledger entry: {constraint}", "duplicate")
            run.note(fault, *(collision.steps if collision else ()))
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


def _is_open(run: Run, needs: Sequence[Need]) -> bool:
    """Whether nothing is wrong with *run* but that the runs which it *needs* are not stored."""
    return run.well_formed and len(run.problems) == len(needs)


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
    size, batch = 0, tuning().batch
    for count, (item, number) in enumerate(items, 1):
        yield item, number
        size += item.size if isinstance(item, RawRun) else len(item.text)
        if count == batch or size >= _WINDOW:
            return


def _scope(model: type[Any]) -> str:
    return f"{model.__module__}.{model.__qualname__}"
