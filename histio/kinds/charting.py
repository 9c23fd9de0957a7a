"""The charts of a kind, and the members that are amounts and units."""

from __future__ import annotations

import functools

from histio.kinds.base import binding_error, declares
from histio.kinds.charts import Compare
from histio.kinds.fields import Choice, FixedDecimal, Integer, Number, Slug, Text
from histio.kinds.table import Table
from histio.wire import quote

_NUMBERS = (FixedDecimal, Integer, Number)
_UNIT = "unit"


@functools.lru_cache(maxsize=256)
def charts_of(table: Table) -> tuple[Compare, ...]:
    """The charts of *table*, without those whose members its schema leaves out.

    Raises:
        BindingError: A chart names an unknown member or one that is not a number, or ``Meta.unit`` does not
            name a text.
    """
    schema, opts, numbers = table.schema, table.schema.opts, amounts_of(table)
    names = set(table.names.values())

    def left_out(member: str) -> bool:
        return member not in names and declares(type(table.schema), member)

    for chart in opts.charts:
        if not isinstance(chart, Compare):
            raise binding_error(
                schema, f"{quote(chart)} is not a chart of histio.charts", field="Meta.charts"
            )
        for member in chart.members:
            if member not in names and not left_out(member):
                raise binding_error(schema, f"{chart}: there is no {member!r}", field="Meta.charts")
            if member in names and member not in numbers:
                raise binding_error(schema, f"{chart}: {member!r} is not a number", field="Meta.charts")
    if opts.unit not in {None, _UNIT} and not left_out(opts.unit) and unit_of(table) is None:
        text = f"{opts.unit!r} is not a Text, Choice or Slug of the schema"
        raise binding_error(schema, text, field="Meta.unit")
    return tuple(chart for chart in opts.charts if numbers.keys() >= set(chart.members))


def amounts_of(table: Table) -> dict[str, str]:
    """The members of *table* that are numbers, without its identity, by their names on the wire."""
    return {
        table.names[member]: member
        for member, field in table.fields.items()
        if isinstance(field, _NUMBERS) and member not in table.identity_members
    }


def unit_of(table: Table) -> str | None:
    """The name of the member with the unit of a record's amounts; None: there is none."""
    wanted = table.schema.opts.unit
    member = next((member for member, name in table.names.items() if name == wanted), None)
    field = None if member is None else table.fields[member]
    if not isinstance(field, Text | Choice) or (isinstance(field, Slug) and (wanted == _UNIT or field.many)):
        return None
    return wanted
