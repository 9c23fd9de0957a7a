"""Find the order in which runs that refer to each other can be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HARD, LATE, BLANK = 0, 1, 2
"""When a run with a reference can be written. HARD: only after the run that it refers to. LATE: before that
run, except for the ledger with the reference. BLANK: before that run, with a null or a placeholder in the
foreign key, which an UPDATE replaces."""

LEFT = -1
"""Instead of a second step: the run was not written, because it exists already."""

_LEVELS = 20
"""With more levels than this, references are left blank, so that runs are written in fewer groups."""

_TABLES = (
    "CREATE TABLE node (number INTEGER PRIMARY KEY, level INTEGER, step INTEGER DEFAULT 0)",
    "CREATE TABLE label (name TEXT, number INTEGER)",
    "CREATE TABLE need (id INTEGER PRIMARY KEY, number INTEGER, softness INTEGER, met INTEGER)",
    "CREATE TABLE way (need INTEGER, name TEXT)",
    "CREATE TABLE stored (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE front (number INTEGER PRIMARY KEY)",
    "CREATE TABLE touched (id INTEGER PRIMARY KEY)",
    "CREATE INDEX node_level ON node (level, number)",
    "CREATE INDEX label_name ON label (name)",
    "CREATE INDEX label_number ON label (number)",
    "CREATE INDEX need_number ON need (number)",
    "CREATE INDEX way_name ON way (name)",
    "CREATE INDEX way_need ON way (need)",
)

# Nodes whose needs are all met, apart from needs that are softer than :counted.
_FREE = """
level IS NULL AND NOT EXISTS (
    SELECT 1 FROM need WHERE need.number = node.number AND NOT met AND softness <= :counted
)
"""

# Nodes with a need that neither a node nor a stored row answers.
_UNANSWERED = """
EXISTS (
    SELECT 1 FROM need WHERE need.number = node.number AND NOT EXISTS (
        SELECT 1 FROM way WHERE way.need = need.id AND (
            EXISTS (SELECT 1 FROM label WHERE label.name = way.name)
            OR EXISTS (SELECT 1 FROM stored WHERE stored.name = way.name)
        )
    )
)
"""

# CROSS keeps the order of the tables: the front is the small one.
_TOUCH = """
INSERT OR IGNORE INTO touched
SELECT way.need FROM front CROSS JOIN label USING (number) CROSS JOIN way USING (name)
"""

_OF_TOUCHED = "number IN (SELECT number FROM need WHERE id IN (SELECT id FROM touched))"

_REMOVAL = (
    "DELETE FROM way WHERE need IN (SELECT need.id FROM front CROSS JOIN need USING (number))",
    "DELETE FROM need WHERE number IN (SELECT number FROM front)",
    "DELETE FROM label WHERE number IN (SELECT number FROM front)",
    "DELETE FROM node WHERE number IN (SELECT number FROM front)",
)

_PAGE = """
SELECT number, level, step FROM node WHERE (level, number) > (:level, :number) AND step >= :least
ORDER BY level, number LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class Need:
    """A reference to a run that is not there yet.

    Attributes:
        names: The names that the run may have, one for each key in which it is looked up.
        softness: HARD, LATE or BLANK.
        late: For LATE, the member of the run whose rows can be written after all runs.
    """

    names: tuple[str, ...]
    softness: int
    late: str | None = None


class RunGraph:
    """Runs by number, with the names that they have and those that they need.

    Args:
        database: A scratch database that stores the graph, so that it takes no memory.

    Attributes:
        is_cut: Whether references were left blank only because there were too many levels.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._made = False
        self.is_cut: bool = False

    def add(self, number: int, names: Iterable[str], needs: Iterable[Need]) -> None:
        """Add a run."""
        self._make()
        execute = self._database.execute
        execute("INSERT INTO node (number) VALUES (?)", (number,))
        self._database.executemany("INSERT INTO label VALUES (?, ?)", [(name, number) for name in names])
        for need in needs:
            added = execute("INSERT INTO need (number, softness) VALUES (?, ?)", (number, need.softness))
            ways = [(added.lastrowid, name) for name in need.names]
            self._database.executemany("INSERT INTO way VALUES (?, ?)", ways)

    def clear(self) -> None:
        """Forget all runs."""
        for table in ("node", "label", "need", "way", "stored") if self._made else ():
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608

    def provide(self, names: Iterable[str]) -> None:
        """Add names of rows that are stored now."""
        self._make()
        self._database.executemany("INSERT OR IGNORE INTO stored VALUES (?)", [(name,) for name in names])

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove runs that are written, or cannot be."""
        if self._made:
            self._database.execute("DELETE FROM front")
            self._database.executemany("INSERT INTO front VALUES (?)", [(number,) for number in numbers])
            self._remove_front()

    def has(self, name: str) -> bool:
        """Whether a run has this *name*; after `solve`, one that can be written."""
        select = "SELECT 1 FROM label WHERE name = ?"
        return self._made and self._database.execute(select, (name,)).fetchone() is not None

    def solve(self, *, cut: bool = True) -> int:
        """Remove the runs that cannot be written, assign levels to the others, and return how many remain.

        A run can be written if all runs that it needs can be, and its HARD needs are not in a circle. Runs
        get higher levels than the runs that they need, except for softer needs in a circle.

        Args:
            cut: Whether softer needs may also be left blank to save levels.
        """
        if not self._made:
            return 0
        left = -1
        while left != (left := self._count()):
            self._set_levels(_LEVELS if cut else None)
            self._prune()
        return left

    def runs(self, *, least: int = 0) -> Iterator[tuple[int, int, int]]:
        """Number, level and second step of the runs, by level and number.

        Args:
            least: Only those whose second step is this one or a softer one: `HARD` means all of them.
        """
        number, level = -1, -1
        while page := self._page(number, level, least):
            yield from page
            number, level, _ = page[-1]

    def note_step(self, number: int, softness: int) -> None:
        """Note what a run lacks: an UPDATE if BLANK, a ledger too if LATE; LEFT means the run itself."""
        self._database.execute("UPDATE node SET step = ? WHERE number = ?", (softness, number))

    def _page(self, number: int, level: int, least: int) -> list[tuple[int, int, int]]:
        place = {"number": number, "level": level, "least": least}
        return self._database.execute(_PAGE, place).fetchall() if self._made else []

    def _make(self) -> None:
        for statement in () if self._made else _TABLES:
            self._database.execute(statement)
        self._made = True

    def _count(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM node").fetchone()[0])

    def _set_levels(self, until: int | None) -> None:
        self._reset()
        level = self._rise(0, BLANK, until)
        self.is_cut = self._has_front()
        if self.is_cut:
            self._reset()
            level = 0
        for counted in (LATE, HARD):
            level = self._rise(level, counted, None)

    def _reset(self) -> None:
        self._database.execute("UPDATE node SET level = NULL, step = 0")
        self._database.execute(
            "UPDATE need SET met = EXISTS (SELECT 1 FROM way JOIN stored USING (name) WHERE need = id)"
        )

    def _rise(self, level: int, counted: int, until: int | None) -> int:
        """Assign levels, from *level* on, to runs whose needs are met, and return the next level.

        Args:
            level: The first level.
            counted: The softest needs that have to be met.
            until: The level to stop at; None: go on while there are such runs.
        """
        execute = self._database.execute
        self._set_front(f"SELECT number FROM node WHERE {_FREE}", {"counted": counted})  # noqa: S608
        while self._has_front() and level != until:
            execute("UPDATE node SET level = ? WHERE number IN (SELECT number FROM front)", (level,))
            level += 1
            self._touch()
            execute("UPDATE need SET met = 1 WHERE id IN (SELECT id FROM touched)")
            now_free = f"SELECT number FROM node WHERE {_OF_TOUCHED} AND {_FREE}"  # noqa: S608
            self._set_front(now_free, {"counted": counted})
        return level

    def _prune(self) -> None:
        """Remove the runs without a level, and those that need one of them."""
        self._set_front(f"SELECT number FROM node WHERE level IS NULL OR {_UNANSWERED}")  # noqa: S608
        while self._has_front():
            self._touch()
            self._remove_front()
            self._set_front(f"SELECT number FROM node WHERE {_OF_TOUCHED} AND {_UNANSWERED}")  # noqa: S608

    def _touch(self) -> None:
        """Select the needs that runs of the front meet."""
        self._database.execute("DELETE FROM touched")
        self._database.execute(_TOUCH)

    def _set_front(self, select: str, parameters: dict[str, int] | None = None) -> None:
        self._database.execute("DELETE FROM front")
        self._database.execute(f"INSERT INTO front {select}", parameters or {})

    def _has_front(self) -> bool:
        return self._database.execute("SELECT 1 FROM front").fetchone() is not None

    def _remove_front(self) -> None:
        for deletion in _REMOVAL:
            self._database.execute(deletion)
