"""Remember on disk what an import needs to know about all the runs that it has read."""

from __future__ import annotations

import functools
import pickle
import sqlite3
from collections.abc import Iterable, Iterator

from histio.files.raw_runs import RawRun
from histio.files.scratch import Scratch
from histio.importing.graph import RunGraph

_TABLES = """
CREATE TABLE noted (scope TEXT, name TEXT, place TEXT);
CREATE TABLE packed (noted BLOB);
CREATE TABLE waiting (number INTEGER PRIMARY KEY, raw BLOB);
"""

_IN_MEMORY = 1_000
"""The number of names that are kept in memory before they go into the database."""


class Spool(Scratch):
    """Names with their places in the file, and raw runs that wait for others.

    Attributes:
        waiting: The number of waiting runs.
    """

    def __init__(self) -> None:
        super().__init__(_TABLES)
        self._number = 0
        self._scopes: set[str] = set()
        self._indexed = False
        self._held: dict[int, RawRun] = {}
        self._unwritten: list[tuple[str, str, str]] = []
        self._has_packed = False
        self._of_window: sqlite3.Connection | None = None
        self.waiting: int = 0

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._of_window is not None:
            self._of_window.close()
        super().__exit__(kind, error, traceback)

    @functools.cached_property
    def graph(self) -> RunGraph:
        """The references between waiting runs, which are nodes by their number."""
        return RunGraph(self._database)

    @functools.cached_property
    def window(self) -> RunGraph:
        """A graph for runs that are in memory."""
        self._of_window = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        return RunGraph(self._of_window)

    def note(self, scope: str, names: Iterable[tuple[str, str]]) -> None:
        """Remember *names* of a *scope*, each with its place; a name that is known keeps its first place."""
        noted = [(scope, name, place) for name, place in names]
        if noted:
            self._scopes.add(scope)
            self._unwritten += noted
        if len(self._unwritten) > _IN_MEMORY:
            self._database.execute("INSERT INTO packed VALUES (?)", (pickle.dumps(self._unwritten),))
            self._unwritten.clear()
            self._has_packed = True

    def _write_noted(self) -> None:
        """Make rows of what was noted: most imports never need them."""
        if self._has_packed:
            for (packed,) in self._database.execute("SELECT noted FROM packed ORDER BY rowid"):
                self._insert_noted(pickle.loads(packed))  # noqa: S301 - written above, in a file without name
            self._database.execute("DELETE FROM packed")
            self._has_packed = False
        if self._unwritten:
            self._insert_noted(self._unwritten)
            self._unwritten.clear()

    def _insert_noted(self, noted: Iterable[tuple[str, str, str]]) -> None:
        self._database.executemany("INSERT INTO noted VALUES (?, ?, ?)", noted)

    def place(self, scope: str, name: str) -> str | None:
        """The place at which *name* of *scope* was first noted; None: it was not noted."""
        if scope not in self._scopes:
            return None
        self._write_noted()
        if not self._indexed:  # created when it is needed, because it is slow and most imports never need it
            self._database.execute("CREATE INDEX named ON noted (scope, name)")
            self._indexed = True
        select = "SELECT place FROM noted WHERE scope = ? AND name = ? ORDER BY rowid LIMIT 1"
        row = self._database.execute(select, (scope, name)).fetchone()
        return None if row is None else row[0]

    def noted(self, scope: str) -> Iterator[tuple[str, str]]:
        """The names that were noted in *scope*, with their places, in this order."""
        self._write_noted()
        noted = "SELECT rowid, name, place FROM noted WHERE scope = ? AND rowid > ? ORDER BY rowid LIMIT ?"
        for page in self._pages(noted, scope):
            yield from ((name, place) for _, name, place in page)

    def mark(self) -> int:
        """The current state, for `forget`."""
        self._write_noted()
        return int(self._database.execute("SELECT coalesce(max(rowid), 0) FROM noted").fetchone()[0])

    def forget(self, mark: int) -> None:
        """Forget the names that were noted after *mark*."""
        self._write_noted()
        self._database.execute("DELETE FROM noted WHERE rowid > ?", (mark,))

    def wait(self, raw: RawRun, number: int | None) -> int:
        """Let *raw* wait, and return its number: *number*, if it has waited before."""
        if number is None:
            number = self._number = self._number + 1
        if not raw.size:  # part of a document, which is in memory anyway
            self._held[number] = raw
        kept = pickle.dumps(raw) if raw.size else None
        self._database.execute("INSERT INTO waiting VALUES (?, ?)", (number, kept))
        self.waiting += 1
        return number

    def raw_run(self, number: int) -> RawRun:
        """The waiting run with this *number*."""
        select = "SELECT raw FROM waiting WHERE number = ?"
        return self._raw_run(number, self._database.execute(select, (number,)).fetchone()[0])

    def _raw_run(self, number: int, kept: bytes | None) -> RawRun:
        if kept is None:
            return self._held[number]
        return pickle.loads(kept)  # type: ignore[no-any-return]  # noqa: S301 - written above, in a file without name

    def end(self, numbers: Iterable[int]) -> None:
        """Remove waiting runs."""
        for number in numbers:
            self._held.pop(number, None)
            self.waiting -= self._database.execute("DELETE FROM waiting WHERE number = ?", (number,)).rowcount

    def pop_waiting(self) -> Iterator[tuple[RawRun, int]]:
        """Remove and yield the waiting runs with their numbers, apart from those that are added meanwhile."""
        self.graph.clear()
        taken = "SELECT number, raw FROM waiting WHERE number <= ? AND number > ? ORDER BY number LIMIT ?"
        for page in self._pages(taken, self._number):
            found = [(self._raw_run(number, kept), number) for number, kept in page]
            self.end(number for number, _ in page)
            yield from found
