"""What commands that import runs have in common: options, exit codes, and the report."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.options import check_local
from histio.cli.outputs import find_written
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
from histio.cli.results import print_counts, print_findings, print_revisions, print_written
from histio.cli.usage import UsageError
from histio.report import list_outcomes

_OPTION = re.compile(r'catalog="\w+" \((--[\w-]+)\)')
"""An argument of a function, and the option that means the same."""


def check_import_options(
    *, commit_every: int | None, atomic: bool, dry_run: bool, receipt: str | None, **_: object
) -> None:
    """Raise UsageError for options of `import_options` that exclude each other."""
    if commit_every and (atomic or dry_run):
        raise UsageError("--commit-every cannot be combined with --atomic or --dry-run.")
    if receipt and dry_run:
        raise UsageError("--receipt cannot be combined with --dry-run, which writes nothing.")


def check_new_files(files: Mapping[str, str | None], *, force: bool) -> None:
    """Raise UsageError if one of *files*, by option, exists, unless *force* is set."""
    for option, path in files.items():
        if path is not None and os.path.lexists(path) and not force:
            raise UsageError(f"{option}: {show_file(path)} exists; --force replaces it.")


@contextmanager
def report_commits(commit_every: int | None) -> Iterator[None]:
    """If the block fails after commits, say that the command can be repeated."""
    try:
        yield
    except BaseException:
        if commit_every:
            print_line("The runs committed so far are kept. To continue, repeat the command.", err=True)
        raise


def parse_renames(values: Sequence[str]) -> dict[str, dict[str, str]]:
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
        raise UsageError(f"--rename: {show_file(path)} is not JSON: {error}") from error
    if not isinstance(rules, dict) or not all(isinstance(slugs, dict) for slugs in rules.values()):
        raise UsageError(f'--rename: {show_file(path)} must look like {{"recipe_slug": {{"old": "new"}}}}.')
    return rules


def _parse_rename(text: str) -> dict[str, dict[str, str]]:
    rule = re.fullmatch("([^:=]+):(.+)=(.+)", text, re.DOTALL)
    if rule is None:
        raise UsageError(f"--rename: write MEMBER:OLD=NEW or the name of a JSON file, not {text!r}.")
    member, old, new = rule.groups()
    return {member: {old: new}}


def print_import(
    report: histio.ImportReport,
    *,
    renames: Mapping[str, Mapping[str, str]],
    rejects: str | None,
    receipt: str | None,
    page: str | None = None,
    atomic: bool,
    catalog: str,
    missing: str,
    database: str,
    damage: str = "",
    quiet: bool,
    as_json: bool,
) -> ExitCode:
    """Print the report of an import, and return the exit code.

    Args:
        report: The report.
        renames: New slugs by member and old slug.
        rejects: The file of ``--rejects``.
        receipt: The file of ``--receipt``.
        page: The file of ``--report``, if it was written.
        atomic: Whether nothing is written if a run is rejected.
        catalog: What was done with catalog rows: ``ignore``, ``create`` or ``update``.
        missing: What to do about slugs of rows that do not exist.
        database: The options that name the same database in another command.
        damage: What to say about a truncated file.
        quiet: Whether to print nothing unless something is wrong.
        as_json: Whether to print JSON.
    """
    rejected = report.rejected + report.catalog_rejected
    nothing_written = atomic and rejected > 0
    written = not nothing_written and _has_written(report)
    code = ExitCode.REJECTS if rejected or report.truncated else ExitCode.DONE
    if nothing_written or (report.rejected and not (written or report.skipped)):
        code = ExitCode.BAD
    done = "Nothing was imported" if report.dry_run or nothing_written else "The import is done"
    with report_unprintable(done):
        files = find_written(
            {
                "rejects": rejects if rejected else None,
                "receipt": receipt if written else None,
                "report": page,
            }
        )
        if as_json:
            print_json(report.to_dict() | {"written": list(map(asdict, files))})
        elif not quiet or code is not ExitCode.DONE:
            _print_report(report, ignored=catalog == "ignore" and report.advice is None)
            _print_renames(report, renames)
            print_line()
            for each in files:
                print_written(each)
            print_wrapped(_say_what_is_done(report, code, nothing_written=nothing_written, damage=damage))
            for line in _advise(report, rejects=rejects, missing=missing, database=database):
                print_wrapped(line)
            if receipt is not None and written:
                print_wrapped(f"To take this import back:\nhistio undo {show_file(receipt)}{database}")
    return code


def _has_written(report: histio.ImportReport) -> bool:
    rows = any(counts.imported or counts.updated for counts in report.catalog.values())
    return bool(report.imported or report.updated or rows)


def _print_report(report: histio.ImportReport, *, ignored: bool) -> None:
    """Print the counts, problems and warnings of a *report*; *ignored*: the catalog was not imported."""
    outcomes = list_outcomes(report)
    rows = [(kind, *(getattr(counts, name) for name in outcomes)) for kind, counts in report.catalog.items()]
    if ignored and rows:
        count = sum(sum(row[1:]) for row in rows)
        print_line(f"Catalog rows left out: {count:,}. --create-catalog creates those that are missing.")
    elif rows:
        print_table(["catalog", *outcomes], [row for row in rows if any(row[1:])])
    if rows:
        print_line()
    print_counts(report, outcomes)
    print_findings(report)
    if report.updated:
        entries = report.entries
        print_line(
            f"\nLedger entries: {entries.added:,} added, {entries.changed:,} changed, "
            f"{entries.removed:,} removed"
        )
    print_revisions(report)


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


def _say_what_is_done(
    report: histio.ImportReport, code: ExitCode, *, nothing_written: bool, damage: str
) -> str:
    if report.dry_run:
        return "This was a dry run: nothing was written to the database."
    if nothing_written:
        return (
            "Nothing was written, because runs or rows were rejected, and --atomic was used. "
            "Withheld runs have no errors."
        )
    if code is ExitCode.BAD:
        return "Nothing was imported."
    if code is ExitCode.REJECTS:
        return damage if report.truncated else "Done, except for what was rejected."
    if report.skipped and not _has_written(report):
        return "Done: there was nothing to import, as all runs exist."
    return "Done."


def _advise(report: histio.ImportReport, *, rejects: str | None, missing: str, database: str) -> list[str]:
    """What to do next.

    Args:
        report: The report.
        rejects: The file of ``--rejects``.
        missing: What to do about slugs of rows that do not exist.
        database: The options that name the same database in another command.
    """
    lines = []
    if report.dry_run and (report.imported or report.updated):
        lines.append(
            "To import, repeat the command without --dry-run. With --receipt FILE, histio undo can take the "
            "import back."
        )
    if report.advice is not None:
        lines.append(_OPTION.sub(r"\1", report.advice))
    if report.advice is None and any(problem.code == "unknown-reference" for problem in report.problems):
        lines.append(missing)
    rejected = "runs" if report.rejected else "catalog rows" if report.catalog_rejected else ""
    if rejects is not None and rejected:
        lines.append(
            f"The rejected {rejected} are in {show_file(rejects)}. To mend them:\n"
            f"histio rejects {show_file(rejects)}{database}"
        )
    elif rejected and report.advice is None:
        lines.append(f"To write the rejected {rejected} to a file, repeat the command with --rejects FILE.")
    return lines
