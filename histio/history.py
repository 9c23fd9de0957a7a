"""`History`: kinds of run, bound to a database."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Generic, Literal, Self, Unpack, overload

import sqlalchemy as sa

from histio.binding import bind_kinds, names_of
from histio.bound import Bound, Constants
from histio.database.connect import Bind, BorrowedSession
from histio.exporting.catalog import ExportedCatalog
from histio.exporting.execute import export_document, export_file, iterate_runs
from histio.exporting.parts.execute import export_parts
from histio.exporting.selection import Where, select_kinds
from histio.exporting.tally import OnUnreadable
from histio.files import FilePath, GiB, Limits, MiB, Predecessor
from histio.importing.execute import check_document, import_document, import_file
from histio.importing.explain import explain, explain_slow_imports
from histio.importing.options import ImportOptions
from histio.importing.parts.execute import import_parts
from histio.importing.renames import Renames
from histio.importing.run import OnCatalog, OnDuplicate
from histio.importing.undo.execute import undo
from histio.kinds.openapi import to_openapi
from histio.kinds.versions import Upgrades
from histio.progress import Report
from histio.records import CatalogSchema, RunSchema
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
from histio.workers import pickle_history

_log = logging.getLogger("histio")


class History(Generic[Kinds_co]):
    """The runs of an application: export them, import them, and check documents before an import.

    A history is immutable, and safe to share between threads unless *bind* is not.

    Every method takes ``session=``: a Session, scoped_session or Connection to use instead of the bound
    database. histio never commits, rolls back or closes such a session. Like any query, it flushes pending
    work first, unless the session has ``autoflush=False``. Exports see every row: criteria that a session
    adds to its queries are not applied.

    With an engine, URL or sessionmaker, histio opens and commits its own transactions. An in-memory SQLite
    database has only one connection: pass the session that uses it.

    Args:
        bind: The database. None: pass ``session=`` to each call. With a URL, `close` the history when you
            are done, or use it in a ``with`` block.
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
        location: Where other processes can import this history, or a function that returns it, such as
            ``"shop.history:history"``: exports and imports of parts need it, unless *bind* is a URL, or an
            engine or sessionmaker that a URL describes, and the schemas can be imported. None: they build
            the history from its schemas and its URL.

    Raises:
        BindingError: A schema does not fit its model, *bind* is not a database, or an option is wrong.
    """

    bound: Bound
    """The kinds, the format and the database of this history. Internal: it may change without notice."""

    @overload
    def __init__(
        self: History[BundledKinds],
        bind: Bind = None,
        /,
        *,
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
        location: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: History[object],
        bind: Bind = None,
        /,
        *kinds: type[RunSchema],
        catalog: Sequence[type[CatalogSchema]] | None = None,
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
        location: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        bind: Bind = None,
        /,
        *kinds: type[RunSchema],
        catalog: Sequence[type[CatalogSchema]] | None = None,
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
        location: str | None = None,
    ) -> None:
        self.bound = bind_kinds(
            bind, kinds, catalog=catalog, version=version, upgrades=upgrades, values=values, location=location
        )
        for line in explain_slow_imports(self.bound.all_kinds):
            _log.info(line)

    @classmethod
    def from_bound(cls, bound: Bound) -> Self:
        """A history with the kinds and the format of another one. Internal.

        Args:
            bound: The `bound` of another history, perhaps on another database.
        """
        history = cls.__new__(cls)
        history.bound = bound
        return history

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of a history with a URL; other binds are left open."""
        self.bound.database.close()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds of run, in the order of their lists in a document."""
        return names_of(self.bound.kinds)

    @property
    def catalog(self) -> tuple[str, ...]:
        """The names of the catalog kinds, in the order of their lists in a document."""
        return names_of(self.bound.catalog)

    @property
    def version(self) -> str:
        """The version of the format that this history writes."""
        return self.bound.versions.current

    def json_schema(self, *, openapi: bool = False) -> dict[str, Any]:
        """The JSON Schema of this history's documents; for the bundled kinds, the published one.

        Args:
            openapi: Whether to return it as an OpenAPI 3.1 document without paths. Its component ``History``
                validates documents, ``stream_line`` lines of streams; each definition is a component.
        """
        schema = copy.deepcopy(self.bound.gate.schema)
        return to_openapi(schema) if openapi else schema

    @overload
    def export_document(  # type: ignore[overload-overlap]
        self: History[BundledKinds],
        *,
        kinds: None = None,
        **options: Unpack[DocumentOptions[BorrowedSession]],
    ) -> CompleteHistory: ...
    @overload
    def export_document(
        self, *, kinds: str | Sequence[str] | None = None, **options: Unpack[DocumentOptions[BorrowedSession]]
    ) -> dict[str, Any]: ...
    def export_document(
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
        session: BorrowedSession | None = None,
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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

        Returns:
            A dict; of all bundled kinds, a `CompleteHistory`.

        Raises:
            ExportError: The format cannot hold some rows; the error lists them all.
            ValueError: *catalog* is something else, or the history has no catalog kinds.
        """
        return export_document(
            self.bound,
            select_kinds(
                self.bound, kinds, where, since, until, changed_since, may_be_empty=catalog == "all"
            ),
            catalog=catalog,
            exported_at=exported_at,
            exact=exact,
            session=session,
        )

    def export_file(
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
        session: BorrowedSession | None = None,
    ) -> ExportReport:
        """Export runs to a file, in constant memory, from one snapshot of the database.

        The file appears when it is complete. An export that fails writes no file, and leaves an existing file
        unchanged.

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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

        Raises:
            ExportError: The format cannot hold some rows, and *on_unreadable* is ``error``; the error lists
                them all.
            FileExistsError: The file exists, and *overwrite* is False.
            ValueError: *catalog* is something else, or the history has no catalog kinds.
        """
        return export_file(
            self.bound,
            select_kinds(
                self.bound, kinds, where, since, until, changed_since, may_be_empty=catalog == "all"
            ),
            path,
            catalog=catalog,
            exported_at=exported_at,
            follows=Predecessor(follows, follows_header),
            differs_from=differs_from,
            format=format,
            overwrite=overwrite,
            exact=exact,
            on_unreadable=on_unreadable,
            progress=progress,
            session=session,
        )

    def export_parts(
        self,
        folder: str | os.PathLike[str],
        /,
        *,
        parts: int | None = None,
        jobs: int | None = None,
        executor: Executor | None = None,
        kinds: str | Sequence[str] | None = None,
        since: dt.date | None = None,
        until: dt.date | None = None,
        changed_since: dt.date | None = None,
        where: Where | None = None,
        catalog: ExportedCatalog | None = None,
        exported_at: dt.datetime | None = None,
        follows: str | None = None,
        follows_header: str | None = None,
        overwrite: bool = False,
        exact: bool = False,
        on_unreadable: OnUnreadable = "error",
        progress: Report | None = None,
    ) -> ExportReport:
        """Export runs to a folder, in parts that several processes write at the same time.

        All parts are as of one moment. Each is a sealed stream with a span of the order of exports, so that
        `merge` of the folder gives the bytes of `export_file`. ``manifest.json`` names the parts, and appears
        when all of them are complete. An export that fails changes nothing.

        The processes open the history by its ``location``, or by its schemas and its URL. By default they
        run on this machine and import the module that has started the export: a script needs
        ``if __name__ == "__main__":``.

        PostgreSQL exports a snapshot to all processes. MariaDB locks the tables, and SQLite the database,
        for the moment in which all processes begin their transactions; writers wait for that, and the user of
        the database needs the right to LOCK TABLES. If a process is killed, PostgreSQL repeats its part. The
        other databases start the export again, at another moment.

        Args:
            folder: The path of a folder, or its URL (with ``histio[urls]``), where all processes can write.
                It is created if its parent folder exists.
            parts: The number of parts, at least one for each kind. None: sixteen, but from 1,000 to 100,000
                runs in each.
            jobs: How many parts are written at the same time. None: one for each processor, or with
                *executor* as many as it starts.
            executor: Runs the processes: an Executor of `concurrent.futures`, such as that of a Dask client.
                It is left open. None: processes of this machine.
            kinds: Names of the kinds to export; None: all.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment. None: from
                the first run on.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day. None: up
                to the last run.
            changed_since: Export runs that were written at this time or later, or have a ledger entry that
                was, according to ``updated_at``. None: all runs, changed or not.
            where: A criterion of SQLAlchemy for the only kind exported, such as
                ``ProductionRun.num_batches > 1``, or a mapping from kind to criterion. None: all runs.
            catalog: The catalog rows to export, in a part of their own, before the runs. ``used``: those that
                the runs name, directly or through other rows. ``all``: all; *kinds* may be empty then. None:
                none.
            exported_at: The time that all parts state; aware. None: now.
            follows: The ``sha256`` of the export that this one continues; the header of all parts names it.
                None: it continues none.
            follows_header: The ``header_sha256`` of that export, for the header too. None: the header has
                none.
            overwrite: Whether to replace an existing export in *folder*. Other files there are left alone.
            exact: Whether to treat a value that SQLAlchemy reads differently from how it is stored as one
                that the format cannot hold. False: export it as read, with a ``precision`` warning.
            on_unreadable: What to do with runs that the format cannot hold: ``error``: fail. ``skip``: leave
                them out, and list them in the report.
            progress: Called with a `Progress` at most ten times a second, and after the last run. An
                exception that it raises ends the export. None: nothing is called.

        Returns:
            The sum of the parts. Its ``sha256`` is that of the manifest.

        Raises:
            BindingError: Other processes cannot open this history; the user of the database may not lock the
                tables.
            ExportError: The format cannot hold some rows, and *on_unreadable* is ``error``; the error lists
                them all.
            FileExistsError: The folder has a manifest, and *overwrite* is False.
            ValueError: *catalog* is something else, or the history has no catalog kinds; *where* cannot be
                sent to other processes; *parts* or *jobs* is not a positive integer.
            concurrent.futures.BrokenExecutor: *executor* has lost a process, and can run no more tasks.
            TimeoutError: *executor* starts no task.
        """
        selection = select_kinds(
            self.bound, kinds, where, since, until, changed_since, may_be_empty=catalog == "all"
        )
        return export_parts(
            self.bound,
            pickle_history(self.bound),
            selection,
            folder,
            catalog=catalog,
            exported_at=exported_at,
            follows=Predecessor(follows, follows_header),
            overwrite=overwrite,
            exact=exact,
            on_unreadable=on_unreadable,
            parts=parts,
            jobs=jobs,
            executor=executor,
            progress=progress,
        )

    @overload
    def iter_runs(  # type: ignore[overload-overlap]
        self: History[BundledKinds],
        kind: Literal["production_run"],
        /,
        **options: Unpack[IterationOptions[BorrowedSession]],
    ) -> Iterator[ProductionRunRecord]: ...
    @overload
    def iter_runs(  # type: ignore[overload-overlap]
        self: History[BundledKinds],
        kind: Literal["assembly_run"],
        /,
        **options: Unpack[IterationOptions[BorrowedSession]],
    ) -> Iterator[AssemblyRunRecord]: ...
    @overload
    def iter_runs(
        self, kind: str, /, **options: Unpack[IterationOptions[BorrowedSession]]
    ) -> Iterator[dict[str, Any]]: ...
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
        session: BorrowedSession | None = None,
    ) -> Iterator[ProductionRunRecord | AssemblyRunRecord | dict[str, Any]]:
        """Iterate over the records of one kind, in the order of exports and in constant memory.

        The connection is held until the iterator is exhausted or closed.

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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

        Returns:
            The records, as dicts; of the bundled kinds, a `ProductionRunRecord` or `AssemblyRunRecord`.

        Raises:
            ExportError: After the last run: the format cannot hold some rows; the error lists them all.
        """
        [(chosen, filters)] = select_kinds(
            self.bound, kind, where, since=since, until=until, changed_since=changed_since
        ).items()
        return iterate_runs(self.bound, chosen, filters, exact=exact, session=session)

    def import_document(
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
        session: BorrowedSession | None = None,
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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

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
        options = ImportOptions(
            kinds=kinds,
            on_duplicate=on_duplicate,
            catalog=catalog,
            atomic=atomic,
            dry_run=dry_run,
            rename=rename,
            truncate_times=truncate_times,
            receipt=receipt,
            session=session,
        )
        return import_document(self.bound, document, options)

    def import_file(
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
        session: BorrowedSession | None = None,
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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

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
        options = ImportOptions(
            kinds=kinds,
            on_duplicate=on_duplicate,
            catalog=catalog,
            atomic=atomic,
            dry_run=dry_run,
            rename=rename,
            truncate_times=truncate_times,
            receipt=receipt,
            session=session,
        )
        return import_file(
            self.bound,
            path,
            options,
            rejects=rejects,
            allow_truncated=allow_truncated,
            commit_every=commit_every,
            follows=Predecessor(follows, follows_header),
            sealed=sealed,
            limits=Limits(max_bytes, max_line_bytes, max_depth),
            progress=progress,
        )

    def import_parts(
        self,
        folder: str | os.PathLike[str],
        /,
        *,
        kinds: str | Sequence[str] | None = None,
        on_duplicate: OnDuplicate = "skip",
        catalog: OnCatalog = "ignore",
        rename: Renames | None = None,
        truncate_times: bool = False,
        rejects: FilePath | None = None,
        allow_truncated: bool = False,
        commit_every: int | None = None,
        follows: str | None = None,
        follows_header: str | None = None,
        max_bytes: int = 64 * GiB,
        max_line_bytes: int = 128 * MiB,
        max_depth: int = 64,
        jobs: int | None = None,
        executor: Executor | None = None,
        progress: Report | None = None,
    ) -> ImportReport:
        """Import the parts of an export, by several processes, on one machine or on many.

        Each part is a transaction of its own, which is committed after the part has been verified. Whatever
        happens, what was committed stays: repeat the call to import the rest. The catalog is imported first.
        Kinds whose runs refer to those of other kinds come after these. Where runs of one kind refer to each
        other, or kinds do so in a circle, their parts are imported one after the other; runs that refer to
        one of a later part, or take a unique value that an update of another part gives up, are imported
        together at the end, in one transaction.

        A part is imported again if other transactions are in its way, a deadlock for example, or if the
        connection is lost. If a worker is lost with its part, another one imports the part. Its runs may have
        been committed before, and count as skipped then.

        With ``import_file``, the whole folder is one transaction, with a receipt if you want one.

        Args:
            folder: The path or URL of a folder with an export in parts, or of its ``manifest.json``. All
                workers read it there.
            kinds: Names of the kinds to import; None: all. Parts with runs of other kinds are not read.
            on_duplicate: What to do with a run whose UUID exists: ``skip``: leave it alone. ``error``: reject
                it; then a worker or a connection that is lost ends the import. ``update``: overwrite it with
                the run of the part. ``verify``: leave it alone if it has the same content, otherwise reject
                it with a ``conflict``.
            catalog: What to do with the catalog rows. ``ignore``: check only their form. ``create``: write
                those that are missing; existing ones stay as they are. ``update``: make existing ones what
                the part says, too.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``. None: all slugs
                are read as they are.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time rejects its run.
            rejects: Where to write the rejected runs of all parts with their problems: a path, URL, open
                binary file or ``-``. They form a stream that you can correct and import. None: they are only
                reported.
            allow_truncated: Whether to import the readable runs of a part that is truncated or corrupt, and
                the other parts if some are missing.
            commit_every: Verify each part first, then commit after every so many of its runs. None: one
                transaction for each part.
            follows: The predecessor that the header of the parts must name. None: any, or none.
            follows_header: The ``header_sha256`` of the predecessor that this header must name. None: any or
                none.
            max_bytes: The maximum size of each uncompressed part, in bytes.
            max_line_bytes: The maximum size of a run in bytes. A longer line is rejected.
            max_depth: The maximum depth of nested objects and lists in a run. A deeper line is rejected.
            jobs: How many parts are imported at the same time. None: as many as there are processors, or as
                many as *executor* starts. 1 without *executor*: this process imports them. In SQLite it is
                always one, as SQLite has one writer.
            executor: Where to import parts: any `concurrent.futures.Executor`. None: in processes of this
                machine.
            progress: Called with a `Progress`, now and then, when parts are done. An exception that it raises
                ends the import; what was committed stays. None: nothing is called.

        Returns:
            The sum of the reports of all parts. The problems have the names of their parts.

        Raises:
            BindingError: Other processes cannot open this history as it is bound; the error says what to do.
            DocumentError: The folder has no manifest, parts are missing or of another export, or a part is
                truncated or corrupt. Nothing of that part was written.
            NotADirectoryError: It is a file.
            ValueError: A limit, *jobs* or *commit_every* is not a positive integer; there is no kind with one
                of the names in *kinds*; or *catalog* is not ``ignore`` although this history has no catalog
                kinds.
            OSError: A part cannot be read, or the rejects cannot be written.
            sqlalchemy.exc.DBAPIError: No run is at fault, such as a full disk, or a deadlock or a lost
                connection that came again and again.
            concurrent.futures.BrokenExecutor: Workers were lost again and again.
        """
        options = ImportOptions(
            kinds=kinds,
            on_duplicate=on_duplicate,
            catalog=catalog,
            rename=rename,
            truncate_times=truncate_times,
        )
        return import_parts(
            self.bound,
            functools.partial(pickle_history, self.bound),
            folder,
            options,
            rejects=rejects,
            allow_truncated=allow_truncated,
            commit_every=commit_every,
            follows=Predecessor(follows, follows_header),
            limits=Limits(max_bytes, max_line_bytes, max_depth),
            jobs=jobs,
            executor=executor,
            progress=progress,
        )

    def undo(
        self,
        receipt: str | os.PathLike[str],
        /,
        *,
        dry_run: bool = False,
        session: BorrowedSession | None = None,
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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

        Raises:
            ReceiptError: The file is not a receipt, or that of another database or of other kinds.
            ValueError: *receipt* is not the path of a local file.
            OSError: The receipt cannot be read.
            sqlalchemy.exc.DBAPIError: No run is at fault, such as a lost connection, a lock timeout or a full
                disk.
        """
        return undo(self.bound, receipt, dry_run=dry_run, session=session)

    def check(
        self,
        document: object,
        *,
        catalog: OnCatalog = "ignore",
        rename: Renames | None = None,
        truncate_times: bool = False,
        session: BorrowedSession | None = None,
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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.

        Raises:
            ValueError: *catalog* has another value, or is not ``ignore`` although this history has no catalog
                kinds.
        """
        return check_document(
            self.bound,
            document,
            catalog=catalog,
            rename=rename,
            truncate_times=truncate_times,
            session=session,
        )

    def explain(self, *, session: BorrowedSession | None = None) -> str:
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
            session: The Session, scoped_session or Connection to use; histio never commits it. None: the
                bound database.
        """
        return explain(self.bound, session)
