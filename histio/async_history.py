"""`AsyncHistory`: a `History` for asyncio."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from typing import Any, Generic, Literal, Self, TypeAlias, Unpack, cast, overload

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from histio.bound import Constants
from histio.database.dialects import set_up
from histio.errors import BindingError
from histio.exporting.catalog import ExportedCatalog
from histio.exporting.selection import Where
from histio.exporting.tally import OnUnreadable
from histio.extras import install_command
from histio.files import FilePath, GiB, MiB
from histio.history import History
from histio.importing.renames import Renames
from histio.importing.run import OnCatalog, OnDuplicate
from histio.kinds.versions import Upgrades
from histio.progress import Report
from histio.records import CatalogSchema, RunSchema
from histio.redact import quote_redacted, redact
from histio.report import ExportReport, ImportReport, Problem, UndoReport
from histio.typing import (
    AssemblyRunRecord,
    BundledKinds,
    CompleteHistory,
    Document,
    DocumentOptions,
    IterationOptions,
    Kinds_co,
    ProductionRunRecord,
)

try:
    # Before version 2.1, SQLAlchemy reports that greenlet is missing only when it is used.
    from sqlalchemy.ext import asyncio as sa_asyncio
    from sqlalchemy.ext.asyncio import (
        AsyncConnection,
        AsyncEngine,
        AsyncSession,
        async_scoped_session,
        async_sessionmaker,
    )

    from histio.greenlets import in_greenlet, iterate_by_page
except ImportError as _error:
    _missing: ImportError | None = _error
else:
    _missing = None

AsyncBorrowedSession: TypeAlias = "AsyncSession | async_scoped_session[Any] | AsyncConnection"
AsyncBind: TypeAlias = "str | sa.URL | AsyncEngine | async_sessionmaker[Any] | AsyncBorrowedSession | None"


class AsyncHistory(Generic[Kinds_co]):
    """A `History` for applications that use SQLAlchemy's asyncio extension: its methods are awaited.

    The database is awaited. Other work uses the processor; between two runs, it lets other tasks run at least
    every 20 milliseconds. Files are read and written without awaiting. An import that is cancelled writes
    nothing, unless it is already committing.

    A history is immutable, and safe to share between tasks unless *bind* is not. Like an AsyncEngine, it
    belongs to one event loop.

    Every method takes ``session=``: an AsyncSession, async_scoped_session or AsyncConnection to use instead
    of the bound database. histio never commits, rolls back or closes such a session.

    Copies, and exports and imports of parts, are synchronous: call `histio.copy` and the methods of a
    `History` in a thread.

    Args:
        bind: The database: a URL that names an asyncio driver, AsyncEngine, AsyncConnection,
            async_sessionmaker, AsyncSession or async_scoped_session; None: pass ``session=`` to each call.
            With a URL, `close` the history when you are done, or use it in an ``async with`` block.
        kinds: The schemas of the kinds of run. Without any: the bundled production runs and assembly runs.
            Kinds whose runs refer to each other are sorted into the order in which they can be imported;
            kinds that refer to each other in a circle keep their order.
        catalog: The schemas of rows that runs refer to, such as recipes, so that they can travel with the
            runs. None: the bundled ones if *kinds* are the bundled ones, otherwise none.
        version: The version of the format of these kinds; None: the version of the published schema.
        upgrades: How to upgrade records of older versions: by version, a function that turns a record into
            one of the next version, or a mapping from kind to such a function. It gets a copy. None: there
            are no older versions.
        values: By attribute, what an import writes to columns that the format leaves out, in every table that
            has the column: a value, or a function without arguments that returns one for each import.
            References are looked up among rows with the same values (``{"tenant_id": 7}``). None: no column.

    Raises:
        BindingError: A schema does not fit its model, *bind* is not a database, or an option is wrong.
        ImportError: greenlet is not installed: install ``histio[asyncio]``.
    """

    @overload
    def __init__(
        self: AsyncHistory[BundledKinds],
        bind: AsyncBind = None,
        /,
        *,
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncHistory[object],
        bind: AsyncBind = None,
        /,
        *kinds: type[RunSchema],
        catalog: Sequence[type[CatalogSchema]] | None = None,
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
    ) -> None: ...
    def __init__(
        self,
        bind: AsyncBind = None,
        /,
        *kinds: type[RunSchema],
        catalog: Sequence[type[CatalogSchema]] | None = None,
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
    ) -> None:
        if _missing is not None:
            raise ImportError(f"AsyncHistory needs greenlet: {install_command('asyncio')}") from _missing
        self._engine = create_async_engine(bind) if isinstance(bind, (str, sa.URL)) else None
        bound: Any = self._engine or bind
        own = isinstance(bound, (AsyncEngine, async_sessionmaker))
        self._borrowed = None if own else _check_async(bound)
        sync_bind = _sync_bind(bound) if own else None
        self._history = History(
            sync_bind, *kinds, catalog=catalog, version=version, upgrades=upgrades, values=values
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of a history with a URL; other binds are left open."""
        if self._engine is not None:
            await self._engine.dispose()

    @property
    def version(self) -> str:
        """The version of the format that this history writes."""
        return self._history.version

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds of run, in the order of their lists in a document."""
        return self._history.kinds

    @property
    def catalog(self) -> tuple[str, ...]:
        """The names of the catalog kinds, in the order of their lists in a document."""
        return self._history.catalog

    def json_schema(self, *, openapi: bool = False) -> dict[str, Any]:
        """The JSON Schema of this history's documents; for the bundled kinds, the published one.

        Args:
            openapi: Whether to return it as an OpenAPI 3.1 document without paths. Its component ``History``
                validates documents, ``stream_line`` lines of streams; each definition is a component.
        """
        return self._history.json_schema(openapi=openapi)

    @overload
    async def export_document(  # type: ignore[overload-overlap]
        self: AsyncHistory[BundledKinds],
        *,
        kinds: None = None,
        **options: Unpack[DocumentOptions[AsyncBorrowedSession]],
    ) -> CompleteHistory: ...
    @overload
    async def export_document(
        self,
        *,
        kinds: str | Sequence[str] | None = None,
        **options: Unpack[DocumentOptions[AsyncBorrowedSession]],
    ) -> dict[str, Any]: ...
    async def export_document(
        self,
        *,
        kinds: str | Sequence[str] | None = None,
        since: dt.date | None = None,
        until: dt.date | None = None,
        changed_since: dt.date | None = None,
        where: Where | None = None,
        catalog: ExportedCatalog | None = None,
        exported_at: dt.datetime | None = None,
        exact: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> CompleteHistory | dict[str, Any]:
        """Export runs as one document, ready for `json.dump`.

        Args:
            kinds: Names of the kinds to export; None: all.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment. None: from
                the first run on.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day. None: up
                to the last run.
            changed_since: Export runs that were written at this time or later, or have a ledger entry that
                was, according to ``updated_at``. Runs that came from elsewhere with an older ``updated_at``
                are missing, and so are those of a transaction that was open then, and removed entries. None:
                all runs, changed or not.
            where: A criterion of SQLAlchemy for the only kind exported, such as
                ``ProductionRun.num_batches > 1``, or a mapping from kind to criterion. None: all runs.
            catalog: The catalog rows to export, before the runs. ``used``: those that the runs name,
                directly or through other rows. ``all``: all; *kinds* may be empty then. None: none.
            exported_at: The time that the document states; aware. None: now.
            exact: Whether to fail where SQLAlchemy reads a value differently from how it is stored, such as a
                decimal in SQLite with more digits than its column's scale. False: export the value as read,
                and log the number of such values.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Returns:
            A dict; of all bundled kinds, a `CompleteHistory`.

        Raises:
            ExportError: The format cannot hold some rows; the error lists them all.
            ValueError: *catalog* is something else, or the history has no catalog kinds.
        """
        return await in_greenlet(
            self._history.export_document,
            kinds=kinds,
            since=since,
            until=until,
            changed_since=changed_since,
            where=where,
            catalog=catalog,
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
        catalog: ExportedCatalog | None = None,
        exported_at: dt.datetime | None = None,
        follows: str | None = None,
        follows_header: str | None = None,
        differs_from: FilePath | None = None,
        format: str | None = None,  # noqa: A002 - the word for it
        overwrite: bool = False,
        exact: bool = False,
        on_unreadable: OnUnreadable = "error",
        progress: Report | None = None,
        session: AsyncBorrowedSession | None = None,
    ) -> ExportReport:
        """Export runs to a file, in constant memory, from one snapshot of the database.

        The file appears when it is complete. An export that fails writes no file, and leaves an existing file
        unchanged.

        Other tasks wait while the file is written.

        Args:
            path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard output.
                Its suffix chooses the format: a sealed stream (``.jsonl``) or a document (``.json``),
                compressed if ``.gz`` or ``.zst`` follows.
            kinds: Names of the kinds to export; None: all.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment. None: from
                the first run on.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day. None: up
                to the last run.
            changed_since: Export runs that were written at this time or later, or have a ledger entry that
                was, according to ``updated_at``. Runs that came from elsewhere with an older ``updated_at``
                are missing, and so are those of a transaction that was open then, and removed entries. None:
                all runs, changed or not.
            where: A criterion of SQLAlchemy for the only kind exported, such as
                ``ProductionRun.num_batches > 1``, or a mapping from kind to criterion. None: all runs.
            catalog: The catalog rows to export, before the runs. ``used``: those that the runs name,
                directly or through other rows. ``all``: all; *kinds* may be empty then. None: none.
            exported_at: The time that the file states; aware. None: now.
            follows: The ``sha256`` of the export that this one continues; the stream's header names it. None:
                it continues none.
            follows_header: The ``header_sha256`` of that export, for the header too. It tells exports without
                runs apart, which have the same ``sha256``. None: the header has none.
            differs_from: The file or folder of an earlier export. Runs that it has in the same form are left
                out, so that the new file has whatever has come or changed since. The header of the new stream
                names it, also by its ``header_sha256`` if it has no runs, unless *follows* is given. Runs
                that were removed are not found. None: no run is left out.
            format: The format, such as ``jsonl.zst``. None: that of the suffix of *path*; without a suffix, a
                stream.
            overwrite: Whether to replace an existing file.
            exact: Whether to treat a value that SQLAlchemy reads differently from how it is stored, such as a
                decimal in SQLite with more digits than its column's scale, as one that the format cannot
                hold. False: export the value as read, with a ``precision`` warning in the report.
            on_unreadable: What to do with runs that the format cannot hold: ``error``: fail. ``skip``: leave
                them out, and list them in the report.
            progress: Called with a `Progress` at most ten times a second, and after the last run. An
                exception that it raises ends the export. None: nothing is called.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Raises:
            ExportError: The format cannot hold some rows, and *on_unreadable* is ``error``; the error lists
                them all.
            FileExistsError: The file exists, and *overwrite* is False.
            ValueError: *catalog* is something else, or the history has no catalog kinds.
        """
        return await in_greenlet(
            self._history.export_file,
            path,
            kinds=kinds,
            since=since,
            until=until,
            changed_since=changed_since,
            where=where,
            catalog=catalog,
            exported_at=exported_at,
            follows=follows,
            follows_header=follows_header,
            differs_from=differs_from,
            format=format,
            overwrite=overwrite,
            exact=exact,
            on_unreadable=on_unreadable,
            progress=progress,
            session=self._sync(session),
        )

    @overload
    def iter_runs(  # type: ignore[overload-overlap]
        self: AsyncHistory[BundledKinds],
        kind: Literal["production_run"],
        /,
        **options: Unpack[IterationOptions[AsyncBorrowedSession]],
    ) -> AsyncGenerator[ProductionRunRecord, None]: ...
    @overload
    def iter_runs(  # type: ignore[overload-overlap]
        self: AsyncHistory[BundledKinds],
        kind: Literal["assembly_run"],
        /,
        **options: Unpack[IterationOptions[AsyncBorrowedSession]],
    ) -> AsyncGenerator[AssemblyRunRecord, None]: ...
    @overload
    def iter_runs(
        self, kind: str, /, **options: Unpack[IterationOptions[AsyncBorrowedSession]]
    ) -> AsyncGenerator[dict[str, Any], None]: ...
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
    ) -> AsyncGenerator[ProductionRunRecord | AssemblyRunRecord | dict[str, Any], None]:
        """Iterate over the records of one kind, in the order of exports and in constant memory.

        The connection is held until the iterator is exhausted or closed. If a loop may end early, write
        ``async with contextlib.aclosing(history.iter_runs(…)) as runs``.

        Args:
            kind: The name of the kind.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment. None: from
                the first run on.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day. None: up
                to the last run.
            changed_since: Only runs that were written at this time or later, or have a ledger entry that was,
                according to ``updated_at``. Runs that came from elsewhere with an older ``updated_at`` are
                missing, and so are those of a transaction that was open then, and removed entries. None: all
                runs, changed or not.
            where: A criterion of SQLAlchemy, such as ``ProductionRun.num_batches > 1``. None: all runs.
            exact: Whether to fail where SQLAlchemy reads a value differently from how it is stored. False:
                return the value as read, and log the number of such values.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Returns:
            The records, as dicts; of the bundled kinds, a `ProductionRunRecord` or `AssemblyRunRecord`.

        Raises:
            ExportError: After the last run: the format cannot hold some rows; the error lists them all.
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
        return iterate_by_page(cast("Generator[dict[str, Any], None, None]", runs))

    async def import_document(
        self,
        document: Document,
        *,
        kinds: str | Sequence[str] | None = None,
        on_duplicate: OnDuplicate = "skip",
        catalog: OnCatalog = "ignore",
        atomic: bool = False,
        dry_run: bool = False,
        rename: Renames | None = None,
        truncate_times: bool = False,
        receipt: str | os.PathLike[str] | None = None,
        session: AsyncBorrowedSession | None = None,
    ) -> ImportReport:
        """Import the runs of *document* that the database lacks.

        A run that cannot be imported is rejected with all its problems, and the other runs are imported. The
        import is one transaction; in a session that was passed, it uses savepoints in the caller's
        transaction.

        Args:
            document: A document such as `export_document` returns; not changed.
            kinds: Names of the kinds to import; None: all. Runs of other kinds are ignored: they are neither
                checked nor counted. References to them are looked up in the database.
            on_duplicate: What to do with a run whose UUID exists: ``skip``: leave it alone. ``error``: reject
                it. ``update``: overwrite it with the run of the document. ``verify``: leave it alone if it
                has the same content, otherwise reject it with a ``conflict``.
            catalog: What to do with the catalog rows of the document. ``ignore``: check only their form.
                ``create``: write those that are missing, before the runs; existing ones stay as they are.
                ``update``: make existing ones what the document says, too. A run whose row is rejected is
                rejected.
            atomic: Whether to write nothing if any run or row is rejected; the others are ``withheld``.
            dry_run: Whether to do everything, constraints included, and then roll back.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``. None: all slugs
                are read as they are.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time rejects its run.
            receipt: Where to note what is written, so that `undo` can take it back: the path of a ``.jsonl``
                file. An existing receipt is continued. It is on disk before the import commits. None: nothing
                is noted.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Raises:
            DocumentError: The document as a whole cannot be read; nothing was written.
            ReceiptError: *receipt* exists and is not a receipt, or that of another database.
            ValueError: *receipt* is combined with *dry_run* or a session, or is not the path of a ``.jsonl``
                file; there is no kind with one of the names in *kinds*;
                or *catalog* is not ``ignore`` although this history has no catalog kinds.
            OSError: The receipt cannot be written; nothing else was.
            sqlalchemy.exc.DBAPIError: No run is at fault, such as a lost connection, a lock timeout or a full
                disk.
        """
        return await in_greenlet(
            self._history.import_document,
            document,
            kinds=kinds,
            on_duplicate=on_duplicate,
            catalog=catalog,
            atomic=atomic,
            dry_run=dry_run,
            rename=rename,
            truncate_times=truncate_times,
            receipt=receipt,
            session=self._sync(session),
        )

    async def import_file(
        self,
        path: FilePath | Iterable[FilePath],
        /,
        *,
        kinds: str | Sequence[str] | None = None,
        on_duplicate: OnDuplicate = "skip",
        catalog: OnCatalog = "ignore",
        atomic: bool = False,
        dry_run: bool = False,
        rename: Renames | None = None,
        truncate_times: bool = False,
        receipt: str | os.PathLike[str] | None = None,
        rejects: FilePath | None = None,
        allow_truncated: bool = False,
        commit_every: int | None = None,
        follows: str | None = None,
        follows_header: str | None = None,
        sealed: bool = False,
        max_bytes: int = 64 * GiB,
        max_line_bytes: int = 128 * MiB,
        max_depth: int = 64,
        progress: Report | None = None,
        session: AsyncBorrowedSession | None = None,
    ) -> ImportReport:
        """Import the runs of a file, or of several files, that the database lacks, in constant memory.

        The content of a file decides whether it is read as a stream or a document, and how it is
        decompressed. A stream is read once, in one transaction that is committed after the trailer has been
        verified; a document is read twice.

        Several files are one import, with one report: nothing is committed unless all of them are complete.
        They are read in the given order; but if one comes before another that its header follows, they are
        sorted, so that each comes after the one that it follows. A run that comes several times is a
        duplicate, as in a single file. Problems have the name of their file.

        Args:
            path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard input; or
                several of them. All are open at the same time. A path or URL may lead to a folder with an
                export in parts, which is read as one file.
            kinds: Names of the kinds to import; None: all. Runs of other kinds are ignored: they are neither
                checked nor counted. References to them are looked up in the database.
            on_duplicate: What to do with a run whose UUID exists: ``skip``: leave it alone. ``error``: reject
                it. ``update``: overwrite it with the run of the file. ``verify``: leave it alone if it has
                the same content, otherwise reject it with a ``conflict``.
            catalog: What to do with the catalog rows of the file. ``ignore``: check only their form.
                ``create``: write those that are missing, before the runs; existing ones stay as they are.
                ``update``: make existing ones what the file says, too. A run whose row is rejected is
                rejected.
            atomic: Whether to write nothing if any run or row is rejected; the others are ``withheld``.
            dry_run: Whether to do everything, constraints included, and then roll back.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``. None: all slugs
                are read as they are.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time rejects its run.
            receipt: Where to note what is written, so that `undo` can take it back: the path of a ``.jsonl``
                file. An existing receipt is continued. It is on disk before the import commits. None: nothing
                is noted.
            rejects: Where to write the rejected runs with their problems: a path, URL, open binary file or
                ``-``. They form a stream that you can correct and import. It appears, and replaces an
                existing file, when the import has succeeded. None: they are only reported.
            allow_truncated: Whether to import the readable runs of a file that is truncated, or does not
                match its trailer.
            commit_every: Verify all files first, then commit after every so many runs. After an interruption,
                the same call continues the import. None: one transaction.
            follows: The predecessor that the stream's header must name; of several files, the header of the
                one that is read first. None: any, or none.
            follows_header: The ``header_sha256`` of the predecessor that the same header must name. None: any
                or none.
            sealed: Whether to refuse what has no seal that shows that it is complete: documents, and streams
                whose header has ``"sealed": false``. It excludes *allow_truncated*.
            max_bytes: The maximum size of each uncompressed file, in bytes; larger files are not imported.
            max_line_bytes: The maximum size of a run in bytes. A longer line of a stream is rejected; a
                document with a longer run is not imported.
            max_depth: The maximum depth of nested objects and lists in a run. A deeper line of a stream is
                rejected; a document with a deeper run is not imported.
            progress: Called with a `Progress` at most ten times a second, and after the last run. An
                exception that it raises rolls back what has not been committed. None: nothing is called.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Raises:
            DocumentError: A file as a whole cannot be read, is truncated, or does not match its trailer;
                nothing was written.
            ReceiptError: *receipt* exists and is not a receipt, or that of another database.
            ValueError: *commit_every* is combined with *atomic*, *dry_run* or a session, *receipt* with
                *dry_run* or a session, or *sealed* with *allow_truncated*; a limit is not a positive integer;
                *receipt* is not the path of a ``.jsonl`` file; there is no kind with one of the names in
                *kinds*; *catalog* is not ``ignore`` although this history has no catalog kinds; or there are
                no files, two are the same, or they follow each other in a circle.
            OSError: A file cannot be read, or the rejects or the receipt cannot be written. The last of the
                rejects are written after the commit; import the file again, which skips the imported runs.
            sqlalchemy.exc.DBAPIError: No run is at fault, such as a lost connection, a lock timeout or a full
                disk.
        """
        return await in_greenlet(
            self._history.import_file,
            path,
            kinds=kinds,
            on_duplicate=on_duplicate,
            catalog=catalog,
            atomic=atomic,
            dry_run=dry_run,
            rename=rename,
            truncate_times=truncate_times,
            receipt=receipt,
            rejects=rejects,
            allow_truncated=allow_truncated,
            commit_every=commit_every,
            follows=follows,
            follows_header=follows_header,
            sealed=sealed,
            max_bytes=max_bytes,
            max_line_bytes=max_line_bytes,
            max_depth=max_depth,
            progress=progress,
            session=self._sync(session),
        )

    async def undo(
        self,
        receipt: str | os.PathLike[str],
        /,
        *,
        dry_run: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> UndoReport:
        """Undo the imports that have written a *receipt*, in one transaction.

        Runs that an import has created are removed with their ledgers; those that it has updated are put back
        as they were. Catalog rows are treated as runs are. What cannot be undone without harm is left as it
        is, and reported: a run that has changed since, and a run to which a row of another table or of
        another run refers, whatever its foreign key says about deletion. The receipt is not changed. An undo
        can be repeated.

        Args:
            receipt: The path of the receipt.
            dry_run: Whether to do everything, constraints included, and then roll back.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Raises:
            ReceiptError: The file is not a receipt, or that of another database or of other kinds.
            ValueError: *receipt* is not the path of a local file.
            OSError: The receipt cannot be read.
            sqlalchemy.exc.DBAPIError: No run is at fault, such as a lost connection, a lock timeout or a full
                disk.
        """
        return await in_greenlet(self._history.undo, receipt, dry_run=dry_run, session=self._sync(session))

    async def check(
        self,
        document: object,
        *,
        catalog: OnCatalog = "ignore",
        rename: Renames | None = None,
        truncate_times: bool = False,
        session: AsyncBorrowedSession | None = None,
    ) -> list[Problem]:
        """Check *document* against the format and the database: form, references and warnings.

        Nothing is written. The problems are in the order of the document. An empty list means that an import
        would accept every run, unless a constraint of the database rejects it.

        Args:
            document: A JSON object; not changed.
            catalog: What an import would do with the catalog rows of the document. ``ignore``: runs need rows
                of the database. ``create``, ``update``: they may also need rows of the document.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``. None: all slugs
                are read as they are.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time is a problem.
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.

        Raises:
            ValueError: *catalog* has another value, or is not ``ignore`` although this history has no catalog
                kinds.
        """
        return await in_greenlet(
            self._history.check,
            document,
            catalog=catalog,
            rename=rename,
            truncate_times=truncate_times,
            session=self._sync(session),
        )

    async def explain(self, *, session: AsyncBorrowedSession | None = None) -> str:
        """Explain how each column is accounted for, and how fast runs are exported and imported.

        For each table, the text lists the columns and relationships that are in the format, excluded, filled
        by ``values=``, or not moved, such as surrogate keys. Then it lists what makes imports slow, such as
        listeners of the models; this is also logged at INFO when the history is created.

        With a database, the text also says for each kind whether exports and imports take the fast path,
        which converts between the driver's values and JSON directly, or the full path, through marshmallow,
        and why; both have the same result. It names the indexes that the database lacks, what that costs, and
        the statement that creates each. At the end it names the kinds that no import can write, because
        their runs refer to each other in a circle.

        Args:
            session: The AsyncSession, async_scoped_session or AsyncConnection to use; histio never commits
                it. None: the bound database.
        """
        return await in_greenlet(self._history.explain, session=self._sync(session))

    def _sync(self, session: AsyncBorrowedSession | None) -> Session | Connection | None:
        """The session to pass to the `History`: *session*, or else the session that this was bound to."""
        borrowed = self._borrowed if session is None else _check_async(session)
        if isinstance(borrowed, async_scoped_session):
            borrowed = cast("AsyncSession", borrowed())
        if isinstance(borrowed, AsyncSession):
            return borrowed.sync_session
        if borrowed is not None and borrowed.sync_connection is None:
            raise BindingError("the AsyncConnection is not open: await it, or use it in an async with block")
        return None if borrowed is None else borrowed.sync_connection


class _SyncSessions(sessionmaker[Session]):
    """Creates the sync sessions of the AsyncSessions that an async_sessionmaker creates."""

    def __init__(self, maker: async_sessionmaker[Any]) -> None:
        super().__init__(getattr(maker.kw.get("bind"), "sync_engine", None))
        self._maker = maker

    def __call__(self, **options: Any) -> Session:
        session: AsyncSession = self._maker(**options)
        return session.sync_session


def create_async_engine(url: str | sa.URL, **options: Any) -> AsyncEngine:
    """SQLAlchemy's `create_async_engine`, with foreign keys and correct transactions on SQLite.

    Args:
        url: The URL of the database, with an asyncio driver, such as ``sqlite+aiosqlite:///bakery.db``.
        options: The options of SQLAlchemy's `create_async_engine`.

    Raises:
        BindingError: *url* names no asyncio driver.
    """
    try:
        engine = sa_asyncio.create_async_engine(url, **options)
    except sa.exc.InvalidRequestError as error:
        raise BindingError(
            f"{redact(repr(sa.make_url(url)))} is not for asyncio: name an asyncio driver, or use History"
        ) from error
    set_up(engine.sync_engine)
    return engine


def _sync_bind(bind: AsyncEngine | async_sessionmaker[Any]) -> Engine | sessionmaker[Session]:
    return bind.sync_engine if isinstance(bind, AsyncEngine) else _SyncSessions(bind)


def _check_async(borrowed: Any) -> AsyncBorrowedSession | None:
    if borrowed is None or isinstance(borrowed, (AsyncConnection, AsyncSession, async_scoped_session)):
        return borrowed
    if isinstance(borrowed, (Engine, Connection, sessionmaker, Session, scoped_session)):
        raise BindingError(f"{quote_redacted(borrowed)} is not for asyncio: use History")
    raise BindingError(
        f"cannot use {quote_redacted(borrowed)} as a database: "
        "pass a URL, AsyncEngine, AsyncConnection, async_sessionmaker, AsyncSession or async_scoped_session"
    )
