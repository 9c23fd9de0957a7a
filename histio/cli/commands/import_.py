"""``histio import``: import the runs of a file into a database."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import (
    LimitOptions,
    check_local,
    database_options,
    file_argument,
    file_option,
    json_option,
    limit_options,
    quiet_option,
    sealed_option,
    truncate_times_option,
)
from histio.cli.printing import (
    escape,
    pluralize,
    print_json,
    print_line,
    print_table,
    print_wrapped,
    report_unprintable,
    show_file,
)
from histio.cli.process import interruptible
from histio.cli.progress import progress_bar
from histio.cli.results import print_problems
from histio.report import list_outcomes


@click.command(name="import")
@file_argument()
@database_options
@click.option("--dry-run", is_flag=True, help="Report what an import would do, and write nothing.")
@click.option(
    "--on-duplicate",
    type=click.Choice(["skip", "error", "update", "verify"]),
    default="skip",
    show_default=True,
    help="Runs that exist are skipped, rejected, overwritten from FILE, or rejected if they differ.",
)
@click.option("--kind", "kinds", multiple=True, help="Import runs of this kind. Can be repeated.")
@file_option("--rejects", help="Write the rejected runs and their problems to FILE.")
@click.option(
    "--rename",
    multiple=True,
    metavar="MEMBER:OLD=NEW",
    help='Replace a slug; or name a JSON file: {"recipe_slug": {"old": "new"}}.',
)
@click.option("--atomic", is_flag=True, help="Write nothing if any run is rejected.")
@click.option("--commit-every", type=click.IntRange(min=1), metavar="N", help="Commit after every N runs.")
@truncate_times_option
@click.option("--allow-truncated", is_flag=True, help="Import a damaged file up to the damage.")
@sealed_option
@click.option("--follows", metavar="SHA256", help="Fail unless FILE continues the export with this digest.")
@file_option("--report", "page", help="Write an HTML report about the import to FILE.")
@click.option("--force", is_flag=True, help="Replace existing files of --rejects and --report.")
@limit_options
@quiet_option
@json_option
def import_(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    rename: tuple[str, ...],
    page: str | None,
    force: bool,
    limits: LimitOptions,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Import the runs of FILE into a database.

    A run that cannot be imported is rejected, with the reasons; the others are imported. Runs that exist are
    skipped, so an import can be repeated.

    \b
    Examples:
      histio import history.jsonl --url sqlite:///branch.db
      histio import history.jsonl --dry-run
      histio import history.jsonl --rejects rejects.jsonl --commit-every 10000
      histio import history.jsonl --rename recipe_slug:pain-de-mie=bread
    """
    renames = _parse_renames(rename)
    _check_options(file, page, force=force, **options)
    with open_history(url, history_name) as history:
        with (
            _report_commits(options["commit_every"]),
            progress_bar(enabled=not (quiet or as_json)) as progress,
        ):
            report = history.import_file(
                file, kinds=kinds or None, rename=renames, progress=progress, **limits, **options
            )
        if page is not None:
            _write_page(file, page, history, report, force=force, limits=limits)
    nothing_written = options["atomic"] and report.rejected > 0
    code = _exit_code(report, nothing_written=nothing_written)
    done = "Nothing was imported" if report.dry_run or nothing_written else "The import is done"
    with report_unprintable(done):
        if as_json:
            print_json(report.to_dict())
        elif not quiet or code is not ExitCode.DONE:
            _print_report(report)
            _print_renames(report, renames)
            print_line()
            for line in _conclude(report, file, nothing_written=nothing_written, rejects=options["rejects"]):
                print_wrapped(line)
    return code


def _check_options(file: str, page: str | None, *, force: bool, **options: Any) -> None:
    """Raise UsageError for options that exclude each other, and for files that exist."""
    if options["commit_every"] and (options["atomic"] or options["dry_run"]):
        raise click.UsageError("--commit-every cannot be combined with --atomic or --dry-run.")
    if options["sealed"] and options["allow_truncated"]:
        raise click.UsageError("--sealed cannot be combined with --allow-truncated.")
    if page is not None and file == "-":
        raise click.UsageError(
            "--report cannot be combined with standard input, which can be read only once."
        )
    if page is not None:
        from histio.page.render import load_jinja

        load_jinja()  # raises before the import if it is not installed
    for option, path in (("--rejects", options["rejects"]), ("--report", page)):
        if path is not None and os.path.lexists(path) and not force:
            raise click.UsageError(f"{option}: {show_file(path)} exists; --force replaces it.")


def _write_page(
    file: str,
    page: str,
    history: histio.History,
    report: histio.ImportReport,
    *,
    force: bool,
    limits: LimitOptions,
) -> None:
    try:
        with interruptible():
            histio.report_page(file, page, history=history, imported=report, overwrite=force, **limits)
    except OSError as error:  # the import itself is done
        print_line(f"--report: {show_file(page)} could not be written: {error.strerror}", err=True)
    except KeyboardInterrupt:
        print_line(f"--report: {show_file(page)} was not written, because of the interruption", err=True)


@contextmanager
def _report_commits(commit_every: int | None) -> Iterator[None]:
    """If the block fails after commits, say that the command can be repeated."""
    try:
        yield
    except BaseException:
        if commit_every:
            print_line("The runs committed so far are kept. To continue, repeat the command.", err=True)
        raise


def _exit_code(report: histio.ImportReport, *, nothing_written: bool) -> ExitCode:
    accepted = report.imported or report.updated or report.skipped
    if nothing_written or (report.rejected and not accepted):
        return ExitCode.BAD
    return ExitCode.REJECTS if report.rejected or report.truncated else ExitCode.DONE


def _parse_renames(values: Sequence[str]) -> dict[str, dict[str, str]]:
    """New slugs by member and old slug, from the values of ``--rename``."""
    context = click.get_current_context()
    renames: dict[str, dict[str, str]] = {}
    for value in values:
        is_file = Path(value).is_file()
        rules = _read_renames(check_local(context, value)) if is_file else _parse_rename(value)
        for member, slugs in rules.items():
            renames.setdefault(member, {}).update(slugs)
    return renames


def _read_renames(path: str) -> dict[str, dict[str, str]]:
    try:
        rules = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise click.UsageError(f"--rename: {show_file(path)} is not JSON: {error}") from error
    if not isinstance(rules, dict) or not all(isinstance(slugs, dict) for slugs in rules.values()):
        raise click.UsageError(
            f'--rename: {show_file(path)} must look like {{"recipe_slug": {{"old": "new"}}}}.'
        )
    return rules


def _parse_rename(text: str) -> dict[str, dict[str, str]]:
    rule = re.fullmatch("([^:=]+):(.+)=(.+)", text, re.DOTALL)
    if rule is None:
        raise click.UsageError(f"--rename: write MEMBER:OLD=NEW or the name of a JSON file, not {text!r}.")
    member, old, new = rule.groups()
    return {member: {old: new}}


def _print_report(report: histio.ImportReport) -> None:
    outcomes = list_outcomes(report)
    rows = [(kind, *(getattr(counts, name) for name in outcomes)) for kind, counts in report.by_kind.items()]
    print_table(["kind", *outcomes], [*rows, ("total", *(getattr(report, name) for name in outcomes))])
    print_problems("Problems", report.problems, report.problem_count)
    print_problems("Warnings", report.warnings, report.warning_count)
    if report.updated:
        entries = report.entries
        print_line(
            f"\nLedger entries: {entries.added:,} added, {entries.changed:,} changed, "
            f"{entries.removed:,} removed"
        )


def _print_renames(report: histio.ImportReport, renames: Mapping[str, Mapping[str, str]]) -> None:
    """Print how often slugs were renamed, and the rules that were not used."""
    if renames:
        print_line(f"\nSlugs renamed in {pluralize(report.renamed_count, 'place')}")
    if report.renamed_count > len(report.renamed):  # the report does not list all uses
        return
    used = {use.old for use in report.renamed}
    for member, slugs in renames.items():
        for old in slugs:
            if old not in used:
                print_line(f"No run names {escape(old)} as {escape(member)}.")


def _conclude(
    report: histio.ImportReport, file: str, *, nothing_written: bool, rejects: str | None
) -> list[str]:
    """What was done, and what to do next."""
    lines = []
    if report.dry_run:
        lines.append("This was a dry run: nothing was written to the database.")
    elif nothing_written:
        lines.append(
            "Nothing was written, because runs were rejected, and --atomic was used. "
            "Withheld runs have no errors."
        )
    if any(problem.code == "unknown-reference" for problem in report.problems):
        lines.append(
            f"To list the missing slugs, run histio references {show_file(file)} --url …; create those rows, "
            "or import again with --rename MEMBER:OLD=NEW."
        )
    if rejects is not None and report.rejected:
        lines.append(f"The rejected runs are in {show_file(rejects)}: correct them and import that file.")
    elif report.rejected and not report.dry_run:
        lines.append("To write the rejected runs to a file, import again with --rejects FILE.")
    if report.truncated:
        lines.append(f"{show_file(file)} is damaged: it was imported up to the damage.")
    return lines or ["Done."]
