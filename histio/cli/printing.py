"""Print text, tables and JSON: with colours and the width of a terminal, or plain where there is none."""

from __future__ import annotations

import enum
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import click

from histio.cli.process import discard, flush
from histio.redact import redact

_Result = TypeVar("_Result")

_WIDTH = 80
_WIDEST = 100
"""Longer lines of sentences are hard to read."""

_NARROW = 40
_UNLIMITED_WIDTH = 10_000


def escape(text: object) -> str:
    """Escape what could steer a terminal: line ends, escape sequences, direction marks."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


def show_file(file: str) -> str:
    """The name of a *file* to print, without secrets: it may be a URL, or be one by mistake."""
    return escape(redact(file, [file]))


def print_error(text: str, quoted: Iterable[str]) -> None:
    """Print an error of several lines, without the secrets of URLs in it, and of those that are *quoted*."""
    lines = redact(text, quoted).rstrip("\n").split("\n")
    click.echo("\n".join(escape(line.expandtabs(4)) for line in lines), err=True)


def pluralize(number: int, noun: str) -> str:
    """Put a number before its noun: ``1 run``, ``2,000 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_size(number: int) -> str:
    """Format a number of bytes, such as ``1.2 MB``."""
    from rich.filesize import decimal

    return decimal(number)


def print_line(text: str = "", *, err: bool = False) -> None:
    """Print one line, without wrapping it."""
    click.echo(text, err=err)


def print_wrapped(text: str) -> None:
    """Print sentences, wrapped to the terminal or to 80 columns; a command, on a line below, stays whole."""
    from rich.console import Console

    console = Console()
    sentences, *commands = text.split("\n")
    width = min(console.width, _WIDEST) if console.is_terminal else _WIDTH
    click.echo(
        "\n".join(
            [textwrap.fill(sentences, width, break_on_hyphens=False), *(f"  {each}" for each in commands)]
        )
    )


def print_styled(*parts: tuple[str, str]) -> None:
    """Print one line of texts, each with its style on a terminal, such as ``red``."""
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text.assemble(*parts), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print *value* as JSON; other types than JSON's as text.

    Characters that control a terminal or cannot be encoded become JSON escapes: the value is the same.
    """
    click.echo(_to_json(value, indent=2))


class Form(enum.Enum):
    """The form in which a command prints many results."""

    TEXT = enum.auto()
    OBJECT = enum.auto()
    """One JSON object, which has all results in a list."""
    LINES = enum.auto()
    """A JSON object for each result, on a line of its own."""


def print_all(
    name: str,
    results: Iterable[_Result],
    *,
    form: Form,
    show: Callable[[_Result], None],
    to_json: Callable[[Any], dict[str, Any]] = asdict,
    first: Mapping[str, Any] | None = None,
    last: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Print *results* one by one, as they are found.

    Nothing is printed before there is a result, or the end. If finding results fails, a JSON object is
    incomplete, so that nobody takes it for the whole.

    Args:
        name: The member of a JSON object that lists the results.
        results: What to print.
        form: How.
        show: Prints a result as text.
        to_json: Returns the JSON of a result.
        first: Members of a JSON object before the list.
        last: Returns members of a JSON object after the list.
    """
    if form is not Form.OBJECT:
        for result in results:
            if form is Form.LINES:
                click.echo(_to_json(to_json(result)))
            else:
                show(result)
        return
    before = "".join(f'  "{member}": {_to_json(value)},\n' for member, value in (first or {}).items())
    separator = f'{{\n{before}  "{name}": ['
    for result in results:
        click.echo(f"{separator}\n    {_to_json(to_json(result))}", nl=False)
        separator = ","
    end = f"{separator}]" if separator != "," else "\n  ]"
    after = "".join(f',\n  "{member}": {_to_json(value)}' for member, value in last().items())
    click.echo(f"{end}{after}\n}}")


def _to_json(value: Any, *, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return text if _can_be_printed(text) else json.dumps(value, indent=indent, default=str)


def _can_be_printed(text: str) -> bool:
    """Whether standard output can encode *text*, and nothing of it but line ends is a control character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return text.replace("\n", "").isprintable()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False) -> None:
    """Print a table; columns of integers are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    console = Console(stderr=err, highlight=False)
    if not console.is_terminal or console.width < _NARROW:  # a file has no width; a table may have too little
        console.width = _UNLIMITED_WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int) for row in rows)
        table.add_column(Text(escape(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else escape(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())  # columns end with spaces
    click.echo(text, err=err, color=console.is_terminal)


@contextmanager
def report_unprintable(done: str) -> Iterator[None]:
    """Print results in this block; if printing fails, say on standard error what is *done* nevertheless."""
    try:
        yield
        flush()
    except OSError as error:
        discard(sys.stdout)
        print_line(f"{done}, but its report could not be printed: {error.strerror}", err=True)
