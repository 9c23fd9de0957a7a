"""``histio export``: export the runs of a database to a file."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import database_options, file_argument, file_option, json_option, quiet_option
from histio.cli.printing import report_unprintable
from histio.cli.progress import progress_bar
from histio.cli.results import print_export

_LENGTH_OF_DATE = len("2025-01-01")


def _parse_date(context: click.Context, option: click.Parameter, text: str | None) -> dt.date | None:
    """A date, or a datetime where *text* has a time."""
    try:
        if text is None:
            return None
        parse = dt.date.fromisoformat if len(text) <= _LENGTH_OF_DATE else dt.datetime.fromisoformat
        return parse(text)
    except ValueError:
        message = f"{text!r} is not a date such as 2025-01-01 or 2025-01-01T12:00:00Z."
        raise click.BadParameter(message, context, option) from None


@click.command(name="export")
@file_argument()
@database_options
@click.option(
    "--since", metavar="DATE", callback=_parse_date, help="Export runs from this date on; UTC by default."
)
@click.option(
    "--until",
    metavar="DATE",
    callback=_parse_date,
    help="Export runs up to the end of this date, or to a time.",
)
@click.option(
    "--changed-since",
    metavar="DATE",
    callback=_parse_date,
    help="Export runs whose own times say that they, or their ledgers, were created or updated since then. "
    "Runs that were imported later with older times are missing; see --differs-from.",
)
@file_option(
    "--differs-from",
    metavar="EARLIER",
    help="Leave out runs that this earlier export has in the same form.",
)
@click.option("--kind", "kinds", multiple=True, help="Export runs of this kind. Can be repeated.")
@click.option(
    "--where",
    multiple=True,
    metavar="MEMBER=SLUG",
    help="Export runs that name this slug, themselves or in a ledger. Repeated, all must match.",
)
@click.option("--format", "file_format", metavar="FORMAT", help="Such as jsonl.zst, if FILE has no suffix.")
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out runs that the format cannot hold.")
@click.option("--exact", is_flag=True, help="Fail if a value is read differently from how it is stored.")
@click.option("--follows", metavar="SHA256", help="The digest of the export that this one continues.")
@quiet_option
@json_option
def export(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    where: tuple[str, ...],
    file_format: str | None,
    force: bool,
    exact: bool,
    skip_unreadable: bool,
    quiet: bool,
    as_json: bool,
    **bounds: Any,
) -> int:
    """Export the runs of a database to FILE.

    The suffix of FILE chooses the format: .jsonl for a stream, .json for a document, with .gz or .zst to
    compress it. All runs are read at the same moment. FILE appears once it is complete. If the format cannot
    hold a run, the export fails; with --skip-unreadable, it leaves such runs out and exits with code 3.

    \b
    Examples:
      histio export history.jsonl --url sqlite:///bakery.db
      histio export summer.jsonl.zst --since 2025-06-01 --until 2025-08-31
      histio export today.jsonl --differs-from history.jsonl
      histio export bread.json --where recipe_slug=pain-de-mie
      histio export history.jsonl --skip-unreadable
      histio export - --kind assembly_run > assembly.jsonl
    """
    if bounds["since"] and bounds["until"] and _start_of(bounds["since"]) > _start_of(bounds["until"]):
        raise click.UsageError("--since is later than --until.")
    if (
        file == "-"
        and file_format
        and re.search("gz|zst", file_format)
        and sys.stdout
        and sys.stdout.isatty()
    ):
        raise click.UsageError("Compressed output cannot be shown on a terminal; redirect it to a file.")
    with open_history(url, history_name) as history, progress_bar(enabled=not (quiet or as_json)) as progress:
        criteria: Any = None
        if where:
            from histio.inspecting.filters import filter_by_slugs

            criteria = filter_by_slugs(history, _parse_slugs(where), kinds=kinds or None)
            kinds = tuple(criteria)
        report = history.export_file(
            file,
            kinds=kinds or None,
            where=criteria,
            format=file_format,
            overwrite=force,
            exact=exact,
            on_unreadable="skip" if skip_unreadable else "error",
            progress=progress,
            **bounds,
        )
    if not quiet or report.skipped:
        with report_unprintable("The export is done"):
            print_export(report, file, as_json=as_json)
    return ExitCode.REJECTS if report.skipped else ExitCode.DONE


def _parse_slugs(filters: Sequence[str]) -> dict[str, str]:
    """Slugs by member, from the values of ``--where``."""
    slugs = {}
    for text in filters:
        member, equals, slug = text.partition("=")
        if not (member and equals and slug):
            raise click.UsageError(f"--where: write MEMBER=SLUG, not {text!r}.")
        slugs[member] = slug
    return slugs


def _start_of(date: dt.date) -> dt.datetime:
    """The first instant of a date, or the time itself; without offset, it is UTC."""
    if not isinstance(date, dt.datetime):
        return dt.datetime.combine(date, dt.time.min, dt.UTC)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
