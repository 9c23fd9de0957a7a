"""Let workers write all parts of an export at one moment; if that is lost, at another one."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from histio.database.dialects import Host, MomentLostError, hold_moment
from histio.exporting.parts.write import PartsTask, WrittenPart, write_parts
from histio.progress import Meter
from histio.tasks import Workers

_log = logging.getLogger("histio")

_MOMENTS = 5
"""How often an export starts, each time at a new moment, before it fails."""

_LOOK = 0.5
"""The time between two looks at what workers have finished, in seconds."""


class Attempts:
    """Writes the parts of an export.

    Args:
        engine: The database.
        tables: All tables that are read.
        workers: They write the parts.
        task: What to write.
        meter: Gets the number of runs that are written.
        total: The number of all runs, as far as it is known.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Collection[sa.Table],
        workers: Workers,
        task: PartsTask,
        meter: Meter,
        total: int,
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._workers = workers
        self._task = task
        self._meter = meter
        self._usual_size = total / len(task.parts)
        self._looked = time.monotonic()

    @contextmanager
    def written(self) -> Iterator[tuple[PartsTask, list[WrittenPart]]]:
        """In this block: the task that has succeeded, and all parts in order, under temporary names.

        What was written is removed after the block, and after each attempt that has failed.

        Raises:
            MomentLostError: One moment after the other was lost.
            BrokenExecutor: The executor of the caller can run no more tasks.
        """
        for number in itertools.count(1):
            task = replace(self._task, files=replace(self._task.files, key=uuid4().hex[:16]))
            try:
                written = self._write(task)
                yield task, [written[place] for place in task.parts]
            except (MomentLostError, BrokenExecutor, CancelledError) as error:
                if number == _MOMENTS:
                    self._workers.stop(at_once=True)
                    raise
                self._workers.recover(error)
                _log.warning("the export starts again, at another moment: %s", error)
            except BaseException:
                self._workers.stop(at_once=True)  # so that they write nothing any more
                raise
            else:
                return
            finally:
                task.files.sweep([part.name for part in task.parts.values()])

    def _write(self, task: PartsTask) -> dict[int, WrittenPart]:
        """Write all parts at one moment."""
        written: dict[int, WrittenPart] = {}
        try:
            with (
                hold_moment(self._engine, self._tables, self._workers.jobs, len(task.parts)) as host,
                _checking(host),
                closing(self._run(task, host, written)) as results,
            ):
                for worker, result in results:
                    if result is None:
                        host.note_late(worker)
                    written |= {one.number: one for one in result or ()}
        except DBAPIError as error:
            if _is_disconnect(error):
                raise MomentLostError(str(error.orig)) from error
            raise
        if len(written) < len(task.parts):
            raise MomentLostError("a process was lost with what it has done")
        self._meter.note(_count(written))
        return written

    def _run(
        self, task: PartsTask, host: Host, written: Mapping[int, WrittenPart]
    ) -> Generator[tuple[int, Any]]:
        task = replace(task, moment=host.moment)
        if host.is_shared:
            count = len(task.parts)
            tasks = [(task, worker) for worker in range(min(self._workers.jobs or count, count))]
        else:
            tasks = [(task.only(number), number) for number in task.parts]
        return self._workers.run(
            write_parts,
            tasks,
            may_repeat=not host.is_shared,
            is_lost=lambda error: not host.is_shared and _is_disconnect(error),
            watch=lambda: self._watch(host, written),
        )

    def _watch(self, host: Host, written: Mapping[int, WrittenPart]) -> None:
        host.watch()
        if time.monotonic() > self._looked + _LOOK:
            self._looked = time.monotonic()
            others = host.finished(set(self._task.parts) - set(written))
            self._meter.note(round(_count(written) + len(others) * self._usual_size))


@contextmanager
def _checking(host: Host) -> Iterator[None]:
    """Look whether the moment is lost, if the database raises an error in this block."""
    try:
        yield
    except DBAPIError:
        host.check()
        raise


def _count(written: Mapping[int, WrittenPart]) -> int:
    """The number of all runs and catalog rows in the parts."""
    return sum(sum(one.entry.counts.values()) for one in written.values())


def _is_disconnect(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated
