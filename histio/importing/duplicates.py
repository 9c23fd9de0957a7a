"""Decide about runs that exist already: skip, reject, update or verify them."""

from __future__ import annotations

from collections.abc import Sequence

from histio.importing.destination import Destination
from histio.importing.repetitions import duplicate
from histio.importing.run import OnDuplicate, Run
from histio.importing.update.compare import describe_differences, read_stored, resolve_given
from histio.importing.update.update import Updater
from histio.kinds.table import Kind
from histio.report import Code, Fault
from histio.tuning import tuning, with_pauses


class Duplicates:
    """Sets the outcomes of runs that exist already.

    Args:
        destination: The database.
        on_duplicate: What to do with them.
        updater: Updates them.

    Attributes:
        written: The kinds of which runs have been updated.
    """

    def __init__(self, destination: Destination, on_duplicate: OnDuplicate, updater: Updater) -> None:
        self._destination = destination
        self._on_duplicate = on_duplicate
        self._updater = updater
        self.written: set[Kind] = set()

    def settle(self, kind: Kind, runs: Sequence[Run]) -> None:
        """Set the outcomes of well-formed *runs* that exist.

        A run that is to be updated gets none yet if it refers to a run that is not stored, or takes a unique
        value that another row has.
        """
        if not runs:
            return
        for member in kind.members_of_new_rows:
            for run in runs:
                run.values.pop(member, None)
        if self._on_duplicate == "update":
            self._update(kind, runs)
            return
        if self._on_duplicate == "verify":
            for start in range(0, len(runs), tuning().page):
                self._verify(kind, runs[start : start + tuning().page])
        else:
            for run in runs:
                run.forget_cuts()
        for run in runs:
            self._skip_or_reject(run)

    def _skip_or_reject(self, run: Run) -> None:
        again = self._came_before(run)
        if self._on_duplicate == "error":
            code: Code = "duplicate-in-document" if again else "duplicate"
            run.note(Fault(duplicate(run.kind.table, run.identity), code), *run.kind.identity.steps)
        elif again:
            _warn_of_copy(run)
        run.outcome = "rejected" if run.problems else "skipped"

    def _verify(self, kind: Kind, runs: Sequence[Run]) -> None:
        destination = self._destination
        within = destination.identities.scope(kind.table)
        found = read_stored(destination.connection, kind, runs, within=within)
        given = resolve_given(kind.table, runs, found, destination.builder.as_stored)
        for run, stored in with_pauses(zip(runs, found, strict=True)):
            unequal = (
                [stored]
                if isinstance(stored, str)
                else describe_differences(kind.table, given[run], stored, destination.sides)
            )
            conflict = "; ".join(unequal)
            if conflict:
                run.note(Fault(f"Differs from the stored run: {conflict}", "conflict"))

    def _update(self, kind: Kind, runs: Sequence[Run]) -> None:
        for run in runs:
            run.forget()  # what was noted before the run was known to exist is noted again
        for group in self._updater.update(kind, runs):
            self._end_updates(kind, group)
        self._destination.resolver.forget_missing(kind.table.mapper.class_)

    def _end_updates(self, kind: Kind, runs: Sequence[Run]) -> None:
        """Remember which of *runs* were updated, and withdraw the rejection of those that may still go in."""
        destination = self._destination
        for run in runs:
            if self._came_before(run):
                _warn_of_copy(run)
            if run.outcome == "rejected" and (
                (self._updater.may_wait and run in self._updater.blocked)
                or destination.dependencies.find_missing(run, destination.resolver)
            ):
                run.outcome = None
        updated = [run for run in runs if run.outcome == "updated"]
        destination.spool.note(kind.name, [(run.uuid or "", run.place) for run in updated])
        if updated:
            self.written.add(kind)

    def _came_before(self, run: Run) -> bool:
        """Whether this import has written the run already."""
        return self._destination.spool.place(run.kind.name, run.uuid or "") is not None


def _warn_of_copy(run: Run) -> None:
    if run.kind.is_catalog and run.raw.file is not None:
        return  # each of several files has the rows that its runs refer to
    fault = Fault(duplicate(run.kind.table, run.identity), "duplicate-in-document")
    run.note(fault, *run.kind.identity.steps, warning=True)
