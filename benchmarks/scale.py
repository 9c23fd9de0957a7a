"""What a second job gains, beside what a second busy loop gains on the same machine at the same time.

One job, two jobs, one busy loop and two take turns. A machine whose two processors share their caches, their
clock or their owner gains less than 2 by a second process, whatever it does: that is the reference.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import data
import sqlalchemy as sa
from databases import DATABASES, Scratch, create, fill, settle

import histio

_LOOPS = 30_000_000


def _spin(count: int) -> None:
    for _ in range(count):
        pass


def _busy(processes: int) -> float:
    """The seconds that so many processes take, each for the same number of loops."""
    context = multiprocessing.get_context("fork")
    loops = [context.Process(target=_spin, args=(_LOOPS,)) for _ in range(processes)]
    begin = time.perf_counter()
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    return time.perf_counter() - begin


class Case:
    """An action on a database that is filled with *count* runs.

    Args:
        scratch: Its databases.
        count: The number of runs.
        folder: An empty folder.
    """

    goal = 0.0

    def __init__(self, scratch: Scratch, count: int, folder: Path) -> None:
        self._scratch, self.count, self._folder = scratch, count, folder
        self._url = scratch.fresh("full")
        create(self._url)
        _use_wal(self._url)
        fill(self._url, data.runs(count))
        settle(self._url)

    def run(self, jobs: int) -> float:
        """The seconds that the action takes with so many *jobs*."""
        raise NotImplementedError


class Export(Case):
    """Export to a folder."""

    goal = 0.85

    def run(self, jobs: int) -> float:
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        with histio.History(self._url) as history:
            seconds, report = _timed(lambda: history.export_parts(out, jobs=jobs))
        assert report.exported == self.count
        return seconds


class Import(Case):
    """Import the folder of an export into an empty database that has the catalog."""

    goal = 0.75

    def __init__(self, scratch: Scratch, count: int, folder: Path) -> None:
        super().__init__(scratch, count, folder)
        self._parts = folder / "parts"
        with histio.History(self._url) as history:
            history.export_parts(self._parts, jobs=1)

    def run(self, jobs: int) -> float:
        url = self._scratch.fresh("empty")
        create(url)
        fill(url)
        with histio.History(url) as history:
            seconds, report = _timed(lambda: history.import_parts(self._parts, jobs=jobs))
        assert report.imported == self.count
        return seconds


ACTIONS: dict[str, type[Case]] = {"export": Export, "import": Import}
ONE_WRITER = {("sqlite", "import")}
"""What a second job cannot help."""


def _use_wal(url: str) -> None:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
    engine.dispose()


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


def _measure(case: Case, name: str, repeat: int) -> str:
    """A row of the table."""
    case.run(2)  # the processes that start others are there, and the files are in memory
    found: dict[str, list[float]] = {"one": [], "two": [], "loop": [], "loops": []}
    for _ in range(repeat):
        found["loop"].append(_busy(1))
        found["one"].append(case.run(1))
        found["loops"].append(_busy(2))
        found["two"].append(case.run(2))
    one, two, loop, loops = (statistics.median(each) for each in found.values())
    gain, reference = one / two, 2 * loop / loops
    rates = f"{case.count / one:,.0f} | {case.count / two:,.0f}"
    return f"| {name} | {rates} | {gain:.2f} | {reference:.2f} | {gain / reference:.2f} | {case.goal:.2f} |"


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--databases", nargs="*", choices=DATABASES, default=DATABASES)
    parser.add_argument("--actions", nargs="*", choices=ACTIONS, default=list(ACTIONS))
    options = parser.parse_args()
    print("| | one job, runs/s | two jobs, runs/s | gain | of two busy loops | share | goal |")
    print("|---|---|---|---|---|---|---|")
    for database in options.databases:
        try:
            scratch = Scratch(database)
        except sa.exc.OperationalError:
            print(f"{database} does not answer", file=sys.stderr)
            continue
        with closing(scratch), tempfile.TemporaryDirectory() as folder:
            for action in options.actions:
                if (database, action) in ONE_WRITER:
                    continue
                case = ACTIONS[action](scratch, options.runs, Path(folder))
                print(_measure(case, f"{database}, {action}", options.repeat), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
