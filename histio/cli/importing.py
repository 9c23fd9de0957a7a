"""The command that imports a file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import histio
from histio.cli.databases import database_options, file_argument, opened, truncating
from histio.cli.exit_codes import ExitCode
from histio.cli.screen import (
    after_the_fact,
    as_json,
    progress_bar,
    quiet,
    safe,
    say,
    say_json,
    say_problems,
    say_table,
    say_wrapped,
)


@click.command(name="import")
@file_argument()
@database_options
@click.option("--dry-run", is_flag=True, help="Do everything, and take it back: the report is the same.")
@click.option(
    "--on-duplicate",
    type=click.Choice(["skip", "error", "update", "verify"]),
    default="skip",
    show_default=True,
    help="What becomes of runs that exist: left alone; rejected; made what FILE says; compared.",
)
@click.option("--atomic", is_flag=True, help="Write nothing if any run is rejected.")
@click.option("--rejects", metavar="FILE", help="Gets the rejected runs with their problems, to be mended.")
@click.option("--force", is_flag=True, help="Replace the file of --rejects or --report where it exists.")
@click.option("--report", "page", metavar="FILE", help="Gets a page to look at, with all that was told.")
@click.option("--commit-every", type=click.IntRange(min=1), metavar="N", help="Commit after N runs.")
@click.option(
    "--rename",
    multiple=True,
    metavar="MEMBER:OLD=NEW",
    help='Read a slug as another; or a JSON file: {"recipe_slug": {"old": "new"}}.',
)
@truncating
@click.option("--follows", metavar="SHA256", help="Insist that FILE continues the export with this digest.")
@click.option("--allow-truncated", is_flag=True, help="Import what is whole of a damaged file.")
@quiet
@as_json
def import_(
    file: str,
    url: str | None,
    named: str | None,
    *,
    rename: tuple[str, ...],
    page: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write the runs of FILE to a database.

    Every run stands alone: one that cannot be imported is rejected with its reasons, and the others go in.
    Runs that are there already are skipped, so the same import again changes nothing.

    \b
    Examples:
      histio import history.jsonl --url sqlite:///branch.db
      histio import history.jsonl --dry-run
      histio import history.jsonl --rejects rejects.jsonl --commit-every 10000
      histio import history.jsonl --rename recipe_slug:pain-de-mie=bread
    """
    renames = _renames(rename)
    _check(file, page, force=force, **options)
    with opened(url, named) as history:
        with (
            _telling_of_parts(options["commit_every"]),
            progress_bar(shown=not (quiet or as_json)) as progress,
        ):
            report = history.import_file(file, rename=renames, progress=progress, **options)
        if page is not None:
            _write_page(file, page, history, report, force=force)
    withheld = options["atomic"] and report.rejected > 0
    code = _exit_code(report, withheld=withheld)
    taken_back = report.dry_run or withheld
    with after_the_fact("Nothing was imported" if taken_back else "The import is done"):
        if as_json:
            say_json(report.to_dict())
        elif not quiet or code is not ExitCode.DONE:
            _say_import(report, file, withheld=withheld, rejects=options["rejects"], renames=renames)
    return code


def _check(file: str, page: str | None, *, force: bool, **options: Any) -> None:
    """Raise UsageError where the options do not go together, or a file is in the way."""
    if options["commit_every"] and (options["atomic"] or options["dry_run"]):
        raise click.UsageError("--commit-every excludes --atomic and --dry-run.")
    if page is not None and file == "-":
        raise click.UsageError("--report: standard input cannot be read again for it.")
    if page is not None:
        from histio.page.rendering import engine

        engine()  # what it lacks is told before anything is done
    for option, path in (("--rejects", options["rejects"]), ("--report", page)):
        if path is not None and os.path.lexists(path) and not force:
            raise click.UsageError(f"{option}: {path} exists; --force replaces it.")


def _write_page(
    file: str, page: str, history: histio.History, report: histio.ImportReport, *, force: bool
) -> None:
    try:
        histio.report_page(file, page, history=history, imported=report, overwrite=force)
    except OSError as error:  # what was imported is
        say(f"--report: {safe(page)} cannot be written: {error.strerror}", err=True)


@contextmanager
def _telling_of_parts(commit_every: int | None) -> Iterator[None]:
    """A block that tells, where it fails, what becomes of the parts that were committed."""
    try:
        yield
    except BaseException:
        if commit_every:
            say("What was committed stays; the same command goes on from there.", err=True)
        raise


def _exit_code(report: histio.ImportReport, *, withheld: bool) -> ExitCode:
    nothing = not (report.imported or report.updated or report.skipped)
    if withheld or (report.rejected and nothing):
        return ExitCode.BAD
    return ExitCode.REJECTS if report.rejected or report.truncated else ExitCode.DONE


def _renames(given: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in given:
        if Path(each).is_file():
            try:
                rules = json.loads(Path(each).read_bytes())
            except ValueError as error:
                raise click.UsageError(f"--rename: {each} is no JSON: {error}") from error
            if not isinstance(rules, dict) or not all(isinstance(names, dict) for names in rules.values()):
                raise click.UsageError(f'--rename: {each} must be like {{"recipe_slug": {{"old": "new"}}}}.')
        else:
            found_rule = re.fullmatch("([^:=]+):(.+)=(.+)", each, re.DOTALL)
            if found_rule is None:
                raise click.UsageError(f"--rename: {each!r} is neither MEMBER:OLD=NEW nor a JSON file.")
            member, old, new = found_rule.groups()
            rules = {member: {old: new}}
        for member, names in rules.items():
            found.setdefault(member, {}).update(names)
    return found


def _say_import(
    report: histio.ImportReport,
    file: str,
    *,
    withheld: bool,
    rejects: str | None,
    renames: dict[str, dict[str, str]],
) -> None:
    ends = ("imported", "updated", "skipped", "rejected")
    rows = [(kind, *(getattr(counts, end) for end in ends)) for kind, counts in report.by_kind.items()]
    say_table(["kind", *ends], [*rows, ("total", *(getattr(report, end) for end in ends))])
    say_problems("Problems", report.problems, report.problem_count)
    say_problems("Warnings", report.warnings, report.warning_count)
    if report.updated:
        found = report.entries
        say(f"\nLedger entries: {found.added:,} added, {found.changed:,} changed, {found.removed:,} removed")
    if renames:
        say(f"\nSlugs renamed in {report.renamed_count:,} places")
    used = {use.old for use in report.renamed}
    if report.renamed_count == len(report.renamed):
        for member, old in ((member, old) for member, rules in renames.items() for old in rules):
            if old not in used:
                say(f"No run names {safe(old)} as {safe(member)}.")
    say()
    for line in _what_next(report, file, withheld=withheld, rejects=rejects):
        say_wrapped(line)


def _what_next(report: histio.ImportReport, file: str, *, withheld: bool, rejects: str | None) -> list[str]:
    found = []
    if report.dry_run:
        found.append("This was a dry run: nothing was written to the database.")
    elif withheld:
        found.append("Nothing was written: --atomic, and runs were rejected.")
    if any(problem.code == "unknown-reference" for problem in report.problems):
        found.append(
            f"histio references {safe(file)} --url … lists the slugs that are missing: make those rows, or "
            "import again with --rename MEMBER:OLD=NEW."
        )
    if rejects is not None and report.rejected:
        found.append(f"The rejected runs are in {safe(rejects)}: mend them there, and import that file.")
    elif report.rejected and not report.dry_run:
        found.append("To keep the rejected runs for mending, import again with --rejects FILE.")
    if report.truncated:
        found.append(f"Done, as far as {safe(file)} is whole: it is damaged, as its warnings say.")
    return found or ["Done."]
