"""``histio report``: write an HTML report."""

from __future__ import annotations

from dataclasses import asdict

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history_for
from histio.cli.options import (
    LimitOptions,
    database_options,
    file_argument,
    file_option,
    json_option,
    limit_options,
)
from histio.cli.outputs import ReportOutput, find_written
from histio.cli.printing import print_json, print_line, report_unprintable
from histio.cli.results import print_written


@click.command()
@file_argument(required=False)
@file_option("--output", "-o", required=True, help="The HTML file to write.")
@database_options
@click.option("--force", is_flag=True, help="Replace an existing output file.")
@limit_options
@json_option
def report(
    file: str | None,
    output: str,
    url: str | None,
    history_name: str | None,
    *,
    force: bool,
    limits: LimitOptions,
    as_json: bool,
) -> int:
    """Write an HTML report about a file or a database.

    The report is a single file with charts and tables of runs, numbers and ledgers, and with the findings of
    an audit. It loads nothing from elsewhere. Requires histio[report].

    \b
    Examples:
      histio report history.jsonl -o report.html
      histio report --url sqlite:///bakery.db -o bakery.html
    """
    with open_history_for(file, url, history_name) as history:
        source = history if file is None else file
        histio.report_page(source, output, history=history, overwrite=force, **limits)
    to_stdout = output == "-"
    written = () if to_stdout else tuple(find_written({"report": output}))
    with report_unprintable("The page is written"):
        if not as_json:
            if to_stdout:
                print_line("Wrote standard output.", err=True)
            for each in written:
                print_written(each)
        elif not to_stdout:
            print_json(asdict(ReportOutput(written)))
    return ExitCode.DONE
