"""Read the lines of a file of rejects, and the problems that they carry."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from histio.bound import Bound
from histio.errors import DocumentError
from histio.files import Limits, Source, reading
from histio.files.decoding import NotJsonError, decode
from histio.files.sources import DamageError
from histio.files.streams import Stream
from histio.pointer import parse, pointer
from histio.report import LISTED, Code, Problem
from histio.wire import quote

UNREADABLE = "unreadable"
"""The member that has the text of a line that is not JSON."""

PROBLEMS = "problems"
"""The member that has the problems of a line."""
_CODES = frozenset(get_args(Code))
_NUMBER = re.compile("[0-9]+")


class NoRejectsError(ValueError):
    """A file is not a file of rejects."""


@dataclass(frozen=True, slots=True)
class RejectsFile:
    """A file of rejects.

    Attributes:
        path: The local file.
        limits: The limits for its lines.
        header: Its first line, with its end.
        version: The version of the format.
        catalog: The names of the catalog kinds that it may have rows of.
    """

    path: Path
    limits: Limits
    header: bytes
    version: str
    catalog: tuple[str, ...]

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line after the header, without its end, with its 1-based number.

        Bytes that are not UTF-8 are surrogate escapes.

        Raises:
            DocumentError: The file is damaged, or a line is too long.
        """
        longest = self.limits.max_line_bytes
        try:
            with Source(self.path, max_bytes=self.limits.max_bytes) as source:
                reader = source.open()
                for number in itertools.count(1):
                    line = reader.readline(longest + 1)
                    if not line:
                        return
                    if len(line) > longest and not line.endswith(b"\n"):
                        text = f"Line {number} is longer than max_line_bytes = {longest}."
                        raise DocumentError((Problem("error", "out-of-range", text),))
                    if number > 1:
                        yield number, line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        except DamageError as error:
            raise DocumentError((Problem("error", error.code, error.message),)) from None


def open_rejects_file(path: Path, bound: Bound, limits: Limits) -> RejectsFile:
    """Open the file of rejects at *path*.

    Raises:
        NoRejectsError: It is a document, or a stream with a seal.
        DocumentError: It is not a history.
    """
    source = Source(path, max_bytes=limits.max_bytes)
    with reading(source, bound.gate, bound.all_kinds, limits) as file:
        if not isinstance(file, Stream) or file.is_sealed:
            raise NoRejectsError(
                f"{path.name} is not a file of rejects, which histio import --rejects writes: "
                'its header must have "sealed": false.'
            )
        header = source.first_line(limits.max_line_bytes).rstrip(b"\r\n") + b"\n"
        return RejectsFile(path, limits, header, file.version, tuple(file.catalog))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file of rejects.

    Attributes:
        kind: The kind of its run or catalog row, or ``unreadable``; None: it has neither.
        value: The record, or the text of an unreadable line.
        problems: The errors that it carries. Their pointers lead into the line.
    """

    kind: str | None
    value: Any
    problems: tuple[Problem, ...] = ()

    def value_at(self, pointer: str) -> Any:
        """The value at a *pointer* into the line; `MISSING` if there is none."""
        value: Any = {self.kind: self.value}
        for step in parse(pointer):
            if isinstance(value, list) and _NUMBER.fullmatch(step) and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                return MISSING
        return value


MISSING = object()
"""What `Line.value_at` returns where there is no value."""


def read_line(text: str, max_depth: int) -> Line:
    """The parts of the line *text*; a line that is not JSON has none."""
    try:
        members = decode(text, max_depth)
    except NotJsonError:
        return Line(None, None)
    if not isinstance(members, dict):
        return Line(None, None)
    kind = next((name for name in members if name != PROBLEMS), None)
    value = members.get(kind)
    listed = members.get(PROBLEMS)
    found = itertools.islice(listed, LISTED + 1) if isinstance(listed, list) else ()
    return Line(kind, value, tuple(_read_problems(found, kind, value)))


def _read_problems(listed: Iterable[Any], kind: str | None, value: Any) -> Iterator[Problem]:
    """The errors among the problems of a line; whatever people have written there is one, too."""
    uuid = value.get("uuid") if isinstance(value, dict) else None
    for each in listed:
        given = each if isinstance(each, dict) else {"message": quote(each)}
        if given.get("severity") != "warning":
            yield Problem(
                "error",
                _read_code(_text(given, "code")),
                _text(given, "message") or quote(given),
                _pointer_into_line(_text(given, "pointer") or "", kind),
                kind,
                _text(given, "uuid") or (uuid if isinstance(uuid, str) else None),
                hint=_text(given, "hint"),
            )


def _text(given: Mapping[str, Any], member: str) -> str | None:
    value = given.get(member)
    return value if isinstance(value, str) else None


def _read_code(code: str | None) -> Code:
    return cast("Code", code) if code in _CODES else "schema"


def _pointer_into_line(place: str, kind: str | None) -> str:
    """The pointer into a line of *kind* for a pointer into a line, or into a document with such lists."""
    steps = parse(place)
    if kind is None or kind == UNREADABLE:
        return ""
    if steps[:1] == [kind]:
        return place
    return pointer(kind, *steps[2:]) if len(steps) > 1 and _NUMBER.fullmatch(steps[1]) else pointer(kind)
