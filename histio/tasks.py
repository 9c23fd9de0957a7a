"""Run tasks on an executor: in processes of this machine, or wherever the caller's executor runs them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for_any
from typing import Any
from uuid import uuid4

from histio.files import check_positive

_REPEATS = 3
"""How often a task is repeated that was lost."""

_END = 5.0
"""How long to wait for a process that is terminated, in seconds."""

_TICK = 0.05
"""The time between two calls of a function that watches the tasks, in seconds."""


class Workers:
    """Runs tasks, and repeats those that are lost because their process ends.

    Args:
        executor: Runs the tasks; None: processes of this machine, which end with the block of `open_workers`.
        jobs: The number of tasks that run at the same time; None: one for each processor, or as many as
            *executor* starts.
        prepare: Called first in each process of this machine, to import what tasks need.

    Attributes:
        jobs: The number of tasks that run at the same time; None: only *executor* knows.

    Raises:
        TypeError: *executor* is not an Executor.
        ValueError: *jobs* is not a positive integer.
    """

    def __init__(
        self, executor: Executor | None, jobs: int | None, prepare: Callable[[], object] | None
    ) -> None:
        if not (executor is None or callable(getattr(executor, "submit", None))):
            raise TypeError(f"executor is an Executor of concurrent.futures, not {type(executor).__name__}")
        if jobs is not None:
            check_positive(jobs=jobs)
        usual = count_processors() if executor is None else getattr(executor, "_max_workers", None)
        self.jobs: int | Any | None = (
            jobs or usual
        )  # only the executors of the standard library say how many they run
        self._is_own = executor is None
        self._prepare = prepare
        self._executor = executor or self._start()

    def _start(self) -> Executor:
        if self.jobs == 1:
            return ThreadPoolExecutor(1)
        pool = ProcessPoolExecutor(
            self.jobs,
            mp_context=_choose_context(),
            initializer=_begin_process,
            initargs=(dict(os.environ), self._prepare),  # it may have changed since the first start
        )
        pool.submit(os.getpid)  # the processes start now, while the caller plans its tasks
        return pool

    def stop(self, *, at_once: bool) -> None:
        """End the processes of this machine. *at_once*: do not wait for the tasks that run."""
        if not self._is_own:
            return
        processes = dict(getattr(self._executor, "_processes", None) or {})
        self._executor.shutdown(wait=not (at_once and processes), cancel_futures=True)
        for process in processes.values() if at_once else ():
            process.terminate()
        for process in processes.values() if at_once else ():
            process.join(_END)

    def run(
        self,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        *,
        at_once: int | None = None,
        may_repeat: bool = True,
        is_lost: Callable[[Exception], bool] = lambda _: False,
        watch: Callable[[], object] | None = None,
    ) -> Generator[tuple[int, Any]]:
        """Call *function* with each of the *arguments*, in any order, and yield the results as they come.

        Those that have not begun are cancelled when the generator is closed, or a task raises.

        Args:
            function: A function of a module.
            arguments: What can be pickled.
            at_once: How many tasks may run at the same time; None: as many as there are jobs.
            may_repeat: Whether a task that was lost, with its process for example, is repeated, up to three
                times.
            is_lost: Whether a task that has raised this was lost.
            watch: Called now and then, while tasks run.

        Yields:
            The place of the arguments, and the result.

        Raises:
            Exception: What a task has raised, or an executor that can run no more tasks.
        """
        waiting, lost = deque(range(len(arguments))), Counter[int]()
        running: dict[Future[Any], tuple[int, Executor]] = {}
        limit = at_once or self.jobs or len(arguments)
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    place = waiting.popleft()
                    running[self._submit(function, arguments[place])] = place, self._executor
                timeout = None if watch is None else _TICK
                done, _ = wait(running, timeout=timeout, return_when=FIRST_COMPLETED)
                if watch is not None:
                    watch()
                for future in done:
                    place, executor = running.pop(future)
                    error = _find_loss(future, is_lost)
                    if error is None:
                        yield place, future.result()
                        continue
                    lost[place] += 1
                    if not may_repeat or lost[place] > _REPEATS:
                        raise error
                    waiting.appendleft(place)
                    if executor is self._executor:
                        self.recover(error)
        finally:
            for future in running:
                future.cancel()

    def _submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any]:
        # Some executors return the earlier result for a call with the same arguments.
        nonce = uuid4().hex
        try:
            return self._executor.submit(_call, function, arguments, nonce)
        except BrokenExecutor as error:  # a process was killed when no task ran
            self.recover(error)
            return self._executor.submit(_call, function, arguments, nonce)

    def recover(self, error: Exception) -> None:
        """Start other processes, if this *error* of a task says that those of this machine are gone.

        Raises:
            BrokenExecutor: The executor of the caller can run no more tasks.
        """
        if isinstance(error, BrokenExecutor):
            if not self._is_own:
                raise error
            self.stop(at_once=True)
            self._executor = self._start()


@contextmanager
def open_workers(
    executor: Executor | None, jobs: int | None = None, *, prepare: Callable[[], object] | None = None
) -> Iterator[Workers]:
    """Start `Workers`, and end those of histio's own with the block; after an error, at once."""
    workers = Workers(executor, jobs, prepare)
    try:
        yield workers
    except BaseException:
        workers.stop(at_once=True)
        raise
    workers.stop(at_once=False)


def count_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_loss(future: Future[Any], is_lost: Callable[[Exception], bool]) -> Exception | None:
    """Why the task of a *future* was lost; None: it has a result, or was not lost but has raised."""
    try:
        future.result()
    except (BrokenExecutor, CancelledError) as error:
        return error
    except Exception as error:
        if is_lost(error):
            return error
        raise
    return None


def _choose_context() -> Any:
    """How to start processes: never as copies of this one, which may have threads and connections."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # noqa: PLC0415 - not on Windows

    context = multiprocessing.get_context("forkserver")
    if forkserver._forkserver._preload_modules == ["__main__"]:  # type: ignore[attr-defined]  # noqa: SLF001
        context.set_forkserver_preload(["histio.workers"])  # imported once; the processes are copies of that
    return context


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], _nonce: str) -> Any:
    return function(*arguments)


def _begin_process(environment: Mapping[str, str], prepare: Callable[[], object] | None) -> None:
    """Let the process end with the one that has started it, and leave signals of the terminal to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        with suppress(Exception):  # the first task raises it where it can be told
            prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)
