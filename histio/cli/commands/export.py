"""``histio export``: export the runs of a database to a file."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.filters import check_period, select_kinds
from histio.cli.history import open_history
from histio.cli.options import (
    database_options,
    file_argument,
    file_option,
    filter_options,
    json_option,
    quiet_option,
)
from histio.cli.printing import report_unprintable
from histio.cli.progress import progress_bar
from histio.cli.results import print_export


@click.command(name="export")
@file_argument()
@database_options
@filter_options
@file_option(
    "--differs-from",
    metavar="EARLIER",
    help="Leave out runs that this earlier export has in the same form.",
)
@click.option("--with-catalog", is_flag=True, help="Also export the catalog rows that the runs name.")
@click.option("--whole-catalog", is_flag=True, help="Also export all catalog rows.")
@click.option("--format", "file_format", metavar="FORMAT", help="Such as jsonl.zst, if FILE has no suffix.")
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
@click.option("--follows", metavar="SHA256", help="The digest of the export that this one continues.")
@click.option("--follows-header", metavar="SHA256", help="The digest of that export's header.")
@quiet_option
@json_option
def export(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    where: tuple[str, ...],
    with_catalog: bool,
    whole_catalog: bool,
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
      histio export history.jsonl.zst --with-catalog
      histio export summer.jsonl.zst --since 2025-06-01 --until 2025-08-31
      histio export today.jsonl --differs-from history.jsonl
      histio export bread.json --where recipe_slug=pain-de-mie
      histio export history.jsonl --skip-unreadable
      histio export - --kind assembly_run > assembly.jsonl
    """
    if with_catalog and whole_catalog:
        raise click.UsageError("--with-catalog cannot be combined with --whole-catalog, which does more.")
    check_period(bounds["since"], bounds["until"])
    if (
        file == "-"
        and file_format
        and re.search("gz|zst", file_format)
        and sys.stdout
        and sys.stdout.isatty()
    ):
        raise click.UsageError("Compressed output cannot be shown on a terminal; redirect it to a file.")
    with open_history(url, history_name) as history, progress_bar(enabled=not (quiet or as_json)) as progress:
        report = history.export_file(
            file,
            **select_kinds(history, where, kinds),
            catalog="all" if whole_catalog else "used" if with_catalog else None,
            format=file_format,
            overwrite=force,
            exact=exact,
            on_unreadable="skip" if skip_unreadable else "error",
            progress=progress,
            **bounds,
        )
    if not quiet or report.skipped:
        with report_unprintable("The export is done"):
            print_export(report, file, hint=_hint(history, report), as_json=as_json)
    return ExitCode.REJECTS if report.skipped else ExitCode.DONE


def _hint(history: histio.History, report: histio.ExportReport) -> str:
    """How to export the catalog too, which a first export may need; later ones need it less."""
    if report.catalog or report.unchanged or not (report.exported and history.catalog):
        return ""
    return "The file has no catalog: --with-catalog also exports the rows that runs name."
