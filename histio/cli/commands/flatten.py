"""``histio flatten``: write tables for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history_for
from histio.cli.options import (
    LimitOptions,
    database_options,
    file_argument,
    file_option,
    json_option,
    limit_options,
)
from histio.cli.outputs import WrittenFile
from histio.cli.printing import (
    escape,
    format_size,
    pluralize,
    print_json,
    print_line,
    print_table,
    report_unprintable,
    show_file,
)
from histio.cli.results import print_findings


@click.command()
@file_argument(required=False)
@file_option("--to", "folder", required=True, metavar="FOLDER", help="The folder to write.")
@click.option(
    "--format",
    "table_format",
    type=click.Choice(["csv", "xlsx", "parquet"]),
    default="csv",
    show_default=True,
    help="CSV files, a workbook, or Parquet files.",
)
@database_options
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="Only records of this kind: of runs, or of catalog rows. Can be repeated.",
)
@click.option(
    "--for-excel", is_flag=True, help="Mark CSV files as UTF-8, and put an apostrophe before formulas."
)
@click.option("--skip-invalid", is_flag=True, help="Leave out what is invalid or comes twice.")
@click.option("--force", is_flag=True, help="Replace earlier tables in the folder.")
@limit_options
@json_option
def flatten(
    file: str | None,
    folder: str,
    table_format: Literal["csv", "xlsx", "parquet"],
    url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    for_excel: bool,
    skip_invalid: bool,
    force: bool,
    limits: LimitOptions,
    as_json: bool,
) -> int:
    """Write tables of FILE or a database, for spreadsheets.

    There is a table for each kind and one for each ledger, whose first columns say to which run an entry
    belongs. Decimals are exact. XLSX and Parquet require histio[tables]. The exit code is 3 if anything is
    left out.

    \b
    Examples:
      histio flatten history.jsonl --to tables
      histio flatten history.jsonl --to workbook --format xlsx
      histio flatten --url sqlite:///bakery.db --to parquet --format parquet
    """
    with open_history_for(file, url, history_name) as history, _advise():
        report = histio.flatten(
            history if file is None else file,
            folder,
            format=table_format,
            history=history,
            kinds=kinds or None,
            on_invalid="skip" if skip_invalid else "error",
            for_excel=for_excel,
            overwrite=force,
            **limits,
        )
    with report_unprintable("The tables are written"):
        if as_json:
            written = [
                WrittenFile(str(Path(folder, name)), "table", size) for name, size in report.files.items()
            ]
            print_json(report.to_dict() | {"written": [asdict(each) for each in written]})
        else:
            _print_report(report, folder, for_excel=for_excel)
    return ExitCode.REJECTS if report.invalid else ExitCode.DONE


@contextmanager
def _advise() -> Iterator[None]:
    """Say in this block what to do about invalid runs."""
    try:
        yield
    except histio.DocumentError as error:
        if any(problem.kind for problem in error.problems):
            error.add_note("To leave these out: --skip-invalid.")
        raise


def _print_report(report: histio.FlattenReport, folder: str, *, for_excel: bool) -> None:
    rows = [(table.name, table.rows, ", ".join(table.sheets) or table.file) for table in report.tables]
    print_table(["table", "rows", "sheet" if report.format == "xlsx" else "file"], rows)
    size = format_size(sum(report.files.values()))
    files = next(iter(report.files)) if len(report.files) == 1 else pluralize(len(report.files), "file")
    print_line(f"Wrote {escape(files)}, {size}, to {show_file(folder)}.")
    if report.formulas:
        begin = "1 text begins" if report.formulas == 1 else f"{report.formulas:,} texts begin"
        end = "and got an apostrophe" if for_excel else "which Excel would run: use --for-excel, or xlsx"
        print_line(f"{begin} like a formula, {end}.", err=not for_excel)
    if report.texts:
        are = "1 number is" if report.texts == 1 else f"{report.texts:,} numbers are"
        print_line(f"{are} text, with more than 15 digits: sums in a spreadsheet leave them out.", err=True)
    if report.invalid:
        print_line(f"Left out: {report.invalid:,}, invalid or repeated.", err=True)
        print_findings(report, err=True)
