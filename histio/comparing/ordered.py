"""Read the runs of several files, and perhaps the rows of their catalogs, in the order of exports."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from marshmallow import ValidationError

from histio.bound import Bound
from histio.comparing.positions import Locator, Position
from histio.comparing.sorter import BATCH, Positioned, RunSorter
from histio.errors import DocumentError
from histio.files import FilePath, Limits, check_damage, open_source, reading
from histio.files.chain import Predecessor, names_of
from histio.files.folders import Folder
from histio.files.raw_runs import RawRun, UnreadableLine
from histio.files.reading import Reading
from histio.files.streams import Seal, Stream
from histio.files.writing import lines
from histio.importing.run import Run
from histio.kinds.table import Kind
from histio.kinds.versions import Versions
from histio.kinds.walk import Steps
from histio.report import KEPT, Fault, Problem
from histio.wire import encode, faults_in


@dataclass(slots=True)
class Part:
    """One of several files.

    Attributes:
        name: Its name in messages.
        file: Its content.
        first: The number of its first run among the runs of all files.
        in_order: Whether its runs are in the order of exports.
        seal: The seal that an export of it has, if the header of a file names a predecessor.
    """

    name: str
    file: Reading
    seal: Seal
    first: int = 0
    in_order: bool = True

    @property
    def names(self) -> set[Predecessor]:
        """The ways in which other headers can name it, once it has been read."""
        names = names_of(self.seal.sha256, None)
        if isinstance(self.file, Stream | Folder):  # its lines may be written in another way than an export's
            names |= names_of(self.file.sha256, self.file.header_sha256)
        return names


class OrderedFiles:
    """The catalog rows of several files, then their runs, in the order of exports.

    Attributes:
        parts: The files.
        found: The names of the kinds that have runs, or rows.
    """

    def __init__(
        self, parts: Sequence[Part], versions: Versions, kinds: Sequence[Kind], sorter: RunSorter
    ) -> None:
        self.parts = parts
        self.found: set[str] = set()
        self._versions = versions
        self._locators = {kind.name: Locator(kind, index) for index, kind in enumerate(kinds)}
        self._sorter = sorter

    def verify(self) -> None:
        """Read all files to their ends.

        Raises:
            DocumentError: A file is damaged, or has invalid lines or records; the error has at most the
                first thousand problems.
        """
        sealed = any("follows" in part.file.header for part in self.parts)
        number = 0
        for part in self.parts:
            part.first = number
            with _name_file(part.name):
                number += self._verify_part(part, sealed=sealed)
        self._sorter.find_repeated()

    def _verify_part(self, part: Part, *, sealed: bool) -> int:
        """Read a file to its end; return the number of its runs."""
        problems: list[Problem] = []
        runs = self._read(part, problems, again=True, sealed=sealed)
        before, number = Position(-1, "", "", ""), part.first
        while positions := [position for position, _ in itertools.islice(runs, BATCH)]:
            self._sorter.add_seen((each.kind, each.identity, n) for n, each in enumerate(positions, number))
            part.in_order = part.in_order and all(map(operator.le, [before, *positions], positions))
            before = positions[-1]
            number += len(positions)
        if problems:
            raise DocumentError((*part.file.damage, *problems))
        check_damage(part.file)
        return number - part.first

    def _read(
        self, part: Part, problems: list[Problem], *, again: bool = False, sealed: bool = False
    ) -> Iterator[Positioned]:
        """Yield the runs of a file; collect *problems*, until there are too many."""
        for item in part.file.items(again=again):
            if len(problems) >= KEPT:
                return
            if isinstance(item, UnreadableLine):
                problems.append(item.problem)
                continue
            if sealed:
                with contextlib.suppress(ValueError):  # then the file is not an export
                    part.seal.add(lines(item.kind, [encode(item.record)]))
            record, position, found = self._locate(item, part.file.version)
            problems += found
            if position is not None:
                self.found.add(item.kind)
                yield position, record

    def _locate(self, raw: RawRun, version: str) -> tuple[Any, Position | None, list[Problem]]:
        """The record of a raw run in the current version, and its position; None: it has problems."""
        locator = self._locators[raw.kind]
        record, fault = self._versions.upgrade(raw.kind, raw.record, version)
        faults: list[tuple[Steps, Fault]] = [] if fault is None else [((), fault)]
        position = None
        try:
            position = locator.locate(record)
        except ValidationError as error:
            faults += faults_in(error.messages)
        except Exception as error:  # noqa: BLE001 - hooks of the host may raise anything
            faults.append(((), Fault(f"Cannot be loaded: {type(error).__name__}: {error}")))
        if faults:
            return record, None, _problems(locator.kind, raw, faults)
        return record, position, []

    def runs(self) -> Iterator[Positioned]:
        """Yield the runs in the order of exports; the last one of those that have the same identity."""
        for part in self.parts:
            if not part.in_order:
                self._sorter.add(self._last_runs(part))
        in_order = [self._last_runs(part) for part in self.parts if part.in_order]
        return heapq.merge(*in_order, self._sorter.sorted_runs(), key=operator.itemgetter(0))

    def _last_runs(self, part: Part) -> Iterator[Positioned]:
        """Yield the runs of a file that do not come again later."""
        for number, (position, record) in enumerate(self._read(part, []), part.first):
            if self._sorter.is_last(position, number):
                yield position, record
        with _name_file(part.name):
            check_damage(part.file)  # it may have changed since it was verified


def _problems(kind: Kind, raw: RawRun, faults: Iterable[tuple[Steps, Fault]]) -> list[Problem]:
    run = Run(kind, raw)
    for steps, fault in faults:
        run.note(fault, *steps)
    return list(run.problems)


@contextmanager
def _name_file(name: str) -> Iterator[None]:
    """Add the *name* of the file to the messages of a DocumentError."""
    try:
        yield
    except DocumentError as error:
        raise DocumentError(
            tuple(
                each if name in each.message else replace(each, message=f"{name}: {each.message}")
                for each in error.problems
            )
        ) from None


@contextmanager
def open_ordered(
    paths: Iterable[FilePath], bound: Bound, kinds: Sequence[Kind], limits: Limits, *, sealed: bool = False
) -> Iterator[OrderedFiles]:
    """Open and verify the files at *paths*.

    Args:
        paths: The files.
        bound: Their format.
        kinds: The kinds to read, in order.
        limits: The limits for each file.
        sealed: Whether to refuse documents, and streams without a seal.

    Raises:
        DocumentError: A file is not a history, is damaged, or has an invalid line or record.
        OSError: A file cannot be read.
    """
    with ExitStack() as stack:
        parts = []
        for path in paths:
            source = open_source(path, max_bytes=limits.max_bytes)
            stack.enter_context(source)
            with _name_file(source.name):
                opened = stack.enter_context(reading(source, bound.gate, kinds, limits, sealed=sealed))
            parts.append(Part(source.name, opened, Seal(bound.gate.catalog)))
        files = OrderedFiles(parts, bound.versions, kinds, stack.enter_context(RunSorter()))
        files.verify()
        yield files
