"""``histio check``: report every problem in a file."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import (
    LimitOptions,
    database_options,
    file_argument,
    form_options,
    limit_options,
    sealed_option,
    strict_option,
    truncate_times_option,
)
from histio.cli.printing import Form, pluralize, print_line
from histio.cli.results import print_problems


@click.command()
@file_argument()
@database_options
@click.option(
    "--create-catalog", is_flag=True, help="Let runs refer to rows that only the catalog of FILE has."
)
@truncate_times_option
@sealed_option
@strict_option
@limit_options
@form_options
def check(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    create_catalog: bool,
    truncate_times: bool,
    sealed: bool,
    strict: bool,
    limits: LimitOptions,
    form: Form,
) -> int:
    """Report every problem in FILE.

    Checks the form of each run and of each catalog row, duplicates, totals and costs, and the seal; with a
    database, references too. Prints one line for each problem, FILE:LINE: POINTER: MESSAGE, which editors can
    jump to. The exit code is 1 if there are errors; with --strict, warnings count too.

    \b
    Examples:
      histio check history.jsonl
      histio check history.jsonl --url sqlite:///branch.db
    """
    with open_any_history(url, history_name, use_environment=True) as history:
        problems = histio.check_file(
            file,
            history=history,
            catalog="create" if create_catalog else "ignore",
            truncate_times=truncate_times,
            sealed=sealed,
            **limits,
        )
        errors, warnings = print_problems(problems, file, form=form)
    if form is Form.TEXT:
        print_line(f"{pluralize(errors, 'error')}, {pluralize(warnings, 'warning')}", err=True)
    return ExitCode.BAD if errors or (strict and warnings) else ExitCode.DONE
