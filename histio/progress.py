"""The progress of exports and imports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

_T = TypeVar("_T")

INTERVAL = 0.1
"""The shortest time between two calls, in seconds."""

before_last_step: list[Callable[[], None]] = []
"""Called just before an export or import becomes final, by its COMMIT or by the name of its file.

The command line ignores signals from then on, so that its exit code says what has happened.
"""

Phase = Literal["export", "verify", "import"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an export or import.

    Attributes:
        phase: The current phase; with ``commit_every`` a file is verified before it is imported.
        runs: Runs read or written so far, in this phase.
        bytes: Bytes of the file read or written so far, as stored.
        total: The number of all runs; None: not known.
        total_bytes: The size of the whole file in bytes; None: not known.
        seconds: Seconds since the phase began.
    """

    phase: Phase
    runs: int
    bytes: int
    total: int | None
    total_bytes: int | None
    seconds: float

    @property
    def rate(self) -> float:
        """Runs per second."""
        return self.runs / self.seconds if self.seconds else 0.0


Report: TypeAlias = Callable[[Progress], object]


class Meter:
    """Counts runs and reports the progress, at most ten times a second.

    Args:
        report: Called with the progress; an exception from it ends the work. None: nothing is called.
    """

    def __init__(self, report: Report | None) -> None:
        if report is not None and not callable(report):
            raise TypeError(f"progress is a function that takes a Progress, not {report!r}")
        self._report = report
        self._told: float | None = None

    def begin(
        self,
        phase: Phase,
        position: Callable[[], int],
        *,
        total: int | None = None,
        total_bytes: int | None = None,
    ) -> None:
        """Begin a *phase*; *position* returns its bytes so far, the others are as in `Progress`."""
        self._phase: Phase = phase
        self._position = position
        self._totals = total, total_bytes
        self._began = time.monotonic()
        self._runs = 0

    def count(self, runs: Iterable[_T], size: Callable[[_T], int] = lambda _: 1) -> Iterator[_T]:
        """Iterate over *runs* and count them; after the last one, the phase ends.

        *size* returns how many runs an item counts as.
        """
        if self._report is None:
            yield from runs
            return
        for run in runs:
            yield run
            self.note(self._runs + size(run))
        self.end()

    def note(self, runs: int) -> None:
        """Note that there are so many *runs* by now."""
        self._runs = runs
        if self._report is not None and self._pause() <= 0:
            self._tell(self._report)

    def end(self) -> None:
        """End the phase."""
        if self._report is None:
            return
        # The last call is never left out, so wait if the previous one was less than the interval ago.
        if self._told is not None:
            time.sleep(max(0.0, self._pause()))
        self._tell(self._report)

    def _pause(self) -> float:
        """Seconds until the next call is allowed."""
        return max(self._began, self._told or 0.0) + INTERVAL - time.monotonic()

    def _tell(self, report: Report) -> None:
        self._told = time.monotonic()
        seconds = self._told - self._began
        report(Progress(self._phase, self._runs, self._position(), *self._totals, seconds))
