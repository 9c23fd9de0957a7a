"""Open files to read: paths, URLs, standard input, open files."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias, cast

from histio.files.compression import DamageError, Decompress, choose_decompressor, plain
from histio.files.limits import MAX_BYTES
from histio.files.urls import RemoteFile, is_url, strip_file_scheme
from histio.redact import strip_secrets

__all__ = [
    "DamageError",
    "FilePath",
    "Source",
    "is_same_file",
    "list_files",
    "refuse_text",
]

FilePath: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, a URL, ``"-"`` for standard input or output, or an open binary file."""

_CHUNK = 2**16
_IN_MEMORY = 2**20
_FOREIGN = {
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"SQLite f": "the file of a database",
}
_LOOK = 8
_BOM = 3
_FILES = (io.BytesIO, io.FileIO, io.BufferedReader, io.BufferedRandom)


class Source:
    """A file to read: its uncompressed bytes, several times if needed.

    Args:
        path: A path, a URL, ``"-"`` for standard input, or a binary file, which is read from its current
            position and left open.
        max_bytes: The limit for the uncompressed file; a longer file counts as damaged.

    Attributes:
        name: The name for messages; a URL without user, password and query.
        size: The size in bytes, as stored; None: not known.

    Raises:
        OSError: It cannot be opened.
        TypeError: The file is open for text.
        ImportError: URLs need fsspec, which is not installed.
    """

    def __init__(self, path: FilePath, *, max_bytes: int = MAX_BYTES) -> None:
        path = strip_file_scheme(path)
        self._max_bytes = max_bytes
        self._opened: BinaryIO | None = None
        self.size: int | None = None
        if path == "-":
            self.name: str = "standard input"
            standard: Any = sys.stdin
            if standard is None:
                raise OSError(errno.EBADF, "standard input is closed")
            file, is_seekable = self._borrow(getattr(standard, "buffer", standard))
        elif is_url(path):
            self.name = strip_secrets(path)
            file, is_seekable = self._remote(path)
        elif isinstance(path, (str, os.PathLike)):
            self.name = os.fspath(path)
            file, is_seekable = self._local(self.name)
        else:
            name = getattr(path, "name", None)
            self.name = name if isinstance(name, str) else "the file"
            file, is_seekable = self._borrow(path)
        self._start = file.tell() if is_seekable else 0
        self._file: BinaryIO | _Tape = file if is_seekable else _Tape(file)
        self._stored = _Stored(self._file)
        self._reader: _Reader | None = None
        self._known: tuple[Decompress, bool] | None = None

    def _local(self, path: str) -> tuple[BinaryIO, bool]:
        # Keep it open, so that all passes read the same file even if another one replaces it.
        self._opened = file = open(path, "rb", buffering=0)  # noqa: SIM115, PTH123 - closed by close()
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            self.size = status.st_size
        return file, file.seekable()

    def _remote(self, url: str) -> tuple[BinaryIO, bool]:
        self._opened = file = RemoteFile(url)
        self.size = file.size
        return file, file.seekable()

    def _borrow(self, file: BinaryIO) -> tuple[BinaryIO, bool]:
        refuse_text(file)
        is_seekable = hasattr(file, "seekable") and file.seekable()
        if is_seekable and isinstance(file, _FILES):
            start = file.tell()
            self.size = file.seek(0, os.SEEK_END) - start
            file.seek(start)
        return file, is_seekable

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file if it was opened here, and discard the copy of what can be read only once."""
        self._end()
        if isinstance(self._file, _Tape):
            self._file.close()
        if self._opened is not None:
            self._opened.close()

    @property
    def position(self) -> int:
        """The number of stored bytes that the current pass has read, including read-ahead."""
        return self._stored.position

    def open(self, *, again: bool = False) -> io.BufferedReader:
        """Read from the beginning; the previous reader is closed.

        The reader returns everything before the damage, then raises at every read. ``read()`` without a size
        raises immediately.

        Args:
            again: Whether it will be opened once more. An input that cannot be read twice, such as standard
                input, is copied to memory or to a temporary file.

        Raises:
            DamageError: The file cannot be read at all; raised by the reader: it is damaged.
            io.UnsupportedOperation: It cannot be read twice, and was opened without *again* before.
        """
        reader = self._begin()
        if isinstance(self._file, _Tape):
            self._file.keeps = again
        return reader

    def head(self, size: int = 2**16) -> bytes:
        """Read the first *size* bytes, or all bytes before the end or the damage; ends the current pass.

        Raises:
            DamageError: The file cannot be read at all.
            io.UnsupportedOperation: It cannot be read twice, and was opened without *again* before.
        """
        return _beginning(self._begin(), size)

    def first_line(self, limit: int) -> bytes:
        """Read the first line with its end, or the first *limit* bytes of it; ends the current pass.

        Raises:
            DamageError: The file cannot be read at all, or only a part of the line.
            io.UnsupportedOperation: It cannot be read twice, and was opened without *again* before.
        """
        return self._begin().readline(limit)

    def release(self) -> None:
        """End the current pass and free its memory, which a decompressor may have much of."""
        self._end()
        self._reader = None

    def _begin(self) -> _Reader:
        """Begin a pass, after the byte order mark if there is one."""
        decompress, has_bom = self._look()
        reader = self._pass(decompress)
        if has_bom:
            reader.read(_BOM)
        return reader

    def _look(self) -> tuple[Decompress, bool]:
        """Find out how the file is compressed, and whether it begins with a byte order mark."""
        if self._known is None:
            stored = self._rewind().read(_LOOK)
            decompress = choose_decompressor(stored)
            beginning = stored if decompress is plain else _beginning(self._pass(decompress), _LOOK)
            self._refuse_foreign(beginning, is_inner=decompress is not plain)
            encoding = self._encoding(beginning[:4])
            self._known = decompress, encoding == "utf-8-sig"
        return self._known

    def _refuse_foreign(self, beginning: bytes, *, is_inner: bool) -> None:
        """Raise DamageError if *beginning* shows that the file is of another kind, such as a zip archive."""
        contains = "contains" if is_inner else "is"
        for magic, kind in _FOREIGN.items():
            if beginning.startswith(magic):
                text = f"{self.name} {contains} {kind}: histio reads plain, gzip and Zstandard files."
                raise DamageError("schema", text)
        if is_inner and choose_decompressor(beginning) is not plain:
            raise DamageError("schema", f"{self.name} is compressed twice: decompress it once.")

    def _encoding(self, beginning: bytes) -> str:
        encoding = json.detect_encoding(beginning) if beginning.strip(b"\0") else "utf-8"
        if not encoding.startswith("utf-8"):
            raise DamageError("schema", f"{self.name} is {encoding.upper()}: save it as UTF-8.")
        if b"\0" in beginning:
            raise DamageError("schema", f"{self.name} begins with NUL bytes: it is not text.")
        return encoding

    def _pass(self, decompress: Decompress) -> _Reader:
        pieces = decompress(self._rewind(), self.name)
        self._reader = _Reader(_Uncompressed(_limit(pieces, self._max_bytes, self.name)))
        return self._reader

    def _rewind(self) -> io.BufferedReader:
        self._end()
        self._file.seek(self._start)
        self._stored = _Stored(self._file)
        return io.BufferedReader(self._stored, _CHUNK)

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.close()


def list_files(paths: FilePath | Iterable[FilePath]) -> list[FilePath]:
    """The files that *paths* names: one, or several."""
    is_one = isinstance(paths, (str, bytes, os.PathLike)) or hasattr(paths, "read")
    if is_one or not isinstance(paths, Iterable):
        return [cast("FilePath", paths)]
    return list(cast("Iterable[FilePath]", paths))


def is_same_file(one: object, other: object) -> bool:
    """Whether two local paths lead to the same file."""
    paths = [each for each in (one, other) if isinstance(each, (str, os.PathLike)) and not is_url(each)]
    return len(paths) == 2 and all(map(os.path.exists, paths)) and Path(paths[0]).samefile(paths[1])  # noqa: PLR2004


def refuse_text(file: object) -> None:
    """Check that *file* is a binary file.

    Raises:
        TypeError: It is open for text, or not a file.
    """
    if not hasattr(file, "read") and not hasattr(file, "write"):
        raise TypeError(f"pass a path, a URL or an open binary file, not {file!r:.60}")
    # Wrappers of text files, such as temporary files, have an encoding.
    if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
        raise TypeError('the file is open for text: open it in a binary mode, "rb" or "wb"')


def _beginning(reader: _Reader, size: int) -> bytes:
    try:
        return reader.read(size)
    except DamageError:
        return b""


class _Tape:
    """Makes a file that can be read only once, such as standard input, readable again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._kept = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self.keeps = True

    def read(self, size: int) -> bytes:
        data = self._kept.read(size)
        if not data:
            data = _read_some(self._file, size)
            if self.keeps:
                self._kept.write(data)
        return data

    def seek(self, start: int) -> int:
        if not self.keeps:
            raise io.UnsupportedOperation("the input can be read only once")
        return self._kept.seek(start)

    def close(self) -> None:
        self._kept.close()


def _read_some(file: BinaryIO | _Tape, size: int) -> bytes:
    """Read up to *size* bytes, without waiting for all of them if possible."""
    read: Any = getattr(file, "read1", file.read)
    data: bytes = read(size)
    return data


class _Stored(io.RawIOBase):
    """A file as it is stored; counts the bytes that were read."""

    def __init__(self, file: BinaryIO | _Tape) -> None:
        super().__init__()
        self._file = file
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = _read_some(self._file, len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def _limit(pieces: Iterator[bytes], max_bytes: int, name: str) -> Iterator[bytes]:
    left = max_bytes
    for piece in pieces:
        if len(piece) > left:
            yield piece[:left]
            raise DamageError("out-of-range", f"{name} is longer than max_bytes = {max_bytes} bytes.")
        left -= len(piece)
        yield piece


class Pieces(io.RawIOBase, BinaryIO):
    """A file of *pieces*, which are made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


class _Uncompressed(Pieces):
    """A file of uncompressed *pieces*; it ends at the damage, which is then in `damage`."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(pieces)
        self.damage: DamageError | None = None

    def readinto(self, buffer: Any, /) -> int:
        try:
            return super().readinto(buffer)
        except DamageError as error:
            self.damage = error
            return 0


class _Reader(io.BufferedReader):
    """A buffered reader that raises damage once everything before it has been read.

    If its raw file raised, a BufferedReader would lose what it has already read in the same call.
    """

    def __init__(self, file: _Uncompressed) -> None:
        super().__init__(file, _CHUNK)
        self._uncompressed = file

    def _check_end(self, data: bytes, size: int | None = -1) -> bytes:
        if not data and size != 0:
            self._raise_damage()
        return data

    def _raise_damage(self) -> None:
        if self._uncompressed.damage is not None:
            raise self._uncompressed.damage

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is None or size < 0:
            self._raise_damage()
        return self._check_end(data, size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._check_end(super().read1(size), size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._check_end(super().readline(size), size)

    def peek(self, size: int = 0, /) -> bytes:
        return self._check_end(super().peek(size))

    def readinto(self, buffer: Any, /) -> int:
        size = super().readinto(buffer)
        if not size and len(buffer):
            self._raise_damage()
        return size

    readinto1 = readinto
