"""The room for lists on a page, which never grows beyond two megabytes."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

LONGEST_MESSAGE = 300
"""The largest number of characters of a message or a value on a page."""

_MARKUP = 160
"""The bytes of a row's markup."""

_T = TypeVar("_T")


class Room:
    """So many bytes of a page, which lists share in the order in which they ask."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, rows: Sequence[_T], texts: Callable[[_T], Iterable[str]]) -> list[_T]:
        """As many of the first *rows* as there is room for.

        Args:
            rows: The rows of a list.
            texts: The texts of a row.
        """
        for number, row in enumerate(rows):
            size = _MARKUP + sum(len(html.escape(text).encode("utf-8", "replace")) for text in texts(row))
            if size > self._left:
                return list(rows[:number])
            self._left -= size
        return list(rows)
