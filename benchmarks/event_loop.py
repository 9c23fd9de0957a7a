"""How long the methods of AsyncHistory keep other tasks of the event loop waiting.

A task wakes up every millisecond. Its longest pause is measured twice: by the clock, and by the processor
time of the thread, which other processes do not make longer.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import data
from databases import DATABASES, Scratch, create, fill

import histio
from histio.tuning import tuned

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}
Work = Callable[[histio.AsyncHistory], Awaitable[Any]]


async def longest_pauses(work: Awaitable[Any]) -> tuple[float, float]:
    """The longest pause of another task during *work*, in seconds of the clock and of the processor."""
    pauses: list[tuple[float, float]] = []

    async def wake_up() -> None:
        times = (time.perf_counter(), time.thread_time())
        while True:
            await asyncio.sleep(0.001)
            times, before = (time.perf_counter(), time.thread_time()), times
            pauses.append((times[0] - before[0], times[1] - before[1]))

    other = asyncio.create_task(wake_up())
    await asyncio.sleep(0.01)
    await work
    await asyncio.sleep(0.01)
    other.cancel()
    by_clock, by_processor = zip(*pauses, strict=True)
    return max(by_clock), max(by_processor)


@contextmanager
def inputs(count: int) -> Iterator[tuple[dict[str, Any], Path]]:
    """A document and a sealed stream of *count* runs."""
    document = {"version": "1.0", "production_runs": list(data.runs(count))}
    with tempfile.TemporaryDirectory(prefix="histio-") as folder:
        path = Path(folder, "runs.jsonl")
        data.write(path, document["production_runs"])
        yield document, path


async def measure(scratch: Scratch, document: dict[str, Any], path: Path) -> None:
    """Print the longest pauses of each method."""
    imports: dict[str, Work] = {
        "import_document": lambda history: history.import_document(document),
        "import_file": lambda history: history.import_file(path),
        "import_file, commit_every": lambda history: history.import_file(path, commit_every=1000),
    }
    others: dict[str, Work] = {
        "check": lambda history: history.check(document),
        "import, all existing": lambda history: history.import_document(document),
        "import, verified": lambda history: history.import_document(document, on_duplicate="verify"),
        "export_document": lambda history: history.export_document(),
        "export_file": lambda history: history.export_file(path.with_name("copy.jsonl"), overwrite=True),
    }
    for name, work in itertools.chain(imports.items(), others.items()):
        if name in imports:
            url = scratch.fresh("loop")
            create(url)
            fill(url)
        driver = url.replace(url.partition("://")[0], DRIVERS[scratch.database], 1)
        async with histio.AsyncHistory(driver) as history:
            pauses = await longest_pauses(work(history))
        print(f"{name:28}{pauses[0]:8.3f}{pauses[1]:8.3f}", flush=True)


def main() -> None:
    """Measure one database, on the fast and on the full path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    options = parser.parse_args()
    with closing(Scratch(options.database)) as scratch, inputs(options.runs) as (document, path):
        for full_path_only in (False, True):
            print(f"{'full path' if full_path_only else 'fast path':28}{'clock':>8}{'CPU':>8}")
            with tuned(full_path_only=full_path_only):
                asyncio.run(measure(scratch, document, path))


if __name__ == "__main__":
    main()
