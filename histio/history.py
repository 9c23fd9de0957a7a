"""`History`: kinds of run, bound to a database."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from histio.binding import kind_of
from histio.contract import URN, VERSION, Contract, derive, published
from histio.dependencies import in_order
from histio.dialects import (
    check_kind,
    commit,
    create_engine,
    ensure_transaction,
    reading_options,
    writing_options,
)
from histio.errors import BindingError, NotConfiguredError
from histio.exporter import export_runs
from histio.fields import UtcTimestamp
from histio.importer import Import, OnDuplicate
from histio.kinds import Kind
from histio.records import RunSchema
from histio.report import ImportReport, Problem
from histio.rows import Constants, check_values
from histio.runs import Renames
from histio.schemas import BUNDLED
from histio.sessions import Habits, habits_of
from histio.versions import Upgrades, Versions
from histio.wire import shown

BorrowedSession: TypeAlias = Session | scoped_session[Any] | Connection
Bind: TypeAlias = str | sa.URL | Engine | sessionmaker[Any] | BorrowedSession | None
Where: TypeAlias = sa.ColumnElement[bool] | Mapping[str, sa.ColumnElement[bool]]


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
            runs refer to each other are put in the order in which they can be imported.
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
        self._kinds = {kind.name: kind for kind in ordered}
        if len(self._kinds) < len(schemas) or len({kind.collection for kind in ordered}) < len(schemas):
            names = ", ".join(f"{kind.name} in {kind.collection}" for kind in ordered)
            raise BindingError(f"two of the kinds have the same kind or collection: {names}")
        self._versions = Versions(version or VERSION, upgrades or {}, kinds=tuple(self._kinds))
        self._values = dict(values or {})
        check_values(self._values, ordered)
        self._engine = create_engine(bind) if isinstance(bind, (str, sa.URL)) else None
        if self._engine is not None and self._engine.dialect.is_async:
            raise BindingError(f"{self._engine.url!r} is for asyncio: use AsyncHistory")
        self._bind = _checked(self._engine or bind)
        in_their_order = tuple(found[kind] for kind in ordered)
        rules = _json_schema(in_their_order, self._versions.current)
        self._contract = Contract(rules, older=self._versions.upgrades)
        dialect = _dialect_of(self._bind)
        if dialect is not None:
            self._check_dialect(dialect)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to a database that was given by its URL; other binds are the caller's."""
        if self._engine is not None:
            self._engine.dispose()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds, in the order of their lists in a document."""
        return tuple(self._kinds)

    @property
    def version(self) -> str:
        """The version of the format that this history writes."""
        return self._versions.current

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of this history's documents; for the bundled kinds, the published one."""
        return copy.deepcopy(self._contract.schema)

    def export_document(
        self,
        *,
        kinds: str | Sequence[str] | None = None,
        since: dt.date | None = None,
        until: dt.date | None = None,
        where: Where | None = None,
        exported_at: dt.datetime | None = None,
        session: BorrowedSession | None = None,
    ) -> dict[str, Any]:
        """All runs as one document, ready for `json.dump`.

        Args:
            kinds: Names of the kinds to export; None: all.
            since: The earliest time of a run; a naive time is UTC, a bare date its first moment.
            until: The latest time of a run; a naive time is UTC, a bare date includes its whole day.
            where: A criterion for the one kind asked for, or a mapping from kind to criterion.
            exported_at: Goes into the document; aware. None: now.
            session: To be used instead of the bound database.

        Raises:
            ExportError: Rows that the format cannot hold, all of them named.
        """
        if exported_at is not None and getattr(exported_at, "tzinfo", None) is None:
            raise ValueError(f"exported_at must be an aware datetime, not {shown(exported_at)}")
        chosen = self._chosen(kinds)
        if not chosen:
            raise ValueError(f"no kinds: this history has {', '.join(self._kinds)}")
        criteria = _by_kind(where, chosen)
        document: dict[str, Any] = {
            "version": self._versions.current,
            "exported_at": UtcTimestamp().to_wire(exported_at or dt.datetime.now(dt.UTC)),
        }
        with self._reading(session) as connection:
            for kind in chosen:
                runs = export_runs(connection, kind, since=since, until=until, where=criteria.get(kind.name))
                document[kind.collection] = list(runs)
        return document

    def iter_runs(
        self,
        kind: str,
        /,
        *,
        since: dt.date | None = None,
        until: dt.date | None = None,
        where: sa.ColumnElement[bool] | None = None,
        session: BorrowedSession | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The runs of one kind, one record after the other, in constant memory.

        The connection is held until the iterator is exhausted or closed. Options as for `export_document`.

        Raises:
            ExportError: After the last run, when rows could not be exported.
        """
        chosen = self._chosen(kind)
        return self._iterate(chosen, session, since=since, until=until, where=where)

    def _iterate(
        self, chosen: list[Kind], session: BorrowedSession | None, **filters: Any
    ) -> Iterator[dict[str, Any]]:
        with self._reading(session) as connection:
            yield from export_runs(connection, chosen[0], **filters)

    def import_document(
        self,
        document: dict[str, Any],
        *,
        on_duplicate: OnDuplicate = "skip",
        atomic: bool = False,
        dry_run: bool = False,
        rename: Renames | None = None,
        session: BorrowedSession | None = None,
    ) -> ImportReport:
        """Write the runs of *document* that the database lacks.

        Every run stands alone: one that cannot be imported is rejected with all its problems, the others
        go in. One transaction; in a session that was handed over, savepoints inside the caller's.

        Args:
            document: As `export_document` gives it; never changed.
            on_duplicate: A run whose UUID exists is left alone (``skip``), a problem (``error``), or left
                alone if its content is the same and a ``conflict`` otherwise (``verify``).
            atomic: Any rejected run means that nothing is written.
            dry_run: Do everything, constraints included, and roll back.
            rename: Slugs to read as others, by member: ``{"recipe_slug": {"old": "new"}}``.
            session: To be used instead of the bound database.

        Raises:
            DocumentError: The document as a whole cannot be read.
            sqlalchemy.exc.DBAPIError: No run's fault: a lost connection, a lock timeout, a full disk.
        """
        if on_duplicate not in ("skip", "error", "verify"):
            raise ValueError(f'on_duplicate must be "skip", "error" or "verify", not {on_duplicate!r}')
        with self._writing(session) as (connection, habits, finish):
            work = self._work(connection, habits=habits, on_duplicate=on_duplicate, rename=rename)
            report = work.run(document, atomic=atomic, dry_run=dry_run)
            if report.imported and not dry_run:
                finish()
        return report

    def check(
        self,
        document: object,
        *,
        rename: Renames | None = None,
        session: BorrowedSession | None = None,
    ) -> list[Problem]:
        """All that is wrong with *document*, in its order: form, references, warnings. Writes nothing."""
        with self._reading(session) as connection:
            return self._work(connection, habits=Habits(), rename=rename).check(document)

    def _work(self, connection: Connection, **options: Any) -> Import:
        kinds = list(self._kinds.values())
        return Import(
            connection, kinds, self._contract, versions=self._versions, values=self._values, **options
        )

    def _check_dialect(self, dialect: sa.Dialect) -> None:
        """Raise BindingError where a database of *dialect* cannot hold what the fields say."""
        for kind in self._kinds.values():
            check_kind(kind, dialect)

    def _chosen(self, names: str | Sequence[str] | None) -> list[Kind]:
        wanted = self._kinds if names is None else [names] if isinstance(names, str) else names
        unknown = [name for name in wanted if name not in self._kinds]
        if unknown:
            raise ValueError(f"no such kind: {', '.join(unknown)}; this history has {', '.join(self._kinds)}")
        return [kind for name, kind in self._kinds.items() if name in wanted]

    @contextmanager
    def _reading(self, session: BorrowedSession | None) -> Iterator[Connection]:
        """A connection on which all SELECTs see one moment, where that is histio's to say."""
        bind = self._bind if session is None else _checked(session)
        if isinstance(bind, sessionmaker):
            with bind() as own:
                yield self._connection(own, reading_options)
        else:
            yield self._borrowed(bind)[0]

    @contextmanager
    def _writing(
        self, session: BorrowedSession | None
    ) -> Iterator[tuple[Connection, Habits, Callable[[], None]]]:
        """A connection, habits of its session, and what commits unless the session was handed over."""
        bind = self._bind if session is None else _checked(session)
        if isinstance(bind, sessionmaker):
            with bind() as own:
                connection = self._connection(own, writing_options)
                yield connection, habits_of(own), functools.partial(commit, own, connection)
        else:
            connection, lent = self._borrowed(bind)
            yield connection, habits_of(lent), lambda: None

    @property
    def _mapper(self) -> Any:
        return next(iter(self._kinds.values())).table.mapper

    def _borrowed(self, bind: BorrowedSession | None) -> tuple[Connection, Session | None]:
        if bind is None:
            raise NotConfiguredError("this history was made without a database: pass session=…")
        if isinstance(bind, Connection):
            self._check_dialect(bind.dialect)
            ensure_transaction(bind)
            return bind, None
        session: Session = bind() if isinstance(bind, scoped_session) else bind
        if session.autoflush:
            session.flush()
        return self._connection(session, lambda _bind: {}), session

    def _connection(
        self, session: Session, options: Callable[[Engine | Connection], dict[str, Any]]
    ) -> Connection:
        """The connection of *session* to the database of the kinds.

        Raises:
            BindingError: The session keeps them in several databases, or this one cannot hold the kinds.
        """
        tables = [table for kind in self._kinds.values() for table in kind.table.all()]
        mappers = [each for table in tables for each in table.mappers()]
        binds = [session.get_bind(mapper) for mapper in mappers]
        if len({getattr(bind, "engine", bind) for bind in binds}) > 1:
            names = ", ".join(dict.fromkeys(mapper.class_.__name__ for mapper in mappers))
            raise BindingError(f"the session keeps {names} in several databases: make a History for each")
        self._check_dialect(binds[0].dialect)
        connection = session.connection({"mapper": self._mapper}, execution_options=options(binds[0]))
        ensure_transaction(connection)
        return connection


@functools.cache
def _json_schema(schemas: tuple[type[RunSchema], ...], version: str) -> dict[str, Any]:
    """The published schema where these kinds say nothing else, and otherwise one of their own."""
    own = derive(schemas, version=version)
    if version == VERSION and own == published():
        return published()
    return own | {"$id": f"{URN}:{version}:{'+'.join(schema.Meta.kind for schema in schemas)}"}


def _dialect_of(bind: Any) -> sa.Dialect | None:
    """The dialect of *bind*, where it can be told without asking a session."""
    if isinstance(bind, sessionmaker):
        bind = bind.kw.get("bind")
    return bind.dialect if isinstance(bind, Engine | Connection) else None


def _checked(bind: Any) -> sessionmaker[Any] | BorrowedSession | None:
    """*bind*, with a sessionmaker in place of an engine."""
    if isinstance(bind, Engine):
        return sessionmaker(bind)
    if bind is None or isinstance(bind, (sessionmaker, Session, scoped_session, Connection)):
        return bind
    if any(each.__module__.startswith("sqlalchemy.ext.asyncio") for each in type(bind).__mro__):
        raise BindingError(f"{shown(bind)} is for asyncio: use AsyncHistory")
    raise BindingError(
        f"cannot use {shown(bind)} as a database: "
        "a URL, Engine, Connection, sessionmaker, Session or scoped_session is needed"
    )


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
