"""Commands that write: databases and files."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

import histio
from histio.cli.databases import database_options, file_argument, history_option, opened, opened_for_files
from histio.cli.exit_codes import ExitCode
from histio.cli.importing import import_
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
    size,
)

_DAY = len("2025-01-01")


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> dt.date | None:
    try:
        if text is None:
            return None
        return dt.date.fromisoformat(text) if len(text) <= _DAY else dt.datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no date such as 2025-01-01 or 2025-01-01T12:00:00Z."
        raise click.BadParameter(told, context, option) from None


def _slugs(given: Sequence[str]) -> dict[str, str]:
    """What --where says."""
    found = {}
    for each in given:
        member, equals, slug = each.partition("=")
        if not (member and equals and slug):
            raise click.UsageError(f"--where: {each!r} is not of the form MEMBER=SLUG.")
        found[member] = slug
    return found


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
        history.bound.database.writing(None) as (connection, _, commit),
    ):
        tables = [table for kind in history.bound.kinds for table in kind.table.all()]
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
    return ExitCode.DONE


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def demo(folder: Path | None) -> int:
    """Show it all: a bakery's year moves to another database.

    FOLDER gets the databases and the files; none of them may exist there. Without it, they are made in a
    temporary folder that is gone afterwards.

    \b
    Examples:
      histio demo
      histio demo bakery
    """
    from histio.demo import run as demonstration

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
    return ExitCode.DONE if whole else ExitCode.BAD


@click.command(name="export")
@file_argument()
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
@click.option("--exact", is_flag=True, help="Fail if a value is stored differently from how it is read.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out runs that the format cannot hold.")
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
    exact: bool,
    skip_unreadable: bool,
    quiet: bool,
    as_json: bool,
    **bounds: Any,
) -> int:
    """Write the runs of a database to FILE.

    Its ending says what is written: .jsonl, a sealed stream, or .json, a document; .gz and .zst compress it.
    All runs are as they were at one moment. FILE is there when it is whole. A run that the format cannot hold
    makes the export fail; --skip-unreadable leaves it out, and the exit code is 3.

    \b
    Examples:
      histio export history.jsonl --url sqlite:///bakery.db
      histio export summer.jsonl.zst --since 2025-06-01 --until 2025-08-31
      histio export bread.json --where recipe_slug=pain-de-mie
      histio export history.jsonl --skip-unreadable
      histio export - --kind assembly_run > assembly.jsonl
    """
    if bounds["since"] and bounds["until"] and _first(bounds["since"]) > _first(bounds["until"]):
        raise click.UsageError("--since is later than --until: there are no such runs.")
    if file == "-" and form and re.search("gz|zst", form) and sys.stdout.isatty():
        raise click.UsageError("A terminal cannot show what is compressed.")
    with opened(url, named) as history, progress_bar(shown=not (quiet or as_json)) as progress:
        filters: dict[str, Any] = {}
        if where:
            from histio.inspecting.filters import naming

            filters = {"where": naming(history, _slugs(where), kinds=kinds or None)}
            kinds = tuple(filters["where"])
        report = history.export_file(
            file,
            kinds=kinds or None,
            format=form,
            overwrite=force,
            exact=exact,
            on_unreadable="skip" if skip_unreadable else "error",
            progress=progress,
            **bounds,
            **filters,
        )
    if not quiet or report.skipped:
        with after_the_fact("The export is done"):
            _say_export(report, file, as_json=as_json)
    return ExitCode.REJECTS if report.skipped else ExitCode.DONE


def _first(moment: dt.date) -> dt.datetime:
    """The first instant of a *moment*, as a time in UTC."""
    if not isinstance(moment, dt.datetime):
        return dt.datetime.combine(moment, dt.time.min, dt.UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _say_export(report: histio.ExportReport, file: str, *, as_json: bool) -> None:
    err = file == "-"  # standard output has the runs
    if as_json:
        if not err:
            say_json(report.to_dict())
        return
    say_table(["kind", "runs"], [*report.by_kind.items(), ("total", report.exported)], err=err)
    if report.skipped:
        say(f"\nRuns left out, because the format cannot hold them: {report.skipped:,}", err=err)
    say_problems("Problems", report.problems, report.problem_count, err=err)
    say_problems("Warnings", report.warnings, report.warning_count, err=err)
    where = "standard output" if err else file
    say(f"\nWrote {safe(where)}: {size(report.bytes)}", err=err)
    say(f"Digest of the runs (sha256): {report.sha256}", err=err)


@click.command()
@file_argument(required=False)
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
    return ExitCode.DONE


@click.command()
@file_argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--output", "-o", "out", required=True, metavar="FILE", help="What is written.")
@history_option
@click.option("--follows", metavar="SHA256", help="The digest of the file that the new one continues.")
@click.option("--format", "form", metavar="FORM", help="Such as jsonl.zst, where no ending says it.")
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@as_json
def merge(
    files: tuple[str, ...],
    out: str,
    named: str | None,
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
    with opened_for_files(None, named) as history:
        if files.count("-") > 1:
            raise click.UsageError("Standard input can be read once only.")
        report = histio.merge(files, out, history=history, follows=follows, format=form, overwrite=force)
    _say_export(report, out, as_json=as_json)
    return ExitCode.DONE


COMMANDS = (demo, init, export, import_, merge, report)
