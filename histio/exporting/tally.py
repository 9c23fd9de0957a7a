"""Problems and warnings that an export collects about stored values."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias, get_args

from histio.errors import ExportError
from histio.kinds.table import Kind
from histio.pointer import pointer
from histio.report import KEPT, Code, Problem, Severity

_log = logging.getLogger("histio")

OnUnreadable: TypeAlias = Literal["error", "skip"]
"""What an export does with runs that the format cannot hold: fail, or leave them out."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A stored value that has a problem.

    Attributes:
        run: The identity of its run, as the format spells it.
        members: The names of the ledgers that lead to the field, and the field's name.
        text: What is wrong, as a sentence that does not name the run.
    """

    run: str
    members: tuple[str, ...]
    text: str

    def problem(self, kind: Kind, severity: Severity, code: Code) -> Problem:
        """The value as a `Problem` of *kind*."""
        text = f"{kind.name} {self.run}: {self.text}"
        return Problem(severity, code, text, pointer(*self.members), kind.name, self.run)


class ExportTally:
    """Collects the problems and warnings of an export.

    Args:
        exact: Whether a value that is read differently from how it is stored is a problem, not a warning.
        on_unreadable: ``error``: raise all problems in the end. ``skip``: keep the first ones for the report.

    Raises:
        ValueError: *on_unreadable* has another value.

    Attributes:
        exact: The argument.
        skipped: How many runs could not be exported.
        problems: Why they could not; at most `KEPT`, unless they will be raised.
        problem_count: How many problems there were.
        warnings: Values that are read differently from how they are stored (at most `KEPT` of them), and
            kinds whose runs no import can write.
    """

    def __init__(self, *, exact: bool = False, on_unreadable: OnUnreadable = "error") -> None:
        if on_unreadable not in get_args(OnUnreadable):
            raise ValueError(f"on_unreadable must be one of {get_args(OnUnreadable)}, not {on_unreadable!r}")
        self.exact = exact
        self._raises = on_unreadable == "error"
        self.skipped: int = 0
        self.problems: list[Problem] = []
        self.problem_count: int = 0
        self.warnings: list[Problem] = []
        self._altered: Counter[str] = Counter()
        self._noted: list[Problem] = []

    @property
    def warning_count(self) -> int:
        """The number of warnings, kept or not."""
        return self._altered.total() + len(self._noted)

    def refuse(self, problems: Iterable[Problem]) -> bool:
        """Add *problems* of runs that cannot be exported; return whether there were any."""
        before = self.problem_count
        for problem in problems:
            self.problem_count += 1
            if self._raises or len(self.problems) < KEPT:
                self.problems.append(problem)
        return self.problem_count > before

    def warn(self, kind: Kind, count: int, values: Iterable[StoredValue]) -> None:
        """Add *count* warnings about *values* of *kind*; keep them while there is room."""
        if not count:
            return
        self._altered[kind.name] += count
        room = KEPT - len(self.warnings)
        if room > 0:
            self.warnings += [value.problem(kind, "warning", "precision") for value in islice(values, room)]

    def note(self, warnings: Iterable[Problem]) -> None:
        """Keep *warnings* that are about a kind, not about a stored value."""
        found = list(warnings)
        self._noted += found
        self.warnings += found

    def add(self, other: ExportTally) -> None:
        """Add what another tally has collected about other runs."""
        self.skipped += other.skipped
        self.problem_count += other.problem_count - len(other.problems)
        self.refuse(other.problems)
        self._altered.update(other._altered)
        self.warnings += other.warnings[: max(0, KEPT - len(self.warnings))]

    @property
    def will_fail(self) -> bool:
        """Whether `check` raises."""
        return self._raises and bool(self.problems)

    def check(self) -> None:
        """Raise the problems, unless unreadable runs are skipped.

        Raises:
            ExportError: Some runs cannot be exported.
        """
        if self.will_fail:
            raise ExportError(tuple(self.problems))

    def finish(self) -> None:
        """Finish an export without a report: raise its problems and log its warnings.

        Of warnings about stored values, only their number for each kind is logged.

        Raises:
            ExportError: Some runs cannot be exported.
        """
        self.check()
        for problem in self._noted:
            _log.warning("export of %s: %s", problem.kind, problem.message)
        for kind, count in self._altered.items():
            _log.warning("export of %s: %d values are read differently from how they are stored", kind, count)
