"""The order in which kinds are imported, and runs of one window are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from histio.importing.run import Run
from histio.kinds.table import Kind
from histio.resolving.circles import find_reachable

_WAVES = 20
"""The most waves in which the runs of one window are written; with more, references are left blank."""


def sort_kinds(kinds: Sequence[Kind]) -> list[Kind]:
    """Sort *kinds*: each comes after those whose runs it refers to.

    The given order is kept otherwise, also for kinds that refer to each other in a circle.
    """
    before = find_reachable(kinds, lambda kind, other: any(kind.refers_to(other)))
    left, placed = list(kinds), []
    while left:
        free = next(
            kind for kind in left if all(kind in before[other] for other in left if other in before[kind])
        )
        left.remove(free)
        placed.append(free)
    return placed


def split_into_waves(runs: Sequence[Run], targets: Callable[[Run], Iterable[Run]]) -> list[list[Run]]:
    """Split *runs* into waves, each of which refers only to runs of earlier waves, except in circles.

    Args:
        runs: The runs.
        targets: Returns those of the runs that a run refers to.

    Returns:
        The waves; a single one if there would be too many.
    """
    depths = _depths({run: list(targets(run)) for run in runs})
    waves: dict[int, list[Run]] = {}
    for run in runs:
        waves.setdefault(depths[run], []).append(run)
    return [waves[depth] for depth in sorted(waves)] if len(waves) <= _WAVES else [list(runs)]


def _depths(targets: dict[Run, list[Run]]) -> dict[Run, int]:
    """The length of the longest chain of references from each run, apart from those that close a circle.

    The search keeps its path in a list, because a chain may be longer than Python's stack.
    """
    depths: dict[Run, int] = {}
    for start, first in targets.items():
        path = [(start, iter(first))] if start not in depths else []
        on_path = {start}
        while path:
            run, remaining = path[-1]
            below = next((each for each in remaining if each not in depths and each not in on_path), None)
            if below is not None:
                on_path.add(below)
                path.append((below, iter(targets[below])))
            else:
                path.pop()
                on_path.discard(run)
                depths[run] = 1 + max((depths[each] for each in targets[run] if each in depths), default=-1)
    return depths
