"""A temporary database on disk, for what does not fit into memory."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import Any, Self

_PAGE = 500
"""The number of rows that are read at once."""


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

    def _pages(
        self, select: str, *parameters: Any, after: int = 0, size: int = _PAGE
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of *select*, some at a time; the tables may change between two pages.

        Args:
            select: A SELECT that is sorted by its first column, a number. Its last two parameters are the
                number after which a page begins, and the number of rows in a page.
            parameters: Its other parameters.
            after: The number after which the first page begins.
            size: The number of rows in a page.
        """
        while page := self._database.execute(select, (*parameters, after, size)).fetchall():
            after = page[-1][0]
            yield page

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if "_database" in vars(self):
            self._database.close()
        # SQLAlchemy wraps errors of the host's database, so this is an error of the temporary file.
        if isinstance(error, sqlite3.Error):
            raise OSError(f"a temporary file in {tempfile.gettempdir()} cannot be used: {error}") from error
