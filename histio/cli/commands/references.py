"""``histio references``: list the slugs that a file needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import (
    URL_VARIABLE,
    LimitOptions,
    database_options,
    file_argument,
    json_lines_option,
    limit_options,
)
from histio.cli.printing import print_json, print_table


@click.command()
@file_argument()
@database_options
@click.option("--missing-json", is_flag=True, help="Print the missing slugs as one JSON object, by member.")
@limit_options
@json_lines_option
def references(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    missing_json: bool,
    limits: LimitOptions,
    as_json: bool,
) -> int:
    """List the slugs that FILE names, and which are missing.

    Without a database, only counts their uses. For a missing slug, shows close matches; histio import
    --rename can replace it. If the catalog of FILE has the row, histio import --create-catalog can create it.
    The exit code is 1 if a slug is missing without which runs would be rejected.

    \b
    Examples:
      histio references history.jsonl
      histio references history.jsonl --url sqlite:///branch.db
      histio references history.jsonl --missing-json
    """
    if missing_json and as_json:
        raise click.UsageError("Use either --missing-json or --json.")
    with open_any_history(url, history_name, use_environment=True) as history:
        if missing_json and not history.bound.has_database:
            raise click.UsageError(f"--missing-json needs a database: pass --url URL, or set {URL_VARIABLE}.")
        rejects_runs = False
        kept = []
        for reference in histio.references(file, history=history, **limits):
            missing = reference.found is False
            rejects_runs = rejects_runs or (missing and reference.required)
            if as_json:
                print_json(reference.to_dict(), indent=None)
            elif missing or not missing_json:
                kept.append(reference)
    if missing_json:
        print_json(_group_by_member(kept))
    elif not as_json:
        print_table(["member", "slug", "uses", "in the database"], map(_table_row, kept))
    return ExitCode.BAD if rejects_runs else ExitCode.DONE


def _group_by_member(missing: Iterable[histio.ReferencedRow]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for each in missing:
        details = {"model": each.model, "uses": each.uses, "required": each.required, "hint": each.hint}
        details["carried"] = each.carried
        groups.setdefault(each.member, {})[each.slug] = details
    return groups


def _table_row(reference: histio.ReferencedRow) -> tuple[object, ...]:
    if reference.found is None:
        state = "not checked"
    elif reference.found:
        state = "yes"
    else:
        state = "NO" if reference.required else "no (a warning)"
        state += f": {reference.hint}" if reference.hint else ""
    if reference.carried and not reference.found:
        state += ", the file has it"
    return reference.member, reference.slug, reference.uses, state
