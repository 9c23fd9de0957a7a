"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from histio.cli.printing import show_file

_Command = TypeVar("_Command", bound=Callable[..., Any])

URL_VARIABLE = "HISTIO_DATABASE_URL"

url_option = click.option(
    "--url",
    metavar="URL",
    help=f"The database, such as sqlite:///bakery.db.  [env var: {URL_VARIABLE}]",
)
history_option = click.option(
    "--history",
    "history_name",
    metavar="MODULE:ATTRIBUTE",
    help="Your own History, or a function that returns one, for your own models.",
)
truncate_times_option = click.option(
    "--truncate-times",
    is_flag=True,
    help="Truncate times to the fractional seconds that their columns keep, with a warning.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print nothing unless something is wrong.")


def database_options(command: _Command) -> _Command:
    """Add ``--url`` and ``--history`` to a command."""
    return url_option(history_option(command))


def file_argument(name: str = "file", **options: Any) -> Callable[[_Command], _Command]:
    """Add an argument that names one or more files; the URL of a database is a usage error."""

    def reject_databases(_context: click.Context, _argument: click.Parameter, value: Any) -> Any:
        from histio.database.dialects import is_database

        for file in (value,) if isinstance(value, str) else value or ():
            if is_database(file):
                url = show_file(file)
                raise click.UsageError(f"{url} is a database, not a file. Pass it as --url {url}")
        return value

    return click.argument(name, callback=reject_databases, **options)
