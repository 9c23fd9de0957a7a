"""Read documents in constant memory, one run at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from histio.errors import DocumentError
from histio.files.decoding import NotJsonError, check_depth, decoder_for, describe_repeated_name
from histio.files.leftovers import describe_leftover
from histio.files.raw_runs import RawItem, RawRun
from histio.files.sources import DamageError, Source
from histio.kinds.gate import Gate
from histio.pointer import pointer
from histio.report import Problem, ProblemList
from histio.tuning import tuning

_CUT = re.compile(r"[-+.\w\\]*")
"""The possible end of JSON that was cut off within a value."""

_TAIL = 12
"""The maximum length of a token, other than a string, that may be cut off at the end of the text."""

_EXPONENT = len("e+")
"""The maximum length of the beginning of an exponent, which may follow a number."""

_INK = re.compile(r"[^ \t\r\n]")


class Document:
    """A document, read twice: once to validate the envelope, then run by run.

    If a name is repeated, the last member counts, as with most JSON parsers.

    Args:
        source: The file.
        gate: The JSON Schema of documents.
        collections: The kinds to read, by the name of their list, in the order in which they are read.
        max_line_bytes: The maximum size of a run.
        max_depth: The maximum depth of nesting in a run.

    Attributes:
        kinds: The names of the kinds of run that it has a list of.
        catalog: The names of the catalog kinds that it has a list of.
        damage: The problem of a document that is truncated; empty if it is complete.
        repeated: A problem for each repeated name outside of runs.

    Raises:
        DocumentError: It is not JSON, or not a document.
    """

    def __init__(
        self,
        source: Source,
        gate: Gate,
        collections: dict[str, str],
        *,
        max_line_bytes: int,
        max_depth: int,
    ) -> None:
        self._source = source
        self._collections = collections
        self._all_lists = frozenset(gate.collections.values())
        self._limits = max_line_bytes, max_depth
        self._decoder = decoder_for(gate)
        self.damage: tuple[Problem, ...] = ()
        self.repeated: ProblemList = ProblemList()
        self.repeated_in_trailer: ProblemList = ProblemList()
        self._lists: list[str] = []
        self.header: dict[str, Any] = self._scan(gate)
        present = {kind for kind, name in gate.collections.items() if name in self.header}
        self.kinds: tuple[str, ...] = tuple(name for name in gate.kinds if name in present)
        self.catalog: tuple[str, ...] = tuple(name for name in gate.catalog if name in present)

    @property
    def version(self) -> str:
        """The version of the format."""
        return str(self.header["version"])

    def _scan(self, gate: Gate) -> dict[str, Any]:
        """Read the members of the document, without its runs."""
        members: dict[str, Any] = {}
        whole: Any = members
        try:
            text = self._text()
            if text.next() != "{":
                whole = text.value()
            else:
                for name in text.members():
                    if name in members:
                        fault = describe_repeated_name(name)
                        self.repeated.add(Problem("warning", fault.code, str(fault), pointer(name)))
                    if name in self._all_lists and text.next() == "[":
                        self._lists.append(name)
                        members[name] = []
                        for _ in text.values():
                            pass
                    else:
                        members[name] = text.value()
            text.end()
        except DamageError as error:
            problem = Problem("error", error.code, error.message)
            if error.code not in ("truncated", "corrupt") or "version" not in members:
                raise DocumentError((problem,)) from None
            self.damage = (problem,)
        problems = gate.check_envelope(whole)
        if problems:
            raise DocumentError((*self.damage, *problems))
        return members

    def items(self, *, again: bool = False) -> Iterator[RawItem]:  # noqa: ARG002 - it is always read again
        """Read the catalog rows and the runs of the wanted kinds, in the order of these."""
        last = {name: place for place, name in enumerate(self._lists)}
        wanted = [name for name in self._collections if name in last]
        passes: list[list[int]] = []
        for place in (last[name] for name in wanted):
            if passes and passes[-1][-1] < place:
                passes[-1].append(place)
            else:
                passes.append([place])
        for places in passes:
            yield from self._runs(places)

    def _runs(self, places: Collection[int]) -> Iterator[RawItem]:
        """Read what is in the lists with these indices among all lists."""
        text, place = self._text(), 0
        try:
            for name in text.members():
                if name not in self._all_lists or text.next() != "[":
                    text.value()
                    continue
                for index, (record, run_text) in enumerate(text.values()):
                    if place in places:
                        yield RawRun(
                            self._collections[name],
                            record,
                            index,
                            size=len(run_text),
                            text=run_text,
                            first_line=text.line,
                        )
                place += 1
        except DamageError:
            if not self.damage:
                raise

    def _text(self) -> _Text:
        return _Text(self._source, self._decoder, *self._limits)


class _Text:
    """Reads JSON values from a file; only the current value is in memory."""

    def __init__(self, source: Source, decoder: json.JSONDecoder, max_size: int, max_depth: int) -> None:
        self._name = source.name
        self._reader = source.open(again=True)
        self._characters = codecs.getincrementaldecoder("utf-8")()
        self._json = decoder
        self._max_size = max_size
        self._max_depth = max_depth
        self._text = ""
        self._at = 0
        self.line = 1  # of the last value
        self._lines = 1  # the number of the line that has …
        self._counted = 0  # … this character
        self._column = 1
        self._bytes = 0
        self._kept = 0  # characters of values that `value` has read

    def _more(self) -> bool:
        """Read more, at least as much as is in memory; False at the end."""
        self._next_line()
        self._column = self._next_column()
        self._text = rest = self._text[self._at :]
        self._at = self._counted = 0
        if len(rest) > self._max_size:
            raise self._too_long()
        data = self._reader.read(max(tuning().chunk, len(rest)))
        held, _ = self._characters.getstate()
        try:
            self._text = rest + self._characters.decode(data, final=not data)
        except UnicodeDecodeError as error:
            if not data:
                raise self._cut() from None
            byte, at = error.object[error.start], self._bytes - len(held) + error.start + 1
            text = f"{self._name} is not UTF-8 (byte 0x{byte:02x} at {at}); is it Latin-1?"
            raise DamageError("schema", text) from None
        self._bytes += len(data)
        return bool(data)

    def _next_line(self) -> int:
        """The 1-based line of the next character."""
        self._lines += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._lines

    def _next_column(self) -> int:
        """The 1-based column of the next character; takes as long as its line."""
        end = self._text.rfind("\n", 0, self._at)
        return self._column + self._at if end < 0 else self._at - end

    def _place(self) -> str:
        return f"{self._name}, line {self._next_line()}, column {self._next_column()}"

    def _broken(self, why: str) -> DamageError:
        return DamageError("schema", f"{self._place()}: not JSON: {why}.")

    def _too_long(self, what: str = "a value") -> DamageError:
        text = f"{self._place()}: {what} is longer than max_line_bytes = {self._max_size}."
        return DamageError("out-of-range", text)

    def _cut(self) -> DamageError:
        return DamageError("truncated", f"{self._place()}: the document is cut off.")

    def next(self) -> str:
        """Peek at the next character after white space; empty at the end."""
        while True:
            found = _INK.search(self._text, self._at)
            if found is not None:
                self._at = found.start()
                return found[0]
            self._at = len(self._text)
            if not self._more():
                return ""

    def value(self) -> Any:
        """Read the next value, which is kept: all such values together are limited as one run is."""
        value, text = self._read_value()
        self._kept += len(text)
        if self._kept > self._max_size:
            raise self._too_long("what is not in its lists")
        return value

    def _read_value(self) -> tuple[Any, str]:
        if not self.next():
            raise self._cut()
        value, size = self._decode()
        # A number may continue in what has not been read yet.
        while self._at + size >= len(self._text) - _EXPONENT and self._more():
            value, size = self._decode()
        if size > self._max_size:
            raise self._too_long()
        text = self._text[self._at : self._at + size]
        try:
            check_depth(text, self._max_depth)
        except NotJsonError as error:
            raise self._broken(str(error)) from None
        self.line = self._next_line()
        self._at += size
        return value, text

    def _decode(self) -> tuple[Any, int]:
        """Decode the next value, and return the length of its text too."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_open = error.msg.startswith("Unterminated string")
                is_near = error.pos >= len(self._text) - _TAIL
                distance = error.pos - self._at  # reading more moves the text
                if (is_open or is_near) and self._more():
                    continue
                if is_open or (is_near and _CUT.fullmatch(self._text, self._at + distance)):
                    raise self._cut() from None
                self._at += distance
                raise self._broken(error.msg) from None
            except RecursionError:
                raise self._broken("nested too deeply") from None
            except ValueError as error:  # NaN, or an integer of more digits than Python takes
                raise self._broken(str(error)) from None
            else:
                return value, end - self._at

    def _pass(self, wanted: str) -> str:
        """Skip the next character, which must be one of those *wanted*."""
        found = self.next()
        if not found:
            raise self._cut()
        if found not in wanted:
            raise self._broken(f"expecting {' or '.join(wanted)}")
        self._at += 1
        return found

    def members(self) -> Iterator[str]:
        """Read the names of the next object; the caller reads each value before the next name."""
        self._pass("{")
        if self.next() == "}":
            self._at += 1
            return
        while True:
            if self.next() not in ('"', ""):
                raise self._broken("expecting a name in double quotes")
            name = self.value()
            self._pass(":")
            yield name
            if self._pass(",}") == "}":
                return

    def values(self) -> Iterator[tuple[Any, str]]:
        """Read the values of the next list, each with its text."""
        self._pass("[")
        if self.next() == "]":
            self._at += 1
            return
        while True:
            yield self._read_value()
            if self._pass(",]") == "]":
                return

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            self._more()
            leftover = describe_leftover(self._text[self._at :].encode())
            raise self._broken(f"the document is followed by {leftover}")
