"""Processes that work on a history and are killed meanwhile.

A worker forks for each task: that costs less than a new interpreter.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

import histio
from histio.tuning import tuned
from tests.support import shop
from tests.support.streams import MOMENT

HISTORIES: dict[str, Callable[[Any], histio.History]] = {
    "bundled": histio.History,
    "orders": lambda engine: histio.History(engine, shop.OrderSchema, values={"shop_id": 7}),
}


class End(NamedTuple):
    """How a process ended.

    Attributes:
        code: Its exit code; negative: the signal that killed it.
        text: What went wrong.
        steps: How many steps it made: the beginnings and ends of its statements and commits.
        seconds: How long it took.
    """

    code: int
    text: str = ""
    steps: int = 0
    seconds: float = 0


class Worker:
    """A process that forks for each task that it is given."""

    def __init__(self, temporary: Path) -> None:
        """Make temporary files in the folder *temporary*."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self,
        engine: sa.Engine,
        method: str,
        path: Path,
        *,
        history: str = "bundled",
        killed_at: tuple[str, float] | None = None,
        **options: Any,
    ) -> End:
        """Call a *method* of a *history*, in a process that is killed at a moment.

        Args:
            engine: The database.
            method: The name of the method.
            path: Its file.
            history: The name of the history.
            killed_at: ("step", n): after so many steps. ("byte", n): when a file would be longer than this.
                ("second", n): when so much time has passed. None: it is not killed.
            **options: Of the method.
        """
        url = engine.url.render_as_string(hide_password=False)
        task = [url, history, method, str(path), options, killed_at]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(task)}\n")
        self._process.stdin.flush()
        return End(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


def _work(
    url: str, history: str, method: str, path: str, options: dict[str, Any], killed_at: tuple[str, float]
) -> int:
    """Do a task; return the number of its steps."""
    what, when = killed_at or ("", 0)
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if what == "step" and steps > when:
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(connection: Any) -> None:
        step()
        commit_as_before(connection)
        step()

    engine = histio.create_engine(url)
    sa.event.listen(engine, "before_cursor_execute", step)
    sa.event.listen(engine, "after_cursor_execute", step)
    commit_as_before = engine.dialect.do_commit
    engine.dialect.do_commit = commit  # type: ignore[method-assign]
    target = HISTORIES[history](engine)
    call = functools.partial(_copy, target) if method == "copy" else getattr(target, method)
    if what == "byte":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(when), int(when)))
    elif what == "second":
        signal.setitimer(signal.ITIMER_REAL, max(when, 1e-6))  # 0 would stop it
    if method == "export_file":
        options["exported_at"] = MOMENT
    with tuned(batch=10, page=20):
        call(path, **options)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return steps


def _copy(target: histio.History, path: str, **options: Any) -> None:
    """Copy the runs of a SQLite file."""
    with histio.History(f"sqlite:///{path}") as source:
        histio.copy(source, target, **options)


def _fork(task: list[Any]) -> End:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        begin = time.monotonic()
        try:
            end = End(0, "", _work(*task), time.monotonic() - begin)
        except BaseException:  # noqa: BLE001 - told to the parent
            end = End(1, traceback.format_exc()[-2000:])
        os.write(write, json.dumps(end).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return End(*json.loads(text)) if text else End(code)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for each in HISTORIES.values():
        each(None)  # what every child would find out again is found out once
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(_fork(json.loads(line)))}\n")
        sys.stdout.flush()
