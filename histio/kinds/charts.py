"""Charts of a kind's numbers, which schemas declare for the report.

Members are named as in a record. A chart is left out if the schema leaves out one of its members.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compare:
    """Planned and actual numbers side by side, over time and by each slug.

    Records in which one of the two is null or missing are left out.

    Attributes:
        planned: The name of the member with the planned number.
        actual: The name of the member with the actual number.
    """

    planned: str
    actual: str

    def __str__(self) -> str:
        return f"{self.actual} against {self.planned}"

    @property
    def members(self) -> tuple[str, ...]:
        """Both members."""
        return (self.planned, self.actual)
