"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from histio.cli.printing import without_password

_Command = TypeVar("_Command", bound=Callable[..., Any])


URL_VARIABLE = "HISTIO_DATABASE_URL"


history_option = click.option(
    "--history",
    "history_name",
    metavar="MODULE:ATTRIBUTE",
    help="A History of your own, or a function that makes one: says what files may hold.",
)
"""An option that names kinds of run."""


def database_options(command: _Command) -> _Command:
    """Options that name a database."""
    own = "A History of your own, or a function that makes one: with its models and its database."
    url = f"The database, such as sqlite:///bakery.db.  [env var: {URL_VARIABLE}]"
    command = click.option("--history", "history_name", metavar="MODULE:ATTRIBUTE", help=own)(command)
    return click.option("--url", metavar="URL", help=url)(command)


truncate_times_option = click.option(
    "--truncate-times",
    is_flag=True,
    help="Cut times to the digits of a second that their columns keep, with a warning for each.",
)
"""The option ``--truncate-times``."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object to a line, for machines."
)


quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print nothing where all is well.")


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
