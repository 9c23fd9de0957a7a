"""Suggest close matches for slugs that name no row, and format keys for messages."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Any

from histio.kinds.fields.references import Key
from histio.kinds.fields.slug_text import is_slug
from histio.resolving.lookup import Execute, Lookup
from histio.similar import LONGEST, Vocabulary, describe_look_alike
from histio.wire import quote

_MOST_HINTS = 25
_MOST_KNOWN = 2_000
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # close matches of UUIDs mean nothing


class Hints:
    """Finds close matches for slugs of one related model that name no row, for the first few of them."""

    def __init__(self, lookup: Lookup, execute: Execute) -> None:
        self._lookup = lookup
        self._execute = execute
        self._hints: dict[tuple[Key, Any], str | None] = {}
        self._known: dict[Key, Vocabulary] = {}

    def find(self, key: Key, value: Any) -> str | None:
        """A hint for the *value* of a *key*, such as ``did you mean cookies?``; None: there is none."""
        if not isinstance(value, str) or len(value) > LONGEST or _UUID.fullmatch(value):
            return None
        if (key, value) not in self._hints and len(self._hints) < _MOST_HINTS:
            if key not in self._known:
                self._known[key] = self._read_known(key)
            self._hints[key, value] = _hint(value, self._known[key].find(value))
        return self._hints.get((key, value))

    def _read_known(self, key: Key) -> Vocabulary:
        """Values of *key* in the table, up to a limit."""
        statement, paths = self._lookup.select()
        statement = statement.with_only_columns(paths[key[0]]).distinct().limit(_MOST_KNOWN)
        values = self._execute(statement).scalars()
        return Vocabulary(value for value in values if isinstance(value, str))


def _hint(value: str, close: Sequence[str]) -> str | None:
    """The hint for a *value* to which the values in *close* are similar."""
    for other in close:
        difference = describe_look_alike(value, other)
        if difference is not None:
            return f"did you mean {format_key(other)}? It {difference}"
    return f"did you mean {' or '.join(map(format_key, close))}?" if close else None


def format_key(value: Any) -> str:
    """The value of a key as text for messages."""
    if isinstance(value, tuple):
        return " ".join(map(format_key, value))
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str):
        return value if is_slug(value) else quote(value)
    return "none" if value is None else quote(value) if isinstance(value, bytes) else str(value)
