"""What a report shows of the numbers of a kind, beyond what their fields say: charts that schemas declare.

As in audits, members are named as they stand in a record, and a chart is left out where a schema has left out
one of its members.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from histio.errors import BindingError
from histio.kinds.audits import had
from histio.kinds.fields import Choice, FixedDecimal, Integer, Number, Slug, Text
from histio.kinds.table import Table
from histio.wire import shown

_NUMBERS = (FixedDecimal, Integer, Number)
_UNIT = "unit"


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


@functools.lru_cache(maxsize=256)
def charts_of(table: Table) -> tuple[Compare, ...]:
    """The charts of *table* whose members its schema has.

    Raises:
        BindingError: One names what the schema never had, or what is no number; ``Meta.unit`` names no text.
    """
    meta, name, numbers = table.schema.Meta, type(table.schema).__name__, amounts_of(table)
    names = set(table.names.values())

    def left_out(member: str) -> bool:
        return member not in names and had(type(table.schema), member)

    for chart in meta.charts:
        if not isinstance(chart, Compare):
            raise BindingError(f"{name}.Meta.charts: {shown(chart)} is no chart of histio.charts")
        for member in chart.members:
            if member not in names and not left_out(member):
                raise BindingError(f"{name}.Meta.charts: {chart}: there is no {member!r}")
            if member in names and member not in numbers:
                raise BindingError(f"{name}.Meta.charts: {chart}: {member!r} is no number")
    if meta.unit not in {None, _UNIT} and not left_out(meta.unit) and unit_of(table) is None:
        raise BindingError(f"{name}.Meta.unit: {meta.unit!r} is no Text, Choice or Slug of the schema")
    return tuple(chart for chart in meta.charts if numbers.keys() >= set(chart.members))


def amounts_of(table: Table) -> dict[str, str]:
    """The members of *table* that are numbers, by their names on the wire; not what identifies a record."""
    return {
        table.names[member]: member
        for member, field in table.fields.items()
        if isinstance(field, _NUMBERS) and member not in table.identity_members
    }


def unit_of(table: Table) -> str | None:
    """The name of the member that says what the amounts of a record are counted in; None: nothing does."""
    wanted = table.schema.Meta.unit
    member = next((member for member, name in table.names.items() if name == wanted), None)
    field = None if member is None else table.fields[member]
    if not isinstance(field, Text | Choice) or (isinstance(field, Slug) and (wanted == _UNIT or field.many)):
        return None
    return wanted
