"""Count the faults of a record without explaining them, and shorten a record that has very many.

marshmallow collects all faults of a record before it returns. A malicious record causes a fault with two or
three bytes, each fault takes a kilobyte, and the time grows with the square of their number. So the faults of
a record are counted first, and only a part of a record with very many is explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from marshmallow import RAISE, Schema, ValidationError
from marshmallow.fields import Field, List, Nested
from marshmallow_sqlalchemy.fields import Nested as SQLAlchemyNested

from histio.exporting.fast.obstacles import class_obstacles
from histio.log import log_handled
from histio.wire import faults_in, nested_in, wire_name

_NESTED = (Nested, SQLAlchemyNested)

MOST_EXPLAINED = 1_000
"""The number of faults up to which a record is explained as a whole."""


class _Form:
    """What decides how many faults a record has.

    Args:
        schema: The schema of the record.
        unknown: What is done with unknown members; None: what the schema says.

    Attributes:
        schema: The schema.
        is_hooked: Whether hooks of the host decide too.
        fields: The fields by the names of their members.
    """

    def __init__(self, schema: Schema, unknown: str | None) -> None:
        self.schema = schema
        self.is_hooked = any(class_obstacles(schema, "load"))
        self.fields = {wire_name(name, field): field for name, field in schema.load_fields.items()}
        self._required = {name for name, field in self.fields.items() if field.required}
        self._ignored: set[str] = getattr(schema, "_only_dumped", set())
        self._rejects_unknown = (unknown or schema.unknown) == RAISE
        self._groups = getattr(schema, "slug_groups", None)

    def count_missing(self, record: Mapping[str, Any]) -> int:
        """The number of required members that *record* lacks."""
        missing = len(self._required - record.keys())
        return missing if self._groups is None else missing + len(self._groups.faults(record))

    def unknown_in(self, record: Mapping[str, Any]) -> set[str]:
        """The names of members of *record* that are faults, because there are no fields for them."""
        return record.keys() - self.fields.keys() - self._ignored if self._rejects_unknown else set()


class FaultCounter:
    """Counts the faults of records, as many as loading them would collect."""

    def __init__(self) -> None:
        self._forms: dict[int, _Form] = {}

    def _form(self, schema: Schema, unknown: str | None = None) -> _Form:
        if id(schema) not in self._forms:
            self._forms[id(schema)] = _Form(schema, unknown)
        return self._forms[id(schema)]

    def count(self, schema: Schema, record: Any) -> int:
        """The number of faults of *record*, without those that hooks of *schema* itself find.

        0 if they cannot be counted, because hooks raise other exceptions or change the record.
        """
        if not isinstance(record, Mapping):
            return 1
        if schema._hooks["pre_load"]:  # noqa: SLF001 - marshmallow has no public name for it
            return 0
        try:
            return self._count_members(self._form(schema), record)
        except Exception as error:  # noqa: BLE001 - hooks of the host may raise anything
            log_handled("the faults of a record cannot be counted", error)
            return 0

    def shorten(self, schema: Schema, record: Mapping[str, Any], most: int) -> dict[str, Any]:
        """A part of *record*, with at least *most* of its faults if it has as many."""
        return self._shorten(self._form(schema), record, most)[0]

    def _count(self, form: _Form, record: Any) -> int:
        if not isinstance(record, Mapping):
            return 1
        if form.is_hooked:
            return _count_raised(form.schema.load, record)
        return self._count_members(form, record)

    def _count_members(self, form: _Form, record: Mapping[str, Any]) -> int:
        known = record.keys() & form.fields
        below = (self._count_in_value(form.fields[name], record[name], name, record) for name in known)
        return form.count_missing(record) + len(form.unknown_in(record)) + sum(below)

    def _count_in_value(self, field: Field[Any], value: Any, name: str, record: Mapping[str, Any]) -> int:
        items = _items(field, value)
        found = 0 if items is None else sum(self._count_in_item(field, item) for item in items)
        if found or (items is not None and not field.validators):
            return found
        return _count_raised(field.deserialize, value, name, record)

    def _count_in_item(self, field: Field[Any], item: Any) -> int:
        nested = nested_in(field)
        if nested is None or (item is None and nested is not field):
            return _count_raised(field.inner.deserialize, item)  # type: ignore[attr-defined]
        return self._count(self._form(nested.schema, nested.unknown), item)

    def _shorten(self, form: _Form, record: Mapping[str, Any], most: int) -> tuple[dict[str, Any], int]:
        """A part of *record*, and the number of its faults."""
        unknown = form.unknown_in(record)
        part = {name: value for name, value in record.items() if name not in unknown}
        part |= dict.fromkeys(islice((name for name in record if name in unknown), most))
        found = form.count_missing(record) + min(most, len(unknown))
        for name, field in form.fields.items():
            if name in record:
                part[name], faults = self._shorten_value(field, record[name], name, record, most - found)
                found += faults
        return part, found

    def _shorten_value(
        self, field: Field[Any], value: Any, name: str, record: Mapping[str, Any], most: int
    ) -> tuple[Any, int]:
        """A part of *value*, and the number of its faults."""
        items = _items(field, value)
        if items is None:
            return value, _count_raised(field.deserialize, value, name, record)
        kept: list[Any] = []
        found = 0
        for item in items:
            if kept and found >= most:
                break
            part, faults = self._shorten_item(field, item, most - found)
            kept.append(part)
            found += faults
        return kept if isinstance(value, list) else kept[0], found

    def _shorten_item(self, field: Field[Any], item: Any, most: int) -> tuple[Any, int]:
        nested, faults = nested_in(field), self._count_in_item(field, item)
        if nested is None or faults <= most or not isinstance(item, Mapping):
            return item, faults
        form = self._form(nested.schema, nested.unknown)
        return (item, faults) if form.is_hooked else self._shorten(form, item, most)


def _items(field: Field[Any], value: Any) -> Iterable[Any] | None:
    """The parts of *value* that *field* loads one after the other; None: it loads *value* as a whole."""
    nested = nested_in(field)
    if type(field) not in (List, *_NESTED) or (nested is not None and type(nested) not in _NESTED):
        return None  # it may do anything
    if isinstance(field, Nested) and not (field.many or field.schema.many):
        return None if value is None else [value]
    return value if isinstance(value, list) else None


def _count_raised(load: Any, *arguments: Any) -> int:
    """The number of faults for which *load* raises."""
    try:
        load(*arguments)
    except ValidationError as error:
        return sum(1 for _ in faults_in(error.messages))
    return 0
