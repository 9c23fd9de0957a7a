"""Open the history that the options of a command name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import histio
from histio.cli.options import URL_VARIABLE
from histio.cli.printing import show_file
from histio.cli.usage import UsageError


@contextmanager
def open_history(
    url: str | None, history_name: str | None, *, option: str = "--url", may_create: bool = False
) -> Iterator[histio.History]:
    """Open the history that the options name, with its database.

    Args:
        url: The URL of the database.
        history_name: The value of ``--history``.
        option: The option that has the URL. If it is not ``--url``, there are several databases, and errors
            in the block are not taken for errors of this one.
        may_create: Whether the file of a SQLite database may be new.

    Raises:
        UsageError: No database is named, or its file does not exist.
    """
    own = None if history_name is None else _import_history(history_name)
    if url is None and (own is None or not own.bound.has_database):
        url = os.environ.get(URL_VARIABLE) or None
        if url is None:
            raise UsageError(
                f"No database: pass {option} URL (such as sqlite:///bakery.db), set "
                f"{URL_VARIABLE}, or pass --history MODULE:ATTRIBUTE, a History that has one."
            )
    if url is None and own is not None:
        yield own
        return
    from histio.database.dialects import missing_file, with_driver

    full_url = with_driver(url or "")
    missing = None if may_create else missing_file(full_url)
    if missing is not None:
        raise UsageError(
            f"{show_file(str(missing))} does not exist. To make a new database: "
            f"histio init --url {show_file(url or '')}"
        )
    history = histio.History(full_url) if own is None else histio.History.from_bound(own.bound.on(full_url))
    naming = _name_database_in_errors(full_url) if option == "--url" else nullcontext()
    with history, naming:
        yield history


def show_database(url: str | None, history_name: str | None) -> str:
    """The options that name the same database in another command, without secrets."""
    given = {"--url": url, "--history": history_name}
    return "".join(
        f" {option} {'…' if show_file(value) != value else shlex.quote(value)}"
        for option, value in given.items()
        if value is not None
    )


@contextmanager
def open_any_history(
    url: str | None, history_name: str | None, *, use_environment: bool = False
) -> Iterator[histio.History]:
    """Open the history that the options name, with a database if they name one; default: the bundled kinds.

    Args:
        url: The value of ``--url``.
        history_name: The value of ``--history``.
        use_environment: Whether a database that only the environment names is used too.
    """
    if url is not None or (use_environment and os.environ.get(URL_VARIABLE)):
        with open_history(url, history_name) as history:
            yield history
    else:
        yield histio.History() if history_name is None else _import_history(history_name)


def open_history_for(
    file: str | None, url: str | None, history_name: str | None
) -> AbstractContextManager[histio.History]:
    """Open the history that the options name, to read *file*; None: its database, which it must have."""
    return open_history(url, history_name) if file is None else open_any_history(url, history_name)


@contextmanager
def _name_database_in_errors(url: Any) -> Iterator[None]:
    """Add the name of the database to errors that its driver raises in the block."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        is_file = url.get_backend_name() == "sqlite"
        name = url.database if is_file else url.render_as_string(hide_password=True)
        error.add_note(f"The database is {show_file(name or 'in memory')}.")
        raise


def _import_history(name: str) -> histio.History:
    found = import_object(name, option="--history", example="shop.history:history")
    try:
        history = found() if callable(found) and not isinstance(found, histio.History) else found
    except Exception as error:  # whatever the function raises is the answer to --history
        raise UsageError(f"--history: {name}() failed: {type(error).__name__}: {error}") from error
    if not isinstance(history, histio.History):
        raise UsageError(f"--history: {name} is a {type(history).__name__}, not a History.")
    if history.bound.location is None:  # other processes find it as this one did
        return type(history).from_bound(replace(history.bound, location=name))
    return history


def import_object(name: str, *, option: str, example: str) -> Any:
    """Import the object that ``module:attribute`` names; the working directory is searched too.

    Raises:
        UsageError: There is no such object; the message begins with *option*.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UsageError(f"{option}: write a module, a colon and a name, such as {example}, not {name!r}.")
    from histio.workers import import_object as import_named

    try:
        return import_named(name)
    except Exception as error:  # importing runs code of the host
        raise UsageError(f"{option}: {type(error).__name__}: {error}") from error
