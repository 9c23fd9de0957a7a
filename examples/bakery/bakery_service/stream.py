"""The lines of a history: one JSON object each, read and written without ever holding all of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from histio import Problem

LONGEST = 1_000_000
"""The maximum bytes of a line. A run with its ledgers has a few thousand."""

BATCH = 500
"""Runs that are held in memory and imported at a time; other requests wait while they are checked."""

Line = tuple[int, bytes]


class LineError(Exception):
    """A line that cannot be read, so that the whole stream is refused."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Batch:
    """Some runs as a document, with the line of each.

    Attributes:
        document: What histio imports.
        collections: By kind, the name of its list in the document.
        numbers: By kind, the line of each run in its list.
    """

    document: dict[str, Any]
    collections: Mapping[str, str]
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def add(self, number: int, kind: str, run: Any) -> None:
        """Put the *run* of line *number* into its list."""
        self.document[self.collections[kind]].append(run)
        self.numbers.setdefault(kind, []).append(number)

    def __len__(self) -> int:
        return sum(map(len, self.numbers.values()))

    def clear(self) -> None:
        """Remove the runs."""
        self.document.clear()

    def in_stream(self, problem: Problem) -> Problem:
        """The *problem* with its line in the stream instead of its place in this document."""
        if problem.kind is None or problem.index is None:
            return problem
        within = problem.pointer.removeprefix(f"/{self.collections[problem.kind]}/{problem.index}")
        line = self.numbers[problem.kind][problem.index]
        return replace(problem, line=line, index=None, pointer=f"/{problem.kind}{within}")


def written(name: str, value: Any) -> bytes:
    """One line."""
    return json.dumps({name: value}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def header(version: str, kinds: Iterable[str]) -> bytes:
    """The first line, which says that there is no trailer to wait for."""
    exported_at = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat() + "Z"
    members = {"version": version, "exported_at": exported_at, "kinds": list(kinds), "sealed": False}
    return written("header", members)


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[Line]:
    """The numbered lines of a body that arrives in *chunks* of any size.

    Raises:
        LineError: A line is longer than `LONGEST`; it is noticed before it is complete.
    """
    number, rest = 1, b""
    async for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield number, _short(number, line)
            number += 1
        _short(number, rest)
    if rest:
        yield number, rest


def _short(number: int, line: bytes) -> bytes:
    if len(line) > LONGEST:
        raise LineError(number, f"longer than {LONGEST} bytes")
    return line


async def batches(numbered: AsyncIterable[Line], collections: Mapping[str, str]) -> AsyncIterator[Batch]:
    """The runs of a stream, `BATCH` at a time; the last batch may be empty.

    Raises:
        LineError: A line is not JSON, or of no kind among *collections*, or the header is missing.
    """
    version, batch = None, None
    async for number, line in numbered:
        name, value = _read(number, line)
        if batch is None:
            version = _version(number, name, value)
            batch = _empty(version, collections)
        elif name not in collections:
            raise LineError(number, f"unknown kind: {name[:80]!r}")
        else:
            batch.add(number, name, value)
            if len(batch) == BATCH:
                yield batch
                batch = _empty(version, collections)
    if batch is None:
        raise LineError(1, "no header")
    yield batch


def _empty(version: Any, collections: Mapping[str, str]) -> Batch:
    return Batch({"version": version} | {name: [] for name in collections.values()}, collections)


def _version(number: int, name: str, value: Any) -> Any:
    """The format's version; whether it can be read is for histio to say."""
    if name != "header" or not isinstance(value, dict):
        raise LineError(number, "no header")
    if value.get("sealed") is not False:
        raise LineError(number, 'a sealed stream; only those with "sealed": false are read here')
    return value.get("version")


def _read(number: int, line: bytes) -> tuple[str, Any]:
    """Name and value of the one member of a line."""
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        raise LineError(number, "no JSON") from None
    if not isinstance(members, dict):
        raise LineError(number, "no JSON object")
    members.pop("problems", None)  # why the run was rejected at another time
    if len(members) != 1:
        raise LineError(number, "an object with one member is needed")
    [(name, value)] = members.items()
    return name, value
