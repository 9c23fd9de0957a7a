"""Charts of a kind's numbers, which schemas declare for the report.

As in audits, members are named as they stand in a record, and a chart is left out where a schema has left out
one of its members.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compare:
    """What was *planned* beside what *actual* says, over time and by each slug.

    Records in which one of the two is null or missing are left out.

    Attributes:
        planned: The name of a member that is a number.
        actual: That of another one.
    """

    planned: str
    actual: str

    def __str__(self) -> str:
        return f"{self.actual} against {self.planned}"

    @property
    def members(self) -> tuple[str, ...]:
        """Both members."""
        return (self.planned, self.actual)
