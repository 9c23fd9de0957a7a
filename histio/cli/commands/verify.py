"""``histio verify``: check that a database has all of a file."""

from __future__ import annotations

import click

import histio
from histio.cli.differences import print_stored_differences
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import LimitOptions, database_options, file_argument, form_options, limit_options
from histio.cli.printing import Form, pluralize, print_line


@click.command()
@file_argument()
@database_options
@limit_options
@form_options
def verify(file: str, url: str | None, history_name: str | None, *, limits: LimitOptions, form: Form) -> int:
    """Check that a database has all runs of FILE, unchanged.

    Prints the runs that are missing or differ, and exits with code 1 if there are any. Other runs of the
    database are not read; histio diff shows them too. Nothing is written.

    \b
    Examples:
      histio verify history.jsonl --url sqlite:///bakery.db
    """
    with open_history(url, history_name) as history:
        differences = histio.verify(file, history, **limits)
        total = print_stored_differences(differences, file, history, form=form)
    if form is Form.TEXT:
        verbs = "differs or is missing" if total == 1 else "differ or are missing"
        message = f"{pluralize(total, 'run')} {verbs}." if total else "The database has all runs, unchanged."
        print_line(message, err=True)
    return ExitCode.BAD if total else ExitCode.DONE
