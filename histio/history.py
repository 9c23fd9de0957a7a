"""`History`: kinds of run, bound to a database."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeAlias, get_args

import sqlalchemy as sa
from marshmallow import ValidationError

from histio.bound import Bound, Constants
from histio.database.connect import Bind, BorrowedSession, Database
from histio.database.sessions import Habits
from histio.errors import BindingError, DocumentError
from histio.exporting.fast.formatter import RowFormatter
from histio.exporting.pages import count_runs, export_runs, export_texts
from histio.exporting.selection import Filters
from histio.exporting.tally import ExportTally, OnUnreadable
from histio.files import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_LINE_BYTES,
    FilePath,
    Source,
    check_damage,
    check_follows,
    format_of,
    is_same_file,
    reading,
    rejecting,
    report_on,
    stream_header,
    target,
    undamaged,
    write_runs,
)
from histio.files.raw_runs import RawItem, iter_raw_runs, split_items
from histio.importing.counts import Tally
from histio.importing.destination import open_destination
from histio.importing.execute import open_look_ups
from histio.importing.fast.rows import Rows
from histio.importing.orm import acting_tables, reasons, unit_of_work_reasons
from histio.importing.parse import OnDuplicate, Reader, Renames
from histio.importing.row_builder import check_values
from histio.importing.run_order import in_order
from histio.importing.spool import Spool
from histio.importing.transaction import import_items
from histio.kinds.account import Account, describe_accounts
from histio.kinds.accounting import accounts, check_accounts
from histio.kinds.bind import kind_of
from histio.kinds.fields import UtcTimestamp
from histio.kinds.gate import Gate
from histio.kinds.json_schema import URN, VERSION, derive, published
from histio.kinds.table import Kind
from histio.kinds.versions import Upgrades, Versions
from histio.progress import Meter, Report
from histio.records import RunSchema
from histio.report import KEPT, ExportReport, ImportReport, Problem
from histio.resolving.circles import circle_warnings
from histio.schemas import BUNDLED
from histio.wire import shown

Where: TypeAlias = sa.ColumnElement[bool] | Mapping[str, sa.ColumnElement[bool]]

_log = logging.getLogger("histio")


class History:
    """The history of an application: its kinds of run, in its database.

    Immutable, and safe to share between threads unless *bind* itself is not.

    Every method takes ``session=``: a Session, scoped_session or Connection to use instead of the bound
    database. What is handed over is used and never committed, rolled back or closed; pending work is
    flushed first, as any query would, unless the session says ``autoflush=False``. Exports see every row:
    criteria that a session adds to its queries are not applied.

    With an engine, URL or sessionmaker, histio opens and commits transactions of its own. An in-memory SQLite
    database has but one connection: hand over the session that is using it.

    Args:
        bind: The database. None: every call names its session. With a URL, `close` the history in the
            end, or use it in a ``with`` block.
        kinds: Schemas of the kinds of run; none: production runs and assembly runs as bundled. Kinds whose
            runs refer to each other are put in the order in which they can be imported; those that do so in a
            circle keep the order given.
        version: Of the format of these kinds; None: that of the published schema.
        upgrades: How records of older versions of the format are brought up: by version, a function that
            turns a record into one of the next version, or a mapping from kind to such a function. It gets a
            copy.
        values: What an import fills columns with that the format leaves out, by attribute, in every table
            that has the column: values, or functions without arguments that give one for each import.
            References are looked for among rows with the same values (``{"tenant_id": 7}``).

    Raises:
        BindingError: A schema does not fit its model, *bind* is of no use, or an option makes no sense.
    """

    bound: Bound
    """What this history consists of. Internal: its attributes change without notice."""

    def __init__(
        self,
        bind: Bind = None,
        /,
        *kinds: type[RunSchema],
        version: str | None = None,
        upgrades: Upgrades | None = None,
        values: Constants | None = None,
    ) -> None:
        schemas = kinds or BUNDLED
        given: tuple[Any, ...] = schemas
        for each in given:
            if not (inspect.isclass(each) and issubclass(each, RunSchema)):
                raise BindingError(f"a kind is a subclass of RunSchema, not {shown(each)}")
        found = {kind_of(schema): schema for schema in schemas}
        ordered = in_order(list(found))
        names = tuple(kind.name for kind in ordered)
        if len(set(names)) < len(schemas) or len({kind.collection for kind in ordered}) < len(schemas):
            listed = ", ".join(f"{kind.name} in {kind.collection}" for kind in ordered)
            raise BindingError(f"two of the kinds have the same kind or collection: {listed}")
        versions = Versions(version or VERSION, upgrades or {}, kinds=names)
        constants = dict(values or {})
        check_values(constants, ordered)
        in_their_order = tuple(found[kind] for kind in ordered)
        gate = Gate(_json_schema(in_their_order, versions.current), older=versions.upgrades)
        check_accounts(ordered, values=constants, acting=acting_tables(ordered))
        self.bound = Bound(tuple(ordered), gate, versions, Database(bind, ordered), constants)
        for line in self._acting():
            _log.info(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to a database that was given by its URL; other binds are the caller's."""
        self.bound.database.close()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds, in the order of their lists in a document."""
        return tuple(kind.name for kind in self.bound.kinds)

    @property
    def version(self) -> str:
        """The version of the format that this history writes."""
        return self.bound.versions.current

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of this history's documents; for the bundled kinds, the published one."""
        return copy.deepcopy(self.bound.gate.schema)

    def export_document(
        self,
        *,
        kinds: str | Sequence[str] | None = None,
        since: dt.date | None = None,
        until: dt.date | None = None,
        changed_since: dt.date | None = None,
        where: Where | None = None,
        exported_at: dt.datetime | None = None,
        exact: bool = False,
        session: BorrowedSession | None = None,
    ) -> dict[str, Any]:
        """All runs as one document, ready for `json.dump`.

        Args:
            kinds: Names of the kinds to export; None: all.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day.
            changed_since: The earliest time at which a run, or an entry of its ledgers, was last written:
                what ``updated_at`` says of it. An entry that has been removed is not seen by that.
            where: A criterion for the one kind asked for, or a mapping from kind to criterion.
            exported_at: Goes into the document; aware. None: now.
            exact: Whether to fail where SQLAlchemy reads a value differently from how it is stored, such as a
                decimal in SQLite with more digits than its column's scale. False: export the value as read,
                and log the number of such values.
            session: To be used instead of the bound database.

        Raises:
            ExportError: Rows that the format cannot hold, all of them named.
        """
        document: dict[str, Any] = {"version": self.version, "exported_at": moment(exported_at)}
        chosen = self._filtered(kinds, where, since=since, until=until, changed_since=changed_since)
        tally = ExportTally(exact=exact)
        with self.bound.database.reading(session) as connection:
            for kind, filters in chosen.items():
                document[kind.collection] = list(export_runs(connection, kind, filters, tally))
            written = [kind for kind in chosen if document[kind.collection]]
            tally.note(circle_warnings(written, connection.dialect))
        tally.finish()
        return document

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
        exported_at: dt.datetime | None = None,
        follows: str | None = None,
        format: str | None = None,  # noqa: A002 - the word for it
        overwrite: bool = False,
        exact: bool = False,
        on_unreadable: OnUnreadable = "error",
        progress: Report | None = None,
        session: BorrowedSession | None = None,
    ) -> ExportReport:
        """Write all runs to a file, in constant memory; all of them as they are at one moment.

        The file is there when it is whole: an export that fails leaves none, and the previous one as it was.

        Args:
            path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard output.
                Its ending says what is written: a sealed stream (``.jsonl``) or a document (``.json``),
                compressed where ``.gz`` or ``.zst`` follows.
            kinds: Names of the kinds to export; None: all.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day.
            changed_since: The earliest time at which a run, or an entry of its ledgers, was last written:
                what ``updated_at`` says of it. An entry that has been removed is not seen by that.
            where: A criterion for the one kind asked for, or a mapping from kind to criterion.
            exported_at: Goes into the file; aware. None: now.
            follows: The ``sha256`` of the export that this one continues: goes into the stream's header.
            format: Such as ``jsonl.zst``, where no ending says it; None: a stream there.
            overwrite: Whether an existing file is replaced.
            exact: Whether to treat a value that SQLAlchemy reads differently from how it is stored, such as a
                decimal in SQLite with more digits than its column's scale, as one that the format cannot
                hold. False: export the value as read, with a ``precision`` warning in the report.
            on_unreadable: What to do with runs that the format cannot hold: ``error``: fail. ``skip``: leave
                them out, and list them in the report.
            progress: Is called with a `Progress` at most ten times a second, and after the last run; what it
                raises ends the export.
            session: To be used instead of the bound database.

        Raises:
            ExportError: The format cannot hold some rows, and *on_unreadable* is ``error``; all are named.
            FileExistsError: There is such a file, and *overwrite* was not said.
        """
        form = format_of(path, format)
        if follows is not None and form.name == "json":
            raise ValueError("follows: a document cannot say it, only the header of a stream")
        if on_unreadable not in get_args(OnUnreadable):
            raise ValueError(f"on_unreadable must be one of {get_args(OnUnreadable)}, not {on_unreadable!r}")
        tally = ExportTally(exact=exact, on_unreadable=on_unreadable)
        chosen = self._filtered(kinds, where, since=since, until=until, changed_since=changed_since)
        collections = {kind.name: kind.collection for kind in chosen}
        header = stream_header(self.version, moment(exported_at), list(collections), follows=follows)
        meter = Meter(progress)
        with (
            target(path, compression=form.compression, overwrite=overwrite) as file,
            self.bound.database.reading(session) as connection,
        ):
            total = None
            if progress is not None:
                total = sum(count_runs(connection, kind, filters) for kind, filters in chosen.items())
            meter.begin("export", lambda: file.stored, total=total)
            pages = (
                (kind.name, texts)
                for kind, filters in chosen.items()
                for texts in export_texts(connection, kind, filters, tally)
            )
            counted = meter.counted(pages, lambda page: len(page[1]))
            seal = write_runs(form.name, file, header, collections, counted)
            tally.note(
                circle_warnings([kind for kind in chosen if seal.counts[kind.name]], connection.dialect)
            )
            tally.check()
        return report_on(
            header,
            seal,
            file.stored,
            skipped=tally.skipped,
            problems=tuple(tally.problems),
            warnings=tuple(tally.warnings),
            problem_count=tally.problem_count,
            warning_count=tally.warning_count,
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
        session: BorrowedSession | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The runs of one kind, one record after the other, in constant memory.

        The connection is held until the iterator is exhausted or closed. Options as for `export_document`.

        Raises:
            ExportError: After the last run, when rows could not be exported.
        """
        chosen = self._filtered(kind, where, since=since, until=until, changed_since=changed_since)
        return self._iterate(*chosen.popitem(), ExportTally(exact=exact), session)

    def _iterate(
        self, kind: Kind, filters: Filters, tally: ExportTally, session: BorrowedSession | None
    ) -> Iterator[dict[str, Any]]:
        with self.bound.database.reading(session) as connection:
            yield from export_runs(connection, kind, filters, tally)
        tally.finish()

    def import_document(
        self,
        document: dict[str, Any],
        *,
        on_duplicate: OnDuplicate = "skip",
        atomic: bool = False,
        dry_run: bool = False,
        rename: Renames | None = None,
        truncate_times: bool = False,
        session: BorrowedSession | None = None,
    ) -> ImportReport:
        """Write the runs of *document* that the database lacks.

        Every run stands alone: one that cannot be imported is rejected with all its problems, the others
        go in. One transaction; in a session that was handed over, savepoints inside the caller's.

        Args:
            document: As `export_document` gives it; never changed.
            on_duplicate: A run whose UUID exists is left alone (``skip``), a problem (``error``), made what
                the document says (``update``), or left alone if its content is the same and a ``conflict``
                otherwise (``verify``).
            atomic: Any rejected run means that nothing is written.
            dry_run: Do everything, constraints included, and roll back.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time rejects its run.
            session: To be used instead of the bound database.

        Raises:
            DocumentError: The document as a whole cannot be read.
            sqlalchemy.exc.DBAPIError: No run's fault: a lost connection, a lock timeout, a full disk.
        """
        problems = self.bound.gate.check_envelope(document)
        if problems:
            raise DocumentError(tuple(problems))
        kinds = self.bound.kinds
        return self._import(
            iter_raw_runs(document, kinds),
            Tally(kinds),
            reader=Reader(self.bound, document["version"], rename or {}),
            on_duplicate=on_duplicate,
            atomic=atomic,
            dry_run=dry_run,
            truncate_times=truncate_times,
            session=session,
        )

    def import_file(
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
        session: BorrowedSession | None = None,
    ) -> ImportReport:
        """Write the runs of a file that the database lacks, in constant memory.

        What the file is, a stream or a document, compressed or not, its content tells. A stream is read once,
        in one transaction that is committed when the trailer has agreed; a document is read twice.

        Args:
            path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard input.
            on_duplicate: A run whose UUID exists is left alone (``skip``), a problem (``error``), made what
                the file says (``update``), or left alone if its content is the same and a ``conflict``
                otherwise (``verify``).
            atomic: Any rejected run means that nothing is written.
            dry_run: Do everything, constraints included, and roll back.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time rejects its run.
            rejects: A file, of any kind that *path* may be, for every run that is rejected, with its
                problems: a stream that can be imported once it is mended. It is there, in place of a
                previous one, when the import has ended well.
            allow_truncated: Import what is whole of a file that breaks off, or disagrees with its seal.
            commit_every: Read the file through first; then commit after as many runs. The same call again
                goes on where the last one was interrupted. None: one transaction.
            follows: What the stream's header must name as its predecessor; None: anything.
            max_bytes: A file with more, uncompressed, is refused.
            max_line_bytes: A longer line is no run; of a document, a longer run makes it useless.
            max_depth: Likewise for what is nested more deeply.
            progress: Is called with a `Progress` at most ten times a second, and after the last run; what it
                raises takes everything back that has not been committed.
            session: To be used instead of the bound database.

        Raises:
            DocumentError: The file cannot be read as a whole, breaks off, or disagrees with its seal; nothing
                was written.
            ValueError: *commit_every* with *atomic*, *dry_run* or a session that was handed over.
            OSError: The file cannot be read; or the rejects cannot be written, of which the last part is when
                all is committed: to import again then skips what is in.
            sqlalchemy.exc.DBAPIError: No run's fault: a lost connection, a lock timeout, a full disk.
        """
        is_own = not (atomic or dry_run or self.bound.database.is_lent(session))
        check_numbers(max_bytes=max_bytes, max_line_bytes=max_line_bytes, max_depth=max_depth)
        if commit_every is not None:
            check_numbers(commit_every=commit_every)
            if not is_own:
                raise ValueError("commit_every excludes atomic, dry_run and a session that was handed over")
        if not is_own and is_same_file(path, rejects):
            raise ValueError("rejects: the file itself, of which what is imported may be taken back")
        kinds = self.bound.kinds
        meter = Meter(progress)
        with (
            Source(path, max_bytes=max_bytes) as source,
            reading(
                source, self.bound.gate, kinds, max_line_bytes=max_line_bytes, max_depth=max_depth
            ) as file,
            rejecting(rejects, file.version, self.kinds) as rejected,
        ):
            check_follows(file, follows)
            tally = Tally(kinds, limit=KEPT, rejects=rejected)
            total = None
            if commit_every is not None:
                meter.begin("verify", lambda: source.position, total_bytes=source.size)
                total = sum(1 for _ in meter.counted(file.items(again=True)))
            if not allow_truncated:
                check_damage(file)
            meter.begin("import", lambda: source.position, total=total, total_bytes=source.size)
            items = meter.counted(file.items())
            report = self._import(
                items if allow_truncated else undamaged(items, file),
                tally,
                reader=Reader(self.bound, file.version, rename or {}),
                on_duplicate=on_duplicate,
                atomic=atomic,
                dry_run=dry_run,
                truncate_times=truncate_times,
                commit_every=commit_every,
                session=session,
            )
        if file.damage:
            broken = tuple(replace(problem, severity="warning") for problem in file.damage)
            report = replace(
                report,
                truncated=True,
                warnings=(*broken, *report.warnings),
                warning_count=report.warning_count + len(broken),
            )
        return report

    def _import(
        self,
        items: Iterable[RawItem],
        tally: Tally,
        *,
        reader: Reader,
        on_duplicate: OnDuplicate,
        atomic: bool,
        dry_run: bool,
        truncate_times: bool,
        session: BorrowedSession | None,
        commit_every: int | None = None,
    ) -> ImportReport:
        """Import *items* in one transaction, or in one for so many of them."""
        if on_duplicate not in get_args(OnDuplicate):
            raise ValueError(f"on_duplicate must be one of {get_args(OnDuplicate)}, not {on_duplicate!r}")
        # What a function gives is given once for each import, however many transactions it takes.
        values = self.bound.constants()
        kinds = self.bound.kinds
        withheld = False
        unit_of_work: dict[str, tuple[str, ...]] = {}
        parts = [items] if commit_every is None else split_items(items, commit_every)
        with Spool() as spool:
            for part in parts:
                with self.bound.database.writing(session) as (connection, habits, finish):
                    destination = open_destination(
                        connection,
                        kinds,
                        reader=reader,
                        spool=spool,
                        values=values,
                        truncate_times=truncate_times,
                    )
                    before, unit_of_work = tally.written, unit_of_work_reasons(kinds, habits)
                    withheld = import_items(
                        destination,
                        part,
                        tally=tally,
                        habits=habits,
                        unit_of_work=unit_of_work,
                        on_duplicate=on_duplicate,
                        last=commit_every is None or not part,
                        atomic=atomic,
                        dry_run=dry_run,
                    )
                    if tally.written > before and not (dry_run or withheld):
                        finish()
        report = tally.report(withheld=withheld, dry_run=dry_run, unit_of_work=unit_of_work)
        _log.info(
            "%s: %d imported, %d updated, %d skipped, %d rejected",
            "dry run" if dry_run else "import",
            report.imported,
            report.updated,
            report.skipped,
            report.rejected,
        )
        return report

    def check(
        self,
        document: object,
        *,
        rename: Renames | None = None,
        truncate_times: bool = False,
        session: BorrowedSession | None = None,
    ) -> list[Problem]:
        """All that is wrong with *document*, in its order: form, references, warnings. Writes nothing.

        Args:
            document: A JSON object, not changed.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``.
            truncate_times: Whether to cut times to the digits of a second that their columns keep, with a
                ``precision`` warning for each. False: such a time is a problem.
            session: To be used instead of the bound database.
        """
        problems = self.bound.gate.check_envelope(document)
        if problems or not isinstance(document, dict):
            return problems
        version = document["version"]
        with open_look_ups(
            self.bound, session, version=version, rename=rename, truncate_times=truncate_times
        ) as work:
            return work.check(iter_raw_runs(document, self.bound.kinds))

    def explain(self, *, session: BorrowedSession | None = None) -> str:
        """How each column is accounted for, and how fast runs are exported and imported, as text for people.

        For each table, the text lists the columns and relationships that are in the format, excluded, filled
        by ``values=``, or not moved, such as surrogate keys. Then it lists what in the models makes imports
        slow, such as listeners; this is also logged at INFO when the history is made.

        With a database, it also says for each kind whether exports and imports take the fast path, straight
        between the driver's values and JSON, or go through marshmallow, run by run, and why; both give the
        same result. Last come kinds that no import can write, because their runs refer to each other in a
        circle.

        Args:
            session: To be used instead of the bound database.
        """
        lines = [*describe_accounts(self._accounts()), *self._acting()]
        if session is not None or self.bound.has_database:
            with open_look_ups(self.bound, session) as work:
                lines += [
                    _explained(kind.name, work.export_path(kind), work.import_path(kind))
                    for kind in self.bound.kinds
                ]
                lines += [f"{problem.kind}: {problem.message}" for problem in work.circle_warnings()]
        return "\n".join(lines)

    def _acting(self) -> list[str]:
        """A line for each kind that the unit of work imports, with the reasons."""
        found = {kind.name: reasons(kind, Habits()) for kind in self.bound.kinds}
        slow = "imports go through the unit of work, row by row"
        return [f"{name}: {slow}: {'; '.join(why)}" for name, why in found.items() if why]

    def _accounts(self) -> list[Account]:
        return accounts(self.bound.kinds, values=self.bound.values)

    @classmethod
    def of_bound(cls, bound: Bound) -> Self:
        """A history of what is already bound. Internal.

        Args:
            bound: As another history has it, perhaps on another database.
        """
        history = cls.__new__(cls)
        history.bound = bound
        return history

    def _filtered(
        self, names: str | Sequence[str] | None, where: Where | None, **bounds: dt.date | None
    ) -> dict[Kind, Filters]:
        """The kinds with these *names*, and which of their runs are asked for."""
        chosen = self.bound.choose(names)
        if not chosen:
            raise ValueError(f"no kinds: this history has {', '.join(self.kinds)}")
        criteria = _by_kind(where, chosen)
        return {kind: Filters(where=criteria.get(kind.name), **bounds) for kind in chosen}


def _explained(name: str, *ways: RowFormatter | Rows | str) -> str:
    """Which path exports and imports of the kind with this *name* take, and why."""
    lines = []
    for what, way in zip(("export", "import"), ways, strict=True):
        if isinstance(way, str):
            lines.append(f"{name}, {what}: through marshmallow, run by run: {way}")
        else:
            lines += [f"{name}, {what}: fast path", *way.describe()]
    return "\n".join(lines)


@functools.cache
def _json_schema(schemas: tuple[type[RunSchema], ...], version: str) -> dict[str, Any]:
    """The published schema where these kinds say nothing else, and otherwise one of their own."""
    own = derive(schemas, version=version)
    if version == VERSION and own == published():
        return published()
    return own | {"$id": f"{URN}:{version}:{'+'.join(schema.opts.kind for schema in schemas)}"}


def moment(exported_at: dt.datetime | None) -> str:
    """*exported_at* as files say it; None: now."""
    if exported_at is not None and getattr(exported_at, "tzinfo", None) is None:
        raise ValueError(f"exported_at must be an aware datetime, not {shown(exported_at)}")
    field = UtcTimestamp()
    wire: str = field.to_wire(exported_at or dt.datetime.now(dt.UTC))
    try:
        field.check(wire)
    except ValidationError as error:
        raise ValueError(f"exported_at: {error.messages[0]}") from None
    return wire


def check_numbers(**options: object) -> None:
    """Raise ValueError where one of the *options* is no number, or none that makes sense."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < sys.maxsize:
            raise ValueError(f"{name} is a number, 1 or more, not {shown(value)}")


def _by_kind(where: Where | None, kinds: list[Kind]) -> Mapping[str, sa.ColumnElement[bool]]:
    """Criteria by kind name."""
    if where is None:
        return {}
    names = [kind.name for kind in kinds]
    if not isinstance(where, Mapping):
        if len(names) != 1:
            raise ValueError(f"where: give a mapping from kind to criterion for the kinds {', '.join(names)}")
        return {names[0]: where}
    unknown = [name for name in where if name not in names]
    if unknown:
        raise ValueError(f"where: not among the kinds exported: {', '.join(unknown)}")
    return where
