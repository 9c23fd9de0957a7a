"""Attacks that are tried often, each time in another way, and the figures of them."""

from __future__ import annotations

import collections
import contextlib
import random
from collections.abc import Iterator
from pathlib import PurePath

import pytest

TRUST = "tests/trust/test_"
MOST_FAULTS = 5
"""After so many faults, a test stops."""


class Tries:
    """How often a test tries, and what went wrong.

    `tries(count)` iterates over *count* tries, multiplied by `--times`. Each is a context manager: it gives a
    random generator, notes an exception as a fault, and lets the loop go on. After the last try, all faults
    are raised together. The second try of a seed is the first one of the next seed.
    """

    def __init__(self, name: str, seed: int, times: float) -> None:
        self._name = name
        self._seed = seed
        self._times = times
        self.count = 0
        self.faults: list[BaseException] = []

    def __call__(self, count: int) -> Iterator[contextlib.AbstractContextManager[random.Random]]:
        for number in range(max(1, round(count * self._times))):
            yield self._try(self._seed + number)
            if len(self.faults) >= MOST_FAULTS:
                break
        if self.faults:
            raise BaseExceptionGroup(f"{len(self.faults)} faults in {self.count} tries", self.faults)

    @property
    def figures(self) -> list[tuple[str, int]]:
        """What the table at the end is made from."""
        return [("tries", max(self.count, 1)), ("faults", len(self.faults))]

    @contextlib.contextmanager
    def _try(self, seed: int) -> Iterator[random.Random]:
        self.count += 1
        try:
            yield random.Random(f"{self._name} {seed}")
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - raised in the end
            error.add_note(f"again: pytest {self._name!r} --seed {seed} --times 0")
            self.faults.append(error)


class Figures:
    """The figures of all attacks, printed at the end: a pytest plugin.

    A test of `tests/trust` that does not count its tries is one try.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._seed = config.getoption("seed")
        self._tries: collections.Counter[str] = collections.Counter()
        self._faults: collections.Counter[str] = collections.Counter()
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if TRUST not in report.nodeid or report.skipped:
            return
        if report.failed:
            self._failed.add(report.nodeid)
        if report.when == "teardown":
            figures = dict(report.user_properties)
            attack = PurePath(report.nodeid.partition("::")[0]).stem.removeprefix("test_").replace("_", " ")
            self._tries[attack] += figures.get("tries", 1)
            self._faults[attack] += figures.get("faults", 0) or report.nodeid in self._failed

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._tries:
            terminalreporter.section(f"attacks, with --seed {self._seed}")
            terminalreporter.write_line(f"{'attack':<24}{'tries':>8}{'faults':>8}")
            for attack, tries in sorted(self._tries.items()):
                terminalreporter.write_line(f"{attack:<24}{tries:>8}{self._faults[attack]:>8}")
