"""The exceptions of histio; all derive from `HistioError`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from histio.report import Problem

_SHOWN = 20


class HistioError(Exception):
    """The base class of histio's own exceptions."""


class NotConfiguredError(HistioError):
    """No database was named."""


@dataclass(frozen=True, slots=True)
class BindingFault:
    """A column or relationship of a bound model that is not accounted for.

    Attributes:
        schema: The name of the schema class.
        model: The name of the mapped class.
        attribute: The name of the mapped attribute, or of a column without an attribute.
        reason: Why it is an error, in a few words.
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
        message: What is wrong, without the place and the advice.
        schema: The name of the schema class; None: the error is not about a schema.
        field: The name of a field of the schema, or an option such as ``Meta.identity``; None: neither.
        model: The name of the schema's model; None: there is no model or no schema.
        advice: What to write instead; None: there is no advice.
        faults: The columns and relationships that are not accounted for; empty for any other error.
    """

    def __init__(
        self,
        message: str,
        *,
        schema: str | None = None,
        field: str | None = None,
        model: str | None = None,
        advice: str | None = None,
        faults: tuple[BindingFault, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.schema = schema
        self.field = field
        self.model = model
        self.advice = advice
        self.faults = faults

    def __str__(self) -> str:
        place = ".".join(filter(None, (self.schema, self.field)))
        return f"{place}: {self.reason}" if place else self.reason

    @property
    def reason(self) -> str:
        """The message and the advice, without the place."""
        return self.message if self.advice is None else f"{self.message}: {self.advice}"

    def locate(self, schema: str, *, field: str | None = None, model: str | None = None) -> None:
        """Set the place, unless a more precise one is already known.

        Args:
            schema: The name of the schema class.
            field: The name of a field of the schema, or an option such as ``Meta.identity``. None: neither.
            model: The name of the schema's model. None: it has none.
        """
        if self.schema is None:
            self.schema = schema
            self.field = self.field or field
            self.model = self.model or model


class ProblemsError(HistioError):
    """An error with a list of problems.

    Attributes:
        problems: All of them; the text shows the first twenty.
    """

    summary = "{count} problems"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, describe: Callable[[Problem], str] = str) -> list[str]:
        """The lines of the text.

        Args:
            describe: Called with each problem that is shown; returns its line.
        """
        count = sum(problem.more or 1 for problem in self.problems)
        lines = [self.summary.format(count=count)]
        lines += [f"  {describe(problem)}" for problem in self.problems[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  … and {count - _SHOWN} more")
        return lines


class DocumentError(ProblemsError):
    """A document or file cannot be read as a whole, is truncated, or does not match its trailer.

    Attributes:
        problems: All of them; the text shows the first twenty.
    """

    summary = "cannot be read as a history:"


class ReceiptError(ProblemsError):
    """A file is not the receipt of imports into the database that is used.

    Attributes:
        problems: All of them; the text shows the first twenty.
    """

    summary = "the receipt cannot be used:"


class ExportError(ProblemsError):
    """Rows that the format cannot hold.

    Attributes:
        problems: One for each fault, with a pointer into the run; the text shows the first twenty.
    """

    summary = "rows that cannot be exported ({count}):"
