"""Write JSON of any form as `Json` does, by the encoder of Python's library alone."""

from __future__ import annotations

import json
import re
from typing import Any

from histio.kinds.fields.texts import normalize_float

_LONG = 4_000
"""The length from which a text may have a number of more digits than Python writes."""

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode
_store = json.JSONEncoder(allow_nan=False, sort_keys=True).encode


def _read_float(text: str) -> int | float:
    return normalize_float(float(text))


_load = json.JSONDecoder(parse_float=_read_float).decode


def json_text(stored: Any) -> str | None:
    """The JSON that the format has for *stored* JSON text, without a check for lone surrogates.

    None: `Json` has to decide, because it is null, no text, long, or contains what looks like a NUL.

    Raises:
        ValueError: It is not JSON, or has a number that is not finite.
    """
    if not isinstance(stored, str) or len(stored) > _LONG:
        return None
    value = _load(stored)
    text = None if value is None else _dump(value)
    return None if text is None or "\\u0000" in text else text


_UNUSUAL = re.compile(r"e\+|-0\.0")
"""In JSON that Python writes: a float that `Json` writes as another number, or what looks like one."""


def stored_text(value: Any) -> str | None:
    """The text that SQLAlchemy stores for an accepted JSON *value*, as `Json` loads it; None: not known."""
    text = _store(value)
    return None if _UNUSUAL.search(text) else text
