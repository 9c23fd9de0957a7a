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
from histio.cli.screen import without_password

_Command = TypeVar("_Command", bound=Callable[..., Any])

VARIABLE = "HISTIO_DATABASE_URL"


history_option = click.option(
    "--history",
    "named",
    metavar="MODULE:ATTRIBUTE",
    help="A History of your own, or a function that makes one: says what files may hold.",
)
"""An option that names kinds of run."""


def database_options(command: _Command) -> _Command:
    """Options that name a database."""
    own = "A History of your own, or a function that makes one: with its models and its database."
    url = f"The database, such as sqlite:///bakery.db.  [env var: {VARIABLE}]"
    command = click.option("--history", "named", metavar="MODULE:ATTRIBUTE", help=own)(command)
    return click.option("--url", metavar="URL", help=url)(command)


truncating = click.option(
    "--truncate-times",
    is_flag=True,
    help="Cut times to the digits of a second that their columns keep, with a warning for each.",
)
"""The option ``--truncate-times``."""


def file_argument(name: str = "file", **options: Any) -> Callable[[_Command], _Command]:
    """An argument that names a file, and no database."""

    def check(_context: click.Context, _argument: click.Parameter, given: Any) -> Any:
        from histio.database.dialects import is_database

        for each in (given,) if isinstance(given, str) else given or ():
            if is_database(each):
                told = f"{without_password(each)} is a database, not a file: name it by --url."
                raise click.UsageError(told)
        return given

    return click.argument(name, callback=check, **options)


@contextmanager
def opened(url: str | None, named: str | None, *, new: bool = False) -> Iterator[histio.History]:
    """The history that the options name, with its database; *new*: its file may be made.

    Raises:
        click.UsageError: They name none.
    """
    own = None if named is None else _imported(named)
    if url is None and (own is None or not own.bound.has_database):
        url = os.environ.get(VARIABLE) or None
        if url is None:
            raise click.UsageError(
                f"Which database? Say --url URL (such as sqlite:///bakery.db), set {VARIABLE}, or name a "
                "History that has one: --history MODULE:ATTRIBUTE."
            )
    if url is None and own is not None:
        yield own
        return
    from histio.database.dialects import missing_file, with_driver

    where = with_driver(url or "")
    missing = None if new else missing_file(where)
    if missing is not None:
        raise click.UsageError(f"{missing} does not exist. (histio init makes a new database.)")
    with (
        histio.History(where) if own is None else histio.History.of_bound(own.bound.on(where)) as history,
        _told_of(where),
    ):
        yield history


@contextmanager
def _told_of(url: Any) -> Iterator[None]:
    """A block whose errors of the database name it."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        is_file = url.get_backend_name() == "sqlite"
        named = url.database if is_file else url.render_as_string(hide_password=True)
        error.add_note(f"The database is {named}.")
        raise


@contextmanager
def opened_for_files(url: str | None, named: str | None, *, asked: bool = False) -> Iterator[histio.History]:
    """The history that the options name, with its database if they name one.

    *asked*: it is, where the environment names it too.
    """
    if url is not None or (asked and os.environ.get(VARIABLE)):
        with opened(url, named) as history:
            yield history
    else:
        yield histio.History() if named is None else _imported(named)


def _imported(named: str) -> histio.History:
    found = imported(named, "--history")
    try:
        made = found() if callable(found) and not isinstance(found, histio.History) else found
    except Exception as error:
        raise click.UsageError(f"--history: {named}() fails: {type(error).__name__}: {error}") from error
    if not isinstance(made, histio.History):
        raise click.UsageError(f"--history: {named} is a {type(made).__name__}, not a History.")
    return made


def imported(named: str, what: str) -> Any:
    """The object that MODULE:ATTRIBUTE names; modules of the working directory are found too.

    Raises:
        click.UsageError: There is no such object; the text begins with *what*, the option that named it.
    """
    module, _, attribute = named.partition(":")
    if not module or not attribute:
        raise click.UsageError(f"{what}: {named!r} is no MODULE:ATTRIBUTE, such as shop.history:history.")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as python -m does
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise click.UsageError(f"{what}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return found
