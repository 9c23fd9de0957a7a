"""Rules for the numbers of a run, which schemas declare and databases do not enforce.

A rule names members as in a record, and those of entries by a path (``consumptions.total_cost``). It is not
applied if one of them is null, missing or not a number, or if the schema leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, TypeAlias

Record: TypeAlias = Mapping[str, Any]

Finding: TypeAlias = tuple[str, str]
"""The member at fault, and a sentence that says why."""


class Audit(Protocol):
    """A rule for ``Meta.audits`` of a schema; ``str()`` describes it, with its tolerance."""

    @property
    def members(self) -> tuple[str, ...]:
        """The names and paths of the members that it reads."""

    def findings(self, record: Record) -> Iterator[Finding]:
        """What is wrong with *record*, which is valid in the format."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A *total* is the sum of its *parts*; a record without parts is not checked.

    Attributes:
        total: The name of the member.
        parts: Paths to members of entries, or names of members.
        tolerance: The largest difference that is allowed for rounding, as decimal text.
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
        """The total, if it is not the sum."""
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
    """The value per *unit*, multiplied by the *count*, is the *total*.

    Attributes:
        unit: The name of the member with the value of one unit.
        total: The name of the member with the value of all units.
        count: The name of the member with the number of units; a record with a count of 0 is not checked.
        tolerance: The largest difference per unit that is allowed for rounding, as decimal text.
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
        """The unit, if it does not match the total."""
        unit, total, count = (number(record.get(name)) for name in self.members)
        if unit is None or total is None or not count:
            return
        if abs(total - unit * count) > Decimal(self.tolerance) * abs(count):
            step = min(unit, Decimal(self.tolerance), key=lambda each: each.as_tuple().exponent)
            share = (total / count).quantize(step)
            yield self.unit, f"{unit}, but {self.total} divided by {self.count} is {share}."


@dataclass(frozen=True, slots=True)
class AtMost:
    """A *member* is at most a *limit*, or a multiple of it.

    Attributes:
        member: The name of the member.
        limit: The name of the member that limits it.
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
        """The member, if it is more."""
        value, limit = (number(record.get(name)) for name in self.members)
        if value is not None and limit is not None and value > limit * Decimal(self.times):
            yield self.member, f"{value} is more than {self._of}, which is {limit}."


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """At least one of the *ledgers* has entries.

    Attributes:
        ledgers: The names of the ledgers.
    """

    ledgers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' or '.join(self.ledgers)} has entries"

    @property
    def members(self) -> tuple[str, ...]:
        """The ledgers."""
        return self.ledgers

    def findings(self, record: Record) -> Iterator[Finding]:
        """The first ledger, if all are empty."""
        if not any(record.get(name) for name in self.ledgers):
            yield self.ledgers[0], f"There are no entries in {' or '.join(self.ledgers)}."


def entries_in(record: Record, name: str) -> list[tuple[tuple[int, ...], Record]]:
    """The entries of the ledger *name*, each with its index in the list; a single entry has none."""
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
    """The exact *value* of a member; None: it is not a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
