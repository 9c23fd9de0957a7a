"""The problems and changes of a report, in groups that a person can read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

TITLES = {
    "unknown-reference": "Names that this branch does not know",
    "ambiguous-reference": "Names that stand for several things here",
    "mismatched-reference": "Pastries of another recipe",
    "schema": "Not as the format demands",
    "precision": "Too many digits",
    "out-of-range": "Too large, too small or too long",
    "duplicate": "Already here",
    "duplicate-in-document": "Twice in the file",
    "conflict": "Different from what is here",
    "constraint": "Refused by the database",
    "changed": "Changed since the import",
    "referenced": "Needed by other runs",
    "version": "Another version of the format",
    "truncated": "Incomplete file",
    "corrupt": "Damaged file",
}
PLACES = 3
"""How many places of one fault are named."""


@dataclass(slots=True)
class Fault:
    """The same problem, of one run or of many."""

    message: str
    hint: str | None
    member: str
    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Group:
    """All faults of one code."""

    code: str
    title: str
    count: int
    faults: list[Fault]


def group_by_code(problems: Iterable[dict[str, Any]], *, place: str = "line") -> list[Group]:
    """The *problems* of a report by code, and those that say the same about different runs as one.

    *place* says what tells the runs apart: their ``line`` in the file, or their ``uuid``.
    """
    codes: dict[str, dict[Any, Fault]] = defaultdict(dict)
    for problem in problems:
        member = "/".join(step for step in problem["pointer"].split("/")[2:] if not step.isdigit())
        key = problem["message"], _hint(problem["hint"]), member
        fault = codes[problem["code"]].setdefault(key, Fault(*key))
        fault.count += problem["more"] or 1
        if len(fault.places) < PLACES:
            fault.places.append(problem["uuid"] if place == "uuid" else _place(problem))
    return [
        Group(code, TITLES.get(code, code), sum(fault.count for fault in faults.values()), [*faults.values()])
        for code, faults in codes.items()
    ]


def _hint(hint: str | None) -> str | None:
    """The *hint*, without the option of histio that it names: the page has a button for it."""
    return "the file has it" if hint and hint.startswith("the file has it") else hint


def _place(problem: dict[str, Any]) -> str:
    if problem["line"] is not None:
        return f"line {problem['line']:,}"
    return "the whole file" if problem["index"] is None else f"run {problem['index'] + 1:,}"


def group_by_run(revisions: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, str]]]:
    """By kind and identity of a run, the members that an update changes, with both their values."""
    runs: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for each in revisions:
        change = {"member": each["pointer"], "stored": _text(each["stored"]), "given": _text(each["given"])}
        runs[each["kind"], each["uuid"]].append(change)
    return runs


def _text(value: Any) -> str:
    return (
        "—" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
