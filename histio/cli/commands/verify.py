"""``histio verify``: whether a database has all of a file."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import database_options, file_argument, json_lines_option
from histio.cli.printing import count_of, print_line
from histio.cli.results import print_differences


@click.command()
@file_argument()
@database_options
@json_lines_option
def verify(file: str, url: str | None, history_name: str | None, *, as_json: bool) -> int:
    """Make sure that a database has all of FILE, unaltered.

    What the database has beyond it is no difference; histio diff tells that too. Nothing is written.

    \b
    Examples:
      histio verify history.jsonl --url sqlite:///bakery.db
    """
    with open_history(url, history_name) as history:
        found = (each for each in histio.diff(file, history) if each.only_in != "b")
        count = print_differences(found, file, "the database", as_json=as_json)
    if not as_json:
        print_line(
            f"{count_of(count, 'run')} differ or are missing." if count else "The database has all of it.",
            err=True,
        )
    return ExitCode.BAD if count else ExitCode.DONE
