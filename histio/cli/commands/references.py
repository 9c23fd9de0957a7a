"""``histio references``: list the slugs that a file needs."""

from __future__ import annotations

from collections.abc import Iterator

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import (
    URL_VARIABLE,
    LimitOptions,
    database_options,
    file_argument,
    form_options,
    limit_options,
)
from histio.cli.printing import Form, print_all, print_table
from histio.cli.usage import UsageError


@click.command()
@file_argument()
@database_options
@click.option("--missing", "only_missing", is_flag=True, help="List only slugs that the database lacks.")
@limit_options
@form_options
def references(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    only_missing: bool,
    limits: LimitOptions,
    form: Form,
) -> int:
    """List the slugs that FILE names, and which are missing.

    Without a database, only counts their uses. For a missing slug, shows close matches; histio import
    --rename can replace it. If the catalog of FILE has the row, histio import --create-catalog can create it.
    The exit code is 1 if a slug is missing without which runs would be rejected.

    \b
    Examples:
      histio references history.jsonl
      histio references history.jsonl --url sqlite:///branch.db
      histio references history.jsonl --missing --json
    """
    missing = rejects_runs = 0
    kept: list[histio.ReferencedRow] = []
    with open_any_history(url, history_name, use_environment=True) as history:
        has_database = history.bound.has_database
        if only_missing and not has_database:
            raise UsageError(f"--missing needs a database: pass --url URL, or set {URL_VARIABLE}.")

        def listed() -> Iterator[histio.ReferencedRow]:
            nonlocal missing, rejects_runs
            for reference in histio.references(file, history=history, **limits):
                is_missing = reference.found is False
                missing += is_missing
                rejects_runs += is_missing and reference.required
                if is_missing or not only_missing:
                    yield reference

        print_all(
            "references",
            listed(),
            form=form,
            show=kept.append,  # a table is as wide as its widest row
            last=lambda: {"missing": missing if has_database else None},
        )
    if form is Form.TEXT:
        print_table(["member", "slug", "uses", "in the database"], map(_table_row, kept))
    return ExitCode.BAD if rejects_runs else ExitCode.DONE


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
