"""``histio merge``: merge files into one."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import (
    LimitOptions,
    file_argument,
    file_option,
    history_option,
    json_option,
    limit_options,
    sealed_option,
)
from histio.cli.printing import report_unprintable
from histio.cli.results import print_export
from histio.cli.usage import UsageError


@click.command()
@file_argument("files", nargs=-1, required=True, metavar="FILE...")
@file_option("--output", "-o", required=True, help="The file to write.")
@history_option
@click.option(
    "--format", "file_format", metavar="FORMAT", help="Such as jsonl.zst, if the output has no suffix."
)
@click.option("--force", is_flag=True, help="Replace an existing output file.")
@click.option("--follows", metavar="SHA256", help="The digest of the export that the output continues.")
@click.option("--follows-header", metavar="SHA256", help="The digest of that export's header.")
@sealed_option
@limit_options
@json_option
def merge(
    files: tuple[str, ...],
    output: str,
    history_name: str | None,
    *,
    file_format: str | None,
    force: bool,
    follows: str | None,
    follows_header: str | None,
    sealed: bool,
    limits: LimitOptions,
    as_json: bool,
) -> int:
    """Merge files into one sealed file.

    Name the files from the oldest to the newest: of a run in several files, the last one is kept. A single
    file, unsorted or unsealed, becomes a sorted and sealed one.

    \b
    Examples:
      histio merge history.jsonl later.jsonl -o whole.jsonl
    """
    if files.count("-") > 1:
        raise UsageError("Only one FILE can be standard input.")
    with open_any_history(None, history_name) as history:
        report = histio.merge(
            files,
            output,
            history=history,
            follows=follows,
            follows_header=follows_header,
            format=file_format,
            overwrite=force,
            sealed=sealed,
            **limits,
        )
    with report_unprintable("The files are merged"):
        print_export(report, output, as_json=as_json)
    return ExitCode.DONE
