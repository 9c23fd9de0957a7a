"""Which history a command is about: options, and what they name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

import histio

_Command = TypeVar("_Command", bound=Callable[..., Any])

VARIABLE = "HISTIO_DATABASE_URL"


def _options(history: str, url: str) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        command = click.option("--history", "named", metavar="MODULE:ATTRIBUTE", help=history)(command)
        return click.option("--url", metavar="URL", help=url)(command)

    return decorate


database_options = _options(
    "A History of your own, or a function that makes one: with its models and its database.",
    f"The database, such as sqlite:///bakery.db.  [env var: {VARIABLE}]",
)
"""Options that name a database."""

file_options = _options(
    "A History of your own, which says what files may hold, and has a database or none.",
    "A database, such as sqlite:///bakery.db.",
)
"""The same for commands that are about files, and may do without a database."""


@contextmanager
def opened(url: str | None, named: str | None, *, new: bool = False) -> Iterator[histio.History]:
    """The history that the options name, with its database; *new*: its file may be made.

    Raises:
        click.UsageError: They name none.
    """
    own = None if named is None else _imported(named)
    if url is None and (own is None or not own._has_database):
        url = os.environ.get(VARIABLE) or None
        if url is None:
            raise click.UsageError(
                f"Which database? Say --url URL (such as sqlite:///bakery.db), set {VARIABLE}, or name a "
                "History that has one: --history MODULE:ATTRIBUTE."
            )
    if url is None and own is not None:
        yield own
        return
    from histio.dialects import missing_file, with_driver

    where = with_driver(url or "")
    missing = None if new else missing_file(where)
    if missing is not None:
        raise click.UsageError(f"{missing} does not exist; histio init --url {where} makes a new database.")
    with histio.History(where) if own is None else own._bound_to(where) as history:
        yield history


@contextmanager
def opened_for_files(url: str | None, named: str | None) -> Iterator[histio.History]:
    """The history that the options name, with its database if they name one."""
    if url is not None:
        with opened(url, named) as history:
            yield history
    else:
        yield histio.History() if named is None else _imported(named)


def _imported(named: str) -> histio.History:
    module, _, attribute = named.partition(":")
    if not module or not attribute:
        raise click.UsageError(f"--history: {named!r} is no MODULE:ATTRIBUTE, such as shop.history:history.")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as python -m does
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"--history: {error}") from error
    finally:
        sys.path.pop(0)
    try:
        made = found() if callable(found) and not isinstance(found, histio.History) else found
    except Exception as error:
        raise click.UsageError(f"--history: {named}() fails: {type(error).__name__}: {error}") from error
    if not isinstance(made, histio.History):
        raise click.UsageError(f"--history: {named} is a {type(made).__name__}, not a History.")
    return made
