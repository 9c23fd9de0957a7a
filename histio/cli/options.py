"""Options and arguments that several commands have."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import click

from histio.cli.printing import Form, show_file
from histio.cli.usage import FILES, UsageError

_Command = TypeVar("_Command", bound=Callable[..., Any])

URL_VARIABLE = "HISTIO_DATABASE_URL"

url_option: Callable[[_Command], _Command] = click.option(
    "--url",
    metavar="URL",
    help=f"The database, such as sqlite:///bakery.db.  [env var: {URL_VARIABLE}]",
)
history_option: Callable[[_Command], _Command] = click.option(
    "--history",
    "history_name",
    metavar="MODULE:ATTRIBUTE",
    help="Your own History, or a function that returns one, for your own models.",
)
truncate_times_option: Callable[[_Command], _Command] = click.option(
    "--truncate-times",
    is_flag=True,
    help="Truncate times to the fractional seconds that their columns keep, with a warning.",
)
sealed_option: Callable[[_Command], _Command] = click.option(
    "--sealed", is_flag=True, help="Refuse files without a seal, which shows that nothing is missing."
)
kind_option: Callable[[_Command], _Command] = click.option(
    "--kind", "kinds", multiple=True, help="Only runs of this kind. Can be repeated."
)
json_option: Callable[[_Command], _Command] = click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object."
)
quiet_option: Callable[[_Command], _Command] = click.option(
    "--quiet", "-q", is_flag=True, help="Print nothing unless something is wrong."
)


class LimitOptions(TypedDict, total=False):
    """The limits that are passed to a command."""

    max_bytes: int
    max_line_bytes: int
    max_depth: int


def limit_options(command: _Command) -> _Command:
    """Add ``--max-bytes``, ``--max-line-bytes`` and ``--max-depth``; those that are passed are ``limits``."""

    @functools.wraps(command)
    def with_limits(*arguments: Any, **options: Any) -> Any:
        limits = {name: options.pop(name) for name in _LIMITS}
        passed = {name: limit for name, limit in limits.items() if limit is not None}
        return command(*arguments, limits=passed, **options)

    for name, text in reversed(_LIMITS.items()):
        option = click.option(
            f"--{name.replace('_', '-')}", type=click.IntRange(min=1), metavar="N", help=text
        )
        with_limits = option(with_limits)
    return with_limits  # type: ignore[return-value]


_LIMITS = {
    "max_bytes": "The maximum size of each uncompressed file.  [default: 64 GiB]",
    "max_line_bytes": "The maximum size of a run.  [default: 128 MiB]",
    "max_depth": "The maximum depth of nested objects and lists in a run.  [default: 64]",
}


def catalog_options(command: _Command) -> _Command:
    """Add ``--create-catalog`` and ``--update-catalog``; what they say is ``catalog``."""

    @functools.wraps(command)
    def with_catalog(*arguments: Any, create_catalog: bool, update_catalog: bool, **options: Any) -> Any:
        if create_catalog and update_catalog:
            raise UsageError("--create-catalog cannot be combined with --update-catalog, which does more.")
        catalog = "update" if update_catalog else "create" if create_catalog else "ignore"
        return command(*arguments, catalog=catalog, **options)

    create = click.option(
        "--create-catalog", is_flag=True, help="Create catalog rows that are missing, before the runs."
    )
    update = click.option(
        "--update-catalog", is_flag=True, help="Create catalog rows that are missing, and update the others."
    )
    return create(update(with_catalog))  # type: ignore[return-value]


strict_option: Callable[[_Command], _Command] = click.option(
    "--strict", is_flag=True, help="Exit with code 1 for warnings too."
)


def form_options(command: _Command) -> _Command:
    """Add ``--json`` and ``--jsonl`` to a command that prints many results; what they say is ``form``."""

    @functools.wraps(command)
    def with_form(*arguments: Any, as_json: bool, as_lines: bool, **options: Any) -> Any:
        if as_json and as_lines:
            raise UsageError("--json cannot be combined with --jsonl.")
        form = Form.LINES if as_lines else Form.OBJECT if as_json else Form.TEXT
        return command(*arguments, form=form, **options)

    lines = click.option(
        "--jsonl", "as_lines", is_flag=True, help="Print JSON, an object per line for each result."
    )
    return json_option(lines(with_form))  # type: ignore[return-value]


def database_options(command: _Command) -> _Command:
    """Add ``--url`` and ``--history`` to a command."""
    return url_option(history_option(command))


def import_options(command: _Command) -> _Command:
    """Add the options of everything that imports runs, whatever they come from."""
    for option in reversed(_IMPORT_OPTIONS):
        command = option(command)
    return command


def filter_options(command: _Command) -> _Command:
    """Add the options that select runs of a database, and say what to do with unreadable ones."""
    for option in reversed(_FILTER_OPTIONS):
        command = option(command)
    return command


def file_argument(name: str = "file", **options: Any) -> Callable[[_Command], _Command]:
    """Add an argument that names one or more files; the URL of a database is a usage error."""
    return click.argument(name, callback=_check_files, **options)


def file_option(*names: str, **options: Any) -> Callable[[_Command], _Command]:
    """Add an option that names a file."""
    return click.option(*names, callback=_check_files, **{"metavar": "FILE", **options})


def _check_files(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    given = value if isinstance(value, tuple) else () if value is None else (value,)
    if isinstance(parameter, click.Argument):
        context.meta.setdefault(FILES, []).extend(given)
    checked = tuple(_check_file(context, each) for each in given)
    return checked if isinstance(value, tuple) else next(iter(checked), None)


def _check_file(context: click.Context, file: str) -> str:
    from histio.database.dialects import is_database

    if is_database(file):
        url = show_file(file)
        raise UsageError(f"{url} is a database, not a file. Pass it as --url {url}")
    return check_local(context, file)


def check_local(context: click.Context, file: str) -> str:
    """The path of *file*, which must be in the folder of ``--within`` if there is one."""
    within = context.find_root().params.get("within")
    if within is None:
        return file
    from histio.files import local_path

    try:
        return str(local_path(file, within=within))
    except ValueError as error:
        raise UsageError(f"{error}, as --within requires.") from None


_LENGTH_OF_DATE = len("2025-01-01")


def _parse_date(context: click.Context, option: click.Parameter, text: str | None) -> dt.date | None:
    """A date, or a datetime where *text* has a time."""
    try:
        if text is None:
            return None
        parse = dt.date.fromisoformat if len(text) <= _LENGTH_OF_DATE else dt.datetime.fromisoformat
        return parse(text)
    except ValueError:
        message = f"{text!r} is not a date such as 2025-01-01 or 2025-01-01T12:00:00Z."
        raise click.BadParameter(message, context, option) from None


_date_option = functools.partial(click.option, metavar="DATE", callback=_parse_date)

_FILTER_OPTIONS = (
    _date_option("--since", help="Only runs from this date on; UTC by default."),
    _date_option("--until", help="Only runs up to the end of this date, or to a time."),
    _date_option(
        "--changed-since",
        help="Only runs whose own times say that they, or their ledgers, were created or updated since then. "
        "Runs that were imported later with older times are missing.",
    ),
    kind_option,
    click.option(
        "--where",
        multiple=True,
        metavar="MEMBER=SLUG",
        help="Only runs that name this slug, themselves or in a ledger. Repeated, all must match.",
    ),
    click.option("--skip-unreadable", is_flag=True, help="Leave out runs that the format cannot hold."),
    click.option("--exact", is_flag=True, help="Fail if a value is read differently from how it is stored."),
)

_IMPORT_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Report what would be done, and write nothing."),
    click.option(
        "--on-duplicate",
        type=click.Choice(["skip", "error", "update", "verify"]),
        default="skip",
        show_default=True,
        help="Runs that exist are skipped, rejected, overwritten, or rejected if they differ.",
    ),
    file_option("--receipt", help="Note in FILE what is written, so that histio undo can take it back."),
    file_option("--rejects", help="Write the rejected runs and their problems to FILE."),
    click.option(
        "--rename",
        multiple=True,
        metavar="MEMBER:OLD=NEW",
        help='Replace a slug; or name a JSON file: {"recipe_slug": {"old": "new"}}.',
    ),
    click.option("--atomic", is_flag=True, help="Write nothing if any run is rejected."),
    click.option(
        "--commit-every", type=click.IntRange(min=1), metavar="N", help="Commit after every N runs."
    ),
    truncate_times_option,
)
