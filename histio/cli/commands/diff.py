"""``histio diff``: how two histories differ."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history, open_history
from histio.cli.options import database_options, file_argument, json_lines_option
from histio.cli.printing import count_of, print_line
from histio.cli.results import print_differences


@click.command()
@file_argument("a")
@file_argument("b", required=False)
@database_options
@json_lines_option
def diff(a: str, b: str | None, url: str | None, history_name: str | None, *, as_json: bool) -> int:
    """Tell in what two histories differ.

    They are the files A and B, or the file A and a database. Runs are compared by what they mean: "5.25"
    is "5.2500". The exit code is 1 where something differs.

    \b
    Examples:
      histio diff history.jsonl later.jsonl
      histio diff history.jsonl --url sqlite:///bakery.db
    """
    if a == b == "-":
        raise click.UsageError("Standard input can be read once only.")
    if b is not None:
        with open_any_history(url, history_name) as history:
            count = print_differences(histio.diff(a, b, history=history), a, b, as_json=as_json)
    else:
        with open_history(url, history_name) as history:
            count = print_differences(histio.diff(a, history), a, "the database", as_json=as_json)
    if not as_json:
        print_line(
            f"{count_of(count, 'run')} differ{'s' if count == 1 else ''}." if count else "No differences.",
            err=True,
        )
    return ExitCode.BAD if count else ExitCode.DONE
