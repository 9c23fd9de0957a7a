"""What the numbers of a run should keep to, whatever the database took: rules that schemas declare.

A rule names members as they stand in a record, and an entry's by a path (``consumptions.total_cost``). It is
silent where one of them is null, missing or no number, and where a schema has left one out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, TypeAlias

Record: TypeAlias = Mapping[str, Any]

Finding: TypeAlias = tuple[str, str]
"""The member at fault, and one sentence that says why."""


class Audit(Protocol):
    """A rule, which a schema names in ``Meta.audits``; ``str()`` says what it wants, with its tolerance."""

    @property
    def members(self) -> tuple[str, ...]:
        """The names and paths of what it looks at."""

    def findings(self, record: Record) -> Iterator[Finding]:
        """What is wrong with *record*, whose form is right."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A *total* is the sum of its *parts*, where there are any: entries may be missing.

    Attributes:
        total: The name of the member.
        parts: Paths to members of entries, or names of members.
        tolerance: How much they may be apart, as decimal text: rounding.
    """

    total: str
    parts: tuple[str, ...]
    tolerance: str = "0.01"

    def __str__(self) -> str:
        return f"{self.total} is the sum of {' and '.join(self.parts)}, within {self.tolerance}"

    @property
    def members(self) -> tuple[str, ...]:
        """The total and its parts."""
        return (self.total, *self.parts)

    def findings(self, record: Record) -> Iterator[Finding]:
        """The total, where it is not the sum."""
        total = number(record.get(self.total))
        found = [number(value) for path in self.parts for value in _values(record, path)]
        numbers = [each for each in found if each is not None]
        if total is None or not numbers or len(numbers) < len(found):
            return
        added = sum(numbers, Decimal())
        if abs(total - added) > Decimal(self.tolerance):
            yield self.total, f"{total}, but the entries add up to {added}."


@dataclass(frozen=True, slots=True)
class PerUnit:
    """A *total* is what one *unit* is, as often as the *count* says.

    Attributes:
        unit: The name of the member that says how much one is.
        total: That which says how much all are.
        count: That which says how many there are; of none, nothing is said.
        tolerance: How much one may be apart, as decimal text: rounding.
    """

    unit: str
    total: str
    count: str
    tolerance: str = "0.0001"

    def __str__(self) -> str:
        return f"{self.unit} is {self.total} divided by {self.count}, within {self.tolerance}"

    @property
    def members(self) -> tuple[str, ...]:
        """Its three members."""
        return (self.unit, self.total, self.count)

    def findings(self, record: Record) -> Iterator[Finding]:
        """The unit, where so many of them are not the total."""
        unit, total, count = (number(record.get(name)) for name in self.members)
        if unit is None or total is None or not count:
            return
        if abs(total - unit * count) > Decimal(self.tolerance) * abs(count):
            step = min(unit, Decimal(self.tolerance), key=lambda each: each.as_tuple().exponent)
            share = (total / count).quantize(step)
            yield self.unit, f"{unit}, but {self.total} divided by {self.count} is {share}."


@dataclass(frozen=True, slots=True)
class AtMost:
    """A *member* is at most so many *times* a *limit*.

    Attributes:
        member: The name of the member.
        limit: That of another one.
        times: A factor, as decimal text.
    """

    member: str
    limit: str
    times: str = "1"

    def __str__(self) -> str:
        return f"{self.member} is at most {self._of}"

    @property
    def _of(self) -> str:
        return self.limit if Decimal(self.times) == 1 else f"{self.times} times {self.limit}"

    @property
    def members(self) -> tuple[str, ...]:
        """Both members."""
        return (self.member, self.limit)

    def findings(self, record: Record) -> Iterator[Finding]:
        """The member, where it is more."""
        value, limit = (number(record.get(name)) for name in self.members)
        if value is not None and limit is not None and value > limit * Decimal(self.times):
            yield self.member, f"{value} is more than {self._of}, which is {limit}."


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """At least one of these *ledgers* has entries.

    Attributes:
        ledgers: Their names.
    """

    ledgers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' or '.join(self.ledgers)} has entries"

    @property
    def members(self) -> tuple[str, ...]:
        """The ledgers."""
        return self.ledgers

    def findings(self, record: Record) -> Iterator[Finding]:
        """The first ledger, where all are empty."""
        if not any(record.get(name) for name in self.ledgers):
            yield self.ledgers[0], f"There are no entries in {' or '.join(self.ledgers)}."


def entries_in(record: Record, name: str) -> list[tuple[tuple[int, ...], Record]]:
    """The entries of the ledger *name*, each with its place in the list; a single entry has none."""
    value = record.get(name)
    if isinstance(value, Mapping):
        return [((), value)]
    listed = value if isinstance(value, list | tuple) else ()
    return [((place,), entry) for place, entry in enumerate(listed) if isinstance(entry, Mapping)]


def _values(record: Record, path: str) -> list[Any]:
    name, _, rest = path.partition(".")
    return (
        [each for _, entry in entries_in(record, name) for each in _values(entry, rest)]
        if rest
        else [record.get(name)]
    )


def number(value: Any) -> Decimal | None:
    """The *value* of a member as an exact decimal; None: it is not a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
