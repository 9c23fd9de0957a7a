"""Write a folder of files that appears as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from histio.files.targets import sync_folder
from histio.files.temporaries import make_temporary_folder
from histio.files.urls import is_url, strip_file_scheme
from histio.progress import before_last_step
from histio.redact import strip_secrets
from histio.wire import quote


@contextmanager
def new_folder(
    path: str | os.PathLike[str], *, overwrite: bool, replaceable: Collection[str]
) -> Iterator[Path]:
    """Make a folder that gets the name *path* when the block has ended without an error.

    After an error, or if the process is killed, *path* is what it was before.

    Args:
        path: The folder to make; its parent exists. It may be an empty folder.
        overwrite: Whether to replace a folder that has files.
        replaceable: The names of the files that a folder may have to be replaced.

    Yields:
        The folder in which the files are written, which has another name until the end.

    Raises:
        FileExistsError: The folder has files, and *overwrite* is false.
        NotADirectoryError: *path* is a file.
        ValueError: *path* is not a local path, or the folder has files that are not *replaceable*.
        OSError: The folder cannot be made.
    """
    place = _local(path)
    _check(place, path, overwrite=overwrite, replaceable=replaceable)
    with make_temporary_folder(place) as temporary:
        try:
            yield temporary
            _sync(temporary)
            for announce in before_last_step:
                announce()
            _check(place, path, overwrite=overwrite, replaceable=replaceable)
            _put_in_place(temporary, place, f"{temporary.name}-old")
        except BaseException as error:
            with suppress(OSError):
                shutil.rmtree(temporary)
            if isinstance(error, OSError) and str(error.filename).startswith(str(temporary)):
                error.filename = str(error.filename).replace(str(temporary), os.fspath(path), 1)
            raise
    sync_folder(place.parent)


def _local(path: str | os.PathLike[str]) -> Path:
    if path == "-" or not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"tables are written to a folder, not to {quote(path)}")
    path = strip_file_scheme(path)
    if is_url(path):
        raise ValueError(f"{strip_secrets(path)}: tables are written to a local folder, not to a URL")
    return Path(os.path.realpath(path))


def _check(
    place: Path, path: str | os.PathLike[str], *, overwrite: bool, replaceable: Collection[str]
) -> None:
    try:
        status = place.stat()
    except FileNotFoundError:
        place.parent.stat()
        return
    name = os.fspath(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    existing = sorted(each.name for each in place.iterdir())
    if existing and not overwrite:
        raise FileExistsError(errno.EEXIST, "the folder is not empty", name)
    others = [each for each in existing if each not in replaceable]
    if others:
        raise ValueError(
            f"{name} has {quote(others[0])}, which is not one of the tables: choose another folder"
        )


def _sync(folder: Path) -> None:
    """Make the files in a *folder* durable."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    sync_folder(folder)


def _put_in_place(temporary: Path, place: Path, aside: str) -> None:
    """Give *temporary* the name *place*; a folder of that name is moved *aside*, then removed."""
    old = place.with_name(aside)
    try:
        place.rename(old)
    except FileNotFoundError:
        temporary.rename(place)
        return
    try:
        temporary.chmod(stat.S_IMODE(old.stat().st_mode))
        temporary.rename(place)
    except BaseException:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)  # what is left, the next call removes
