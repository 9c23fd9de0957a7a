"""Mend rejects: find what is wrong with them now, correct it, and write what can be imported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from histio.errors import DocumentError
from histio.files import choose_format, target
from histio.files.sources import Pieces
from histio.history import History
from histio.inspecting.check import check_file
from histio.kinds.table import Kind
from histio.mending.corrections import Corrections
from histio.mending.edit import line_from, text_to_edit, without_problems
from histio.mending.lines import Line, RejectsFile, read_line
from histio.mending.survey import Survey
from histio.pointer import find_members
from histio.progress import Meter, Report
from histio.report import Problem
from histio.wire import equal

_ONLY_BY_IMPORT = {"duplicate", "duplicate-in-document", "conflict", "constraint", "changed", "referenced"}
"""The codes of problems that an import finds, and a check does not."""

_IGNORED = '{"trailer":{}}'
"""A line that is ignored in a stream without a seal."""

_MEANT = re.compile(r"did you mean (.+?)\?")


@dataclass(frozen=True, slots=True)
class UnknownSlug:
    """A slug that names no row.

    Attributes:
        member: The name of the member that has it.
        slug: The slug.
        matches: The slugs that may have been meant, the most similar first.
    """

    member: str
    slug: str
    matches: tuple[str, ...]


class Mending:
    """The rejects of a file with their corrections, and the problems that are left.

    Args:
        file: The file of rejects.
        corrections: What was corrected so far.
        history: Defines what the file may contain. If it has a database, references are checked.
        create_catalog: Whether runs may refer to catalog rows of the file.
        survey: Keeps the problems.
    """

    def __init__(
        self,
        file: RejectsFile,
        corrections: Corrections,
        history: History,
        *,
        create_catalog: bool,
        survey: Survey,
    ) -> None:
        self.survey = survey
        self._file = file
        self._corrections = corrections
        self._history = history
        self._creates = create_catalog
        kinds = history.bound.kinds
        rechecked = history.bound.all_kinds if create_catalog else kinds
        self._rechecked = {kind.name for kind in rechecked if history.bound.has_database}
        self._depends = any(next(kind.refers_to(other), None) for kind in kinds for other in kinds)
        self._members = {kind.name: list(_identifying_members(kind)) for kind in history.bound.all_kinds}
        self._is_stale = True
        self._count: int | None = None
        self._cursor = file.lines()
        self._current = 0, ""

    def check(self, progress: Report | None = None) -> None:
        """Find the problems of all lines, unless none has changed since; *progress* is called meanwhile."""
        if not self._is_stale:
            return
        meter = Meter(progress)
        meter.begin("verify", lambda: 0, total=self._count)
        self.survey.clear()
        for problem in self._find_problems(meter.count(self._all_lines())):
            if problem.line is None:
                raise DocumentError((problem,))
            # Of an unreadable line, the file says more.
            if problem.kind is not None or not self.survey.problems(problem.line):
                self.survey.add(problem.line, problem)
        self._is_stale = False

    @property
    def max_depth(self) -> int:
        """The maximum depth of nested objects and lists in a line."""
        return self._file.limits.max_depth

    def identifying_members(self, kind: str | None) -> list[str]:
        """The members that tell people which run of a *kind* it is: its time, and the slugs that it names."""
        return self._members.get(kind or "", [])

    def line(self, number: int) -> Line:
        """The line *number* as it is now. Lines can only be read in their order."""
        return self._read(self._text(number))

    def text_to_edit(self, number: int) -> str:
        """The text in which people edit the line *number*."""
        problems = self.survey.problems(number)
        return text_to_edit(self._text(number), problems, self.max_depth)

    def correct(self, number: int, edited: str) -> list[Problem]:
        """Take the *edited* text for the line *number*, keep it, and return the problems that it has left."""
        self._corrections.correct(number, line_from(edited, self.max_depth))
        self._is_stale = True
        if self._depends:  # on runs that are perhaps in other lines
            self.check()
        else:
            self.survey.replace(number, self._check_line(number))
        return self.survey.problems(number)

    def rename(self, unknown: UnknownSlug, new: str, progress: Report | None = None) -> None:
        """Rename the *unknown* slug in all lines, and check them again; *progress* is called meanwhile."""
        self._corrections.rename(unknown.member, unknown.slug, new)
        self._is_stale = True
        self.check(progress)

    def write(self, path: Path) -> None:
        """Write the lines without problems to *path*, as a stream without a seal; a file there is replaced.

        Raises:
            OSError: It cannot be written.
        """
        self.check()
        compression = choose_format(path).compression
        left = self.survey.lines_left()
        next_left = next(left, 0)
        with target(path, compression=compression, overwrite=True, is_last=False) as out:
            out.write(self._file.header)
            for number, text in self._file.lines():
                if number == next_left:
                    next_left = next(left, 0)
                elif text.strip():
                    line = without_problems(self._corrections.apply(number, text))
                    out.write(b"" if line.startswith('{"trailer":') else f"{line}\n".encode())

    def _read(self, text: str) -> Line:
        return read_line(text, self.max_depth)

    def _original(self, number: int) -> str:
        while self._current[0] < number:
            self._current = next(self._cursor)
        return self._current[1]

    def _text(self, number: int) -> str:
        return self._corrections.apply(number, self._original(number))

    def _all_lines(self) -> Iterator[str]:
        """All lines as they are now; notes their problems that stand."""
        for number, original in self._file.lines():
            self._count = number - 1  # without the header
            text = self._corrections.apply(number, original)
            was = self._read(original)
            if was.problems:
                self.survey.note_rejected(number)
            for problem in self._standing(was, was if text == original else self._read(text)):
                self.survey.add(number, problem)
            yield text if text.strip() else _IGNORED

    def _standing(self, was: Line, now: Line) -> Iterator[Problem]:
        """The problems of a line as it *was* that no check finds again, and whose value is still the same."""
        for problem in was.problems:
            is_checked = problem.kind in self._rechecked and problem.code not in _ONLY_BY_IMPORT
            at = problem.pointer
            if not is_checked and (was is now or equal(was.value_at(at), now.value_at(at))):
                yield problem

    def _check_line(self, number: int) -> Iterator[Problem]:
        """The problems of the line *number* alone, after the catalog rows if runs may refer to them."""
        text = self._text(number)
        yield from self._standing(self._read(self._original(number)), self._read(text))
        lines = [*(self._catalog_before(number) if self._creates else ()), text]
        for problem in self._find_problems(lines):
            if problem.line == len(lines) + 1:
                yield problem

    def _catalog_before(self, number: int) -> Iterator[str]:
        for other, original in self._file.lines():
            text = self._corrections.apply(other, original)
            if other == number or self._read(text).kind not in self._file.catalog:
                return
            yield text

    def _find_problems(self, lines: Iterable[str]) -> Iterator[Problem]:
        """The errors of a stream of *lines* after the header."""
        limits = self._file.limits
        pieces = (f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)
        problems = check_file(
            Pieces(chain([self._file.header], pieces)),
            history=self._history,
            catalog="create" if self._creates else "ignore",
            max_bytes=limits.max_bytes,
            max_line_bytes=limits.max_line_bytes,
            max_depth=limits.max_depth,
        )
        return (problem for problem in problems if problem.severity == "error")


def _identifying_members(kind: Kind) -> Iterator[str]:
    names = kind.table.names
    if kind.timestamp is not None:
        yield names[kind.timestamp]
    yield from (names[member] for reference in kind.table.references for member in reference.slugs)


def find_unknown_slug(problem: Problem, line: Line) -> UnknownSlug | None:
    """The slug in *line* that the *problem* is about; None: it is about something else."""
    slug = line.value_at(problem.pointer)
    if problem.code not in ("unknown-reference", "ambiguous-reference") or not isinstance(slug, str):
        return None
    member = find_members(problem.pointer)[-1]
    found = _MEANT.match(problem.hint or "")
    return UnknownSlug(member, slug, tuple(found[1].split(" or ")) if found else ())
