"""What an export cannot write, and what it writes otherwise than it is stored."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

from histio.contract import pointer
from histio.errors import ExportError
from histio.kinds import Kind
from histio.report import KEPT, Code, Problem, Severity

_log = logging.getLogger("histio")

OnUnreadable: TypeAlias = Literal["error", "skip"]
"""What becomes of runs that the format cannot hold: the export fails, or they are left out."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A stored value that is not as it should be.

    Attributes:
        run: The identity of its run, as the format spells it.
        members: The names of the ledgers that lead to it, and its own.
        text: What is wrong with it, as a sentence without its run.
    """

    run: str
    members: tuple[str, ...]
    text: str

    def problem(self, kind: Kind, severity: Severity, code: Code) -> Problem:
        """The problem that an export of *kind* has with the value."""
        text = f"{kind.name} {self.run}: {self.text}"
        return Problem(severity, code, text, pointer(*self.members), kind.name, self.run)


class ExportTally:
    """Keeps what there is to say of the stored values that an export reads.

    Args:
        exact: Whether a run with a value that is read as another one cannot be exported.
        on_unreadable: Whether problems are raised in the end, all of them, or the first ones kept.

    Attributes:
        exact: The argument.
        skipped: How many runs could not be exported.
        problems: Why not; where they are not raised, at most `KEPT`.
        problem_count: How many problems there were.
        warnings: What was exported although it is stored otherwise (at most `KEPT` of those), or although no
            import can write it.
    """

    def __init__(self, *, exact: bool = False, on_unreadable: OnUnreadable = "error") -> None:
        self.exact = exact
        self._raises = on_unreadable == "error"
        self.skipped = 0
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.warnings: list[Problem] = []
        self._altered: Counter[str] = Counter()
        self._noted: list[Problem] = []

    @property
    def warning_count(self) -> int:
        """How many warnings there were."""
        return self._altered.total() + len(self._noted)

    def refuse(self, problems: Iterable[Problem]) -> bool:
        """Keep *problems* of runs that cannot be exported; tell whether there are any."""
        before = self.problem_count
        for problem in problems:
            self.problem_count += 1
            if self._raises or len(self.problems) < KEPT:
                self.problems.append(problem)
        return self.problem_count > before

    def warn(self, kind: Kind, count: int, values: Iterable[StoredValue]) -> None:
        """Count *values* of *kind* that are read as others, and keep warnings of them while there is room."""
        if not count:
            return
        self._altered[kind.name] += count
        room = KEPT - len(self.warnings)
        if room:
            self.warnings += [value.problem(kind, "warning", "precision") for value in islice(values, room)]

    def note(self, warnings: Iterable[Problem]) -> None:
        """Keep *warnings* that are about a kind, not about a stored value."""
        found = list(warnings)
        self._noted += found
        self.warnings += found

    def check(self) -> None:
        """Raise what there is to raise.

        Raises:
            ExportError: Runs cannot be exported, and are not to be left out.
        """
        if self.problems and self._raises:
            raise ExportError(tuple(self.problems))

    def finish(self) -> None:
        """End an export that has no report: log its warnings, and of stored values only their number.

        Raises:
            ExportError: Runs cannot be exported.
        """
        self.check()
        for problem in self._noted:
            _log.warning("export of %s: %s", problem.kind, problem.message)
        for kind, count in self._altered.items():
            _log.warning("export of %s: %d values are stored otherwise than they are read", kind, count)
