"""Cut the times of records to the digits of a second that their columns keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from histio.database.dialects import Limit, is_time, kept_seconds, second_digits
from histio.kinds.table import Table
from histio.report import Fault

_FRACTION = re.compile(r"([0-9T:-]+)\.([0-9]+)(Z|[+-][0-9]{2}:[0-9]{2})?")


@dataclass(frozen=True, slots=True)
class Cut:
    """A time that was cut.

    Attributes:
        steps: The steps from the record to the time.
        fault: The warning.
    """

    steps: tuple[str | int, ...]
    fault: Fault


class Truncation:
    """Cuts the times of records.

    Args:
        limits: By table and member, the limit of the column.
    """

    def __init__(self, limits: Mapping[Table, Mapping[str, Limit]]) -> None:
        self._digits = {table: dict(_digits(table, own)) for table, own in limits.items()}

    def cut(self, table: Table, record: Any) -> tuple[Any, list[Cut]]:
        """A copy of *record* with its times cut, and a `Cut` for each; *record* itself if nothing was cut.

        Values that are not times are left as they are; the schema rejects them later.
        """
        if not isinstance(record, dict):
            return record, []
        changed: dict[str, Any] = {}
        found: list[Cut] = []
        for member, digits in self._digits[table].items():
            name = table.names[member]
            kept = _cut(table.fields[member], record.get(name), digits)
            if kept is not None:
                changed[name] = kept
                column = table.columns[member]
                text = f"Cut to {kept}: {column.table}.{column.name} keeps {kept_seconds(digits)}."
                found.append(Cut((name,), Fault(text, "precision")))
        for ledger in table.ledgers:
            name = table.names[ledger.member]
            below = record.get(name)
            each = [
                self.cut(ledger.table, entry) for entry in (below if isinstance(below, list) else [below])
            ]
            if any(cuts for _, cuts in each):
                entries = [entry for entry, _ in each]
                changed[name] = entries if isinstance(below, list) else entries[0]
                for index, (_, cuts) in enumerate(each):
                    at = (name, index) if isinstance(below, list) else (name,)
                    found += [Cut((*at, *one.steps), one.fault) for one in cuts]
        return {**record, **changed} if changed else record, found


def _digits(table: Table, limits: Mapping[str, Limit]) -> Iterator[tuple[str, int]]:
    """Yield the members that are times, with the digits of a second's fraction that their columns keep."""
    for member in table.columns:
        field = table.fields[member]
        if is_time(field) and member not in table.computed:
            digits = second_digits(field, limits.get(member))
            if digits is not None:
                yield member, digits


def _cut(field: Any, value: Any, digits: int) -> str | None:
    """*value* cut to *digits* of a second's fraction; None: it has no more digits, or is not a time."""
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not match[2][digits:].strip("0"):
        return None
    kept = f"{match[1]}{'.' * bool(digits)}{match[2][:digits]}{match[3] or ''}"
    try:
        field.check(kept)
    except ValidationError:
        return None
    return kept
