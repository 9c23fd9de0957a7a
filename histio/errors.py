"""What histio raises. Everything derives from `HistioError`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from histio.report import Problem

_SHOWN = 20


class HistioError(Exception):
    """The base of every error that histio raises of its own."""


class NotConfiguredError(HistioError):
    """No database was named."""


@dataclass(frozen=True, slots=True)
class BindingFault:
    """A column or relationship of a bound model that is not accounted for.

    Attributes:
        schema: The name of the schema class.
        model: The name of the mapped class.
        attribute: The name of the mapped attribute, or of the column where no attribute is mapped to it.
        reason: Why it needs attention, in a few words.
        lines: Lines of source to choose from: a field, or an entry of ``Meta.exclude``.
    """

    schema: str
    model: str
    attribute: str
    reason: str
    lines: tuple[str, ...]


class BindingError(HistioError):
    """A schema does not fit its model, or a database cannot be used as it is configured.

    Attributes:
        faults: The columns and relationships that are not accounted for; empty for any other error.
    """

    def __init__(self, message: str, *, faults: tuple[BindingFault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class ProblemsError(HistioError):
    """An error that is a list of problems.

    Attributes:
        problems: All of them; the text shows the first twenty.
    """

    summary = "{count} problems"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, told: Callable[[Problem], str] = str) -> list[str]:
        """The text line by line, each problem as it is *told*."""
        lines = [self.summary.format(count=len(self.problems))]
        lines += [f"  {told(problem)}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  … and {len(self.problems) - _SHOWN} more")
        return lines


class DocumentError(ProblemsError):
    """A document or file cannot be read as a whole, breaks off, or disagrees with its seal.

    Attributes:
        problems: All of them; the text shows the first twenty.
    """

    summary = "cannot be read as a history:"


class ExportError(ProblemsError):
    """Rows that the format cannot hold.

    Attributes:
        problems: One for each fault, its pointer into the run; the text shows the first twenty.
    """

    summary = "rows that cannot be exported ({count}):"
