"""A temporary database on disk, for what does not fit into memory."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from typing import Self


class Scratch:
    """A SQLite database in a temporary file, opened when it is first used. Small ones stay in memory.

    The file has no name, and is removed when the block or the process ends.

    Args:
        tables: The SQL statements that create the tables.
    """

    def __init__(self, tables: str) -> None:
        self._creation = tables

    @functools.cached_property
    def _database(self) -> sqlite3.Connection:
        # With an empty name, SQLite opens a private database that it moves from memory to disk.
        database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        database.executescript(f"PRAGMA journal_mode = OFF; {self._creation}")
        database.execute("BEGIN")
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if "_database" in vars(self):
            self._database.close()
        # SQLAlchemy wraps errors of the host's database, so this is an error of the temporary file.
        if isinstance(error, sqlite3.Error):
            raise OSError(f"a temporary file in {tempfile.gettempdir()} cannot be used: {error}") from error
