"""Disks with little room."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Files cannot be longer than *size*, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class Limit:
    """A folder, for whose files there is a limit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """A block in which no file can be longer than *size* bytes."""
        with file_limit(size):
            yield

    def close(self) -> None:
        pass


class Disk:
    """A disk in memory, which only root can mount."""

    def __init__(self, folder: Path, *, size: str = "32m") -> None:
        if os.geteuid():
            pytest.skip("only root can mount a disk")
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("disks cannot be mounted here, as in most containers")
        self._mounted = folder
        self.folder = folder / "work"
        self.folder.mkdir()

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """A block in which the disk has no more than *size* bytes left."""
        filler = self._mounted / "filler"
        found = os.statvfs(self._mounted)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(found.f_bavail * found.f_frsize - size, 1))
        try:
            yield
        finally:
            filler.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", self._mounted], check=True)
