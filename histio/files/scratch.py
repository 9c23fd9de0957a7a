"""A temporary database on disk, for what does not fit into memory."""

from __future__ import annotations

import sqlite3
import tempfile
from typing import Self


class Scratch:
    """A SQLite database in a temporary file, with these *tables*.

    The file has no name, and is removed when the block or the process ends. Small databases stay in memory.
    """

    def __init__(self, tables: str) -> None:
        # With an empty name, SQLite makes a private database that moves from memory to disk.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(f"PRAGMA journal_mode = OFF; {tables}")
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._database.close()
        # Errors of the host's database are wrapped by SQLAlchemy, so this is one of the temporary file.
        if isinstance(error, sqlite3.Error):
            raise OSError(f"a temporary file in {tempfile.gettempdir()} cannot be used: {error}") from error
