"""``histio import``: import the runs of files into a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

import histio
from histio.cli.history import open_history, show_database
from histio.cli.imports import (
    check_import_options,
    check_new_files,
    parse_renames,
    print_import,
    report_commits,
)
from histio.cli.options import (
    LimitOptions,
    catalog_options,
    database_options,
    file_argument,
    file_option,
    import_options,
    json_option,
    kind_option,
    limit_options,
    quiet_option,
    sealed_option,
)
from histio.cli.printing import print_line, show_file
from histio.cli.process import interruptible
from histio.cli.progress import progress_bar
from histio.cli.usage import UsageError


@click.command(name="import")
@file_argument("files", nargs=-1, required=True, metavar="FILE...")
@database_options
@catalog_options
@import_options
@file_option("--report", "page", help="Write an HTML report about the import to FILE.")
@click.option("--force", is_flag=True, help="Replace existing files of --rejects and --report.")
@kind_option
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="J",
    help="Import the parts of the folder FILE by J processes, each part in a transaction of its own.",
)
@quiet_option
@json_option
@click.option("--allow-truncated", is_flag=True, help="Import a damaged file up to the damage.")
@sealed_option
@click.option("--follows", metavar="SHA256", help="Fail unless FILE continues the export with this digest.")
@click.option("--follows-header", metavar="SHA256", help="Fail unless that export's header has this digest.")
@limit_options
def import_(
    files: tuple[str, ...],
    url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    rename: tuple[str, ...],
    jobs: int | None,
    page: str | None,
    force: bool,
    limits: LimitOptions,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Import the runs of FILE into a database.

    See first what would change, with --dry-run. Then import with --receipt, so that histio undo can take the
    import back. If the database lacks rows that runs name, --create-catalog creates them from FILE.

    A run that cannot be imported is rejected, with the reasons; the others are imported. Runs that exist are
    skipped, so an import can be repeated.

    Several files are one import: nothing is committed unless all of them are complete. A file that continues
    another one is read after it. So is a folder that histio export --parts has written.

    With --jobs, FILE is such a folder, and each of its parts is committed alone. What was committed stays,
    whatever happens: repeat the command to import the rest. SQLite has one writer, so it gains nothing.

    \b
    Examples:
      histio import history.jsonl --url sqlite:///branch.db --dry-run
      histio import history.jsonl --create-catalog --receipt receipt.jsonl
      histio import later.jsonl --on-duplicate update --dry-run
      histio import history.jsonl later.jsonl --on-duplicate update
      histio import history.jsonl --rejects rejects.jsonl --commit-every 10000
      histio import history --jobs 8 --create-catalog
      histio import history.jsonl --rename recipe_slug:pain-de-mie=bread
    """
    renames = parse_renames(rename)
    _check_options(files, page, force=force, **options)
    if jobs is not None:
        _check_parts(files, **options)
    with open_history(url, history_name) as history:
        with (
            report_commits(options["commit_every"] or jobs),
            progress_bar(enabled=not (quiet or as_json)) as progress,
        ):
            given = {"kinds": kinds or None, "rename": renames, "progress": progress, **limits, **options}
            if jobs is None:
                report = history.import_file(files, **given)
            else:
                given = {name: value for name, value in given.items() if name not in _OF_ONE_TRANSACTION}
                report = history.import_parts(files[0], jobs=jobs, **given)
        given = {"imported": report, "rejects": options["rejects"], "overwrite": force, **limits}
        has_page = page is not None and _write_page(files, page, history=history, **given)
    shown = show_file(files[0]) if len(files) == 1 else "FILE"
    database = show_database(url, history_name)
    create = "Create the rows that are missing"
    if report.catalog and options["catalog"] == "ignore":
        create = f"{create} with --create-catalog, as {shown} has a catalog"
    damage = f"{shown} is damaged" if len(files) == 1 else "A file is damaged, as the warnings say"
    return print_import(
        report,
        renames=renames,
        rejects=options["rejects"],
        receipt=options["receipt"],
        page=page if has_page else None,
        atomic=options["atomic"],
        catalog=options["catalog"],
        missing=f"{create}, or import again with --rename MEMBER:OLD=NEW. To list them:\n"
        f"histio references {shown} --missing{database}",
        database=database,
        damage=f"{damage}: it was imported up to the damage.",
        quiet=quiet,
        as_json=as_json,
    )


def _check_options(files: Sequence[str], page: str | None, *, force: bool, **options: Any) -> None:
    """Raise UsageError for options that exclude each other, and for files that exist."""
    check_import_options(**options)
    if options["sealed"] and options["allow_truncated"]:
        raise UsageError("--sealed cannot be combined with --allow-truncated.")
    if page is not None and "-" in files:
        raise UsageError("--report cannot be combined with standard input, which can be read only once.")
    if page is not None:
        from histio.page.render import load_jinja

        load_jinja()  # raises before the import if it is not installed
    check_new_files({"--rejects": options["rejects"], "--report": page}, force=force)


_OF_ONE_TRANSACTION = {"atomic", "dry_run", "receipt", "sealed"}
"""The options that imports of parts do not have; parts are always sealed."""


def _check_parts(files: Sequence[str], **options: Any) -> None:
    """Raise UsageError for what cannot be combined with ``--jobs``."""
    if len(files) > 1 or files == ("-",):
        raise UsageError("--jobs needs one FILE, a folder with an export in parts.")
    for option in ("atomic", "dry_run", "receipt"):
        if options[option]:
            name = f"--{option.replace('_', '-')}"
            raise UsageError(f"{name} cannot be combined with --jobs, as each part is committed alone.")


def _write_page(files: Sequence[str], page: str, **options: Any) -> bool:
    """Write the HTML report; return whether that worked, as the import itself is done."""
    try:
        with interruptible():
            histio.report_page(files, page, **options)
    except OSError as error:
        print_line(f"--report: {show_file(page)} could not be written: {error.strerror}", err=True)
    except KeyboardInterrupt:
        print_line(f"--report: {show_file(page)} was not written, because of the interruption", err=True)
    else:
        return True
    return False
