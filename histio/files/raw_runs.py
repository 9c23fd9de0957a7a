"""Runs as they come in, before anyone has looked at them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from histio.kinds.table import Kind
from histio.pointer import pointer
from histio.report import Fault, Problem


@dataclass(slots=True, eq=False)
class Entry:
    """A run as it came.

    Attributes:
        kind: The name of its kind.
        record: What stands there, a run or not.
        index: Its 0-based place among the runs of its kind.
        line: The 1-based line of a stream; None in a document.
        size: The length of its text; 0 where there is none.
        text: Its JSON, as it stands there; None where it does not stand alone.
        accepted: Whether the gate has taken it already.
        begins: The 1-based line of a document's file at which it begins; None: there is none.
    """

    kind: str
    record: Any
    index: int
    line: int | None = None
    size: int = 0
    text: str | None = None
    accepted: bool = False
    begins: int | None = None

    def place(self, collection: str) -> str:
        """Where it stands in the file, or in the *collection* of the document, in words."""
        return pointer(collection, self.index) if self.line is None else f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line of a stream that is no run, though it should be one.

    Attributes:
        text: The line, without its end; the beginning of one that is too long.
        line: Its 1-based number.
        fault: Why it is none.
        pointer: RFC 6901 pointer into the line.
    """

    text: str
    line: int
    fault: Fault
    pointer: str = ""

    @property
    def problem(self) -> Problem:
        """What there is to say about it."""
        return Problem("error", self.fault.code, str(self.fault), self.pointer, line=self.line)


Item = Entry | Unreadable


def entries_of(document: Any, kinds: Sequence[Kind]) -> Iterator[Entry]:
    """The runs of a *document* whose envelope is right, in the order of the *kinds*."""
    for kind in kinds:
        for index, record in enumerate(document.get(kind.collection) or ()):
            yield Entry(kind.name, record, index)


def parts_of(items: Iterable[Item], size: int) -> Iterator[Iterable[Item]]:
    """*items* in parts of this *size*, each to be used up before the next; the last one is an empty tuple."""
    left = iter(items)
    for first in left:
        yield itertools.chain([first], itertools.islice(left, size - 1))
    yield ()
