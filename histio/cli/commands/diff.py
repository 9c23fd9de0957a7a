"""``histio diff``: show how two histories differ."""

from __future__ import annotations

import click

import histio
from histio.cli.differences import print_file_differences, print_stored_differences
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history, open_history
from histio.cli.options import LimitOptions, database_options, file_argument, form_options, limit_options
from histio.cli.printing import Form, pluralize, print_line
from histio.cli.usage import UsageError


@click.command()
@file_argument("a")
@file_argument("b", required=False)
@database_options
@limit_options
@form_options
def diff(
    a: str,
    b: str | None,
    url: str | None,
    history_name: str | None,
    *,
    limits: LimitOptions,
    form: Form,
) -> int:
    """Show how two histories differ.

    Compares the files A and B or, without B, the file A and a database. Runs are compared by value: "5.25"
    equals "5.2500". The exit code is 1 if there are differences.

    \b
    Examples:
      histio diff history.jsonl later.jsonl
      histio diff history.jsonl --url sqlite:///bakery.db
    """
    if a == b == "-":
        raise UsageError("A and B cannot both be standard input.")
    if b is not None:
        with open_any_history(url, history_name) as history:
            differences = histio.diff(a, b, history=history, **limits)
            total = print_file_differences(differences, a, b, form=form)
    else:
        with open_history(url, history_name) as history:
            differences = histio.diff(a, history, **limits)
            total = print_stored_differences(differences, a, history, form=form)
    if form is Form.TEXT:
        verb = "differs" if total == 1 else "differ"
        print_line(f"{pluralize(total, 'run')} {verb}." if total else "No differences.", err=True)
    return ExitCode.BAD if total else ExitCode.DONE
