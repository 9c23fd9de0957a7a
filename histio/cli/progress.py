"""A progress bar on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import histio


@contextmanager
def progress_bar(*, enabled: bool) -> Iterator[Callable[[histio.Progress], None] | None]:
    """Show a progress bar on a terminal; yields the callback that updates it, or None without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def update(now: histio.Progress) -> None:
            if now.phase not in tasks:
                tasks[now.phase] = bar.add_task(now.phase, rate="")
            completed, total = (now.runs, now.total) if now.total else (now.bytes, now.total_bytes)
            rate = f"{now.runs:,} runs, {now.rate:,.0f}/s"
            bar.update(tasks[now.phase], completed=completed, total=total, rate=rate)

        yield update
