"""The status of each column and relationship of a table, and the error for those without one.

`histio.kinds.accounting` determines the statuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from histio.errors import BindingError, BindingFault
from histio.kinds.table import Table

Status: TypeAlias = Literal["field", "excluded", "values", "machinery", "ignored", "missing"]


@dataclass(frozen=True, slots=True)
class Item:
    """How one attribute of a model is accounted for.

    Attributes:
        name: The name of the attribute, or of a column that no attribute is mapped to.
        status: ``field``: it is in the format. ``excluded``: ``Meta.exclude`` names it. ``values``: the
            import fills it. ``machinery``: it means nothing in another database. ``ignored``: left out by
            ``Meta.unbound``. ``missing``: none of these.
        why: The name of its field, or the reason for the status.
        lines: For ``missing``: lines of source code; any one of them accounts for the attribute.
    """

    name: str
    status: Status
    why: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """How each column and relationship of one table is accounted for.

    Attributes:
        path: The name of the kind, then those of the ledgers that lead to the table.
        table: The table.
        items: The columns in the mapper's order, then the relationships, then columns that nothing fills.
    """

    path: tuple[str, ...]
    table: Table
    items: tuple[Item, ...]

    @property
    def missing(self) -> list[Item]:
        """The items that are not accounted for."""
        return [item for item in self.items if item.status == "missing"]


def build_error(accounts: Iterable[Account]) -> BindingError | None:
    """The error that lists everything missing in *accounts*; None: nothing is missing."""
    found = [(account, item) for account in accounts for item in account.missing]
    if not found:
        return None
    return BindingError(_message(found), faults=tuple(_to_fault(*each) for each in found))


def _to_fault(account: Account, item: Item) -> BindingFault:
    table = account.table
    return BindingFault(
        type(table.schema).__name__, table.mapper.class_.__name__, item.name, item.why, item.lines
    )


def _message(found: Sequence[tuple[Account, Item]]) -> str:
    """The text of the error: what is missing in each schema, with lines of source to paste."""
    lines = [
        "Not every column and ledger of the models is accounted for. Make each a field, or leave it out:"
    ]
    by_table: dict[Table, list[Item]] = {}
    for account, item in found:
        by_table.setdefault(account.table, []).append(item)
    for table, items in by_table.items():
        lines.append(f"  {type(table.schema).__name__}, for {table.mapper.class_.__name__}:")
        lines += [f"    {item.name}: {item.why}. Write {' or '.join(item.lines)}" for item in items]
        lines += [f"    {line}" for line in _exclude_lines(table, items)]
    return "\n".join(lines)


def _exclude_lines(table: Table, items: Sequence[Item]) -> Iterator[str]:
    """Lines of source that leave out all *items*; for a schema made by `bind`, they define a subclass."""
    leave = [item.name for item in items if any(line.startswith("exclude") for line in item.lines)]
    names = [*table.schema.opts.left_out, *leave]
    exclude = f"exclude = ({''.join(f'{json.dumps(name)}, ' for name in names).rstrip(' ')})"
    base = type(table.schema).bound_from
    if base is None:
        if len(leave) > 1:
            yield f"To leave out all of it, in {type(table.schema).__name__}.Meta: {exclude}"
        return
    yield "Write a subclass, such as:"
    yield f"  class {base.__name__}({_qualified(base)}):"
    yield f"      class Meta({_qualified(base)}.Meta):"
    yield f"          model = {table.mapper.class_.__name__}"
    yield f"          {exclude}"


def _qualified(cls: type[Any]) -> str:
    return f"histio.{cls.__name__}" if cls.__module__.startswith("histio.") else cls.__name__


_TITLES = {
    "field": "in the format",
    "excluded": "left out by Meta.exclude",
    "ignored": 'left out by Meta.unbound = "ignore"',
    "values": "filled by values=",
    "machinery": "not moved",
}


def describe_accounts(found: Iterable[Account]) -> Iterator[str]:
    """Describe *found* accounts, line by line: each table, then its attributes by status."""
    for account in found:
        yield f"{'.'.join(account.path)}, rows of {account.table.mapper.class_.__name__}"
        for status, title in _TITLES.items():
            names = [_describe(item) for item in account.items if item.status == status]
            if names:
                yield f"  {title}: {', '.join(names)}"


def _describe(item: Item) -> str:
    if item.status == "machinery":
        return f"{item.name} ({item.why})"
    renamed = item.status == "field" and item.why != item.name
    return f"{item.why} ({item.name})" if renamed else item.name
