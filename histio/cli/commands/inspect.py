"""``histio inspect``: show what a file contains."""

from __future__ import annotations

import re

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import LimitOptions, file_argument, history_option, json_option, limit_options
from histio.cli.printing import escape, pluralize, print_json, print_line, print_table


@click.command()
@file_argument()
@history_option
@limit_options
@json_option
def inspect(file: str, history_name: str | None, *, limits: LimitOptions, as_json: bool) -> int:
    """Show what FILE contains.

    Prints the number of runs, ledger entries and catalog rows, the times of the first and the last run, the
    digest, and the slugs that are used most. The exit code is 1 if FILE is damaged.

    \b
    Examples:
      histio inspect history.jsonl
    """
    with open_any_history(None, history_name) as history:
        found = histio.inspect_file(file, history=history, **limits)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_inspection(found)
    return ExitCode.BAD if found.problems else ExitCode.DONE


def _print_inspection(found: histio.Inspection) -> None:
    stream = f"A stream, {'sealed' if found.sealed else 'not sealed'}"
    form = {"stream": stream, "folder": "An export in parts"}.get(found.form, "A document")
    print_line(f"{form}, format {escape(found.version)}")
    for name, value in (
        ("exported at", found.exported_at),
        ("follows", found.follows),
        ("  its header", found.follows_header),
        ("sha256", found.sha256),
        ("header", found.header_sha256),
        ("catalog", found.catalog_sha256),
    ):
        if value is not None:
            print_line(f"{name:<12} {escape(value)}")
    if found.unreadable:
        print_line(f"{pluralize(found.unreadable, 'unreadable line')}: histio check shows why")
    for problem in found.problems:
        print_line(f"damaged      {escape(problem)}")
    print_line()
    rows = []
    for name, kind in found.kinds.items():
        rows.append((name, kind.runs, _drop_fraction(kind.first), _drop_fraction(kind.last)))
        rows += [(f"  {ledger}", entries, "", "") for ledger, entries in kind.entries.items()]
    print_table(["kind", "count", "first", "last"], rows)
    if found.catalog:
        print_line()
        print_table(["catalog", "rows"], list(found.catalog.items()))
    for member, uses in found.most_used.items():
        print_line()
        print_table([member, "uses"], list(uses.items()))


def _drop_fraction(time: str | None) -> str:
    """Remove fractions of a second from a *time*; None becomes empty."""
    return re.sub(r"\.[0-9]+", "", time or "")
