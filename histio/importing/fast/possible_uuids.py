"""Find what may be a UUID in a record of any form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_LENGTH = len("00000000-0000-0000-0000-000000000000")
_DEPTH = 50
"""How deeply ledgers are nested at most."""


def possible_uuids(value: Any, depth: int = _DEPTH) -> Iterator[str]:
    """Every text of the length of a UUID in a record, in lower case, down to a *depth*."""
    if isinstance(value, str) and len(value) == _LENGTH:
        yield value.lower()
    elif isinstance(value, dict | list | tuple) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from possible_uuids(each, depth - 1)
