"""``histio merge``: one file from several."""

from __future__ import annotations

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import file_argument, history_option, json_option
from histio.cli.results import print_export


@click.command()
@file_argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--output", "-o", "out", required=True, metavar="FILE", help="What is written.")
@history_option
@click.option("--follows", metavar="SHA256", help="The digest of the file that the new one continues.")
@click.option("--format", "form", metavar="FORM", help="Such as jsonl.zst, where no ending says it.")
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@json_option
def merge(
    files: tuple[str, ...],
    out: str,
    history_name: str | None,
    *,
    follows: str | None,
    form: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Make one sealed file of several.

    FILES are given from the oldest to the newest. A run that comes several times is written as the last file
    has it. Of a single file, which may be unsorted and unsealed, it makes an export.

    \b
    Examples:
      histio merge history.jsonl later.jsonl -o whole.jsonl
    """
    with open_any_history(None, history_name) as history:
        if files.count("-") > 1:
            raise click.UsageError("Standard input can be read once only.")
        report = histio.merge(files, out, history=history, follows=follows, format=form, overwrite=force)
    print_export(report, out, as_json=as_json)
    return ExitCode.DONE
