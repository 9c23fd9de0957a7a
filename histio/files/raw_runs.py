"""Raw runs: runs and catalog rows as read from a file or document, before they are validated."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from histio.files.leftovers import first_member
from histio.kinds.table import Kind
from histio.pointer import pointer
from histio.report import Fault, Problem
from histio.tuning import with_pauses
from histio.wire import is_plain, to_plain


@dataclass(slots=True, eq=False)
class RawRun:
    """A run as read, or a catalog row.

    Attributes:
        kind: The name of its kind.
        record: Any JSON value, not yet validated.
        index: Its 0-based index among those of its kind.
        line: The 1-based line of a stream; None in a document.
        size: The length of its JSON text; 0 if it was not read from text.
        text: Its JSON text as it was read; None if it was not read from text.
        accepted: Whether the gate has accepted the record.
        is_plain: Whether the record has only what JSON text is decoded to.
        first_line: The 1-based line on which it begins in the file of a document; None otherwise.
        file: The name of its file, if it is one of several; None otherwise.
        version: The version of its format; None: that of everything that is read.
    """

    kind: str
    record: Any
    index: int
    line: int | None = None
    size: int = 0
    text: str | None = None
    accepted: bool = False
    first_line: int | None = None
    is_plain: bool = True
    file: str | None = None
    version: str | None = None

    @classmethod
    def from_python(cls, kind: str, record: Any, index: int) -> Self:
        """The run of a *record* that was not decoded from text, with subclasses of JSON's types replaced."""
        try:
            plain = is_plain(record)
            if not plain:
                record = to_plain(record)
                plain = is_plain(record)
        except RecursionError:  # nested too deeply, or in itself; that is for the checks to say
            plain = False
        return cls(kind, record, index, is_plain=plain)

    def place(self, collection: str) -> str:
        """Describe the place of the run: its line, or its pointer into the *collection* of a document."""
        place = pointer(collection, self.index) if self.line is None else f"line {self.line}"
        return place if self.file is None else f"{self.file}, {place}"


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line of a stream that cannot be read as a run.

    Attributes:
        text: The line without its end; only the beginning if it is too long.
        line: Its 1-based number.
        fault: Why it cannot be read.
        pointer: RFC 6901 pointer into the line.
        file: The name of its file, if it is one of several; None otherwise.
    """

    text: str
    line: int
    fault: Fault
    pointer: str = ""
    file: str | None = None

    @property
    def problem(self) -> Problem:
        """The problem to report for the line."""
        return Problem(
            "error", self.fault.code, str(self.fault), self.pointer, line=self.line, file=self.file
        )


RawItem = RawRun | UnreadableLine


def iter_raw_runs(document: Any, kinds: Sequence[Kind]) -> Iterator[RawRun]:
    """Yield what a *document* whose envelope is valid has of *kinds*, in their order."""
    for kind in kinds:
        for index, record in enumerate(document.get(kind.collection) or ()):
            yield RawRun.from_python(kind.name, record, index)


def leave_out(items: Iterable[RawItem], kinds: Collection[str]) -> Iterator[RawItem]:
    """The *items* without those of *kinds*, and without the unreadable lines that begin like one."""
    for item in with_pauses(items):
        if isinstance(item, RawRun):
            kind: str | None = item.kind
        else:
            kind = first_member(item.text.encode(errors="replace"))
        if kind not in kinds:
            yield item


def split_items(items: Iterable[RawItem], size: int) -> Iterator[Iterable[RawItem]]:
    """Split *items* into parts of *size*, then yield an empty tuple as the last part.

    Each part has to be consumed before the next one is requested.
    """
    left = iter(items)
    for first in left:
        yield itertools.chain([first], itertools.islice(left, size - 1))
    yield ()
