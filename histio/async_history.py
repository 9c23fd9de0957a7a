"""`AsyncHistory`: a `History` for asyncio."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, ParamSpec, Self, TypeAlias, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from histio.bound import Constants
from histio.database.dialects import set_up
from histio.errors import BindingError
from histio.exporting.selection import Where
from histio.exporting.tally import OnUnreadable
from histio.files import MAX_BYTES, MAX_DEPTH, MAX_LINE_BYTES, FilePath
from histio.history import History
from histio.importing.renames import Renames
from histio.importing.run import OnDuplicate
from histio.kinds.versions import Upgrades
from histio.progress import Report
from histio.records import RunSchema
from histio.report import ExportReport, ImportReport, Problem
from histio.tuning import tuning
from histio.wire import shown

try:
    # Before 2.1, SQLAlchemy misses it only when it is needed.
    import greenlet as _greenlet  # type: ignore[import-untyped]  # noqa: F401
    from sqlalchemy.ext import asyncio as sa_asyncio
    from sqlalchemy.ext.asyncio import (
        AsyncConnection,
        AsyncEngine,
        AsyncSession,
        async_scoped_session,
        async_sessionmaker,
    )
except ImportError as error:
    _missing: ImportError | None = error
else:
    _missing = None

AsyncBorrowedSession: TypeAlias = "AsyncSession | async_scoped_session[Any] | AsyncConnection"
AsyncBind: TypeAlias = "str | sa.URL | AsyncEngine | async_sessionmaker[Any] | AsyncBorrowedSession | None"

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AsyncHistory:
    """The history of an application that uses SQLAlchemy's asyncio extension.

    A `History` in all it means and does, but that its methods are awaited. Only the database is waited for:
    reading and checking documents are work for the processor, during which the event loop stands still.

    Immutable, and safe to share between tasks unless *bind* itself is not; like an AsyncEngine, it belongs
    to one event loop.

    Args:
        bind: The database, as for `History`: a URL that names an asyncio driver, AsyncEngine,
            AsyncConnection, async_sessionmaker, AsyncSession or async_scoped_session; None: every call
            names its session. With a URL, `close` the history in the end, or use it in an ``async with``
            block.
        kinds: As for `History`.
        version: As for `History`.
        upgrades: As for `History`.
        values: As for `History`.

    Raises:
        BindingError: As for `History`.
        ImportError: SQLAlchemy's asyncio extension needs greenlet: install ``histio[asyncio]``.
    """

    def __init__(
        self,
        bind: AsyncBind = None,
        /,
        *kinds: type[RunSchema],
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
    ) -> None:
        if _missing is not None:
            raise ImportError("AsyncHistory needs greenlet: install histio[asyncio]") from _missing
        self._engine = create_async_engine(bind) if isinstance(bind, (str, sa.URL)) else None
        bound: Any = self._engine or bind
        own = isinstance(bound, (AsyncEngine, async_sessionmaker))
        self._lent = None if own else _checked(bound)
        made_for = _maker(bound) if own else None
        self._history = History(made_for, *kinds, version=version, upgrades=upgrades, values=values)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to a database that was given by its URL; other binds are the caller's."""
        if self._engine is not None:
            await self._engine.dispose()

    @property
    def version(self) -> str:
        """The version of the format that this history writes."""
        return self._history.version

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds, in the order of their lists in a document."""
        return self._history.kinds

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of this history's documents; for the bundled kinds, the published one."""
        return self._history.json_schema()

    async def export_document(
        self,
        *,
        kinds: str | Sequence[str] | None = None,
        since: dt.date | None = None,
        until: dt.date | None = None,
        changed_since: dt.date | None = None,
        where: Where | None = None,
        exported_at: dt.datetime | None = None,
        exact: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> dict[str, Any]:
        """All runs as one document, as `History.export_document` gives it."""
        return await _in_greenlet(
            self._history.export_document,
            kinds=kinds,
            since=since,
            until=until,
            changed_since=changed_since,
            where=where,
            exported_at=exported_at,
            exact=exact,
            session=self._sync(session),
        )

    async def export_file(
        self,
        path: FilePath,
        /,
        *,
        kinds: str | Sequence[str] | None = None,
        since: dt.date | None = None,
        until: dt.date | None = None,
        changed_since: dt.date | None = None,
        where: Where | None = None,
        exported_at: dt.datetime | None = None,
        follows: str | None = None,
        format: str | None = None,  # noqa: A002 - the word for it
        overwrite: bool = False,
        exact: bool = False,
        on_unreadable: OnUnreadable = "error",
        progress: Report | None = None,
        session: AsyncBorrowedSession | None = None,
    ) -> ExportReport:
        """Write all runs to a file, as `History.export_file` does.

        Other tasks wait while the file is written to.
        """
        return await _in_greenlet(
            self._history.export_file,
            path,
            kinds=kinds,
            since=since,
            until=until,
            changed_since=changed_since,
            where=where,
            exported_at=exported_at,
            follows=follows,
            format=format,
            overwrite=overwrite,
            exact=exact,
            on_unreadable=on_unreadable,
            progress=progress,
            session=self._sync(session),
        )

    def iter_runs(
        self,
        kind: str,
        /,
        *,
        since: dt.date | None = None,
        until: dt.date | None = None,
        changed_since: dt.date | None = None,
        where: sa.ColumnElement[bool] | None = None,
        exact: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The runs of one kind, one record after the other, in constant memory.

        The connection is held until the iterator is exhausted or closed: where a loop may end early, write
        ``async with contextlib.aclosing(history.iter_runs(…)) as runs``. Options as for `export_document`.

        Raises:
            ExportError: After the last run, when rows could not be exported.
        """
        runs = self._history.iter_runs(
            kind,
            since=since,
            until=until,
            changed_since=changed_since,
            where=where,
            exact=exact,
            session=self._sync(session),
        )
        return _by_page(cast("Generator[dict[str, Any], None, None]", runs))

    async def import_document(
        self,
        document: dict[str, Any],
        *,
        on_duplicate: OnDuplicate = "skip",
        atomic: bool = False,
        dry_run: bool = False,
        rename: Renames | None = None,
        truncate_times: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> ImportReport:
        """Write the runs of *document* that the database lacks, as `History.import_document` does."""
        return await _in_greenlet(
            self._history.import_document,
            document,
            on_duplicate=on_duplicate,
            atomic=atomic,
            dry_run=dry_run,
            rename=rename,
            truncate_times=truncate_times,
            session=self._sync(session),
        )

    async def import_file(
        self,
        path: FilePath,
        /,
        *,
        on_duplicate: OnDuplicate = "skip",
        atomic: bool = False,
        dry_run: bool = False,
        rename: Renames | None = None,
        truncate_times: bool = False,
        rejects: FilePath | None = None,
        allow_truncated: bool = False,
        commit_every: int | None = None,
        follows: str | None = None,
        max_bytes: int = MAX_BYTES,
        max_line_bytes: int = MAX_LINE_BYTES,
        max_depth: int = MAX_DEPTH,
        progress: Report | None = None,
        session: AsyncBorrowedSession | None = None,
    ) -> ImportReport:
        """Write the runs of a file that the database lacks, as `History.import_file` does.

        Other tasks wait while the file is read from.
        """
        return await _in_greenlet(
            self._history.import_file,
            path,
            on_duplicate=on_duplicate,
            atomic=atomic,
            dry_run=dry_run,
            rename=rename,
            truncate_times=truncate_times,
            rejects=rejects,
            allow_truncated=allow_truncated,
            commit_every=commit_every,
            follows=follows,
            max_bytes=max_bytes,
            max_line_bytes=max_line_bytes,
            max_depth=max_depth,
            progress=progress,
            session=self._sync(session),
        )

    async def check(
        self,
        document: object,
        *,
        rename: Renames | None = None,
        truncate_times: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> list[Problem]:
        """All that is wrong with *document*, in its order: form, references, warnings. Writes nothing."""
        return await _in_greenlet(
            self._history.check,
            document,
            rename=rename,
            truncate_times=truncate_times,
            session=self._sync(session),
        )

    async def explain(self, *, session: AsyncBorrowedSession | None = None) -> str:
        """How each column is accounted for, and how fast runs are moved; see `History.explain`.

        Args:
            session: To be used instead of the bound database.
        """
        return await _in_greenlet(self._history.explain, session=self._sync(session))

    def _sync(self, session: AsyncBorrowedSession | None) -> Session | Connection | None:
        """What *session*, or else the bind if that was handed over, is to a `History`."""
        lent = self._lent if session is None else _checked(session)
        if isinstance(lent, async_scoped_session):
            lent = cast("AsyncSession", lent())
        if isinstance(lent, AsyncSession):
            return lent.sync_session
        if lent is not None and lent.sync_connection is None:
            raise BindingError("the AsyncConnection is not open: await it, or use it in an async with block")
        return None if lent is None else lent.sync_connection


class _SyncSessions(sessionmaker[Session]):
    """The sync sessions of what an async_sessionmaker makes."""

    def __init__(self, maker: async_sessionmaker[Any]) -> None:
        super().__init__(getattr(maker.kw.get("bind"), "sync_engine", None))
        self._maker = maker

    def __call__(self, **options: Any) -> Session:
        session: AsyncSession = self._maker(**options)
        return session.sync_session


async def _in_greenlet(work: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
    """What *work* returns, run where SQLAlchemy awaits what its drivers do."""
    # The session is of no use but for its greenlet: it has no database, and so nothing to close.
    return await AsyncSession().run_sync(lambda _session: work(*args, **options))


async def _by_page(
    runs: Generator[dict[str, Any], None, None],
) -> AsyncGenerator[dict[str, Any], None]:
    try:
        more = True
        while more:
            page, fault = await _in_greenlet(_page, runs)
            for run in page:
                yield run
            if fault is not None:
                raise fault
            more = len(page) == tuning().page
    finally:
        await _in_greenlet(runs.close)


def _page(runs: Generator[dict[str, Any], None, None]) -> tuple[list[dict[str, Any]], Exception | None]:
    """The next runs, and what was raised after them."""
    page: list[dict[str, Any]] = []
    try:
        for run in itertools.islice(runs, tuning().page):
            page.append(run)  # noqa: PERF402 - what came before an error counts
    except Exception as error:  # noqa: BLE001 - raised when the page has been given out
        return page, error
    return page, None


def create_async_engine(url: str | sa.URL, **options: Any) -> AsyncEngine:
    """SQLAlchemy's `create_async_engine`, with SQLite set up as by `create_engine`.

    Raises:
        BindingError: *url* names no asyncio driver.
    """
    try:
        engine = sa_asyncio.create_async_engine(url, **options)
    except sa.exc.InvalidRequestError as error:
        raise BindingError(
            f"{sa.make_url(url)!r} is not for asyncio: name an asyncio driver, or use History"
        ) from error
    set_up(engine.sync_engine)
    return engine


def _maker(bind: AsyncEngine | async_sessionmaker[Any]) -> Engine | sessionmaker[Session]:
    return bind.sync_engine if isinstance(bind, AsyncEngine) else _SyncSessions(bind)


def _checked(lent: Any) -> AsyncBorrowedSession | None:
    if lent is None or isinstance(lent, (AsyncConnection, AsyncSession, async_scoped_session)):
        return lent
    if isinstance(lent, (Engine, Connection, sessionmaker, Session, scoped_session)):
        raise BindingError(f"{shown(lent)} is not for asyncio: use History")
    raise BindingError(
        f"cannot use {shown(lent)} as a database: a URL, AsyncEngine, AsyncConnection, async_sessionmaker, "
        "AsyncSession or async_scoped_session is needed"
    )
