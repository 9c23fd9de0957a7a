"""Problems that differ only in the run that they are about, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import histio
from histio.cli.printing import escape

_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED = 3
"""The number of runs that are named in one line."""

_STORED = "Duplicate UUID: {}"
"""The message about a run that exists."""


def group_alike(problems: Iterable[histio.Problem]) -> list[list[histio.Problem]]:
    """The *problems* in groups: in each, messages differ at most in the UUID of a run or an entry."""
    groups: dict[str, list[histio.Problem]] = {}
    for problem in problems:
        groups.setdefault(_strip(problem)[0], []).append(problem)
    return list(groups.values())


def describe_group(group: Sequence[histio.Problem], count: int | None) -> str:
    """One line about the problems of a group.

    Args:
        group: The problems of the group that are known.
        count: How many problems it has, with others that are not known; None: it is not known.
    """
    first = group[0]
    if len(group) == 1:
        return escape(first)
    form = _strip(first)[0]
    names = [name for problem in group[:_NAMED] for name in _strip(problem)[1:]]
    if len(names) != len(group[:_NAMED]) or len(set(names)) == 1:  # no name, several, or the same
        more = "more" if count is None else f"{count - 1:,} more"
        return f"{escape(first).removesuffix('.')}, and {more} like it"
    others = "more" if count is None else f"{count - len(names):,} more"
    listed = ", ".join(names) + (f" and {others}" if count is None or count > len(names) else "")
    if form == _STORED and first.code == "duplicate":
        return escape(f"The database has these runs already: {listed}")
    return escape(form.replace("{}", listed, 1))


def _strip(problem: histio.Problem) -> list[str]:
    """The message of a *problem* with ``{}`` instead of UUIDs, and the UUIDs."""
    return [_UUID.sub("{}", problem.message), *_UUID.findall(problem.message)]
