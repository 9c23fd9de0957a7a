"""``histio references``: which slugs a file needs."""

from __future__ import annotations

from typing import Any

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import URL_VARIABLE, database_options, file_argument, json_lines_option
from histio.cli.printing import print_json, print_table


@click.command()
@file_argument()
@database_options
@click.option("--missing-json", is_flag=True, help="Print what is missing as one JSON object, by member.")
@json_lines_option
def references(
    file: str, url: str | None, history_name: str | None, *, missing_json: bool, as_json: bool
) -> int:
    """Tell which slugs FILE needs, and which are missing.

    Without a database, they are counted. What has close matches shows them; histio import --rename reads a
    slug as another. The exit code is 1 where a run would be rejected for what is missing.

    \b
    Examples:
      histio references history.jsonl
      histio references history.jsonl --url sqlite:///branch.db
      histio references history.jsonl --missing-json
    """
    missing: dict[str, dict[str, Any]] = {}
    lacking = False
    if missing_json and as_json:
        raise click.UsageError("--missing-json and --json exclude each other.")
    with open_any_history(url, history_name, use_environment=True) as history:
        if missing_json and not history._has_database:
            raise click.UsageError(f"--missing-json: which database? Say --url URL, or set {URL_VARIABLE}.")
        rows = []
        for each in histio.references(file, history=history):
            lacking = lacking or (each.found is False and each.required)
            if each.found is False:
                told = {"model": each.model, "uses": each.uses, "required": each.required}
                missing.setdefault(each.member, {})[each.slug] = told | {"hint": each.hint}
            if as_json:
                print_json(each.to_dict(), indent=None)
            elif not missing_json:
                rows.append(_reference_row(each))
    if missing_json:
        print_json(missing)
    elif not as_json:
        print_table(["member", "slug", "uses", "in the database"], rows)
    return ExitCode.BAD if lacking else ExitCode.DONE


def _reference_row(each: histio.Needed) -> tuple[object, ...]:
    if each.found is None:
        state = "not asked"
    elif each.found:
        state = "yes"
    else:
        state = "NO" if each.required else "no, which is only warned of"
        state += f": {each.hint}" if each.hint else ""
    return each.member, each.slug, each.uses, state
