"""Read sealed streams: a header, catalog rows and runs by line, and a trailer with counts and digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from histio.errors import DocumentError
from histio.files.chain import NO_PREDECESSOR, Predecessor
from histio.files.decoding import (
    NotJsonError,
    decode,
    decoder,
    decoder_for,
    describe_repeated_name,
    find_repeated_names,
)
from histio.files.leftovers import describe_leftover, first_member, is_blank
from histio.files.limits import MAX_BLANK_LINES
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine, leave_out
from histio.files.sources import DamageError, Source
from histio.kinds.gate import Gate
from histio.pointer import pointer
from histio.report import Code, Fault, Problem, ProblemList
from histio.wire import quote

_SHOWN = 10_000
"""The number of bytes that are kept of a line that is too long."""

_NAMED = 5
"""The number of names that the message on a line that is not a run has."""

_MEMBER = re.compile(r'\s*[{,]\s*("(?:[^"\\]++|\\.)*+")\s*:\s*')


class Seal:
    """Counts and digests the lines between the header and the trailer.

    The catalog lines are those before the first that does not begin with a catalog kind; the others are run
    lines, whatever they are.

    Args:
        catalog: The catalog kinds that the header names.

    Attributes:
        counts: Catalog rows and runs by kind.
        header_sha256: The digest of the header, which its writer sets; None: there is no header.
    """

    def __init__(self, catalog: Collection[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.header_sha256: str | None = None
        self._catalog_kinds = catalog  # empty after the catalog
        self._catalog = hashlib.sha256()
        self._runs = self._current = hashlib.sha256()
        self._has_catalog = False

    def add(self, line: bytes) -> None:
        """Add a *line*, or several lines of one kind."""
        if self._catalog_kinds:
            if first_member(line) in self._catalog_kinds:
                self._current, self._has_catalog = self._catalog, True
            else:
                self._current, self._catalog_kinds = self._runs, ()
        self._current.update(line)

    def extend(self, part: bytes) -> None:
        """Add a further *part* of the last line."""
        self._current.update(part)

    @property
    def sha256(self) -> str:
        """The digest of all run lines so far."""
        return self._runs.hexdigest()

    @property
    def catalog_sha256(self) -> str | None:
        """The digest of all catalog lines so far; None: there are none."""
        return self._catalog.hexdigest() if self._has_catalog else None


def stream_header(
    version: str,
    exported_at: str,
    kinds: list[str],
    *,
    catalog: Sequence[str] = (),
    follows: Predecessor = NO_PREDECESSOR,
) -> dict[str, Any]:
    """The header of a stream."""
    header: dict[str, Any] = {"version": version, "exported_at": exported_at, "kinds": kinds}
    header |= follows.members()
    return {**header, "catalog": list(catalog)} if catalog else header


def trailer(seal: Seal) -> dict[str, Any]:
    """The trailer of a stream with this *seal*."""
    return {
        "counts": dict(seal.counts),
        "sha256": seal.sha256,
        "header_sha256": seal.header_sha256,
        **({} if seal.catalog_sha256 is None else {"catalog_sha256": seal.catalog_sha256}),
    }


class Stream:
    """A stream, read line by line.

    Args:
        source: The file.
        gate: The JSON Schema of lines.
        wanted: The names of the kinds to read; lines of other kinds are only counted and digested.
        max_line_bytes: The maximum size of a line.
        max_depth: The maximum depth of nesting in a line.

    Attributes:
        header: The header, from the first line.
        header_sha256: The digest of that line.
        damage: After `items`: the problems of a stream that is truncated or corrupt; empty if it is complete.
        repeated: A warning for each repeated name in the header.
        repeated_in_trailer: After `items`: a warning for each repeated name in the trailer.
        kinds: The names of the kinds of run that the header names; of all kinds, if it names none.
        catalog: The names of the catalog kinds that the header names.
        sha256: After `items`: the digest of the run lines.
        catalog_sha256: After `items`: the digest of the catalog lines; None: there are none.
        counts: After `items`: the numbers of catalog rows and runs by kind.

    Raises:
        DocumentError: The header is missing or invalid, or has an unsupported version.
    """

    def __init__(
        self, source: Source, gate: Gate, wanted: Collection[str], *, max_line_bytes: int, max_depth: int
    ) -> None:
        self._source = source
        self._gate = gate
        self._names = *gate.kinds, *gate.catalog
        self._max_line_bytes = max_line_bytes
        self._max_depth = max_depth
        self._decoder = decoder_for(gate)
        self.repeated_in_trailer: ProblemList = ProblemList()
        self.header: dict[str, Any] = self._read_header()
        self.kinds: tuple[str, ...] = tuple(self.header.get("kinds", gate.kinds))
        self.catalog: tuple[str, ...] = tuple(self.header.get("catalog", ()))
        own = *gate.kinds, *self.catalog
        self._left_out = set(own).difference(wanted)
        # The beginning of a line in an export; the gate only checks the current version.
        newest = self.version == gate.version
        self._openings = {f'{{"{kind}":'.encode(): kind for kind in own} if newest else {}
        self.damage: tuple[Problem, ...] = ()
        self.sha256: str | None = None
        self.catalog_sha256: str | None = None
        self.counts: Mapping[str, int] = {}

    @property
    def version(self) -> str:
        """The version of the format."""
        return str(self.header["version"])

    @property
    def is_sealed(self) -> bool:
        """Whether the stream must end with a trailer."""
        return self.header.get("sealed", True) is not False

    def _read_header(self) -> dict[str, Any]:
        line = self._source.first_line(self._max_line_bytes + 1)
        if len(line) > self._max_line_bytes and not line.endswith(b"\n"):
            text = f"The header is longer than max_line_bytes = {self._max_line_bytes}."
            raise DocumentError((_problem("out-of-range", text, 1),))
        try:
            member = decode(_text(line), self._max_depth)
        except NotJsonError as error:
            code: Code = "schema" if line.endswith(b"\n") else "truncated"
            text = f"The first line of {self._source.name} is not a header: {error}."
            raise DocumentError((_problem(code, text, 1),)) from None
        if not isinstance(member, dict) or list(member) != ["header"]:
            text = f'The first line of {self._source.name} is not a header, which is {{"header": …}} alone.'
            raise DocumentError((_problem("schema", text, 1),))
        problems = self._gate.check_header(member["header"])
        if problems:
            raise DocumentError(tuple(problems))
        self.repeated: ProblemList = warn_of_repeated_names(_text(line), 1)
        self.header_sha256: str = hashlib.sha256(line).hexdigest()
        return member["header"]  # type: ignore[no-any-return]

    def items(self, *, again: bool = False) -> Iterator[RawItem]:
        """Read the catalog rows and the runs of the wanted kinds, line by line.

        Args:
            again: Whether they will be read once more.

        Raises:
            DocumentError: The file cannot be read, is larger than the limit, or has too many blank lines.
        """
        items = self._items(again=again)
        return leave_out(items, self._left_out) if self._left_out else items

    def _items(self, *, again: bool) -> Iterator[RawItem]:
        self.damage, self.repeated_in_trailer = (), ProblemList()
        self._blank = 0
        seal, found, number = Seal(self.catalog), _Found(), 0
        try:
            for number, (line, whole) in enumerate(self._lines(seal, again=again), 1):
                raw = None
                if number > 1 and found.trailer is None:
                    raw = self._read_fast(line, number, seal)
                if raw is not None:
                    yield raw
                else:
                    yield from self._read_full(line, number, seal, found, whole=whole)
        except DamageError as error:
            if error.code not in ("truncated", "corrupt"):
                raise DocumentError((_problem(error.code, error.message, number + 1),)) from None
            self.damage = (_problem(error.code, error.message, number + 1),)
        else:
            self.damage = tuple(self._disagreements(seal, found, number)) if self.is_sealed else ()
            self.sha256, self.catalog_sha256 = seal.sha256, seal.catalog_sha256
            self.counts = +seal.counts

    def _read_fast(self, line: bytes, number: int, seal: Seal) -> RawRun | None:
        """The row or run of a *line* that the gate accepts directly; None: the line takes the full path."""
        for opening, kind in self._openings.items():
            if line.startswith(opening) and line.endswith(b"}}\n") and not self._misplaced(kind, seal):
                text = line[len(opening) : -2]
                record = self._gate.read(kind, text)
                if record is not None:
                    seal.add(line)
                    index, seal.counts[kind] = seal.counts[kind], seal.counts[kind] + 1
                    return RawRun(kind, record, index, number, len(line), text.decode(), accepted=True)
        return None

    def _read_full(
        self, line: bytes, number: int, seal: Seal, found: _Found, *, whole: bool
    ) -> Iterator[RawItem]:
        """What is on a *line*; nothing for the header and the trailer, which are stored in *found*."""
        first = first_member(line) if self.is_sealed else None
        if number == 1:
            found.header = line
        elif found.trailer is not None:
            found.beyond = found.beyond or (number, describe_leftover(line))
            if first not in ("header", "trailer") and not is_blank(line):
                yield from self._item(line, whole, number, seal)
        elif first == "trailer" and whole:
            found.trailer, found.end, found.counts = line, number, +seal.counts
        elif first == "header":
            seal.add(line)
            found.second = found.second or number
        else:
            seal.add(line)
            yield from self._item(line, whole, number, seal)

    def _lines(self, seal: Seal, *, again: bool) -> Iterator[tuple[bytes, bool]]:
        """Read each line with its end, and whether it is complete; lines that are too long are cut off."""
        reader = self._source.open(again=again)
        limit = self._max_line_bytes + 1
        while line := reader.readline(limit):
            whole = len(line) < limit or line.endswith(b"\n")
            yield line, whole
            while not whole:
                rest = reader.readline(2**16)
                seal.extend(rest)
                whole = not rest or rest.endswith(b"\n")

    def _item(self, line: bytes, whole: bool, number: int, seal: Seal) -> Iterator[RawItem]:  # noqa: FBT001
        """What is on a *line*; nothing for an incomplete last line of a sealed stream."""
        shown_line = line[:_SHOWN] if not whole else line.rstrip(b"\r\n")

        def unreadable(why: str, code: Code = "schema", at: str = "") -> UnreadableLine:
            return UnreadableLine(
                shown_line.decode("utf-8", "backslashreplace"), number, Fault(why, code), at
            )

        if not whole:
            self._count_unread(line, seal)
            why = f"The line is longer than max_line_bytes = {self._max_line_bytes}."
            yield unreadable(why, "out-of-range")
        elif not shown_line.strip():
            self._count_blank(number)
            yield unreadable("The line is blank.")
        else:
            try:
                text = _text(line)
                decoded = decode(text, self._max_depth, self._decoder)
            except NotJsonError as error:
                if line.endswith(b"\n") or not self.is_sealed:
                    self._count_unread(line, seal)
                    yield unreadable(f"The line is not JSON: {error}.")
                return
            members = decoded if isinstance(decoded, dict) else {}
            kind = next((name for name in members if name in self._names), None)
            if members.keys() == {"trailer"}:
                pass  # left over from a stream that was sealed before it was edited
            elif kind is not None:
                index, seal.counts[kind] = seal.counts[kind], seal.counts[kind] + 1
                at, why = self._find_fault(kind, members, seal)
                if why:
                    yield unreadable(why, at=at)
                else:
                    own = _only_value(text) if len(members) == 1 else _value_in(text, kind)
                    yield RawRun(kind, members[kind], index, number, len(line), own)
            elif isinstance(members.get("unreadable"), str):
                kept = Fault("The line was rejected before, and has not been corrected.")
                yield UnreadableLine(members["unreadable"], number, kept)
            else:
                kinds, names = " or ".join(self._gate.kinds), _first_names(members) or quote(decoded)
                yield unreadable(f"The line is not a run, which has the member {kinds}, not {names}.")

    def _find_fault(self, kind: str, members: Mapping[str, Any], seal: Seal) -> tuple[str, str]:
        """What is wrong with a line of *kind*, besides its record: the pointer, and why; empty: nothing."""
        others = members.keys() - {kind, "problems"}
        if others:
            return pointer(min(others)), "Unknown field."
        if not isinstance(members.get("problems", []), list):
            return pointer("problems"), "Not a valid list."
        return pointer(kind), self._misplaced(kind, seal)

    def _misplaced(self, kind: str, seal: Seal) -> str:
        """Why a line of *kind* cannot be here; empty: it can."""
        if kind in self._gate.kinds:
            return ""
        if kind not in self.catalog:
            return f'The header does not name the catalog kind {kind}: add it to "catalog" there.'
        return "Catalog rows come before the runs." if any(map(seal.counts.get, self._gate.kinds)) else ""

    def _count_blank(self, number: int) -> None:
        """Count the blank line with this *number*.

        Raises:
            DocumentError: There are too many.
        """
        self._blank += 1
        if self._blank > MAX_BLANK_LINES:
            text = f"{self._source.name} has more than {MAX_BLANK_LINES:,} blank lines."
            raise DocumentError((_problem("out-of-range", text, number),))

    def _count_unread(self, line: bytes, seal: Seal) -> None:
        """Count an unreadable *line* as the kind that it begins with, as the trailer does."""
        kind = first_member(line)
        if kind in self._names:
            seal.counts[kind] += 1

    def _disagreements(self, seal: Seal, found: _Found, last: int) -> Iterator[Problem]:
        if found.second is not None:
            text = "A second header. Streams cannot be concatenated; use histio merge."
            yield _problem("corrupt", text, found.second)
        if found.trailer is None:
            yield _problem("truncated", f"The stream ends after line {last}, without its trailer.", last)
            return
        if found.beyond is not None:
            number, leftover = found.beyond
            advice = " Streams cannot be concatenated; use histio merge." if "stream" in leftover else ""
            text = f"The trailer is not the last line: it is followed by {leftover}.{advice}"
            yield _problem("corrupt", text, number)
        if not found.trailer.endswith(b"\n"):
            yield _problem("truncated", "The stream ends within its trailer.", found.end)
            return
        try:
            members = decode(_text(found.trailer), self._max_depth)
        except NotJsonError as error:
            yield _problem("corrupt", f"The trailer is not JSON: {error}.", found.end)
            return
        self.repeated_in_trailer = warn_of_repeated_names(_text(found.trailer), found.end)
        problems = self._gate.check_trailer(members, found.end)
        yield from problems
        if not problems:
            yield from self._differences(seal, found, members["trailer"])

    def _differences(self, seal: Seal, found: _Found, stated: Mapping[str, Any]) -> Iterator[Problem]:
        crlf = " Its lines end in CR LF: was it converted?" if found.header.endswith(b"\r\n") else ""
        counted = {kind: count for kind, count in stated["counts"].items() if count}
        if counted != found.counts:
            text = f"The trailer counts {_counts(counted)}, the stream has {_counts(found.counts)}."
            yield _problem("corrupt", text, found.end, "/trailer/counts")
        if stated["sha256"] != seal.sha256:
            text = f"The runs have been changed: their digest differs from the trailer.{crlf}"
            yield _problem("corrupt", text, found.end, "/trailer/sha256")
        if stated.get("catalog_sha256") != seal.catalog_sha256:
            text = f"The catalog has been changed: its digest differs from the trailer.{crlf}"
            yield _problem("corrupt", text, found.end, "/trailer/catalog_sha256")
        if stated["header_sha256"] != self.header_sha256:
            text = f"The header has been changed: its digest differs from the trailer.{crlf}"
            yield _problem("corrupt", text, found.end, "/trailer/header_sha256")


class _Found:
    """What was found while reading: the header, the trailer, and lines in the wrong place.

    Attributes:
        header: The first line.
        trailer: The line of the trailer; None: none was found.
        end: The number of the trailer's line.
        counts: The catalog rows and runs by kind, before the trailer.
        beyond: The number of the first line after the trailer, and what it is; None: there is none.
        second: The number of the line with a second header; None: there is none.
    """

    def __init__(self) -> None:
        self.header = b""
        self.trailer: bytes | None = None
        self.end = 0
        self.counts: Mapping[str, int] = {}
        self.beyond: tuple[int, str] | None = None
        self.second: int | None = None


def _first_names(members: Mapping[str, Any]) -> str:
    """The first few names of *members*, as text."""
    more = ", …" if len(members) > _NAMED else ""
    return ", ".join(map(quote, islice(members, _NAMED))) + more


def _only_value(line: str) -> str:
    """The JSON text of the only member's value in a *line*."""
    return line[line.index(":") + 1 : line.rindex("}")]


def _value_in(line: str, name: str) -> str:
    """The JSON text of the value of *name* in a *line*; if repeated, from the first to the last value."""
    start = end = at = 0
    while member := _MEMBER.match(line, at):
        _, at = decoder.raw_decode(line, member.end())
        if json.loads(member[1]) == name:
            start, end = start or member.end(), at
    return line[start:end]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if count) or "no runs"


def warn_of_repeated_names(text: str, line: int | None) -> ProblemList:
    """A warning for each name that is repeated in its object in the *text* of a *line*."""
    return ProblemList(
        Problem("warning", fault.code, str(fault), pointer(*steps), line=line)
        for steps in find_repeated_names(text)
        for fault in [describe_repeated_name(steps[-1])]
    )


def _problem(code: Code, text: str, line: int, at: str = "") -> Problem:
    return Problem("error", code, text, at, line=line)


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise NotJsonError(f"not UTF-8 (byte 0x{byte:02x} at {error.start + 1}); is it Latin-1?") from None
