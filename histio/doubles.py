"""Find numbers in JSON text that a double cannot hold, so that none is stored as another one.

A number with a point or an exponent is a double. Integers have any number of digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Self


class RoundedNumber(float):
    """The double nearest to a number in JSON text that has more digits, or is too large for a double.

    It equals only a number of the same text.

    Attributes:
        text: The number as it is written.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Round the number in *text*."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    @property
    def double(self) -> str:
        """The double, as it is written."""
        return float.__repr__(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RoundedNumber) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.text,)


def read_double(text: str) -> float:
    """The number in JSON *text* that has a point or an exponent; a `RoundedNumber` if it is not a double.

    The text of a double may have the shortest digits that tell it apart, its seventeen digits, or all of
    them.
    """
    value = float(text)
    if (len(text) <= _SURE and "e" not in text and "E" not in text) or repr(value) == text:
        return value
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of more than eighteen digits
        return RoundedNumber(text)
    spellings = (Decimal(repr(value)), Decimal(f"{value:.17g}"), Decimal(value))
    return value if exact in spellings else RoundedNumber(text)


_SURE = 16
"""The length of a number without exponent up to which it has at most fifteen digits."""


def find_rounded(value: Any, *steps: str | int) -> Iterator[tuple[tuple[str | int, ...], RoundedNumber]]:
    """Each `RoundedNumber` in a JSON *value*, with the steps to it."""
    if isinstance(value, RoundedNumber):
        yield steps, value
    elif isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from find_rounded(inner, *steps, step)


def spell_rounded(value: Any) -> Any:
    """A JSON *value* with the text of each `RoundedNumber` in its place."""
    if isinstance(value, dict):
        return {name: spell_rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spell_rounded(inner) for inner in value]
    return value.text if isinstance(value, RoundedNumber) else value


_decode_exactly = json.JSONDecoder(parse_float=read_double).decode
_DOUBLE = re.compile(r"(?<![0-9])-?[0-9]++(?:\.[0-9]++(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++)")


def find_rounded_in(text: object) -> RoundedNumber | None:
    """The first number in JSON *text* that a double cannot hold; None: there is none, or it is not JSON."""
    if not isinstance(text, str):
        return None
    if RoundedNumber not in map(type, map(read_double, _DOUBLE.findall(text))):
        return None
    try:
        rounded = find_rounded(_decode_exactly(text))  # what looks like a number may be within a string
    except ValueError:
        return None
    return next((number for _, number in rounded), None)
