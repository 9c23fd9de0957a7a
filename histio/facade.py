"""Four functions to export and import runs, for applications with one database and the bundled models."""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Iterable
from typing import Any, TypedDict, cast

import sqlalchemy as sa

from histio.database.connect import Bind, BorrowedSession
from histio.errors import NotConfiguredError
from histio.history import History
from histio.models import AssemblyRun, ProductionRun
from histio.records import RunSchema
from histio.report import Problem
from histio.schemas import AssemblyRunSchema, ProductionRunSchema
from histio.typing import AssemblyHistory, Document, ProductionHistory

_configured: History | None = None

_SELF_EXPLANATORY = {"unknown-reference", "ambiguous-reference", "duplicate", "duplicate-in-document"}


class ImportSummary(TypedDict):
    """What `import_production_history` and `import_assembly_history` return.

    `History.import_document` returns an `ImportReport` instead, with every problem as a value.

    Attributes:
        imported: The number of runs that were written.
        skipped: The number of runs that were not imported because their UUID exists.
        errors: For each rejected run, a text with all its problems.
    """

    imported: int
    skipped: int
    errors: list[str]


def configure(bind: Bind) -> None:
    """Set the database that the four functions use without ``session=``.

    Args:
        bind: A URL, Engine or sessionmaker. None: use the environment variable HISTIO_DATABASE_URL again.

    Raises:
        BindingError: *bind* is not a database.
    """
    global _configured  # noqa: PLW0603 - configure sets it
    history = None if bind is None else History(bind)
    if _configured is not None:
        _configured.close()
    _configured = history


def export_production_history(
    *,
    recipe_id: int | None = None,
    start_date: dt.date | None = None,
    end_date: dt.date | None = None,
    session: BorrowedSession | None = None,
) -> ProductionHistory:
    """Export production runs as a document, a dict, sorted by time.

    Values are exported as SQLAlchemy reads them. Where the database stores another value, such as a decimal
    in SQLite with more digits than its column's scale, their number is logged as a warning.

    Args:
        recipe_id: Only runs of this recipe; None: all runs.
        start_date: The earliest ``produced_at``; a naive time is UTC, a bare date its first moment. None:
            from the first run on.
        end_date: The latest ``produced_at``; a naive time is UTC, a bare date includes its whole day. None:
            up to the last run.
        session: The session to use; None: the configured database.

    Raises:
        NotConfiguredError: There is no session and no configured database.
        ExportError: The format cannot hold some rows; the error lists them all.
    """
    where = None if recipe_id is None else ProductionRun.recipe_id == recipe_id
    document = _export(ProductionRunSchema, where, start_date, end_date, session)
    return cast("ProductionHistory", document)


def import_production_history(
    data: Document,
    *,
    skip_duplicates: bool = True,
    session: BorrowedSession | None = None,
) -> ImportSummary:
    """Import the production runs of a document that the database lacks; its assembly runs are ignored.

    Args:
        data: A document; not changed.
        skip_duplicates: Whether to skip a run whose UUID exists. False: that is an error.
        session: The session to use, which is not committed; None: the configured database, which is.

    Raises:
        NotConfiguredError: There is no session and no configured database.
        DocumentError: The document as a whole cannot be read.
    """
    return _import(ProductionRunSchema, data, skip_duplicates=skip_duplicates, session=session)


def export_assembly_history(
    *,
    finished_good_id: int | None = None,
    start_date: dt.date | None = None,
    end_date: dt.date | None = None,
    session: BorrowedSession | None = None,
) -> AssemblyHistory:
    """Export assembly runs as a document, a dict, sorted by time.

    Values are exported as SQLAlchemy reads them. Where the database stores another value, such as a decimal
    in SQLite with more digits than its column's scale, their number is logged as a warning.

    Args:
        finished_good_id: Only runs of this finished good; None: all runs.
        start_date: The earliest ``assembled_at``; a naive time is UTC, a bare date its first moment. None:
            from the first run on.
        end_date: The latest ``assembled_at``; a naive time is UTC, a bare date includes its whole day. None:
            up to the last run.
        session: The session to use; None: the configured database.

    Raises:
        NotConfiguredError: There is no session and no configured database.
        ExportError: The format cannot hold some rows; the error lists them all.
    """
    where = None if finished_good_id is None else AssemblyRun.finished_good_id == finished_good_id
    document = _export(AssemblyRunSchema, where, start_date, end_date, session)
    return cast("AssemblyHistory", document)


def import_assembly_history(
    data: Document,
    *,
    skip_duplicates: bool = True,
    session: BorrowedSession | None = None,
) -> ImportSummary:
    """Import the assembly runs of a document that the database lacks; its production runs are ignored.

    Args:
        data: A document; not changed.
        skip_duplicates: Whether to skip a run whose UUID exists. False: that is an error.
        session: The session to use, which is not committed; None: the configured database, which is.

    Raises:
        NotConfiguredError: There is no session and no configured database.
        DocumentError: The document as a whole cannot be read.
    """
    return _import(AssemblyRunSchema, data, skip_duplicates=skip_duplicates, session=session)


@functools.cache
def _history(url: str | None) -> History:
    return History(url)


def _choose_history(session: BorrowedSession | None) -> History:
    """The history for *session*; None: that of the configured database, or of the environment's."""
    if session is not None:
        return _history(None)
    url = os.environ.get("HISTIO_DATABASE_URL")
    if _configured is None and not url:
        raise NotConfiguredError(
            "no database: pass session=…, call histio.configure(…), or set HISTIO_DATABASE_URL"
        )
    return _configured or _history(url)


def _export(
    schema: type[RunSchema],
    where: sa.ColumnElement[bool] | None,
    start_date: dt.date | None,
    end_date: dt.date | None,
    session: BorrowedSession | None,
) -> dict[str, Any]:
    return _choose_history(session).export_document(
        kinds=schema.opts.kind, since=start_date, until=end_date, where=where, session=session
    )


def _import(
    schema: type[RunSchema],
    data: Any,
    *,
    skip_duplicates: bool,
    session: BorrowedSession | None,
) -> ImportSummary:
    if isinstance(data, dict):
        lists = {each.opts.collection for each in (ProductionRunSchema, AssemblyRunSchema)}
        own: dict[str, Any] = {} if lists.isdisjoint(data) else {schema.opts.collection: []}
        data = own | {
            name: data[name] for name in data if name == schema.opts.collection or name not in lists
        }
    report = _choose_history(session).import_document(
        data, on_duplicate="skip" if skip_duplicates else "error", session=session
    )
    return {
        "imported": report.imported,
        "skipped": report.skipped,
        "errors": list(_describe_runs(each for each in report.problems if each.kind == schema.opts.kind)),
    }


def _describe_runs(problems: Iterable[Problem]) -> Iterable[str]:
    texts: dict[int | None, list[str]] = {}
    for problem in problems:
        texts.setdefault(problem.index, []).append(_describe(problem))
    return ["; ".join(of_run) for of_run in texts.values()]


def _describe(problem: Problem) -> str:
    if problem.code in _SELF_EXPLANATORY:
        return problem.message
    steps = problem.pointer.split("/")[1:]
    run, where = problem.uuid or "/".join(steps[:2]), "/".join(steps[2:])
    return f"Error importing {run}: {where and where + ': '}{problem.message}"
