"""``histio rejects``: mend what an import has rejected, one run at a time."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history, show_database
from histio.cli.imports import check_new_files
from histio.cli.options import (
    LimitOptions,
    check_local,
    database_options,
    file_argument,
    file_option,
    json_option,
    limit_options,
)
from histio.cli.printing import print_json, show_file
from histio.cli.progress import progress_bar
from histio.cli.usage import UsageError

_LARGE = 2**23
"""The size in bytes from which a check takes long enough to show its progress."""


@click.command()
@file_argument()
@database_options
@click.option(
    "--create-catalog", is_flag=True, help="Let runs refer to rows that only the catalog of FILE has."
)
@file_option("--output", "-o", help="The file to write.  [default: FILE with -mended in its name]")
@click.option("--list", "only_list", is_flag=True, help="Only list the problems.")
@click.option("--force", is_flag=True, help="Replace an existing output file.")
@limit_options
@json_option
def rejects(
    file: str,
    url: str | None,
    history_name: str | None,
    *,
    create_catalog: bool,
    output: str | None,
    only_list: bool,
    force: bool,
    limits: LimitOptions,
    as_json: bool,
) -> int:
    """Mend rejected runs, in a file of histio import --rejects.

    Goes through the runs one at a time: shows what is wrong, opens your editor ($VISUAL or $EDITOR), and
    checks the run again; with a database, references too. A slug can be renamed in all runs at once.

    What is mended is written to a new file, which can be imported; FILE stays as it is. Repeat the command
    to continue: no correction is lost, even if the process is killed.

    With --list, --json or without a terminal, only lists the problems, those of most runs first. The exit
    code is 3 if runs are left that cannot be imported.

    \b
    Examples:
      histio rejects rejects.jsonl --url sqlite:///branch.db
      histio rejects rejects.jsonl --list
    """
    from histio.cli.mending import (
        Walk,
        describe_survey,
        is_terminal,
        print_survey,
        report_kept,
        write_mended,
    )
    from histio.files import Limits, local_path
    from histio.mending.corrections import Corrections, digest_of
    from histio.mending.lines import open_rejects_file
    from histio.mending.mend import Mending
    from histio.mending.survey import Survey

    for each in (file, output):
        if each is not None:
            local_path(each)  # raises for URLs and standard streams
    path = Path(file)
    context = click.get_current_context()
    target = Path(check_local(context, str(_name_output(path)))) if output is None else Path(output)
    _check_output(path, target)
    with ExitStack() as stack:
        history = stack.enter_context(open_any_history(url, history_name, use_environment=True))
        opened = open_rejects_file(path, history.bound, Limits(**limits))
        place = Path(check_local(context, f"{target}.corrections"))
        kept = Corrections(place, digest_of(path), is_new=force)
        corrections = stack.enter_context(kept)
        survey = stack.enter_context(Survey())
        mending = Mending(opened, corrections, history, create_catalog=create_catalog, survey=survey)
        is_asked = is_terminal() and not (as_json or only_list)
        show_progress = partial(progress_bar, enabled=is_asked and path.stat().st_size > _LARGE)
        with show_progress() as progress:
            mending.check(progress)
        if as_json:
            print_json(asdict(describe_survey(file, survey)))
            return _exit_code(survey.left)
        print_survey(file, survey, has_database=history.bound.has_database)
        if not is_asked:
            return _exit_code(survey.left)
        check_new_files({"--output": str(target)}, force=force or corrections.has_written(target))
        with report_kept(corrections):
            Walk(mending, show_progress).run()
            with show_progress() as progress:
                mending.check(progress)
            options = " --create-catalog" * create_catalog + show_database(url, history_name)
            write_mended(target, mending, corrections, options=options)
        return _exit_code(survey.left)


def _exit_code(left: int) -> ExitCode:
    return ExitCode.REJECTS if left else ExitCode.DONE


def _check_output(path: Path, target: Path) -> None:
    """Raise UsageError if the mended runs of *path* cannot be written to *target*."""
    from histio.files import choose_format, is_same_file

    if choose_format(target).name != "jsonl":
        raise UsageError(f"--output: {show_file(str(target))} must end with .jsonl, or .jsonl.gz or .zst.")
    if is_same_file(path, target):
        raise UsageError("--output: name another file, because FILE stays as it is.")


def _name_output(path: Path) -> Path:
    """The file for the mended runs of *path*: ``rejects-mended.jsonl.gz`` for ``rejects.jsonl.gz``."""
    stem, suffix, compression = path.name.partition(".jsonl")
    return path.with_name(f"{stem}-mended.jsonl{compression if suffix else ''}")
