"""Commands that write: databases and files."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

import histio
from histio.cli.databases import database_options, file_options, opened, opened_for_files
from histio.cli.outcomes import Outcome
from histio.cli.screen import progress_bar, safe, say, say_json, say_problems, say_table, say_wrapped, size

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
quiet = click.option("--quiet", "-q", is_flag=True, help="Show no progress.")


_DAY = len("2025-01-01")


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> dt.date | None:
    try:
        if text is None:
            return None
        return dt.date.fromisoformat(text) if len(text) <= _DAY else dt.datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no date such as 2025-01-01 or 2025-01-01T12:00:00Z."
        raise click.BadParameter(told, context, option) from None


def _pair(option: str, text: str, pattern: str) -> list[str]:
    found = re.fullmatch(pattern, text, re.DOTALL)
    if found is None:
        raise click.UsageError(f"{option}: {text!r} is not of the form {_FORMS[option]}.")
    return list(found.groups())


_FORMS = {"--where": "MEMBER=SLUG", "--rename": "MEMBER:OLD=NEW, or the name of a JSON file"}


@click.command()
@database_options
@as_json
def init(url: str | None, named: str | None, *, as_json: bool) -> int:
    """Make the tables of a history in a database.

    Those that exist are left as they are. SQLite makes the file too.

    \b
    Examples:
      histio init --url sqlite:///branch.db
    """
    from sqlalchemy import inspect

    with (
        opened(url, named, new=True) as history,
        history._database.writing(None) as (connection, _, commit),
    ):
        tables = [table for kind in history._format.kinds for table in kind.table.all()]
        mapped: list[Any] = [each for table in tables for mapper in table.mappers() for each in mapper.tables]
        metadata = list(dict.fromkeys(each.metadata for each in mapped))
        before = set(inspect(connection).get_table_names())
        for each in metadata:
            each.create_all(connection)
        commit()
        names = [table.name for each in metadata for table in each.sorted_tables]
    made = [name for name in names if name not in before]
    if as_json:
        say_json({"created": made, "existing": [name for name in names if name in before]})
    elif made:
        say_wrapped(f"Made {len(made)} tables: {', '.join(map(safe, made))}.")
    else:
        say("All tables exist already.")
    return Outcome.DONE


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def demo(folder: Path | None) -> int:
    """Show it all: a bakery's year moves to another database.

    FOLDER gets the two databases and the files; none of them may exist there. Without it, they are made in a
    temporary folder that is gone afterwards.

    \b
    Examples:
      histio demo
      histio demo bakery
    """
    from histio import demo as demonstration

    with ExitStack() as stack:
        at = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histio-")))
        for name in demonstration.FILES:
            if os.path.lexists(at / name):
                raise click.UsageError(f"{at / name} exists and will not be overwritten.")
        try:
            at.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=at).close()
        except OSError as error:
            raise click.UsageError(f"{at} cannot be used as a folder: {error.strerror}.") from error
        whole = demonstration.run(at)
    if folder is None:
        say("The files were in a temporary folder that is gone; histio demo FOLDER keeps:")
    else:
        say(f"The files are in {folder}:")
    say(f"  {', '.join(demonstration.FILES)}")
    return Outcome.DONE if whole else Outcome.BAD


@click.command(name="export")
@click.argument("file")
@database_options
@click.option(
    "--since",
    metavar="DATE",
    callback=_moment,
    help="The earliest time of a run; UTC where it says no offset.",
)
@click.option(
    "--until",
    metavar="DATE",
    callback=_moment,
    help="The latest time of a run; a bare date includes its day.",
)
@click.option(
    "--changed-since",
    metavar="DATE",
    callback=_moment,
    help="Runs that were written since then, entries included.",
)
@click.option("--kind", "kinds", multiple=True, help="A kind of run; may be said several times.")
@click.option(
    "--where",
    multiple=True,
    metavar="MEMBER=SLUG",
    help="Runs that name this slug, themselves or in their ledgers; said several times, all of them.",
)
@click.option("--follows", metavar="SHA256", help="The digest of the export that this one continues.")
@click.option("--format", "form", metavar="FORM", help="Such as jsonl.zst, where no ending of FILE says it.")
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@quiet
@as_json
def export(
    file: str,
    url: str | None,
    named: str | None,
    *,
    kinds: tuple[str, ...],
    where: tuple[str, ...],
    form: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **bounds: Any,
) -> int:
    """Write the runs of a database to FILE.

    Its ending says what is written: .jsonl, a sealed stream, or .json, a document; .gz and .zst compress it.
    All runs are as they were at one moment. FILE is there when it is whole.

    \b
    Examples:
      histio export history.jsonl --url sqlite:///bakery.db
      histio export summer.jsonl.zst --since 2025-06-01 --until 2025-08-31
      histio export bread.json --where recipe_slug=pain-de-mie
      histio export - --kind assembly_run > assembly.jsonl
    """
    with opened(url, named) as history, progress_bar(shown=not (quiet or as_json)) as progress:
        filters: dict[str, Any] = {}
        if where:
            from histio.filters import naming

            named_by = dict(_pair("--where", each, "([^=]+)=(.+)") for each in where)
            filters = {"where": naming(history, named_by, kinds=kinds or None)}
            kinds = tuple(filters["where"])
        report = history.export_file(
            file, kinds=kinds or None, format=form, overwrite=force, progress=progress, **bounds, **filters
        )
    _say_export(report, file, as_json=as_json)
    return Outcome.DONE


def _say_export(report: histio.ExportReport, file: str, *, as_json: bool) -> None:
    err = file == "-"  # standard output has the runs
    if as_json:
        if not err:
            say_json(report.to_dict())
        return
    say_table(["kind", "runs"], [*report.by_kind.items(), ("total", report.exported)], err=err)
    where = "standard output" if err else file
    say(f"\nWrote {safe(where)}: {size(report.bytes)}, sha256 {report.sha256}", err=err)


@click.command(name="import")
@click.argument("file")
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
@click.option("--report", "page", metavar="FILE", help="Gets a page to look at, with all that was told.")
@click.option("--commit-every", type=click.IntRange(min=1), metavar="N", help="Commit after N runs.")
@click.option(
    "--rename",
    multiple=True,
    metavar="MEMBER:OLD=NEW",
    help='Read a slug as another; or a JSON file: {"recipe_slug": {"old": "new"}}.',
)
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
    with opened(url, named) as history, progress_bar(shown=not (quiet or as_json)) as progress:
        if page is not None and (file == "-" or os.path.lexists(page)):
            raise click.UsageError(f"--report: {page} exists, or FILE cannot be read again.")
        report = history.import_file(file, rename=_renames(rename), progress=progress, **options)
        if page is not None:
            histio.report_page(file, page, history=history, imported=report)
    withheld = options["atomic"] and report.rejected > 0
    if as_json:
        say_json(report.to_dict())
    else:
        _say_import(report, file, withheld=withheld, rejects=options["rejects"])
    if withheld or (report.rejected and not (report.imported or report.updated or report.skipped)):
        return Outcome.BAD
    return Outcome.REJECTS if report.rejected else Outcome.DONE


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
            member, old, new = _pair("--rename", each, "([^:=]+):(.+)=(.+)")
            rules = {member: {old: new}}
        for member, names in rules.items():
            found.setdefault(member, {}).update(names)
    return found


def _say_import(report: histio.ImportReport, file: str, *, withheld: bool, rejects: str | None) -> None:
    ends = ("imported", "updated", "skipped", "rejected")
    rows = [(kind, *(getattr(counts, end) for end in ends)) for kind, counts in report.by_kind.items()]
    say_table(["kind", *ends], [*rows, ("total", *(getattr(report, end) for end in ends))])
    say_problems("Problems", report.problems, report.problem_count)
    say_problems("Warnings", report.warnings, report.warning_count)
    if report.renamed_count:
        say(f"\nRenamed slugs: {report.renamed_count:,}")
    say()
    for line in _what_next(report, file, withheld=withheld, rejects=rejects):
        say_wrapped(line)


def _what_next(report: histio.ImportReport, file: str, *, withheld: bool, rejects: str | None) -> list[str]:
    found = []
    if report.dry_run:
        found.append("This was a dry run: nothing was written.")
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
    return found or ["Done."]


@click.command()
@click.argument("file", required=False)
@click.option("--output", "-o", "out", required=True, metavar="FILE", help="The page that is written.")
@database_options
@click.option("--force", is_flag=True, help="Replace the page where it exists.")
def report(file: str | None, out: str, url: str | None, named: str | None, *, force: bool) -> int:
    """Write a page to look at, about a file or a database.

    One HTML file with charts and tables of runs, numbers and ledgers, and with what an audit finds. It loads
    nothing, and can be sent to anyone. It needs histio[report].

    \b
    Examples:
      histio report history.jsonl -o report.html
      histio report --url sqlite:///bakery.db -o bakery.html
    """
    with opened_for_files(url, named) if file is not None else opened(url, named) as history:
        histio.report_page(history if file is None else file, out, history=history, overwrite=force)
    say(f"Wrote {safe('standard output' if out == '-' else out)}.", err=out == "-")
    return Outcome.DONE


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--output", "-o", "out", required=True, metavar="FILE", help="What is written.")
@file_options
@click.option("--follows", metavar="SHA256", help="The digest of the file that the new one continues.")
@click.option("--format", "form", metavar="FORM", help="Such as jsonl.zst, where no ending says it.")
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@as_json
def merge(
    files: tuple[str, ...],
    out: str,
    url: str | None,
    named: str | None,
    *,
    follows: str | None,
    form: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Make one sealed file of several.

       FILES are given from the oldest to the newest.
    A run that comes several times is written as the last
       file has it. Of a single file, which may be unsorted and unsealed, it makes an export.

       \b
       Examples:
         histio merge history.jsonl later.jsonl -o whole.jsonl
    """
    with opened_for_files(url, named) as history:
        report = histio.merge(files, out, history=history, follows=follows, format=form, overwrite=force)
    _say_export(report, out, as_json=as_json)
    return Outcome.DONE


COMMANDS = (demo, init, export, import_, merge, report)
