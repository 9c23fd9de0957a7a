"""``histio undo``: take imports back."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import database_options, file_argument, json_option, quiet_option
from histio.cli.printing import print_json, print_line, print_wrapped, report_unprintable
from histio.cli.results import print_counts, print_findings


@click.command()
@file_argument("receipt")
@database_options
@click.option("--dry-run", is_flag=True, help="Report what an undo would do, and change nothing.")
@quiet_option
@json_option
def undo(
    receipt: str, url: str | None, history_name: str | None, *, dry_run: bool, quiet: bool, as_json: bool
) -> int:
    """Take back the imports that have written RECEIPT.

    Runs and catalog rows that they created are removed; those that they updated are put back as they were.
    What has changed since, and what other rows refer to, is left and reported. It is one transaction.

    \b
    Examples:
      histio import history.jsonl --receipt receipt.jsonl
      histio undo receipt.jsonl --dry-run
      histio undo receipt.jsonl
    """
    with open_history(url, history_name) as history:
        report = history.undo(receipt, dry_run=dry_run)
    code = ExitCode.REJECTS if report.left else ExitCode.DONE
    with report_unprintable("Nothing was changed" if dry_run else "The undo is done"):
        if as_json:
            print_json(report.to_dict())
        elif not quiet or code is not ExitCode.DONE:
            print_counts(report, ["removed", "restored", "gone", "left"])
            print_findings(report)
            print_line()
            print_wrapped(_conclude(report))
    return code


def _conclude(report: histio.UndoReport) -> str:
    if not report.by_kind:
        return "There is nothing to take back: the receipt has no lines."
    if not (report.removed or report.restored or report.left):
        return "There is nothing to take back: all of it was removed or put back before."
    if report.dry_run:
        return (
            "This was a dry run: nothing was changed in the database. To take the import back, repeat the "
            "command without --dry-run."
        )
    if report.left:
        return "Done, except for what was left. Solve its problems, and repeat the command."
    return "Done."
