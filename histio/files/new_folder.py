"""Write a folder of files that appears as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from histio.files.targets import sync_folder
from histio.files.temporaries import make_temporary_folder, temporary_prefix
from histio.files.urls import is_url, strip_file_scheme
from histio.progress import before_last_step
from histio.redact import strip_secrets
from histio.wire import quote

_INSIDE = "tables"
"""The name from which temporary names in an existing folder are derived."""


@contextmanager
def new_folder(
    path: str | os.PathLike[str], *, overwrite: bool, replaceable: Collection[str]
) -> Iterator[Path]:
    """Make a folder of files that appear together when the block has ended without an error.

    After an error, or if the process is killed, *path* is what it was before: a new folder gets its name, and
    the files in an existing one get theirs, when all are on the disk.

    Args:
        path: The folder; its parent exists.
        overwrite: Whether to replace files in an existing folder.
        replaceable: The names of the files that may be replaced; an existing folder has no others.

    Yields:
        The folder in which to write the files, which is a temporary one.

    Raises:
        FileExistsError: The folder has files, and *overwrite* is false.
        NotADirectoryError: *path* is a file.
        ValueError: *path* is not a local path, or the folder has files that are not *replaceable*.
        OSError: The folder cannot be made.
    """
    place = _local(path)
    existing = _Existing(place, os.fspath(path), replaceable, overwrite=overwrite)
    is_new = existing.list() is None
    with make_temporary_folder(place if is_new else place / _INSIDE) as temporary:
        try:
            yield temporary
            _sync(temporary)
            for announce in before_last_step:
                announce()
            left = existing.list()
            if left is None:
                temporary.rename(place)
            else:
                _move(temporary, place, left)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError) and str(error.filename).startswith(str(temporary)):
                error.filename = str(error.filename).replace(str(temporary), os.fspath(path), 1)
            raise
    sync_folder(place.parent)


def _local(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"tables are written to a folder, not to {quote(path)}")
    if os.fspath(path) in ("", "-"):
        raise ValueError(f"tables are written to a folder, not to {quote(path)}")
    path = strip_file_scheme(path)
    if is_url(path):
        raise ValueError(f"{strip_secrets(path)}: tables are written to a local folder, not to a URL")
    return Path(os.path.realpath(path))


@dataclass(frozen=True, slots=True)
class _Existing:
    """A folder that may exist; *name* is its path as it was passed."""

    place: Path
    name: str
    replaceable: Collection[str]
    overwrite: bool

    def list(self) -> list[Path] | None:
        """The files to replace; None: there is no folder.

        Raises:
            OSError: It cannot be written, or not without *overwrite*.
            ValueError: It has files that are not *replaceable*.
        """
        try:
            status = self.place.stat()
        except FileNotFoundError:
            self.place.parent.stat()
            return None
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.name)
        temporary = temporary_prefix(self.place / _INSIDE)
        files = [file for file in sorted(self.place.iterdir()) if not file.name.startswith(temporary)]
        if files and not self.overwrite:
            raise FileExistsError(errno.EEXIST, "the folder is not empty", self.name)
        for file in files:
            if file.name not in self.replaceable or (file.is_dir() and not file.is_symlink()):
                text = f"has {quote(file.name)}, which is not one of the tables: choose another folder"
                raise ValueError(f"{self.name} {text}")
        return files


def _sync(folder: Path) -> None:
    """Make the files in a *folder* durable."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    sync_folder(folder)


def _move(temporary: Path, place: Path, old: Collection[Path]) -> None:
    """Move the files of *temporary* to *place*, without the *old* ones: tables of both would not fit."""
    for file in old:
        file.unlink()
    for file in temporary.iterdir():
        file.rename(place / file.name)
    temporary.rmdir()
    sync_folder(place)
