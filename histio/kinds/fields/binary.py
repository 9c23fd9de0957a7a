"""Fields whose values are bytes."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.kinds.column_types import is_decorated, python_form, underlying
from histio.kinds.fields.patterns import Pattern, lacks
from histio.wire import JsonSchema, WireField

_DIGIT = r"A-Za-z0-9+\/"
# The unused bits of the last character before the padding are zero.
_BASE64 = Pattern(
    f"^([{_DIGIT}]{{4}})*([{_DIGIT}][AQgw]==|[{_DIGIT}]{{2}}[AEIMQUYcgkosw048]=)?$", f"{_DIGIT}="
)
_SAMPLE = b"\x00\xff"

# Types whose name gives their length, in bytes.
_LENGTHS = {"TINYBLOB": 2**8 - 1, "MEDIUMBLOB": 2**24 - 1}


class Bytes(WireField):
    """Bytes as base64 (RFC 4648, section 4).

    Each value has exactly one form: padding is required, line ends are not allowed, unused bits are zero.
    The column is a `sqlalchemy.LargeBinary`, ``BINARY``, ``VARBINARY`` or ``BLOB``.

    Args:
        max_length: The largest number of bytes. None: as many as the column holds.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.
    """

    default_error_messages: dict[str, Any] = {
        "invalid": "Not base64 with padding, without line ends, and with unused bits zero.",
        "out-of-range": "Must be at most {maximum} bytes, not {length}.",
    }

    def __init__(self, *, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def fit(self, column_type: TypeEngine[Any]) -> None:
        stored = underlying(column_type)
        binary = isinstance(stored, sa.types._Binary) or is_decorated(column_type)  # noqa: SLF001 - what BINARY and LargeBinary share
        if not binary or python_form(column_type, [_SAMPLE]) is None:
            raise self.unfit(column_type, "it takes LargeBinary, BINARY, VARBINARY or BLOB")

        named = _LENGTHS.get(stored.__visit_name__)
        lengths = (self.max_length, getattr(stored, "length", None), named)
        self.max_length = min((length for length in lengths if length is not None), default=None)

    def assertions(self) -> JsonSchema:
        rule: JsonSchema = {**_BASE64.assertions(), "contentEncoding": "base64"}
        if self.max_length is None:
            return rule
        groups, rest = divmod(self.max_length, 3)
        if not rest:
            return {**rule, "maxLength": 4 * groups}
        # The longest text needs the padding that goes with the remaining bytes.
        unpadded = {"minLength": 4 * groups + 1, **lacks("==$" if rest == 1 else "=$")}
        return {**rule, "maxLength": 4 * groups + 4, "not": {"anyOf": [rule["not"], unpadded]}}

    def to_wire(self, value: Any) -> str:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise self.make_error("invalid")  # SQLite may have text here, which may look like base64
        return base64.b64encode(value).decode("ascii")

    def from_wire(self, value: str) -> bytes:
        return base64.b64decode(value)

    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            found = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise self.make_error("invalid") from None
        if base64.b64encode(found).decode("ascii") != value:
            raise self.make_error("invalid")
        if self.max_length is not None and len(found) > self.max_length:
            raise self.make_error("out-of-range", maximum=self.max_length, length=len(found))
