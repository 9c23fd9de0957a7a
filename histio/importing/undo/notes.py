"""Keep on disk what a receipt says, and what is decided about each run."""

from __future__ import annotations

import enum
import pickle
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from histio.files.scratch import Scratch
from histio.report import Code
from histio.tuning import tuning

_TABLES = """
CREATE TABLE line (number INTEGER PRIMARY KEY, kind TEXT, identity TEXT, sha256 TEXT, before TEXT);
CREATE TABLE run (number INTEGER PRIMARY KEY, kind TEXT, identity TEXT, step TEXT, name TEXT, key BLOB,
                  before TEXT, level INTEGER);
CREATE TABLE reference (source INTEGER, target INTEGER, foreign_key INTEGER, key BLOB);
CREATE TABLE obstacle (run INTEGER, code TEXT, text TEXT);
"""

_INDEXES = """
CREATE INDEX line_of_run ON line (kind, identity);
INSERT INTO run (number, kind, identity, step) SELECT min(number), kind, identity, 'unread' FROM line
    GROUP BY kind, identity;
CREATE INDEX run_of_step ON run (kind, step);
CREATE INDEX run_of_name ON run (kind, name);
CREATE INDEX reference_of_target ON reference (target);
CREATE INDEX reference_of_source ON reference (source);
CREATE INDEX obstacle_of_run ON obstacle (run);
"""

_LEFT = """
WITH RECURSIVE kept (run) AS (
    SELECT run FROM obstacle UNION
    SELECT target FROM reference JOIN kept ON reference.source = kept.run
) UPDATE run SET step = 'left' WHERE step = 'remove' AND number IN kept
"""


class Step(enum.StrEnum):
    """What is to be done about a run, or was.

    Attributes:
        UNREAD: It has to be compared with what is stored.
        GONE: Nothing.
        REMOVE: It is to be removed.
        RESTORE: It is to be put back.
        LEFT: It stays as it is, for a reason.
        REMOVED: It was removed.
    """

    UNREAD = enum.auto()
    GONE = enum.auto()
    REMOVE = enum.auto()
    RESTORE = enum.auto()
    LEFT = enum.auto()
    REMOVED = enum.auto()


@dataclass(frozen=True, slots=True)
class Line:
    """What a line of a receipt says about a run.

    Attributes:
        number: The 1-based number of the line.
        sha256: The digest of the run after the import; None: it could not be read.
        before: The JSON of the run before the import; None: it did not exist.
    """

    number: int
    sha256: str | None
    before: str | None


class Notes(Scratch):
    """The lines of a receipt, and by the number of its first line what is decided about each run."""

    def __init__(self) -> None:
        super().__init__(_TABLES)

    def read(self, lines: Iterable[tuple[int, str, str, str | None, str | None]]) -> None:
        """Note all lines: number, kind, identity as JSON, digest and record."""
        self._database.executemany("INSERT INTO line VALUES (?, ?, ?, ?, ?)", lines)
        for statement in _INDEXES.split(";\n"):
            self._database.execute(statement)

    def runs(self, kind: str, step: Step) -> Iterator[list[tuple[int, str]]]:
        """The runs of *kind* at *step*, a page at a time: their numbers, and their identities as JSON."""
        select = "SELECT number, identity FROM run WHERE kind = ? AND step = ? AND number > ? ORDER BY number"
        return self._pages(f"{select} LIMIT ?", kind, step, size=tuning().page)

    def lines(self, kind: str, identities: Collection[str]) -> dict[str, list[Line]]:
        """The lines of runs, in order, by their identities as JSON."""
        among = ", ".join("?" * len(identities))
        select = f"SELECT identity, number, sha256, before FROM line WHERE kind = ? AND identity IN ({among})"  # noqa: S608
        found: dict[str, list[Line]] = {}
        for identity, *line in self._database.execute(f"{select} ORDER BY number", (kind, *identities)):
            found.setdefault(identity, []).append(Line(*line))
        return found

    def decide(
        self, number: int, step: Step, *, key: tuple[Any, ...] | None = None, before: str | None = None
    ) -> None:
        """Note what to do about a run.

        Args:
            number: The number of the run.
            step: What to do.
            key: Its primary key.
            before: The JSON of the record to put back.
        """
        given = step, repr(key), None if key is None else pickle.dumps(key), before, number
        self._database.execute(
            "UPDATE run SET step = ?, name = ?, key = ?, before = ? WHERE number = ?", given
        )

    def to_put_back(self, kind: str) -> Iterator[tuple[int, str]]:
        """The runs of *kind* to put back, the last of them first: number, and JSON of the record."""
        select = (
            "SELECT number, before FROM run WHERE kind = ? AND step = 'restore' AND number < ? "
            "ORDER BY number DESC LIMIT ?"
        )
        for page in self._pages(select, kind, after=2**63 - 1):
            yield from page

    def keys(self, kind: str, *, level: int | None = None) -> Iterator[dict[int, tuple[Any, ...]]]:
        """The primary keys of the runs of *kind* to remove, by number, some at a time.

        *level*: only those of this level.
        """
        of_level = "" if level is None else f"AND level = {level}"
        select = (
            "SELECT number, key FROM run WHERE kind = ? AND step = 'remove' AND number > ? "  # noqa: S608
            f"{of_level} ORDER BY number LIMIT ?"
        )
        for page in self._pages(select, kind):
            yield {number: pickle.loads(key) for number, key in page}  # noqa: S301 - written above

    def find(self, kind: str, keys: Collection[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
        """The numbers of those runs of *kind* to remove that have one of the primary *keys*, by key."""
        found: dict[tuple[Any, ...], int] = {}
        select = "SELECT number FROM run WHERE kind = ? AND name = ? AND step = 'remove'"
        for key in keys:
            for (number,) in self._database.execute(select, (kind, repr(key))):
                found[key] = number
        return found

    def add_obstacle(self, number: int, code: Code, text: str) -> None:
        """Note why a run has to be left."""
        self._database.execute("INSERT INTO obstacle VALUES (?, ?, ?)", (number, code, text))

    def obstacles(self, number: int) -> list[tuple[Code, str]]:
        """Why a run has to be left; empty: because of another one, which refers to it."""
        select = "SELECT DISTINCT code, text FROM obstacle WHERE run = ? ORDER BY rowid LIMIT 10"
        return self._database.execute(select, (number,)).fetchall()

    def add_references(self, references: Iterable[tuple[int, int, int, tuple[Any, ...]]]) -> None:
        """Note references between runs to remove: source, target, foreign key and key of the row with it."""
        rows = ((*numbers, pickle.dumps(key)) for *numbers, key in references)
        self._database.executemany("INSERT INTO reference VALUES (?, ?, ?, ?)", rows)

    def has_references(self, foreign_key: int) -> bool:
        """Whether there are references by a foreign key."""
        select = "SELECT 1 FROM reference WHERE foreign_key = ? LIMIT 1"
        return self._database.execute(select, (foreign_key,)).fetchone() is not None

    def leave_obstructed(self) -> None:
        """Leave the runs that cannot be removed, and all that these refer to."""
        self._database.execute(_LEFT)

    def referring_rows(self, foreign_key: int) -> Iterator[list[tuple[Any, ...]]]:
        """The keys of the rows, of runs to remove, that refer by a foreign key, some at a time."""
        select = (
            "SELECT reference.rowid, reference.key FROM reference JOIN run ON number = source "
            "WHERE foreign_key = ? AND step = 'remove' AND reference.rowid > ? "
            "ORDER BY reference.rowid LIMIT ?"
        )
        for page in self._pages(select, foreign_key):
            yield [pickle.loads(key) for _, key in page]  # noqa: S301 - written above

    def set_levels(self, kinds: Sequence[str], hard: Collection[int]) -> int:
        """Order the runs to remove, so that none is removed before those that refer to it by *hard* keys.

        Returns:
            The number of levels, which start at 0. Runs in a circle are in the last one.
        """
        database, of_kinds = self._database, f"step = 'remove' AND kind IN ({', '.join('?' * len(kinds))})"
        database.execute(f"UPDATE run SET level = NULL WHERE {of_kinds}", kinds)  # noqa: S608 - only marks
        awaited = (
            "SELECT target FROM reference JOIN run AS other ON other.number = source "  # noqa: S608
            f"WHERE foreign_key IN ({', '.join(map(str, hard))}) AND source <> target "
            "AND other.level IS NULL AND other.step = 'remove'"
        )
        level, last = 0, f"UPDATE run SET level = ? WHERE {of_kinds} AND level IS NULL"  # noqa: S608
        while hard and database.execute(f"{last} AND number NOT IN ({awaited})", (level, *kinds)).rowcount:
            level += 1
        return level + (database.execute(last, (level, *kinds)).rowcount > 0)

    def end(self, kind: str) -> None:
        """Note that the runs of *kind* to remove were removed."""
        self._database.execute("UPDATE run SET step = 'removed' WHERE step = 'remove' AND kind = ?", (kind,))

    def take_up_again(self) -> bool:
        """Mark the runs to be removed that were left because of obstacles; return whether there are any."""
        tried = "UPDATE run SET step = 'remove' WHERE step = 'left' AND key IS NOT NULL"
        is_any = self._database.execute(tried).rowcount > 0
        self._database.execute(
            "DELETE FROM obstacle WHERE run IN (SELECT number FROM run WHERE step = 'remove')"
        )
        self._database.execute("DELETE FROM reference")
        return is_any

    def has(self, kind: str) -> bool:
        """Whether the receipt has lines about runs of *kind*."""
        return self._database.execute("SELECT 1 FROM run WHERE kind = ?", (kind,)).fetchone() is not None

    def count(self, kind: str, step: Step) -> int:
        """The number of runs of *kind* at *step*."""
        select = "SELECT count(*) FROM run WHERE kind = ? AND step = ?"
        return int(self._database.execute(select, (kind, step)).fetchone()[0])
