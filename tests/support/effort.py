"""How much a run of the tests proves, and how long it takes."""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, settings


class Effort(enum.StrEnum):
    """How much a run of the tests proves.

    Attributes:
        QUICK: A cell or two of each test, on SQLite: whether it works at all.
        DEFAULT: Some cells of each test on every database: what a developer needs.
        THOROUGH: Everything: what CI runs.
    """

    QUICK = "quick"
    DEFAULT = "default"
    THOROUGH = "thorough"


EXAMPLES = {Effort.QUICK: 3, Effort.DEFAULT: 12, Effort.THOROUGH: 60}
"""The examples of a property that says nothing else."""

CELLS = {Effort.QUICK: 1, Effort.DEFAULT: 4}
"""The cells of a parametrized test on each database, unless its marker `cells` says another number."""

for effort, count in EXAMPLES.items():
    # How long an example takes, or to make one, decides no test.
    settings.register_profile(
        effort.value, max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


def examples(count: int) -> int:
    """The examples of a property that has *count* of them when everything is tested."""
    return max(count * settings().max_examples // EXAMPLES[Effort.THOROUGH], 2)


def choose(items: Iterable[pytest.Item], effort: Effort) -> list[pytest.Item]:
    """The tests that a run with *effort* consists of, in their order."""
    chosen = []
    items = _take_turns(items)
    if effort is Effort.THOROUGH:
        return items
    eligible = (item for item in items if not _is_left_out(item, effort))
    for (_, database), cells in itertools.groupby(sorted(eligible, key=_group_of), key=_group_of):
        chosen += _spread(list(cells), effort, _DATABASES.index(database))
    order = {item: place for place, item in enumerate(items)}
    return sorted(chosen, key=order.__getitem__)


_DATABASES = ("sqlite", "postgresql", "mariadb")


def _take_turns(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Leave out half of the rows of tests that are marked `turns` on PostgreSQL, and the others on MariaDB.

    The bits of a row's number take turns at no fixed distance, as the values of a table with two columns do.
    """
    rows: Counter[tuple[str, str]] = Counter()
    kept = []
    for item in items:
        group = _group_of(item)
        turn = ("postgresql", "mariadb")[rows[group].bit_count() % 2]
        rows[group] += 1
        if group[1] in ("sqlite", turn) or item.get_closest_marker("turns") is None:
            kept.append(item)
    return kept


def _is_left_out(item: pytest.Item, effort: Effort) -> bool:
    if item.get_closest_marker("thorough"):
        return True
    return effort is Effort.QUICK and (
        _database_of(item) != "sqlite" or item.get_closest_marker("slow") is not None
    )


def _group_of(item: pytest.Item) -> tuple[str, str]:
    return item.nodeid.partition("[")[0], _database_of(item)


def _database_of(item: pytest.Item) -> str:
    """The database of a test: those of servers have it as a parameter, with or without a driver."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = (value.partition("+")[0] for value in values if isinstance(value, str))
    return next((name for name in names if name in _DATABASES), "sqlite")


def _spread(cells: list[pytest.Item], effort: Effort, shift: int) -> list[pytest.Item]:
    """Some of *cells* at equal distances; *shift* is another one for each database, so that cells differ."""
    marker = cells[0].get_closest_marker("cells")
    most = marker.args[0] if marker and effort is not Effort.QUICK else CELLS[effort]
    if len(cells) <= most:
        return cells
    start = shift / len(_DATABASES)
    return [cells[int((place + start) * len(cells) / most)] for place in range(most)]
