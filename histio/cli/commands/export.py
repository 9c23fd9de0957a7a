"""``histio export``: export the runs of a database to a file."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.filters import check_period, select_kinds
from histio.cli.history import open_history, show_database
from histio.cli.options import (
    database_options,
    file_argument,
    file_option,
    filter_options,
    json_option,
    quiet_option,
)
from histio.cli.printing import report_unprintable, show_file
from histio.cli.progress import progress_bar
from histio.cli.results import print_export
from histio.cli.usage import UsageError


@click.command(name="export")
@file_argument()
@database_options
@click.option("--with-catalog", is_flag=True, help="Also export the catalog rows that the runs name.")
@click.option("--whole-catalog", is_flag=True, help="Also export all catalog rows.")
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
@filter_options
@file_option(
    "--differs-from",
    metavar="EARLIER",
    help="Leave out runs that this earlier export has in the same form.",
)
@click.option("--format", "file_format", metavar="FORMAT", help="Such as jsonl.zst, if FILE has no suffix.")
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write N files and a manifest to the folder FILE.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="J",
    help="Write a folder as with --parts, by J processes at the same time.  [default: one per processor]",
)
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
    parts: int | None,
    jobs: int | None,
    force: bool,
    exact: bool,
    skip_unreadable: bool,
    differs_from: str | None,
    quiet: bool,
    as_json: bool,
    **bounds: Any,
) -> int:
    """Export the runs of a database to FILE.

    The suffix of FILE chooses the format: .jsonl for a stream, .json for a document, with .gz or .zst to
    compress it. All runs are read at the same moment. FILE appears once it is complete. If the format cannot
    hold a run, the export fails; with --skip-unreadable, it leaves such runs out and exits with code 3.

    With --parts or --jobs, FILE is a folder, and several processes write it at the same time: streams that
    are compressed, and manifest.json, which appears once all are complete.

    \b
    Examples:
      histio export history.jsonl --url sqlite:///bakery.db
      histio export history.jsonl.zst --url sqlite:///bakery.db --with-catalog
      histio export summer.jsonl.zst --since 2025-06-01 --until 2025-08-31
      histio export today.jsonl --differs-from history.jsonl
      histio export bread.json --where recipe_slug=pain-de-mie
      histio export history.jsonl --skip-unreadable
      histio export history --parts 32 --jobs 8
      histio export - --kind assembly_run > assembly.jsonl
    """
    if with_catalog and whole_catalog:
        raise UsageError("--with-catalog cannot be combined with --whole-catalog, which does more.")
    check_period(bounds["since"], bounds["until"])
    if (
        file == "-"
        and file_format
        and re.search("gz|zst", file_format)
        and sys.stdout
        and sys.stdout.isatty()
    ):
        raise UsageError("Compressed output cannot be shown on a terminal; redirect it to a file.")
    is_folder = bool(parts or jobs)
    if is_folder:
        _check_folder(file, file_format, differs_from)
    with open_history(url, history_name) as history, progress_bar(enabled=not (quiet or as_json)) as progress:
        options: dict[str, Any] = {
            **select_kinds(history, where, kinds),
            "catalog": "all" if whole_catalog else "used" if with_catalog else None,
            "overwrite": force,
            "exact": exact,
            "on_unreadable": "skip" if skip_unreadable else "error",
            "progress": progress,
            **bounds,
        }
        if is_folder:
            report = history.export_parts(file, parts=parts, jobs=jobs, **options)
        else:
            report = history.export_file(file, format=file_format, differs_from=differs_from, **options)
    if not quiet or report.skipped:
        with report_unprintable("The export is done"):
            digest_of = "parts" if is_folder else "runs"
            print_export(
                report,
                file,
                hint=_hint(history, report, file, history_name),
                digest_of=digest_of,
                as_json=as_json,
            )
    return ExitCode.REJECTS if report.skipped else ExitCode.DONE


def _check_folder(file: str, file_format: str | None, differs_from: str | None) -> None:
    """Raise UsageError if parts cannot be written as the other options say."""
    for option, value in (("--format", file_format), ("--differs-from", differs_from)):
        if value is not None:
            raise UsageError(f"{option} cannot be combined with --parts or --jobs.")
    if re.search(r"\.(jsonl?)(\.(gz|zst))?$", file) or file == "-":
        raise UsageError(f"With --parts or --jobs, name a folder, not {show_file(file)}.")


def _hint(history: histio.History, report: histio.ExportReport, file: str, history_name: str | None) -> str:
    """What to do next: to export the catalog too, which a first export may need, and to import the file."""
    if not (report.exported or report.catalog) or file == "-":
        return ""
    option = " --create-catalog" if report.catalog else ""
    target = f" --url …{show_database(None, history_name)}"
    hint = f"To see what an import would do:\n  histio import {show_file(file)}{target}{option} --dry-run"
    if report.catalog or report.unchanged or not history.catalog:
        return hint
    return f"The file has no catalog: --with-catalog also exports the rows that runs name.\n{hint}"
