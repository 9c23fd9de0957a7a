"""Keep the problems of rejected lines on disk, and count those that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from histio.files.scratch import Scratch
from histio.pointer import find_members
from histio.report import Problem

_TABLES = """
CREATE TABLE line (number INTEGER PRIMARY KEY);
CREATE TABLE fault (
    id INTEGER PRIMARY KEY, line INTEGER, code TEXT, member TEXT, text TEXT, message TEXT, pointer TEXT,
    hint TEXT, kind TEXT, uuid TEXT, UNIQUE (line, code, pointer, message)
);
CREATE INDEX alike ON fault (code, member, text, line);
"""
_SOME = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Problems that are alike.

    Attributes:
        code: Their code.
        member: The name of the member that they are about; empty: they are about the whole run.
        message: Their message, with ``…`` instead of the run's UUID.
        hint: What may have been meant; None: nothing is similar.
        runs: The number of rejected runs, catalog rows and unreadable lines that have such a problem.
        lines: The numbers of the first few lines.
    """

    code: str
    member: str
    message: str
    hint: str | None
    runs: int
    lines: tuple[int, ...]


Alike = tuple[str, str, str]
"""What problems that are alike have in common: code, member and message."""


def alike(problem: Problem) -> Alike:
    """What *problem* has in common with those that are alike."""
    members = find_members(problem.pointer)[1:]
    message = problem.message.replace(problem.uuid, "…") if problem.uuid else problem.message
    return problem.code, members[-1] if members else "", message


class Survey(Scratch):
    """The rejected lines, and the problems that each of them has left."""

    def __init__(self) -> None:
        super().__init__(_TABLES)

    def clear(self) -> None:
        """Forget all lines and problems."""
        self._database.execute("DELETE FROM line")
        self._database.execute("DELETE FROM fault")

    def note_rejected(self, number: int) -> None:
        """Note that the line *number* was rejected, whether it has problems left or not."""
        self._database.execute("INSERT OR IGNORE INTO line VALUES (?)", (number,))

    def replace(self, number: int, problems: Iterable[Problem]) -> None:
        """Replace the problems of the line *number*."""
        self._database.execute("DELETE FROM fault WHERE line = ?", (number,))
        for problem in problems:
            self.add(number, problem)

    def add(self, number: int, problem: Problem) -> None:
        """Add a *problem* of the line *number*, unless it is there already."""
        self.note_rejected(number)
        code, member, text = alike(problem)
        insert = "INSERT OR IGNORE INTO fault VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        values = (number, code, member, text, problem.message, problem.pointer, problem.hint, problem.kind)
        self._database.execute(insert, (*map(_storable, values), _storable(problem.uuid)))

    @property
    def rejected(self) -> int:
        """The number of rejected lines."""
        return self._count("SELECT COUNT(*) FROM line")

    @property
    def left(self) -> int:
        """The number of lines with problems."""
        return self._count("SELECT COUNT(DISTINCT line) FROM fault")

    def place(self, number: int) -> int:
        """The 1-based place of the line *number* among all rejected ones."""
        return self._count("SELECT COUNT(*) FROM line WHERE number <= ?", number)

    def next_left(self, after: int) -> int | None:
        """The number of the first line with problems *after* another one; None: there is none."""
        [(number,)] = self._database.execute("SELECT MIN(line) FROM fault WHERE line > ?", (after,))
        return number  # type: ignore[no-any-return]

    def problems(self, number: int) -> list[Problem]:
        """The problems of the line *number*."""
        select = "SELECT code, message, pointer, kind, uuid, hint FROM fault WHERE line = ? ORDER BY id"
        rows = self._database.execute(select, (number,))
        return [
            Problem("error", code, message, pointer, kind, uuid, line=number, hint=hint)
            for code, message, pointer, kind, uuid, hint in rows
        ]

    def count(self, key: Alike) -> int:
        """The number of lines with problems that are alike."""
        select = "SELECT COUNT(DISTINCT line) FROM fault WHERE code = ? AND member = ? AND text = ?"
        return self._count(select, *map(_storable, key))

    @property
    def group_count(self) -> int:
        """The number of groups of problems that are alike."""
        return self._count("SELECT COUNT(*) FROM (SELECT DISTINCT code, member, text FROM fault)")

    def codes(self) -> dict[str, int]:
        """The number of lines that have problems of each code."""
        select = "SELECT code, COUNT(DISTINCT line) AS n FROM fault GROUP BY code ORDER BY n DESC, code"
        return dict(self._database.execute(select))

    def groups(self, most: int) -> list[Group]:
        """The groups of problems that are alike, those of the most lines first; at most *most*."""
        select = (
            "SELECT code, member, text, MAX(hint), COUNT(DISTINCT line) AS n FROM fault "
            "GROUP BY code, member, text ORDER BY n DESC, MIN(line) LIMIT ?"
        )
        found = self._database.execute(select, (most,)).fetchall()
        return [
            Group(code, member, text, hint, runs, self._first_lines(code, member, text))
            for code, member, text, hint, runs in found
        ]

    def _first_lines(self, code: str, member: str, text: str) -> tuple[int, ...]:
        select = (
            "SELECT DISTINCT line FROM fault WHERE code = ? AND member = ? AND text = ? ORDER BY line LIMIT ?"
        )
        return tuple(line for (line,) in self._database.execute(select, (code, member, text, _SOME)))

    def lines_left(self) -> Iterator[int]:
        """The numbers of the lines with problems, in order; they must not change meanwhile."""
        return (line for (line,) in self._database.execute("SELECT DISTINCT line FROM fault ORDER BY line"))

    def _count(self, select: str, *parameters: object) -> int:
        [(count,)] = self._database.execute(select, parameters)
        return int(count)


def _storable(value: object) -> object:
    """A *value* with lone surrogates as escapes, which SQLite cannot store."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
