"""Runs that have no outcome yet, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from histio.importing.counts import Tally
from histio.importing.parse import Reader
from histio.importing.run import Run
from histio.importing.spool import Spool
from histio.tuning import tuning

_SIZE = 4 * 2**20
"""Characters after which a group of runs ends, even if it has fewer runs than a batch."""


class OpenRuns(Protocol):
    """Runs without an outcome, by number."""

    def load(self, number: int) -> Run:
        """The run with this *number*."""
        ...

    def end(self, number: int, run: Run) -> None:
        """Note that a run has its outcome."""
        ...

    def revert(self) -> None:
        """Forget all outcomes since `begin`, because what was written was rolled back."""
        ...

    def begin(self) -> None:
        """Mark the state to which `revert` returns."""
        ...


class RunsOfWindow:
    """Runs of one window, in memory."""

    def __init__(self, runs: dict[int, Run]) -> None:
        self._runs = runs

    def load(self, number: int) -> Run:
        return self._runs[number]

    def end(self, number: int, run: Run) -> None:
        if run.outcome == "rejected":
            del self._runs[number]

    def begin(self) -> None:
        for run in self._runs.values():
            run.outcome = None
            run.forget()

    def revert(self) -> None:
        self.begin()


class WaitingRuns:
    """Runs that wait on disk, counted when they end."""

    def __init__(self, spool: Spool, reader: Reader, tally: Tally) -> None:
        self._spool = spool
        self._reader = reader
        self._tally = tally
        self._mark = tally.mark()

    def load(self, number: int) -> Run:
        return self._reader.read(self._spool.raw_run(number))

    def end(self, number: int, run: Run) -> None:
        self._tally.add(run)
        if run.outcome == "rejected":
            self._spool.end([number])

    def warn(self, runs: Iterable[Run]) -> None:
        """Report further warnings of *runs*, which have been counted."""
        for run in runs:
            run.forget_cuts()  # these have been reported
            self._tally.warn(run)

    def begin(self) -> None:
        self._mark = self._tally.mark()

    def revert(self) -> None:
        self._tally.reset(self._mark)


def load_in_groups(numbers: Iterator[tuple[int, int, int]], runs: OpenRuns) -> Iterator[dict[int, Run]]:
    """Load runs, by number, as many at a time as can be held in memory.

    Args:
        numbers: Number, level and second step of each, as `RunGraph.runs` yields them.
        runs: Loads them.
    """
    group: dict[int, Run] = {}
    size = 0
    for number, _, _ in numbers:
        group[number] = runs.load(number)
        size += group[number].raw.size
        if len(group) == tuning().batch or size >= _SIZE:
            yield group
            group, size = {}, 0
    if group:
        yield group
