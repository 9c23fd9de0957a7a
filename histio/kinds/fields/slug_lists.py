"""Fields that name several related rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

from marshmallow import ValidationError

from histio.kinds.fields.references import Slug
from histio.wire import JsonSchema, WireField


class SlugList(Slug):
    """The natural keys of all rows that are related by an association table, sorted.

    Args:
        relationship: A relationship over an association table that has no model of its own. None: not
            possible, as a list is always of related rows.
        key: The related model's attribute that has the key; a dotted path follows relationships. A tuple is a
            key of several columns, which is an object in JSON, with a member for each.
        fallback: Further keys, in which an import looks if no row has the value in *key*. Exports always
            write *key*.
        text: Whether keys may be any text, with tabs, newlines and white space at the ends, of any length.
            False: they are slugs, of at most 200 characters.
        agrees: A relationship of the run and of the related rows that should lead to the same row; if it does
            not, the import warns of a ``mismatched-reference``. None: nothing is compared.
        choice: A name that several references share; exactly one of them is not null in a record. None: this
            one is none of several.
        snapshot_of: Not used: a list is always of related rows. None.
        kwargs: The options of any marshmallow field, such as ``required``, ``allow_none`` and ``data_key``.
    """

    default_error_messages: dict[str, Any] = {"list": "Not a list.", "twice": "Holds {value} twice."}
    many = True

    definition: str | None = None

    @property
    def rule(self) -> WireField:
        """The list itself, which does not use the rule of another field."""
        return self

    def assertions(self) -> JsonSchema:
        return {"type": "array", "items": super().assertions(), "uniqueItems": True}

    def check(self, value: Any) -> None:
        if not isinstance(value, list):
            raise self.make_error("list")
        for place, each in enumerate(value):
            try:
                super().check(each)
            except ValidationError as error:
                raise ValidationError({place: error.messages}) from None
        for each, times in Counter(map(self.sortable, value)).items():
            if times > 1:
                raise self.make_error("twice", value=each)

    def to_wire(self, value: Any) -> Any:
        return sorted((super(SlugList, self).to_wire(each) for each in value), key=self.sortable)

    def from_wire(self, value: Any) -> Any:
        return sorted((super(SlugList, self).from_wire(each) for each in value), key=repr)

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
        """The keys of the related rows."""
        assert self._relation is not None  # noqa: S101 - a list is always of related rows
        return [self._key_of(row) for row in self._relation.follow(obj)]
