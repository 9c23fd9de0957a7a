"""What an import has to remember of all the runs it has seen, on disk and not in memory."""

from __future__ import annotations

import pickle
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, Self

from histio.entries import Entry

_TABLES = """
CREATE TABLE noted (scope TEXT, name TEXT, place TEXT);
CREATE TABLE waiting (round INTEGER, number INTEGER, entry BLOB, PRIMARY KEY (round, number)) WITHOUT ROWID;
"""

_PAGE = 500


class Scratch:
    """A database in a temporary file, with these *tables*.

    The file has no name and is gone when the block ends, or the process. Small ones stay in memory.
    """

    def __init__(self, tables: str) -> None:
        # An empty name makes a private database that spills from its cache to the disk.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(f"PRAGMA journal_mode = OFF; {tables}")
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._database.close()
        # What a database of the host's raises has been wrapped by SQLAlchemy.
        if isinstance(error, sqlite3.Error):
            raise OSError(f"a temporary file in {tempfile.gettempdir()} cannot be used: {error}") from error


class Spool(Scratch):
    """Names with the places where they stand, and entries that wait."""

    def __init__(self) -> None:
        super().__init__(_TABLES)
        self._round = 0
        self._number = 0
        self._scopes: set[str] = set()
        self._indexed = False
        self._held: dict[int, Entry] = {}
        self.waiting = 0

    def note(self, scope: str, names: Iterable[tuple[str, str]]) -> None:
        """Remember *names* of a *scope*, each with its place; one that is known keeps its first."""
        noted = [(scope, name, place) for name, place in names]
        if noted:
            self._scopes.add(scope)
            self._database.executemany("INSERT INTO noted VALUES (?, ?, ?)", noted)

    def place(self, scope: str, name: str) -> str | None:
        """Where *name* of *scope* was first noted; None: it was not."""
        if scope not in self._scopes:
            return None
        if not self._indexed:  # most imports never ask, and it would cost them more than all the rest here
            self._database.execute("CREATE INDEX named ON noted (scope, name)")
            self._indexed = True
        asked = "SELECT place FROM noted WHERE scope = ? AND name = ? ORDER BY rowid LIMIT 1"
        row = self._database.execute(asked, (scope, name)).fetchone()
        return None if row is None else row[0]

    def wait(self, entry: Entry, number: int | None) -> None:
        """Put *entry* aside until `again`; with the *number* that it had when it waited before."""
        if number is None:
            number = self._number = self._number + 1
        if not entry.size:  # it is part of a document that is in memory anyway
            self._held[number] = entry
        kept = pickle.dumps(entry) if entry.size else None
        self._database.execute("INSERT INTO waiting VALUES (?, ?, ?)", (self._round, number, kept))
        self.waiting += 1

    def again(self, *, backwards: bool) -> Iterator[tuple[Entry, int]]:
        """What waits, in its order or *backwards*, with its numbers; what comes to wait meanwhile is left."""
        now, self._round, self.waiting = self._round, self._round + 1, 0
        order = "DESC" if backwards else "ASC"
        taken = f"SELECT number, entry FROM waiting WHERE round = ? ORDER BY number {order} LIMIT {_PAGE}"  # noqa: S608
        while page := self._database.execute(taken, (now,)).fetchall():
            for number, entry in page:
                held = self._held.pop(number, None)
                yield held or pickle.loads(entry), number  # noqa: S301 - written above, in a file without name
            numbers: list[tuple[Any, ...]] = [(now, number) for number, _ in page]
            self._database.executemany("DELETE FROM waiting WHERE round = ? AND number = ?", numbers)
