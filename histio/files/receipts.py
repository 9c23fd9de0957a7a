"""Receipts: files that say what imports have written. Lines are added to them, and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from histio.errors import ReceiptError
from histio.files.appending import LineWriter
from histio.files.decoding import NotJsonError, decode
from histio.files.limits import MAX_DEPTH
from histio.files.local import local_path
from histio.files.targets import target
from histio.files.temporaries import lock_or_fail
from histio.report import Code, Problem
from histio.wire import encode, is_sha256

Header: TypeAlias = Mapping[str, Any]
"""The version of the records, the names of the kinds, and the digest of the database or null."""

_SUFFIX = ".jsonl"
_LONGEST_HEADER = 2**20
_CHUNK = 2**16
_DEEPER = 3
"""How many levels deeper a record is nested in a receipt than in a stream's line."""

_HEADER = {"version", "kinds", "database"}
_MEMBERS = {
    "created": {"kind", "identity", "sha256"},
    "updated": {"kind", "identity", "sha256", "before"},
}


def receipt_path(path: str | os.PathLike[str]) -> Path:
    """The path of a receipt.

    Raises:
        ValueError: It is not the path of a local file, or does not end with ``.jsonl``.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"receipt: must be a path, not {path!r:.60}")  # noqa: TRY004 - as for other options
    try:
        found = local_path(path)
    except ValueError as error:
        raise ValueError(f"receipt: {error}") from None
    if Path(path).suffix.lower() != _SUFFIX:
        raise ValueError(f"receipt: {Path(path).name} must end with {_SUFFIX}: a receipt is never compressed")
    return found


@contextmanager
def open_receipt(path: Path, header: Header) -> Iterator[LineWriter]:
    """Open the receipt at *path* to add lines; create it if there is none.

    Raises:
        ReceiptError: The file is no receipt, or one of another version or database.
        BlockingIOError: Another process writes it.
        OSError: It cannot be written.
    """
    if not path.exists() or not path.stat().st_size:
        with target(path, compression=None, overwrite=True, is_last=False) as new:
            new.write(f"{encode({'receipt': header})}\n".encode())
    with path.open("r+b", buffering=_CHUNK) as file, lock_or_fail(file, path):
        stored = _read_header(file)
        check_header(stored, header["version"], header["database"])
        yield LineWriter(file)


def check_header(header: Header, version: str, database: str | None) -> None:
    """Raise ReceiptError unless *header* is of this *version* and of the *database* with this digest.

    Records of another version have other digests.
    """
    if header["version"] != version:
        text = f"The receipt has records of version {header['version']}, not {version}."
        raise _error(text, 1, "version", "/receipt/version")
    if None not in (header.get("database"), database) and header["database"] != database:
        hint = "if the database has moved, write null there"
        raise _error("The receipt is of another database", 1, "conflict", "/receipt/database", hint)


def _read_header(file: BinaryIO) -> dict[str, Any]:
    line = file.readline(_LONGEST_HEADER)
    try:
        [(name, header)] = json.loads(line).items() if line.endswith(b"\n") else [("", {})]
        is_known = name == "receipt" and header.keys() == _HEADER and _is_header(**header)
    except (ValueError, TypeError, AttributeError, RecursionError):
        is_known = False
    if not is_known:
        raise _error("The file is not a receipt of imports.", 1)
    return header  # type: ignore[no-any-return]


def _is_header(version: object, kinds: object, database: object) -> bool:
    """Whether the first line of a receipt may have these members."""
    is_digest = database is None or is_sha256(database)
    is_list = isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)
    return isinstance(version, str) and is_list and is_digest


class ReceiptReader:
    """Reads a receipt.

    Args:
        file: The open receipt.

    Attributes:
        header: Its header.

    Raises:
        ReceiptError: It is not a receipt.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.header: Header = _read_header(file)

    def lines(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yield the number of each line, the name of its only member, and the value of that.

        A last line without an end was never complete, and is left out.

        Raises:
            ReceiptError: A line is not one of a receipt.
        """
        for number, line in enumerate(self._file, 2):
            if line.endswith(b"\n"):
                yield number, *self._parse(line, number)

    def _parse(self, line: bytes, number: int) -> tuple[str, dict[str, Any]]:
        try:
            members = decode(line.decode(), MAX_DEPTH + _DEEPER)
            [(name, value)] = members.items()
            is_known = value.keys() == _MEMBERS[name] and isinstance(value.get("before", {}), dict)
            has_digest = value["sha256"] is None or is_sha256(value["sha256"])
        except (NotJsonError, UnicodeError, AttributeError, ValueError, KeyError, TypeError):
            is_known = has_digest = False
        if not (is_known and has_digest):
            raise _error("The line is not one of a receipt.", number)
        if value["kind"] not in self.header["kinds"]:
            raise _error("The header does not name the kind.", number)
        return name, value


@contextmanager
def reading_receipt(path: Path) -> Iterator[ReceiptReader]:
    """Open the receipt at *path* to read it.

    Raises:
        ReceiptError: It is not a receipt.
        BlockingIOError: Another process uses it.
        OSError: It cannot be read.
    """
    with path.open("rb", buffering=_CHUNK) as file, lock_or_fail(file, path):
        yield ReceiptReader(file)


def _error(
    message: str, line: int, code: Code = "corrupt", pointer: str = "", hint: str | None = None
) -> ReceiptError:
    return ReceiptError((Problem("error", code, message, pointer, line=line, hint=hint),))
