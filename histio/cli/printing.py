"""What people see: tables, problems, progress. Plain text where nobody looks at a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

_WIDTH = 80
_ENDLESS = 10_000


def safe(text: object) -> str:
    """*text* without what could steer a terminal: line ends, escape sequences, marks of direction."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s/]+@")


def without_password(text: str) -> str:
    """*text* with asterisks in place of a password in a URL."""
    return _PASSWORD.sub(r"\1***@", text)


def print_line(text: str = "", *, err: bool = False) -> None:
    """One line, which stays one."""
    click.echo(text, err=err)


def print_wrapped(text: str) -> None:
    """A sentence or two."""
    click.echo(click.wrap_text(text, width=_WIDTH))


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """*value* for machines."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False) -> None:
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


@contextmanager
def after_the_fact(done: str) -> Iterator[None]:
    """A block that tells what is *done*, which is so whether it can be printed or not."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print_line(f"{done}, but its report could not be printed: {error.strerror}", err=True)


def size(count: int) -> str:
    """So many bytes, for people."""
    from rich.filesize import decimal

    return decimal(count)


def count_of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
