"""Run synchronous work in the event loop: in a greenlet, with pauses in which other tasks run."""

from __future__ import annotations

import asyncio
import itertools
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, ParamSpec, TypeVar

import greenlet  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from histio.tuning import tuned, tuning

_SLICE = 0.02
"""The time after which other tasks of the event loop run, in seconds."""

_PAGE, _BATCH = 100, 200
"""The maximum of runs in a page and in a batch, which are read and written without a pause."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_greenlet(work: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
    """Run *work* in a greenlet, in which SQLAlchemy can await its drivers, and return the result."""
    # The session only provides the greenlet. It has no database, so there is nothing to close.
    try:
        return await AsyncSession().run_sync(lambda _session: _with_pauses(work, *args, **options))
    except asyncio.CancelledError as error:
        # A closed SQLite database keeps its locks until its last cursor is gone, which frames still hold.
        traceback.clear_frames(error.__traceback__)
        raise


def _with_pauses(work: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
    """Run *work* in the current greenlet, and let other tasks of the event loop run at every pause."""
    own, last = greenlet.getcurrent(), time.monotonic()

    def pause() -> None:
        nonlocal last
        # A callback may have started other work, in a thread that has inherited the context.
        if time.monotonic() - last >= _SLICE and greenlet.getcurrent() is own:
            sa.util.await_only(asyncio.sleep(0))
            last = time.monotonic()

    sizes = tuning()
    with tuned(pause=pause, page=min(sizes.page, _PAGE), batch=min(sizes.batch, _BATCH)):
        return work(*args, **options)


async def iterate_by_page(
    runs: Generator[dict[str, Any], None, None],
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield *runs*, which are read a page at a time."""
    try:
        more = True
        while more:
            page, fault = await in_greenlet(_next_page, runs)
            for run in page:
                yield run
            if fault is not None:
                raise fault
            more = bool(page)
    finally:
        await in_greenlet(runs.close)


def _next_page(runs: Generator[dict[str, Any], None, None]) -> tuple[list[dict[str, Any]], Exception | None]:
    """The next runs, and the exception that was raised after them, or None."""
    page: list[dict[str, Any]] = []
    try:
        for run in itertools.islice(runs, tuning().page):
            page.append(run)  # noqa: PERF402 - runs before an error are kept
    except Exception as error:  # noqa: BLE001 - raised again after the page
        return page, error
    return page, None
