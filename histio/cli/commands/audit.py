"""``histio audit``: check totals and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history_for
from histio.cli.options import (
    LimitOptions,
    database_options,
    file_argument,
    form_options,
    limit_options,
    strict_option,
)
from histio.cli.outputs import AuditRule
from histio.cli.printing import Form, escape, pluralize, print_line
from histio.cli.results import describe_finding, print_problems
from histio.pointer import find_members

_EXAMPLES = 5


@click.command()
@file_argument(required=False)
@database_options
@strict_option
@limit_options
@form_options
def audit(
    file: str | None,
    url: str | None,
    history_name: str | None,
    *,
    strict: bool,
    limits: LimitOptions,
    form: Form,
) -> int:
    """Check totals and costs in a file or a database.

    The rules and their tolerances are declared by the schemas: a total is the sum of its ledger, a cost per
    unit is the total divided by the yield, a run has ledger entries. In a database, ledger entries that
    belong to no run are found as well. Findings are warnings: with --strict, the exit code is 1 if there are
    any.

    \b
    Examples:
      histio audit history.jsonl
      histio audit --url sqlite:///bakery.db
    """
    with open_history_for(file, url, history_name) as history:
        rules = list(_find_rules(history))
        groups = _Groups(file, [kind.collection for kind in history.bound.kinds])
        errors, warnings = print_problems(
            histio.audit(history if file is None else file, history=history, **limits),
            file,
            form=form,
            show=groups.add,
            last=lambda: {"rules": list(map(asdict, rules))},
        )
    if form is Form.TEXT:
        groups.print(rules)
        if not rules:
            print_line("No rules are declared: Meta.audits of a schema declares them.", err=True)
        if rules or warnings:
            print_line(pluralize(warnings, "finding"), err=True)
    return ExitCode.BAD if errors or (strict and warnings) else ExitCode.DONE


def _find_rules(history: histio.History) -> Iterator[AuditRule]:
    from histio.kinds.auditing import audits_of

    for kind in history.bound.kinds:
        for table in kind.table.all():
            for rule in audits_of(table):
                yield AuditRule(kind.name, rule.members[0], str(rule))


class _Groups:
    """Findings by the member that they are about: their number, and the first of them.

    Args:
        file: The file that is audited; None: a database is.
        collections: The names of the lists of runs in a document.
    """

    def __init__(self, file: str | None, collections: list[str]) -> None:
        self._file = file
        self._collections = collections
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[str]] = {}

    def add(self, problem: histio.Problem) -> None:
        steps = find_members(problem.pointer)
        if len(steps) > 1 and steps[0] in (problem.kind, *self._collections):
            steps = steps[1:]
        group = problem.kind or "", ".".join(steps)
        self._counts[group] += problem.more or 1
        examples = self._examples.setdefault(group, [])
        if len(examples) < _EXAMPLES:
            examples.append(describe_finding(problem, self._file))

    def print(self, rules: list[AuditRule]) -> None:
        """Print each group below the *rules* that it breaks, then the rules that nothing breaks."""
        broken = set()
        for (kind, path), examples in self._examples.items():
            own = [each for each in rules if (each.kind, each.member) == (kind, path.rpartition(".")[2])]
            broken.update(own)
            title = " or ".join(each.rule for each in own) or path
            count = self._counts[kind, path]
            print_line(f"{escape(title)} ({escape(kind)}): {pluralize(count, 'finding')}")
            for text in examples:
                print_line(f"  {text}")
            if count > len(examples):
                print_line(f"  … and {count - len(examples):,} more")
        for rule in rules:
            if rule not in broken:
                print_line(f"{escape(rule.rule)} ({escape(rule.kind)}): no findings")
