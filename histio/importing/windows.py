"""Split what a file holds into windows that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from histio.exporting.fast.collector import paused
from histio.files.raw_runs import RawItem, RawRun
from histio.tuning import tuning, with_pauses

AnyItem = TypeVar("AnyItem", bound=RawItem)

_SIZE = 4 * 2**20
"""Characters after which a window ends, even if it holds fewer items than a batch."""


def windows(items: Iterable[tuple[AnyItem, int | None]]) -> Iterator[list[tuple[AnyItem, int | None]]]:
    """Split *items*, each with its number, into lists that can be held in memory."""
    left = iter(items)
    while True:
        with paused():
            window = list(_window(left))
        if not window:
            return
        yield window


def _window(items: Iterator[tuple[AnyItem, int | None]]) -> Iterator[tuple[AnyItem, int | None]]:
    size, batch = 0, tuning().batch
    for count, (item, number) in enumerate(with_pauses(items), 1):
        yield item, number
        size += item.size if isinstance(item, RawRun) else len(item.text)
        if count == batch or size >= _SIZE:
            return
