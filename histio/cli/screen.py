"""What people see: tables, problems, progress. Plain text where nobody looks at a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click

import histio

_EXAMPLES = 5
_WIDTH = 80
_ENDLESS = 10_000


def safe(text: object) -> str:
    """*text* without what could steer a terminal: line ends, escape sequences, marks of direction."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
as_lines = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object to a line, for machines."
)
quiet = click.option("--quiet", "-q", is_flag=True, help="Print nothing where all is well.")

_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s/]+@")


def without_password(text: str) -> str:
    """*text* with asterisks in place of a password in a URL."""
    return _PASSWORD.sub(r"\1***@", text)


def say(text: str = "", *, err: bool = False) -> None:
    """One line, which stays one."""
    click.echo(text, err=err)


def say_wrapped(text: str) -> None:
    """A sentence or two."""
    click.echo(click.wrap_text(text, width=_WIDTH))


def say_json(value: Any, *, indent: int | None = 2) -> None:
    """*value* for machines."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False) -> None:
    """A table whose numbers stand right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    console = Console(stderr=err, highlight=False)
    if not console.is_terminal:  # nothing is cut for a width that nobody has
        console.width = _ENDLESS
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        numbers = all(isinstance(row[place], int) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{each:,}" if isinstance(each, int) else safe(each)) for each in row))
    console.print(table)


def say_problems(title: str, problems: Sequence[histio.Problem], count: int, *, err: bool = False) -> None:
    """What is wrong, grouped by code, of each group the first few; there are *count* in all."""
    groups: dict[str, list[histio.Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.code, []).append(problem)
    if count:
        more = f", the first {len(problems):,} of them by code" if count > len(problems) else ""
        say(err=err)
        click.secho(f"{title}: {count:,}{more}", bold=True, err=err)
    for code, found in groups.items():
        say(f"  {code} ({len(found):,})", err=err)
        alike = Counter(problem.message for problem in found)
        first = {problem.message: problem for problem in reversed(found)}
        for message, times in islice(alike.items(), _EXAMPLES):
            number = f"{times - 1:,} " if count <= len(problems) else ""
            more = f", and {number}more like it" if times > 1 else ""
            say(f"    {safe(first[message])}{more}", err=err)
        if len(alike) > _EXAMPLES:
            say(f"    … and {len(alike) - _EXAMPLES:,} more", err=err)


@contextmanager
def after_the_fact(done: str) -> Iterator[None]:
    """A block that tells what is *done*, which is so whether it can be printed or not."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"{done}, but its report could not be printed: {error.strerror}", err=True)


def size(count: int) -> str:
    """So many bytes, for people."""
    from rich.filesize import decimal

    return decimal(count)


@contextmanager
def progress_bar(*, shown: bool) -> Iterator[Callable[[histio.Progress], None] | None]:
    """What shows how far the work is on standard error; None: nobody would see it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(now: histio.Progress) -> None:
            if now.phase not in tasks:
                tasks[now.phase] = bar.add_task(now.phase, told="")
            done, total = (now.runs, now.total) if now.total else (now.bytes, now.total_bytes)
            told = f"{now.runs:,} runs, {now.rate:,.0f}/s"
            bar.update(tasks[now.phase], completed=done, total=total, told=told)

        yield show
