"""Runs → files: documents, sealed streams, and streams of what was rejected."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, BinaryIO, Literal

from marshmallow import ValidationError

from histio.files.raw_runs import RawItem, RawRun
from histio.files.sources import FilePath
from histio.files.streams import Seal, trailer
from histio.files.targets import format_of, target
from histio.kinds.fields import UtcTimestamp
from histio.report import ExportReport, Problem
from histio.wire import encoded, shown


def header_time(exported_at: dt.datetime | None) -> str:
    """*exported_at* in the form that documents and headers have; None: the current time.

    Raises:
        ValueError: It has no time zone, or the format cannot hold it.
    """
    if exported_at is not None and getattr(exported_at, "tzinfo", None) is None:
        raise ValueError(f"exported_at must be an aware datetime, not {shown(exported_at)}")
    field = UtcTimestamp()
    wire: str = field.to_wire(exported_at or dt.datetime.now(dt.UTC))
    try:
        field.check(wire)
    except ValidationError as error:
        raise ValueError(f"exported_at: {error.messages[0]}") from None
    return wire


def lines(name: str, texts: Iterable[str]) -> bytes:
    """Lines of a stream, of which each has one member with one of these JSON *texts*."""
    opening = f'{{"{name}":'
    end = "}\n"
    return f"{opening}{(end + opening).join(texts)}{end}".encode()


Runs = Iterable[tuple[str, Sequence[str]]]
"""Runs in their order: some of one kind, and the JSON of each."""


class _StreamWriter:
    """Writes a sealed stream."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Any], _collections: Mapping[str, str]) -> None:
        self._file = file
        self._header = lines("header", [encoded(header)])
        file.write(self._header)

    def add(self, _kind: str, _texts: Sequence[str], whole: bytes) -> None:
        self._file.write(whole)

    def finish(self, seal: Seal) -> None:
        self._file.write(lines("trailer", [encoded(trailer(seal, self._header))]))


class _DocumentWriter:
    """Writes a document, with one run to a line."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Any], collections: Mapping[str, str]) -> None:
        self._file = file
        self._left = dict(collections)
        self._open: str | None = None
        file.write(encoded({name: header[name] for name in ("version", "exported_at")})[:-1].encode())

    def add(self, kind: str, texts: Sequence[str], _whole: bytes) -> None:
        begun = self._open == kind
        while self._open != kind:
            self._begin_next()
        self._file.write((",\n" if begun else "\n").encode() + ",\n".join(texts).encode())

    def _begin_next(self) -> None:
        """Be in the next list."""
        self._close()
        self._open = next(iter(self._left))
        self._file.write(b',\n"' + self._left.pop(self._open).encode() + b'":[')

    def _close(self) -> None:
        self._file.write(b"" if self._open is None else b"\n]")

    def finish(self, _seal: Seal) -> None:
        while self._left:
            self._begin_next()
        self._close()
        self._file.write(b"}\n")


_WRITERS: dict[str, type[_StreamWriter | _DocumentWriter]] = {"jsonl": _StreamWriter, "json": _DocumentWriter}


def write_runs(
    form: Literal["json", "jsonl"],
    file: BinaryIO,
    header: Mapping[str, Any],
    collections: Mapping[str, str],
    runs: Runs,
) -> Seal:
    """Write *runs* as a document or as a sealed stream.

    Args:
        form: Which of them.
        file: Gets the bytes.
        header: As `stream_header` gives it.
        collections: By kind, the name of its list.
        runs: In the order of the kinds.

    Returns:
        The seal of the runs, whether the *form* has room for it or not.
    """
    seal = Seal()
    writer = _WRITERS[form](file, header, collections)
    for kind, texts in runs:
        if texts:
            whole = lines(kind, texts)
            seal.counts[kind] += len(texts)
            seal.add(whole)
            writer.add(kind, texts, whole)
    writer.finish(seal)
    return seal


def report_on(header: Mapping[str, Any], seal: Seal, stored: int, **others: Any) -> ExportReport:
    """The report on an exported file; *stored* is its size in bytes.

    *others*: further attributes of the report, about runs that are not in the file.
    """
    return ExportReport(
        exported=seal.counts.total(),
        by_kind={name: seal.counts[name] for name in header["kinds"]},
        bytes=stored,
        sha256=seal.sha256,
        exported_at=header["exported_at"],
        version=header["version"],
        **others,
    )


class Rejects:
    """Writes a stream, without seal, of runs that were rejected: it can be imported once it is mended.

    Args:
        file: Gets the bytes.
        version: That of the format in which the runs came.
        kinds: The names of the kinds.
    """

    def __init__(self, file: BinaryIO, version: str, kinds: Iterable[str]) -> None:
        self._file = file
        header = {"version": version, "kinds": list(kinds), "sealed": False}
        file.write(lines("header", [encoded(header)]))

    def add(self, item: RawItem, problems: Iterable[Problem]) -> None:
        """Write what was rejected, and why."""
        told = [
            {name: value for name, value in asdict(each).items() if value is not None} for each in problems
        ]
        name, value = (item.kind, item.record) if isinstance(item, RawRun) else ("unreadable", item.text)
        # A run is kept as it stood: numbers that Python would write otherwise are to be mended, not lost.
        # Line ends stand between its members only. What came with a lone surrogate can be told in ASCII only.
        as_it_stood = item.text if isinstance(item, RawRun) else None
        text = json.dumps(value) if as_it_stood is None else re.sub(r"[\r\n]", " ", as_it_stood).strip()
        self._file.write(f'{{"{name}":{text},"problems":{json.dumps(told)}}}\n'.encode())


@contextmanager
def rejecting(path: FilePath | None, version: str, kinds: Iterable[str]) -> Iterator[Rejects | None]:
    """`Rejects` that are at *path*, in place of a previous file, when the block has ended well.

    Raises:
        ValueError: The name says that they are to be a document.
    """
    if path is None:
        yield None
        return
    form = format_of(path)
    if form.name == "json":
        raise ValueError("rejects: they are a stream, whose name ends in .jsonl")
    with target(path, compression=form.compression, overwrite=True) as file:
        yield Rejects(file, version, kinds)
