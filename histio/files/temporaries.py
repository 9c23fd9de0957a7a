"""Temporary files beside the files that they become, and those that killed processes have left."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_log = logging.getLogger("histio")

_NAME = 50


@contextmanager
def open_temporary(path: Path, mode: int) -> Iterator[tuple[BinaryIO, Path]]:
    """Create a file with this *mode* that becomes *path*, after removing those that were left there.

    It is locked until the block ends, even if the file is closed before. A lock ends with its process, so an
    unlocked file is one that a killed process has left.

    Yields:
        The file and its path. The caller renames or removes it.

    Raises:
        OSError: The file cannot be created; the error names *path*.
    """
    _sweep(path)
    while True:
        temporary = path.with_name(f"{temporary_prefix(path)}{secrets.token_hex(8)}")
        try:
            opened = open(temporary, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115 - closed below
        except OSError as error:
            error.filename = str(path)
            raise
        with opened as file, _locked(file):
            if temporary.exists():  # else another process has swept it before it was locked
                yield file, temporary
                return


def temporary_prefix(path: Path) -> str:
    """The beginning of the names of temporary files for *path* only.

    It shows where a leftover comes from, has no known suffix, and is not longer than allowed.
    """
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    return f".histio-{path.name.split('.')[0][:_NAME]}-{digest}-"


def _locked(file: BinaryIO) -> AbstractContextManager[None]:
    """Lock *file* in the block, even if it is closed there; where files cannot be locked, do nothing."""
    return _lock(lambda: os.dup(file.fileno()))


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Wait until no other process has locked *folder*, and lock it in the block, where that is possible."""
    return _lock(lambda: os.open(folder, os.O_RDONLY))


@contextmanager
def _lock(open_descriptor: Callable[[], int]) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    lock = open_descriptor()
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def make_temporary_folder(path: Path) -> Iterator[Path]:
    """Make a folder that becomes *path*, after removing those that were left there.

    It is locked until the block ends, as the file of `open_temporary` is. The caller renames or removes it.

    Raises:
        OSError: The folder cannot be made; the error names *path*.
    """
    _sweep_folders(path)
    with ExitStack() as stack:
        while True:
            temporary = path.with_name(f"{temporary_prefix(path)}{secrets.token_hex(8)}")
            try:
                temporary.mkdir()
            except OSError as error:
                error.filename = str(path)
                raise
            with suppress(FileNotFoundError):  # another process may sweep it before it is locked
                stack.enter_context(lock_folder(temporary))
            if temporary.exists():
                break
        yield temporary


def _sweep_folders(path: Path) -> None:
    """Remove the temporary folders for *path* that no process holds locked."""
    if fcntl is None:
        return
    with suppress(OSError):
        for folder in path.parent.glob(f"{glob.escape(temporary_prefix(path))}*"):
            if _is_left(folder):
                shutil.rmtree(folder)
                _log.info("removed a temporary folder of a process that was killed")


def _is_left(folder: Path) -> bool:
    """Whether no process holds the temporary *folder* locked."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def lock_or_fail(file: BinaryIO, path: Path) -> Iterator[None]:
    """Lock *file* in the block; where files cannot be locked, do nothing.

    Raises:
        BlockingIOError: Another process has locked it; the error names *path*.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, "another process uses the file", str(path)) from None
        except OSError:  # a file system without locks
            _log.debug("%s cannot be locked", path.name)
    yield


def _sweep(path: Path) -> None:
    """Remove the temporary files for *path* that no process holds locked."""
    if fcntl is None:
        return
    prefix = temporary_prefix(path)
    with suppress(OSError), os.scandir(path.parent) as entries:
        left = [entry for entry in entries if entry.name.startswith(prefix)]
        removed = sum(_remove(entry.path) for entry in left if entry.is_file(follow_symlinks=False))
        if removed:
            _log.info("removed %d temporary files of exports that were killed", removed)


def _remove(temporary: str) -> bool:
    """Remove a file unless a process holds it locked; whether it was removed."""
    with suppress(OSError):
        file = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(temporary).unlink()
        finally:
            os.close(file)
        return True
    return False
