"""A run that is being imported or checked, with its problems and its outcome."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from histio.files.raw_runs import RawRun
from histio.importing.cut_times import Cut
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps, walk_values
from histio.pointer import pointer
from histio.report import LISTED, Fault, Problem, ProblemList, Renaming, Revision, Severity

Outcome = Literal["imported", "updated", "skipped", "rejected"]
WRITTEN: tuple[Outcome, ...] = ("imported", "updated")
OnDuplicate = Literal["skip", "error", "update", "verify"]
OnCatalog = Literal["ignore", "create", "update"]
Values = dict[str, Any]


@dataclass(slots=True, eq=False)
class Run:
    """A run that is being imported or checked.

    Attributes:
        kind: Its kind.
        raw: The run as read.
        values: The valid members of the record, as columns take them.
        well_formed: Whether the whole record is valid.
        outcome: None until it is decided.
        problems: Why the run cannot be imported.
        cuts: Warnings about times that were cut when the run was read.
        warnings: What else there is to report about it.
        renamed: The first uses of the ``rename`` option.
        renamed_count: The number of all uses.
        revisions: What an update has changed in the stored run, as far as it is listed.
        revision_count: The number of all these changes.
    """

    kind: Kind
    raw: RawRun
    values: Values = field(default_factory=dict)
    well_formed: bool = False
    outcome: Outcome | None = None
    problems: ProblemList = field(default_factory=ProblemList)
    cuts: ProblemList = field(default_factory=ProblemList)
    warnings: ProblemList = field(default_factory=ProblemList)
    renamed: list[Renaming] = field(default_factory=list)
    renamed_count: int = 0
    revisions: Sequence[Revision] = ()
    revision_count: int = 0
    _formatted: tuple[Any, str] | None = None

    @property
    def identity(self) -> Any:
        """The identity of the run, as its columns take it; None if it is not valid."""
        return self.kind.identity.read(self.values)

    @property
    def uuid(self) -> str | None:
        """The identity of the run as text; None if it is not valid."""
        identity = self.identity
        if identity is None:
            return None
        if self._formatted is None or self._formatted[0] is not identity:
            self._formatted = identity, self.kind.format_identity(identity)
        return self._formatted[1]

    @property
    def steps(self) -> Steps:
        """The steps that lead to the run in its document, or in its line of a stream."""
        if self.raw.line is not None:
            return (self.kind.name,)
        return (self.kind.collection, self.raw.index)

    @property
    def place(self) -> str:
        """The line or the pointer of the run, as text."""
        return self.raw.place(self.kind.collection)

    def note(self, fault: Fault, *steps: str | int, hint: str | None = None, warning: bool = False) -> None:
        """Add a problem, or a warning, about the value at *steps* below the run."""
        self._note(self.warnings if warning else self.problems, fault, steps, hint)

    def _note(self, noted: ProblemList, fault: Fault, steps: Steps, hint: str | None = None) -> None:
        if noted.is_full:
            noted.add_unlisted(1)
            return
        where = pointer(*self.steps, *steps)
        at = self.kind.name, self.uuid, self.raw.index, self.raw.line
        severity: Severity = "error" if noted is self.problems else "warning"
        noted.add(Problem(severity, fault.code, str(fault), where, *at, hint=hint, file=self.raw.file))

    def note_cuts(self, cuts: Sequence[Cut]) -> None:
        """Add a warning for each time that was cut when the run was read."""
        for cut in cuts:
            self._note(self.cuts, cut.fault, cut.steps)

    def note_renaming(self, where: Steps, old: str, new: str) -> None:
        """Add a use of the ``rename`` option at the steps *where*, below the run."""
        self.renamed_count += 1
        if len(self.renamed) < LISTED:
            where_in_file = pointer(*self.steps, *where)
            self.renamed.append(Renaming(where_in_file, old, new, self.raw.line, self.raw.file))

    def findings(self) -> Iterator[Problem]:
        """All problems and warnings."""
        return itertools.chain(self.problems, self.cuts, self.warnings)

    def forget(self) -> None:
        """Drop what was noted since the run was read, because it is processed again."""
        self.problems.clear()
        self.warnings.clear()
        self.revisions, self.revision_count = (), 0

    def forget_cuts(self) -> None:
        """Drop the warnings about cut times, because they are neither written nor compared."""
        self.cuts.clear()

    def is_open(self, needs: Sequence[object]) -> bool:
        """Whether the only problems are that runs which this one refers to, its *needs*, are not stored."""
        return self.well_formed and self.problems.count == len(needs)

    def entries(self) -> Iterator[tuple[Table, Any, Steps]]:
        """Yield table, identity and steps of every ledger entry that has an identity."""
        return (found for found in self.identities() if found[2])

    def identities(self) -> Iterator[tuple[Table, Any, Steps]]:
        """Yield table, identity and steps of the run and of every ledger entry."""
        for table, values, steps in walk_values(self.kind.table, self.values):
            identity = None if table.identity is None else table.identity.read(values)
            if identity is not None:
                yield table, identity, steps
