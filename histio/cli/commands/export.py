"""``histio export``: runs of a database, to a file."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import database_options, file_argument, json_option, quiet_option
from histio.cli.printing import after_the_fact
from histio.cli.progress import progress_bar
from histio.cli.results import print_export

_DAY = len("2025-01-01")


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> dt.date | None:
    try:
        if text is None:
            return None
        return dt.date.fromisoformat(text) if len(text) <= _DAY else dt.datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no date such as 2025-01-01 or 2025-01-01T12:00:00Z."
        raise click.BadParameter(told, context, option) from None


def _slugs(given: Sequence[str]) -> dict[str, str]:
    """What --where says."""
    found = {}
    for each in given:
        member, equals, slug = each.partition("=")
        if not (member and equals and slug):
            raise click.UsageError(f"--where: {each!r} is not of the form MEMBER=SLUG.")
        found[member] = slug
    return found


@click.command(name="export")
@file_argument()
@database_options
@click.option(
    "--since",
    metavar="DATE",
    callback=_moment,
    help="The earliest time of a run; UTC where it says no offset.",
)
@click.option(
    "--until",
    metavar="DATE",
    callback=_moment,
    help="The latest time of a run; a bare date includes its day.",
)
@click.option(
    "--changed-since",
    metavar="DATE",
    callback=_moment,
    help="Runs that were written since then, entries included.",
)
@click.option("--kind", "kinds", multiple=True, help="A kind of run; may be said several times.")
@click.option(
    "--where",
    multiple=True,
    metavar="MEMBER=SLUG",
    help="Runs that name this slug, themselves or in their ledgers; said several times, all of them.",
)
@click.option("--follows", metavar="SHA256", help="The digest of the export that this one continues.")
@click.option("--format", "form", metavar="FORM", help="Such as jsonl.zst, where no ending of FILE says it.")
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@click.option("--exact", is_flag=True, help="Fail if a value is stored differently from how it is read.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out runs that the format cannot hold.")
@quiet_option
@json_option
def export(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    where: tuple[str, ...],
    form: str | None,
    force: bool,
    exact: bool,
    skip_unreadable: bool,
    quiet: bool,
    as_json: bool,
    **bounds: Any,
) -> int:
    """Write the runs of a database to FILE.

    Its ending says what is written: .jsonl, a sealed stream, or .json, a document; .gz and .zst compress it.
    All runs are as they were at one moment. FILE is there when it is whole. A run that the format cannot hold
    makes the export fail; --skip-unreadable leaves it out, and the exit code is 3.

    \b
    Examples:
      histio export history.jsonl --url sqlite:///bakery.db
      histio export summer.jsonl.zst --since 2025-06-01 --until 2025-08-31
      histio export bread.json --where recipe_slug=pain-de-mie
      histio export history.jsonl --skip-unreadable
      histio export - --kind assembly_run > assembly.jsonl
    """
    if bounds["since"] and bounds["until"] and _first(bounds["since"]) > _first(bounds["until"]):
        raise click.UsageError("--since is later than --until: there are no such runs.")
    if file == "-" and form and re.search("gz|zst", form) and sys.stdout.isatty():
        raise click.UsageError("A terminal cannot show what is compressed.")
    with open_history(url, history_name) as history, progress_bar(shown=not (quiet or as_json)) as progress:
        filters: dict[str, Any] = {}
        if where:
            from histio.inspecting.filters import naming

            filters = {"where": naming(history, _slugs(where), kinds=kinds or None)}
            kinds = tuple(filters["where"])
        report = history.export_file(
            file,
            kinds=kinds or None,
            format=form,
            overwrite=force,
            exact=exact,
            on_unreadable="skip" if skip_unreadable else "error",
            progress=progress,
            **bounds,
            **filters,
        )
    if not quiet or report.skipped:
        with after_the_fact("The export is done"):
            print_export(report, file, as_json=as_json)
    return ExitCode.REJECTS if report.skipped else ExitCode.DONE


def _first(moment: dt.date) -> dt.datetime:
    """The first instant of a *moment*, as a time in UTC."""
    if not isinstance(moment, dt.datetime):
        return dt.datetime.combine(moment, dt.time.min, dt.UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
