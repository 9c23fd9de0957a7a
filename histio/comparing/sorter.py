"""Sort the runs of files on disk, and find those that come several times."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from histio.comparing.positions import Position
from histio.files.scratch import Scratch

Positioned: TypeAlias = tuple[Position, Any]
"""The position of a run, and its record."""

BATCH = 500
"""Positions of runs that are held in memory at once."""

_TABLES = """
CREATE TABLE seen (kind INTEGER, identity TEXT, number INTEGER);
CREATE TABLE repeated (kind INTEGER, identity TEXT, last INTEGER, PRIMARY KEY (kind, identity)) WITHOUT ROWID;
CREATE TABLE sorted (kind INTEGER, time TEXT, rank TEXT, identity TEXT, record BLOB);
"""


class RunSorter(Scratch):
    """Sorts runs, and remembers which come several times, in a temporary database."""

    def __init__(self) -> None:
        super().__init__(_TABLES)
        self._has_repeated = False

    def add_seen(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Add the kind, the identity and the number of runs that may come several times."""
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?)", rows)

    def find_repeated(self) -> None:
        """Find the runs that come several times, after all have been seen."""
        self._database.execute(
            "INSERT INTO repeated SELECT kind, identity, MAX(number) FROM seen "
            "GROUP BY kind, identity HAVING COUNT(*) > 1"
        )
        self._database.execute("DROP TABLE seen")
        self._has_repeated = bool(self._database.execute("SELECT 1 FROM repeated LIMIT 1").fetchall())

    def is_last(self, position: Position, number: int) -> bool:
        """Whether the run of this *number* is the last one with its identity."""
        if not self._has_repeated:
            return True
        last = "SELECT last FROM repeated WHERE kind = ? AND identity = ?"
        row = self._database.execute(last, (position.kind, position.identity)).fetchone()
        return row is None or row[0] == number

    def add(self, runs: Iterator[Positioned]) -> None:
        """Add *runs* to those that `sorted_runs` yields."""
        rows = ((*position, pickle.dumps(record)) for position, record in runs)
        self._database.executemany("INSERT INTO sorted VALUES (?, ?, ?, ?, ?)", rows)

    def sorted_runs(self) -> Iterator[Positioned]:
        """Yield the added runs by their positions."""
        self._database.execute("CREATE INDEX position ON sorted (kind, time, rank)")
        for *position, record in self._database.execute("SELECT * FROM sorted ORDER BY kind, time, rank"):
            yield Position(*position), pickle.loads(record)  # noqa: S301 - written above, in a file without name
