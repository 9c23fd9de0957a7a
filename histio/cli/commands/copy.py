"""``histio copy``: copy the runs of one database to another."""

from __future__ import annotations

from typing import Any

import click

import histio
from histio.cli.filters import check_period, select_kinds
from histio.cli.history import open_history, show_database
from histio.cli.imports import (
    check_import_options,
    check_new_files,
    parse_renames,
    print_import,
    report_commits,
)
from histio.cli.options import (
    URL_VARIABLE,
    catalog_options,
    filter_options,
    history_option,
    import_options,
    json_option,
    quiet_option,
)
from histio.cli.progress import progress_bar
from histio.cli.usage import UsageError

_MISSING = "Copy again with --create-catalog to create the missing rows, or with --rename MEMBER:OLD=NEW."


@click.command()
@click.option("--from", "source_url", metavar="URL", help="The database to copy from; it is only read.")
@click.option("--to", "target_url", metavar="URL", help="The database to copy to.")
@history_option
@filter_options
@catalog_options
@click.option(
    "--whole-catalog", is_flag=True, help="Copy all catalog rows, not only those that the runs name."
)
@import_options
@click.option("--force", is_flag=True, help="Replace an existing file of --rejects.")
@quiet_option
@json_option
def copy(
    source_url: str | None,
    target_url: str | None,
    history_name: str | None,
    *,
    kinds: tuple[str, ...],
    where: tuple[str, ...],
    whole_catalog: bool,
    skip_unreadable: bool,
    rename: tuple[str, ...],
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Copy the runs of one database to another, without a file.

    All runs are read at the same moment and, unless --commit-every is used, written in one transaction. Each
    run is compared with what is stored of it then; differences are warnings. Runs that exist are skipped, so
    a copy can be repeated. One of --from and --to may be left out: it is the database that the environment
    variable HISTIO_DATABASE_URL names, or that of --history.

    \b
    Examples:
      histio copy --from sqlite:///bakery.db --to sqlite:///branch.db
      histio copy --to sqlite:///branch.db --create-catalog
      histio copy --from sqlite:///bakery.db --to sqlite:///branch.db --dry-run
      histio copy --to sqlite:///branch.db --since 2025-06-01
    """
    if source_url is None and target_url is None:
        raise UsageError(
            f"Pass --from URL, --to URL, or both. The one that is left out is {URL_VARIABLE}, "
            "or the database of --history."
        )
    renames = parse_renames(rename)
    check_period(options["since"], options["until"])
    if whole_catalog and options["catalog"] == "ignore":
        raise UsageError("--whole-catalog needs --create-catalog or --update-catalog.")
    check_import_options(**options)
    check_new_files({"--rejects": options["rejects"]}, force=force)
    with (
        open_history(source_url, history_name, option="--from") as source,
        open_history(target_url, history_name, option="--to") as target,
        report_commits(options["commit_every"]),
        progress_bar(enabled=not (quiet or as_json)) as progress,
    ):
        report = histio.copy(
            source,
            target,
            **select_kinds(source, where, kinds),
            whole_catalog=whole_catalog,
            on_unreadable="skip" if skip_unreadable else "error",
            rename=renames,
            progress=progress,
            **options,
        )
    return print_import(
        report,
        renames=renames,
        rejects=options["rejects"],
        receipt=options["receipt"],
        atomic=options["atomic"],
        catalog=options["catalog"],
        missing=_MISSING,
        database=show_database(target_url, history_name),
        quiet=quiet,
        as_json=as_json,
    )
