"""``histio audit``: check totals and costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history, open_history
from histio.cli.options import LimitOptions, database_options, file_argument, form_options, limit_options
from histio.cli.outputs import AuditRule
from histio.cli.printing import Form, pluralize, print_line
from histio.cli.results import print_problems


@click.command()
@file_argument(required=False)
@database_options
@limit_options
@form_options
def audit(
    file: str | None,
    url: str | None,
    history_name: str | None,
    *,
    limits: LimitOptions,
    form: Form,
) -> int:
    """Check totals and costs in a file or a database.

    The rules and their tolerances are declared by the schemas: a total is the sum of its ledger, a cost per
    unit is the total divided by the yield, a run has ledger entries. The rules are listed too. In a database,
    ledger entries that belong to no run are found as well. The exit code is 1 if there is a finding.

    \b
    Examples:
      histio audit history.jsonl
      histio audit --url sqlite:///bakery.db
    """
    open_needed = open_history if file is None else open_any_history
    with open_needed(url, history_name) as history:
        audited = history if file is None else file
        problems = histio.audit(audited, history=history, **limits)
        rules = list(_find_rules(history))
        _, findings = print_problems(
            problems, file, form=form, last=lambda: {"rules": list(map(asdict, rules))}
        )
        if form is Form.TEXT:
            for each in rules:
                print_line(f"rule of {each.kind}: {each.rule}", err=True)
            print_line(pluralize(findings, "finding"), err=True)
    return ExitCode.BAD if findings else ExitCode.DONE


def _find_rules(history: histio.History) -> Iterator[AuditRule]:
    from histio.kinds.auditing import audits_of

    for kind in history.bound.kinds:
        for table in kind.table.all():
            for rule in audits_of(table):
                yield AuditRule(kind.name, str(rule))
