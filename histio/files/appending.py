"""Add lines to a file, which are on disk when they have been added."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

_CHUNK = 2**16


class LineWriter:
    """Adds lines to a file, which are on disk when a method returns.

    A last line that a killed process has left incomplete is removed.

    Args:
        file: The file, open to read and write.
    """

    def __init__(self, file: BinaryIO) -> None:
        os.truncate(file.fileno(), _end_of_lines(file))
        file.seek(0, os.SEEK_END)
        self._file = file

    def add(self, texts: Iterable[str]) -> None:
        """Add a line for each JSON text. If one cannot be written, none is kept.

        Raises:
            OSError: They cannot be written.
        """
        before = self._file.tell()
        try:
            for text in texts:
                self._file.write(f"{text}\n".encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                os.truncate(self._file.fileno(), before)
            raise


def _end_of_lines(file: BinaryIO) -> int:
    """Where the last complete line of *file* ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _CHUNK)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
