"""``histio report``: an HTML report."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history, open_history
from histio.cli.options import database_options, file_argument
from histio.cli.printing import print_line, safe


@click.command()
@file_argument(required=False)
@click.option("--output", "-o", "out", required=True, metavar="FILE", help="The page that is written.")
@database_options
@click.option("--force", is_flag=True, help="Replace the page where it exists.")
def report(file: str | None, out: str, url: str | None, history_name: str | None, *, force: bool) -> int:
    """Write a page to look at, about a file or a database.

    One HTML file with charts and tables of runs, numbers and ledgers, and with what an audit finds. It loads
    nothing, and can be sent to anyone. It needs histio[report].

    \b
    Examples:
      histio report history.jsonl -o report.html
      histio report --url sqlite:///bakery.db -o bakery.html
    """
    open_needed = open_history if file is None else open_any_history
    with open_needed(url, history_name) as history:
        histio.report_page(history if file is None else file, out, history=history, overwrite=force)
    print_line(f"Wrote {safe('standard output' if out == '-' else out)}.", err=out == "-")
    return ExitCode.DONE
