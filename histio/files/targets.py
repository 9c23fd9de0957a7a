"""Where the bytes of a history go."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from histio.files.compression import Compression, Compressor, compressor
from histio.files.sources import filesystems, is_url, refuse_text, shown_url

Name = Literal["json", "jsonl"]

FORMATS: tuple[Name, ...] = ("json", "jsonl")

_ENDING = re.compile(rf"\.({'|'.join(FORMATS)})(?:\.(gz|zst))?", re.IGNORECASE)
_NAME = 50
_KNOWN = " or ".join(f".{name}" for name in FORMATS) + ", each with .gz or .zst behind it if compressed"


@dataclass(frozen=True, slots=True)
class Format:
    """How a history is written: as a document or a stream, and how that is compressed."""

    name: Name
    compression: Compression | None


def format_of(path: str | os.PathLike[str] | BinaryIO, format: str | None = None) -> Format:  # noqa: A002
    """The format called *format*, such as ``json.gz``; without it, the one that *path* ends in.

    Raises:
        ValueError: There is no such format, or a path does not tell.
    """
    if format is not None and not isinstance(format, str):
        raise TypeError(f"format is a text such as jsonl.gz, not {format!r}")
    if format is not None:
        found = _ENDING.fullmatch(f".{format.removeprefix('.')}")
        if found is None:
            raise ValueError(f"no format {format!r}: there are {_KNOWN}")
        return _format(found)
    is_path = isinstance(path, (str, os.PathLike)) and path != "-"
    name = _name(path)
    found = re.search(rf"{_ENDING.pattern}$", name, re.IGNORECASE)
    if found is not None:
        return _format(found)
    if is_path:
        raise ValueError(f"{name} has no known ending: {_KNOWN}; say the format for other names")
    return Format("jsonl", None)


def _name(path: str | os.PathLike[str] | BinaryIO) -> str:
    if is_url(path):
        return shown_url(path).partition("#")[0]
    if isinstance(path, (str, os.PathLike)):
        return os.fspath(path)
    name = getattr(path, "name", None)
    return name if isinstance(name, str) else ""


def _format(found: re.Match[str]) -> Format:
    name, compression = (part and part.lower() for part in found.groups())
    return Format(cast("Name", name), cast("Compression | None", compression))


class Target(io.BufferedIOBase, BinaryIO):
    """A file that takes uncompressed bytes.

    Attributes:
        stored: Bytes as stored so far; how many there are is certain when all is written.
    """

    mode = "wb"

    def __init__(self, file: BinaryIO, compressor: Compressor) -> None:
        super().__init__()
        self._file = file
        self._compressor = compressor
        self.stored = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        data = data if isinstance(data, bytes) else bytes(memoryview(data))
        self._store(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        """Write what is still held back; nothing can be written after it."""
        self._store(self._compressor.flush())
        self._file.flush()

    def _store(self, data: bytes) -> None:
        self.stored += len(data)
        while data:
            # Raw files may take less than they are given, or nothing; some that are no files do not say.
            written: int | None = self._file.write(data)
            if written is None and isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, "the file does not wait until it can be written to")
            data = b"" if written is None else data[written:]


@contextmanager
def target(
    path: str | os.PathLike[str] | BinaryIO, *, compression: Compression | None, overwrite: bool = False
) -> Iterator[Target]:
    """A file for the block to write to, which is there, as a whole, when the block has ended well.

    Otherwise nothing has changed; except where the block wrote to standard output, a device, a pipe or a file
    that was already open.

    Args:
        path: A path, a URL, ``"-"`` for standard output, or a binary file, which is left open.
        compression: How the file is compressed; None: not at all.
        overwrite: Replace a file of this name.

    Raises:
        FileExistsError: There is a file of this name, or by the end of the block there is.
        OSError: It cannot be written.
        TypeError: The file is open for text.
        ImportError: URLs need fsspec, which is not installed.
    """
    with _opened(path, overwrite=overwrite) as file, Target(file, compressor(compression)) as out:
        yield out
        out.finish()


def _opened(path: str | os.PathLike[str] | BinaryIO, *, overwrite: bool) -> AbstractContextManager[BinaryIO]:
    """The file to store bytes in; all is in place when its block has ended well."""
    if path == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        sys.stdout.flush()
        return _lent(sys.stdout.buffer)
    if is_url(path):
        return _uploaded(path, overwrite=overwrite)
    if not isinstance(path, (str, os.PathLike)):
        return _lent(path)
    real = Path(os.path.realpath(path))
    try:
        status = real.stat()
    except FileNotFoundError:
        real.parent.stat()
        return _beside(real, None, overwrite=overwrite)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        return real.open("wb")
    if not overwrite:
        raise _exists(os.fspath(path))
    return _beside(real, stat.S_IMODE(status.st_mode), overwrite=overwrite)


def _exists(name: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


@contextmanager
def _lent(file: BinaryIO) -> Iterator[BinaryIO]:
    refuse_text(file)
    yield file


@contextmanager
def _beside(path: Path, mode: int | None, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file that takes the place of *path*, and the *mode* of the file which it replaces."""
    # Its name tells what a killed process has left, has no ending of a history, and fits where *path* does.
    beside = path.with_name(f".histio-{path.name.split('.')[0][:_NAME]}-{secrets.token_hex(8)}")
    try:
        # From the beginning, nobody may read it who may not read what it replaces.
        opener = partial(os.open, mode=0o666 if mode is None else mode)
        with open(beside, "xb", opener=opener) as file:
            if mode is not None:
                beside.chmod(mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        _place(beside, path, overwrite=overwrite)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.filename == str(beside):
            error.filename = str(path)
        raise
    with suppress(OSError):  # some systems cannot open directories, and some file systems cannot sync them
        _sync(path.parent)


def _place(beside: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        beside.replace(path)
        return
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise _exists(str(path)) from None
    except OSError:  # no hard links here
        if os.path.lexists(path):
            raise _exists(str(path)) from None
        beside.replace(path)
    else:
        beside.unlink()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _uploaded(url: str, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A local file that is uploaded to *url*."""
    system, path = filesystems().url_to_fs(url)
    if not overwrite and system.exists(path):
        raise _exists(shown_url(url))
    with tempfile.TemporaryDirectory(prefix="histio-") as directory:
        local = Path(directory, "upload")
        with local.open("xb") as file:
            yield file
        if not overwrite and system.exists(path):
            raise _exists(shown_url(url))
        system.put_file(str(local), path)
