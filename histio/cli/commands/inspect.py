"""``histio inspect``: what is in a file."""

from __future__ import annotations

import re

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import file_argument, history_option, json_option
from histio.cli.printing import count_of, print_json, print_line, print_table, safe


@click.command()
@file_argument()
@history_option
@json_option
def inspect(file: str, history_name: str | None, *, as_json: bool) -> int:
    """Tell what is in FILE.

    How many runs, of when, its digest, and the slugs that are used most.

    \b
    Examples:
      histio inspect history.jsonl
    """
    with open_any_history(None, history_name) as history:
        found = histio.inspect_file(file, history=history)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_inspection(found)
    return ExitCode.BAD if found.problems else ExitCode.DONE


def _to_the_second(moment: str | None) -> str:
    return re.sub(r"\.[0-9]+", "", moment or "")


def _print_inspection(found: histio.Inspection) -> None:
    sealed = "sealed" if found.sealed else "not sealed"
    print_line(
        f"{'A stream, ' + sealed if found.form == 'stream' else 'A document'}, format {safe(found.version)}"
    )
    for name, value in (
        ("exported at", found.exported_at),
        ("follows", found.follows),
        ("sha256", found.sha256),
    ):
        if value is not None:
            print_line(f"{name:<12} {safe(value)}")
    if found.unreadable:
        print_line(f"{count_of(found.unreadable, 'line')} that are no run: histio check tells why")
    for problem in found.problems:
        print_line(f"damaged      {safe(problem)}")
    print_line()
    rows = []
    for kind, of in found.kinds.items():
        rows.append((kind, of.runs, _to_the_second(of.first), _to_the_second(of.last)))
        rows += [(f"  {ledger}", entries, "", "") for ledger, entries in of.entries.items()]
    print_table(["kind", "count", "first", "last"], rows)
    for member, used in found.most_used.items():
        print_line()
        print_table([member, "uses"], list(used.items()))
