"""Group the problems of an import, so that a reader sees each fault once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from histio.page.figures import format_count, shorten
from histio.page.outcome import SOLUTIONS
from histio.page.room import LONGEST_MESSAGE, Room
from histio.report import Problem

EXAMPLES = 3
"""How many runs a group of problems names."""

_GROUPS = 100
"""How many groups of a code are shown."""


@dataclass(slots=True)
class Group:
    """Problems with the same message at the same member.

    Attributes:
        message: The message, with the hint.
        where: The pointer, with ``*`` for indexes that differ.
        kind: The kind of the runs; empty: it is not known.
        count: The number of problems.
        examples: The first runs: identity and line, as far as they are known.
    """

    message: str
    where: str
    kind: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def times(self) -> str:
        return format_count(self.count)


@dataclass(slots=True)
class CodeGroup:
    """The problems of one code.

    Attributes:
        code: The code.
        solution: What to do; may be empty.
        listed: The number of problems that the report lists.
        count: The number of all, listed or not.
        groups: Its groups, those of most problems first.
        hidden: The number of groups that are not shown.
    """

    code: str
    solution: str
    listed: int
    count: int
    groups: list[Group]
    hidden: int

    @property
    def times(self) -> str:
        return format_count(self.count)

    @property
    def repeats(self) -> bool:
        """Whether a group has several problems."""
        return any(group.count > 1 for group in self.groups)

    @property
    def is_whole(self) -> bool:
        """Whether every problem is shown with its run."""
        return not self.hidden and all(group.count <= max(1, len(group.examples)) for group in self.groups)


def group_problems(problems: Sequence[Problem], counts: Mapping[str, int], room: Room) -> list[CodeGroup]:
    """Group *problems* by code, then by message and member, the most frequent first.

    Args:
        problems: The problems that the report lists.
        counts: The number of all problems by code; a code that is missing has only those that are listed.
        room: What is left of the size of the page.
    """
    by_code: dict[str, dict[tuple[str, str | None, str], Group]] = {code: {} for code in counts}
    for problem in problems:
        _add(by_code.setdefault(problem.code, {}), problem)
    found = [
        _code_group(code, [*groups.values()], counts.get(code, 0), room) for code, groups in by_code.items()
    ]
    return sorted(found, key=lambda each: -each.count)


def _add(groups: dict[tuple[str, str | None, str], Group], problem: Problem) -> None:
    general = re.sub(r"/\d+(?=/|$)", "/*", problem.pointer)
    key = describe_message(problem), problem.kind, general
    if key not in groups:
        groups[key] = Group(key[0], shorten(problem.pointer), shorten(problem.kind or ""))
    group = groups[key]
    group.count += problem.more or 1
    if group.count > 1:
        group.where = shorten(general)
    example = " in ".join(filter(None, [shorten(problem.uuid or ""), describe_place(problem)]))
    if example and len(group.examples) < EXAMPLES:
        group.examples.append(example)


def _code_group(code: str, groups: list[Group], count: int, room: Room) -> CodeGroup:
    groups.sort(key=lambda group: -group.count)
    shown = room.take(groups[:_GROUPS], _texts)
    listed = sum(group.count for group in groups)
    hidden = len(groups) - len(shown)
    return CodeGroup(code, SOLUTIONS.get(code, ""), listed, max(listed, count), shown, hidden)


def _texts(group: Group) -> Iterable[str]:
    return [group.message, group.where, group.kind, *group.examples]


def describe_message(problem: Problem) -> str:
    """The message and the hint."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return shorten(f"{problem.message}{hint}", LONGEST_MESSAGE)


def describe_run(problem: Problem) -> str:
    """The kind of the run and its identity; empty: they are not known."""
    return shorten(" ".join(filter(None, [problem.kind, problem.uuid])))


def describe_place(problem: Problem) -> str:
    """The file and the line, as far as they are known."""
    line = None if problem.line is None else f"line {problem.line}"
    return shorten(", ".join(filter(None, [problem.file, line])))


def list_rows(problems: Iterable[Problem]) -> Iterator[dict[str, str]]:
    """Each of *problems* as a row of the table of all."""
    for problem in problems:
        place = " ".join(filter(None, [describe_place(problem), problem.pointer]))
        yield {
            "severity": problem.severity,
            "code": problem.code,
            "run": describe_run(problem),
            "place": shorten(place),
            "message": describe_message(problem),
        }
