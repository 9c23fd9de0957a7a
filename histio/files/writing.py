"""Write catalog rows and runs to files: documents, sealed streams, and streams of what was rejected."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Literal

from marshmallow import ValidationError

from histio.files.streams import Seal, trailer
from histio.kinds.fields import UtcTimestamp
from histio.report import ExportReport
from histio.wire import encode, quote

_EXPORTED_AT = UtcTimestamp()


def format_header_time(exported_at: dt.datetime | None) -> str:
    """Format *exported_at* for documents and headers; None: the current time.

    Raises:
        ValueError: It has no time zone, or the format cannot hold it.
    """
    if exported_at is not None and getattr(exported_at, "tzinfo", None) is None:
        raise ValueError(f"exported_at must be an aware datetime, not {quote(exported_at)}")
    wire: str = _EXPORTED_AT.to_wire(exported_at or dt.datetime.now(dt.UTC))
    try:
        _EXPORTED_AT.check(wire)
    except ValidationError as error:
        raise ValueError(f"exported_at: {error.messages[0]}") from None
    return wire


def lines(name: str, texts: Iterable[str]) -> bytes:
    """The lines of a stream for records of one kind, whose JSON *texts* are passed."""
    opening, end = f'{{"{name}":'.encode(), b"}\n"
    # One character beyond the Basic Multilingual Plane would make all of a joined text four times as large.
    return b"%b%b%b" % (opening, (end + opening).join(map(str.encode, texts)), end)


Runs = Iterable[tuple[str, Sequence[str]]]
"""Catalog rows and runs in order: the name of a kind, and the JSON texts of some of its rows or runs."""


class _StreamWriter:
    """Writes a sealed stream."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Any], _collections: Mapping[str, str]) -> None:
        self._file = file
        line = lines("header", [encode(header)])
        self._header_sha256 = hashlib.sha256(line).hexdigest()
        file.write(line)

    def add(self, _kind: str, _texts: Sequence[str], whole: bytes) -> None:
        self._file.write(whole)

    def finish(self, seal: Seal) -> None:
        seal.header_sha256 = self._header_sha256
        self._file.write(lines("trailer", [encode(trailer(seal))]))


class _DocumentWriter:
    """Writes a document, with one run per line."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Any], collections: Mapping[str, str]) -> None:
        self._file = file
        self._left = dict(collections)
        self._open: str | None = None
        file.write(encode({name: header[name] for name in ("version", "exported_at")})[:-1].encode())

    def add(self, kind: str, texts: Sequence[str], _whole: bytes) -> None:
        begun = self._open == kind
        while self._open != kind:
            self._begin_next()
        self._file.write((",\n" if begun else "\n").encode() + ",\n".join(texts).encode())

    def _begin_next(self) -> None:
        """Begin the next list."""
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
    """Write *runs*, after the catalog rows, as a document or as a sealed stream.

    Args:
        form: ``json`` for a document, ``jsonl`` for a stream.
        file: The file to write to.
        header: A header from `stream_header`.
        collections: The names of the lists, by kind; the catalog kinds that *header* names come first.
        runs: In the order of *collections*.

    Returns:
        The seal of the file; documents do not store it, and have no header.
    """
    seal = Seal(header.get("catalog", ()))
    writer = _WRITERS[form](file, header, collections)
    for kind, texts in runs:
        if texts:
            whole = lines(kind, texts)
            seal.counts[kind] += len(texts)
            seal.add(whole)
            writer.add(kind, texts, whole)
    writer.finish(seal)
    return seal


def build_export_report(header: Mapping[str, Any], seal: Seal, stored: int, **others: Any) -> ExportReport:
    """The report of an export.

    Args:
        header: The header of the file.
        seal: The seal of the runs.
        stored: The size of the file in bytes, as stored.
        others: Further attributes of the report.
    """
    by_kind = {name: seal.counts[name] for name in header["kinds"]}
    return ExportReport(
        exported=sum(by_kind.values()),
        by_kind=by_kind,
        bytes=stored,
        sha256=seal.sha256,
        catalog={name: seal.counts[name] for name in header.get("catalog", ())},
        catalog_sha256=seal.catalog_sha256,
        header_sha256=seal.header_sha256,
        exported_at=header["exported_at"],
        version=header["version"],
        **others,
    )
