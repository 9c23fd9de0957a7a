"""Convert values into JSON one by one, by calls of their fields, where no shorter way is known."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring
from typing import Any, NoReturn

from marshmallow import ValidationError
from marshmallow.fields import Field

from histio.database.dialects import Convert, Loaded
from histio.exporting.fast.columns import DeclinedError, Member, rounded_in_some
from histio.exporting.fast.template import PLACE
from histio.log import log_handled
from histio.wire import encode


class _Row:
    """Stands for a row while a field dumps a value of it, and notes whether the field looks at the row."""

    __slots__ = ("was_read",)

    def __init__(self) -> None:
        self.was_read = False

    def __getattribute__(self, name: str) -> NoReturn:
        object.__setattr__(self, "was_read", True)
        raise DeclinedError


def by_value(field: Field[Any], name: str, source: Loaded) -> Member:
    """How the field called *name* in its schema dumps the values of *source*, each by a call of its own.

    A field that looks at the rest of the row raises DeclinedError: only the full path has whole rows.
    """
    fill = functools.partial(_dump, field, name, source.convert)
    return Member(PLACE, fill, rounded_in_some if source.is_json else None)


def _dump(field: Field[Any], name: str, convert: Convert, values: Sequence[Any]) -> Iterable[str]:
    row = _Row()
    try:
        # The accessor of the schema finds these values; nothing else happens in Field.serialize.
        texts = _texts([field._serialize(value, name, row) for value in convert(values)])  # noqa: SLF001 - for subclasses
    except (DeclinedError, ValidationError):
        raise DeclinedError from None
    except Exception as error:  # fields and types of a host may raise anything
        log_handled(f"{name} cannot be dumped", error)
        raise DeclinedError from error
    if object.__getattribute__(row, "was_read"):
        raise DeclinedError
    return texts


def _texts(dumped: Sequence[Any]) -> Iterable[str]:
    """The JSON of *dumped* values."""
    if set(map(type, dumped)) == {str}:
        "".join(dumped).encode("utf-8")  # raises UnicodeError, a ValueError, for a lone surrogate
        return map(encode_basestring, dumped)
    return [encode(each) for each in dumped]
