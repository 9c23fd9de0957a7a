"""Open files to write: paths, URLs, standard output, open files. A file is complete or not there."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from histio.files.compression import Compression, Compressor, compressor
from histio.files.sources import refuse_text
from histio.files.temporaries import open_temporary
from histio.files.urls import is_url, strip_file_scheme, upload
from histio.progress import before_last_step
from histio.redact import strip_secrets

Name = Literal["json", "jsonl"]

FORMATS: tuple[Name, ...] = ("json", "jsonl")

_ENDING = re.compile(rf"\.({'|'.join(FORMATS)})(?:\.(gz|zst))?", re.IGNORECASE)
_KNOWN = " or ".join(f".{name}" for name in FORMATS) + ", followed by .gz or .zst if compressed"


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a file: a document or a stream, and its compression."""

    name: Name
    compression: Compression | None


def choose_format(path: str | os.PathLike[str] | BinaryIO, format: str | None = None) -> Format:  # noqa: A002
    """The format named *format*, such as ``json.gz``; None: the format of the suffix of *path*.

    Raises:
        ValueError: There is no such format, or *path* has no known suffix.
    """
    if format is not None and not isinstance(format, str):
        raise TypeError(f"format must be a string such as jsonl.gz, not {format!r}")
    if format is not None:
        found = _ENDING.fullmatch(f".{format.removeprefix('.')}")
        if found is None:
            raise ValueError(f"unknown format {format!r}; formats are {_KNOWN}")
        return _format(found)
    is_path = isinstance(path, (str, os.PathLike)) and path != "-"
    name = _name(path)
    found = re.search(rf"{_ENDING.pattern}$", name, re.IGNORECASE)
    if found is not None:
        return _format(found)
    if is_path:
        raise ValueError(f"{name} has no known suffix ({_KNOWN}); pass format=")
    return Format("jsonl", None)


def _name(path: str | os.PathLike[str] | BinaryIO) -> str:
    if is_url(path):
        return strip_secrets(path).partition("#")[0]
    if isinstance(path, (str, os.PathLike)):
        return os.fspath(path)
    name = getattr(path, "name", None)
    return name if isinstance(name, str) else ""


def _format(found: re.Match[str]) -> Format:
    name, compression = (part and part.lower() for part in found.groups())
    return Format(cast("Name", name), cast("Compression | None", compression))


class Target(io.BufferedIOBase, BinaryIO):
    """A file that compresses what is written to it.

    Attributes:
        stored: The size in bytes, as stored; final after `finish`.
    """

    mode = "wb"

    def __init__(self, file: BinaryIO, compressor: Compressor) -> None:
        super().__init__()
        self._file = file
        self._compressor = compressor
        self.stored: int = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        data = data if isinstance(data, bytes) else bytes(memoryview(data))
        self._store(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        """Write the rest from the compressor; nothing can be written after this."""
        self._store(self._compressor.flush())
        self._file.flush()

    def _store(self, data: bytes) -> None:
        self.stored += len(data)
        while data:
            # Raw files may write only a part, or nothing; some file-like objects return None.
            written: int | None = self._file.write(data)
            if written is None and isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(
                    errno.EAGAIN, "the file is in non-blocking mode and cannot be written to now"
                )
            data = b"" if written is None else data[written:]


@contextmanager
def target(
    path: str | os.PathLike[str] | BinaryIO,
    *,
    compression: Compression | None,
    overwrite: bool = False,
    is_last: bool = True,
) -> Iterator[Target]:
    """Open a file to write, which appears when the block has ended without an error.

    After an error, nothing is changed, except for standard output, devices, pipes and files that were
    already open.

    Args:
        path: A path, a URL, ``"-"`` for standard output, or an open binary file, which is not closed.
        compression: The compression; None: none.
        overwrite: Replace an existing file.
        is_last: Whether nothing is left to do when the file is in place.

    Raises:
        FileExistsError: The file exists, or was created by another process in the meantime.
        OSError: It cannot be written.
        TypeError: The file is open for text.
        ImportError: URLs need fsspec, which is not installed.
    """
    with (
        _open_file(path, overwrite=overwrite, is_last=is_last) as file,
        Target(file, compressor(compression)) as out,
    ):
        yield out
        out.finish()


def _open_file(
    path: str | os.PathLike[str] | BinaryIO, *, overwrite: bool, is_last: bool
) -> AbstractContextManager[BinaryIO]:
    """Open the file that stores the bytes; it is in place when the block has ended without an error."""
    path = strip_file_scheme(path)
    if path == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        sys.stdout.flush()
        return _use_open_file(sys.stdout.buffer)
    if is_url(path):
        return upload(path, overwrite=overwrite)
    if not isinstance(path, (str, os.PathLike)):
        return _use_open_file(path)
    real = Path(os.path.realpath(path))
    try:
        status = real.stat()
    except FileNotFoundError:
        real.parent.stat()
        return _replace(real, None, overwrite=overwrite, is_last=is_last)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        return real.open("wb")
    if not overwrite:
        raise _exists(os.fspath(path))
    return _replace(real, stat.S_IMODE(status.st_mode), overwrite=overwrite, is_last=is_last)


def _exists(name: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


@contextmanager
def _use_open_file(file: BinaryIO) -> Iterator[BinaryIO]:
    refuse_text(file)
    yield file


@contextmanager
def _replace(path: Path, mode: int | None, *, overwrite: bool, is_last: bool) -> Iterator[BinaryIO]:
    """Open a new file that replaces *path* in the end, with the *mode* of the replaced file."""
    # Nobody may read it who may not read the replaced file.
    with open_temporary(path, 0o666 if mode is None else mode) as (file, temporary):
        try:
            if mode is not None:
                temporary.chmod(mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            for announce in before_last_step if is_last else ():
                announce()
            _place(temporary, path, overwrite=overwrite)
        except BaseException as error:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError) and error.filename == str(temporary):
                error.filename = str(path)
            raise
    sync_folder(path.parent)


def _place(temporary: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise _exists(str(path)) from None
    except OSError:  # no hard links here
        if os.path.lexists(path):
            raise _exists(str(path)) from None
        temporary.replace(path)
    else:
        temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names of the files in a *folder* durable."""
    with suppress(OSError):  # some systems cannot open directories, and some file systems cannot sync them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
