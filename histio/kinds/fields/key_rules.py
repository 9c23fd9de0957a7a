"""Choose the field with the rule for the keys in a column."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from histio.errors import BindingError
from histio.kinds.column_types import is_decorated, underlying
from histio.kinds.fields.binary import Bytes
from histio.kinds.fields.numbers import Boolean, FixedDecimal, Integer
from histio.kinds.fields.slug_text import LONGEST_SLUG, SlugText
from histio.kinds.fields.texts import Choice, RunUUID, Text
from histio.kinds.fields.times import Date, Time, UtcTimestamp
from histio.wire import WireField


def key_rule(column: sa.Column[Any], *, text: bool, unlimited: bool) -> WireField:
    """The field with the rule for the values of a key's *column*.

    If the column's type is a decorator, it is the field of the values that the decorator takes and returns.

    Args:
        column: The column of the key.
        text: Whether keys may be any text. False: texts are slugs.
        unlimited: Whether texts may be longer than the column, because they are looked up in others too.

    Raises:
        BindingError: Values of such a column cannot be keys.
    """
    stored = underlying(column.type)
    kinds: tuple[tuple[type[Any], WireField], ...] = (
        (sa.Uuid, RunUUID()),
        (sa.types._Binary, _binary(stored)),  # noqa: SLF001 - what BINARY and LargeBinary share
        (sa.Integer, Integer()),
        (sa.Numeric, FixedDecimal(signed=True)),
        (sa.DateTime, UtcTimestamp()),
        (sa.Date, Date()),
        (sa.Time, Time()),
        (sa.Enum, Choice()),
        (sa.Boolean, Boolean()),
        (sa.String, _text(stored, text=text, unlimited=unlimited)),
    )
    rules = [field for kind, field in kinds if isinstance(stored, kind)]
    if is_decorated(column.type):
        rules = [field for field in (*rules, *(each for _, each in kinds)) if field.fits(column.type)]
    if not rules:
        raise BindingError(f"{column}: a {column.type!r} cannot be a key")
    if not isinstance(rules[0], Text):
        rules[0].fit(column.type)
    return rules[0]


def _binary(stored: Any) -> WireField:
    """The field of a binary *stored* type: 16 bytes, or any number of bytes, are a UUID."""
    return RunUUID() if getattr(stored, "length", None) in (None, 16) else Bytes()


def _text(stored: Any, *, text: bool, unlimited: bool) -> WireField:
    length = getattr(stored, "length", None)
    rule = (
        Text(max_length=None if unlimited else length)
        if text
        else SlugText(max_length=max(LONGEST_SLUG, length or 0))
    )
    rule.padded = isinstance(stored, sa.CHAR)
    return rule
