"""Classify runs by what the database has under their identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from histio.importing.destination import Destination
from histio.importing.duplicates import Duplicates
from histio.importing.identities import Identities
from histio.importing.repetitions import duplicate, note_entries, shared_identities, written_here
from histio.importing.run import Run
from histio.kinds.table import Kind, Table
from histio.report import Fault
from histio.tuning import with_pauses


@dataclass(frozen=True, slots=True)
class Classified:
    """Runs of one kind by what is stored under their identity.

    Attributes:
        fresh: Nothing. Runs that are not well-formed are among these.
        known: The run.
        foreign: A row of another kind, in the same table.
    """

    fresh: list[Run]
    known: list[Run]
    foreign: list[Run]


def classify(identities: Identities, kind: Kind, runs: Sequence[Run]) -> Classified:
    """Classify *runs* of *kind*."""
    known = identities.find_known(kind.table, [run.identity for run in runs if run.well_formed])
    elsewhere = identities.find_foreign(kind, known)
    found = Classified([], [], [])
    for run in runs:
        if run.identity in elsewhere:
            found.foreign.append(run)
        elif run.well_formed and run.identity in known:
            found.known.append(run)
        else:
            found.fresh.append(run)
    return found


class Classifier:
    """Separates the runs to insert from those that exist, and decides about the latter.

    Args:
        destination: The database.
        duplicates: Decides about runs that exist.
    """

    def __init__(self, destination: Destination, duplicates: Duplicates) -> None:
        self._kinds = destination.kinds
        self._identities = destination.identities
        self._spool = destination.spool
        self._duplicates = duplicates

    def select_fresh(self, runs: Sequence[Run]) -> list[Run]:
        """Set the outcome of the *runs* whose identity exists; return the others."""
        fresh: list[Run] = []
        for kind in self._kinds:
            found = classify(self._identities, kind, [run for run in runs if run.kind is kind])
            for run in found.foreign:
                _reject_foreign(run)
            self._duplicates.settle(kind, found.known)
            fresh += found.fresh
        return fresh

    def settle(self, kind: Kind, rivals: Sequence[Run]) -> None:
        """Set the outcome of runs of *kind* that another client has written since they were classified."""
        self._duplicates.settle(kind, rivals)

    def check_entries(self, runs: list[Run]) -> list[Run]:
        """Note ledger entries of *runs* that exist under another run, or come twice in their own.

        Returns:
            The runs without an outcome: another client may have written some of them since they were
            classified, and their entries with them.
        """
        sought: dict[Table, list[Any]] = {}
        for run in with_pauses(runs):
            for table, identity, _ in run.entries():
                if table.is_shared:
                    sought.setdefault(table, []).append(identity)
        known = {
            (table, identity)
            for table, identities in sought.items()
            for identity in self._identities.find_known(table, identities)
        }
        if known:
            runs = self.select_fresh(runs)
        own = written_here(self._identities, self._spool, runs, known)
        for run in with_pauses(runs):
            note_entries(run, known, own)
        return runs

    def select_writable(self, runs: Sequence[Run]) -> list[Run]:
        """Those of *runs* that do not exist; of several that share an identity, only the first."""
        known = {
            kind: self._identities.find_known(kind.table, [run.identity for run in runs if run.kind is kind])
            for kind in self._kinds
        }
        taken: set[tuple[Table, Any]] = set()
        fresh = []
        for run in (run for run in runs if run.identity not in known[run.kind]):
            own = shared_identities(run)
            if not taken & own:
                fresh.append(run)
                taken |= own
        return self.check_entries(fresh)


def _reject_foreign(run: Run) -> None:
    kind = run.kind
    text = f"{duplicate(kind.table, run.identity)}, of a row that is not a {kind.name}"
    run.note(Fault(text, "duplicate"), *kind.identity.steps)
    run.outcome = "rejected"
