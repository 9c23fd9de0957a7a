"""``histio audit``: totals and costs of a file or a database."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history, open_history
from histio.cli.options import database_options, file_argument, json_lines_option
from histio.cli.printing import count_of, print_line
from histio.cli.results import print_problem_lines


@click.command()
@file_argument(required=False)
@database_options
@json_lines_option
def audit(file: str | None, url: str | None, history_name: str | None, *, as_json: bool) -> int:
    """Hold the numbers of a file or a database to their rules.

    Totals against the sums of their ledgers, costs per unit against totals, yields that cannot be, runs
    without entries: what the schemas declare, with the tolerances shown. The exit code is 1 where something
    breaks a rule.

    \b
    Examples:
      histio audit history.jsonl
      histio audit --url sqlite:///bakery.db
    """
    open_needed = open_history if file is None else open_any_history
    with open_needed(url, history_name) as history:
        given = history if file is None else file
        _, count = print_problem_lines(histio.audit(given, history=history), file, as_json=as_json)
        if not as_json:
            from histio.kinds.audits import audits_of

            for kind in history._format.kinds:
                for rule in (rule for table in kind.table.all() for rule in audits_of(table)):
                    print_line(f"rule of {kind.name}: {rule}", err=True)
            print_line(count_of(count, "finding"), err=True)
    return ExitCode.BAD if count else ExitCode.DONE
