"""The text of a line that people edit, and the line that their text becomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from histio.files.decoding import NotJsonError, decode
from histio.files.json_text import compact, indent, split_members
from histio.mending.lines import PROBLEMS, UNREADABLE, read_line
from histio.report import Problem


def text_to_edit(line: str, problems: Iterable[Problem], max_depth: int) -> str:
    """The text in which people edit a *line*: indented JSON, *problems* first; or what is unreadable."""
    read = read_line(line, max_depth)
    if read.kind is None:
        return f"{line}\n"
    if read.kind == UNREADABLE and isinstance(read.value, str):
        return f"{read.value}\n"
    listed = json.dumps([dict(_members_to_show(problem)) for problem in problems])
    members = {PROBLEMS: listed, **_without_problems(line)}
    return f"{indent(_object(members))}\n"


def _members_to_show(problem: Problem) -> Iterator[tuple[str, Any]]:
    """What people need to know of a *problem*."""
    for name in ("message", "hint", "pointer"):
        value = getattr(problem, name)
        if value:
            yield name, value


def line_from(edited: str, max_depth: int) -> str:
    """The line that people mean by the *edited* text.

    Text that is not JSON becomes an unreadable line. So does a trailer, because it is not a run.
    """
    text = edited.removeprefix("\ufeff").strip()
    try:
        members = decode(text, max_depth)
    except NotJsonError:
        return json.dumps({UNREADABLE: text})
    if _is_trailer(members):  # it would be ignored, and the run with it
        return json.dumps({UNREADABLE: text})
    return without_problems(text) if isinstance(members, dict) else compact(text)


def without_problems(line: str) -> str:
    """A *line*, which is a JSON object, as compact JSON without the problems."""
    return compact(_object(_without_problems(line)))


def explain_unreadable(edited: str, max_depth: int) -> str | None:
    """Why `line_from` makes an unreadable line of the *edited* text; None: it makes another one."""
    text = edited.removeprefix("\ufeff")
    try:
        json.loads(text)
        members = decode(text, max_depth)
    except json.JSONDecodeError as error:
        return f"The text is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
    except (ValueError, RecursionError) as error:
        return f"The text is not JSON: {error}."
    return "The line is not a run, but a trailer." if _is_trailer(members) else None


def _is_trailer(members: object) -> bool:
    return isinstance(members, dict) and "trailer" in members


def _without_problems(line: str) -> dict[str, str]:
    return {name: text for name, text in split_members(line).items() if name != PROBLEMS}


def _object(members: dict[str, str]) -> str:
    return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in members.items())}}}"
