"""A run that is being imported or checked, with its problems and its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from histio.files.raw_runs import RawRun
from histio.importing.cut_times import Cut
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps, walk_values
from histio.pointer import pointer
from histio.report import Fault, Problem, Renaming

Outcome = Literal["imported", "updated", "skipped", "rejected"]
WRITTEN: tuple[Outcome, ...] = ("imported", "updated")
OnDuplicate = Literal["skip", "error", "update", "verify"]
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
        warnings: What else there is to report about it.
        renamed: Every use of the ``rename`` option.
        cut: The number of warnings about times that were cut; they come first.
    """

    kind: Kind
    raw: RawRun
    values: Values = field(default_factory=dict)
    well_formed: bool = False
    outcome: Outcome | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    renamed: list[Renaming] = field(default_factory=list)
    cut: int = 0

    @property
    def identity(self) -> Any:
        """The identity of the run, as its columns take it; None if it is not valid."""
        return self.kind.identity.read(self.values)

    @property
    def uuid(self) -> str | None:
        """The identity of the run as text; None if it is not valid."""
        return None if self.identity is None else self.kind.format_identity(self.identity)

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
        where = pointer(*self.steps, *steps)
        at = self.kind.name, self.uuid, self.raw.index, self.raw.line
        problem = Problem("warning" if warning else "error", fault.code, str(fault), where, *at, hint=hint)
        (self.warnings if warning else self.problems).append(problem)

    def note_cuts(self, cuts: Sequence[Cut]) -> None:
        """Add a warning for each time that was cut when the run was read."""
        for cut in cuts:
            self.note(cut.fault, *cut.steps, warning=True)
        self.cut = len(cuts)

    def forget(self) -> None:
        """Drop all problems and warnings since the run was read, because it is processed again."""
        self.problems.clear()
        del self.warnings[self.cut :]

    def forget_cuts(self) -> None:
        """Drop the warnings about cut times, because they are neither written nor compared."""
        del self.warnings[: self.cut]
        self.cut = 0

    def is_open(self, needs: Sequence[object]) -> bool:
        """Whether the only problems are that runs which this one refers to, its *needs*, are not stored."""
        return self.well_formed and len(self.problems) == len(needs)

    def entries(self) -> Iterator[tuple[Table, Any, Steps]]:
        """Yield table, identity and steps of every ledger entry that has an identity."""
        return (found for found in self.identities() if found[2])

    def identities(self) -> Iterator[tuple[Table, Any, Steps]]:
        """Yield table, identity and steps of the run and of every ledger entry."""
        for table, values, steps in walk_values(self.kind.table, self.values):
            identity = None if table.identity is None else table.identity.read(values)
            if identity is not None:
                yield table, identity, steps
