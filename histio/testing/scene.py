"""The scene of a case: runs that the host adds, in a transaction that is rolled back."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, aliased, scoped_session, sessionmaker

from histio.database.dialects import deferring, ensure_transaction
from histio.errors import ExportError, NotConfiguredError
from histio.history import History
from histio.kinds.selects import is_among
from histio.kinds.table import Kind, Reference, Table
from histio.kinds.walk import Steps, walk_record
from histio.report import ImportReport
from histio.resolving.circles import Blank, blank_of

MakeRuns: TypeAlias = Callable[[Any, int], object]
"""Adds a number of runs to a session."""

Document: TypeAlias = dict[str, Any]

# Every export of a case has the same time, so that documents can be compared.
_MOMENT = dt.datetime(2025, 12, 9, 12, tzinfo=dt.UTC)

_COMMITTED = "make_runs has ended the transaction of the session; it must not commit."


def kinds_of(history: History) -> list[Kind]:
    """The kinds of *history*, in the order of their lists in a document."""
    return list(history.bound.kinds)


def all_kinds_of(history: History) -> list[Kind]:
    """The catalog kinds and the kinds of run of *history*, in the order of their lists in a document."""
    return list(history.bound.all_kinds)


def at(document: Any, steps: Steps) -> Any:
    """Return the value at *steps* of *document*."""
    for step in steps:
        document = document[step]
    return document


@dataclass(frozen=True, slots=True)
class Scene:
    """Runs that make_runs has added for one case.

    Attributes:
        history: The host's history.
        session: The session that make_runs was called with.
        connection: The connection of that session.
        identities: The identities of these runs by kind, as stored.
    """

    history: History
    session: Session
    connection: Connection
    identities: Mapping[str, list[Any]]

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the history."""
        return kinds_of(self.history)

    def export(self, kind: Kind | None = None, *, catalog: Literal["used", "all"] | None = None) -> Document:
        """Export the runs, of one *kind* or of all; the document has been through JSON text."""
        chosen = self.kinds if kind is None else [kind]
        where = {each.name: _is_among(each, self.identities[each.name]) for each in chosen}
        try:
            document = self.history.export_document(
                kinds=list(where), where=where, catalog=catalog, exported_at=_MOMENT, session=self.session
            )
        except ExportError as error:
            raise AssertionError(f"The runs of make_runs cannot be exported: {error}") from error
        try:
            return json.loads(json.dumps(document, allow_nan=False))  # type: ignore[no-any-return]
        except (TypeError, ValueError) as error:
            raise AssertionError(f"A field dumps a value that is not JSON: {error}.") from error

    def run(self, document: Document, **options: Any) -> ImportReport:
        """Import *document*."""
        return self.history.import_document(document, session=self.session, **options)

    def runs_in(self, document: Document) -> Iterator[tuple[Kind, int, Any]]:
        """Kind, index and record of each catalog row and run of *document*."""
        for kind in all_kinds_of(self.history):
            for place, record in enumerate(document.get(kind.collection, ())):
                yield kind, place, record

    def records_in(self, document: Document) -> Iterator[tuple[Table, Steps, Any]]:
        """Table, steps and record of each catalog row, run and ledger entry of *document*."""
        for kind, place, record in self.runs_in(document):
            for table, entry, steps in walk_record(kind.table, record, kind.collection, place):
                yield table, steps, entry

    def clear(self, *, whole_catalog: bool = False) -> None:
        """Delete the runs that make_runs has added, with ledgers and associations before their owners.

        Args:
            whole_catalog: Whether to delete all rows of the catalog kinds, too.
        """
        criteria = {kind: _is_among(kind, self.identities[kind.name]) for kind in self.kinds}
        if whole_catalog:
            criteria |= dict.fromkeys(self.history.bound.catalog, sa.true())
        doomed: dict[sa.Table, list[sa.ColumnElement[bool]]] = {}
        for kind, criterion in criteria.items():
            self._doom(doomed, kind.table, criterion)
        blanks = list(self._blanks(criteria))
        columns = {column for reference, _ in blanks for column in reference.relation.local}
        ordered = sa.schema.sort_tables(doomed, skip_fn=lambda key: key.parent in columns)
        deferred = [] if all(blank.is_null for _, blank in blanks) else list(doomed)
        with deferring(self.connection, deferred):
            for table in reversed(ordered):
                for each in doomed[table]:
                    self.connection.execute(sa.delete(table).where(each))

    def _blanks(self, criteria: Mapping[Kind, sa.ColumnElement[bool]]) -> Iterator[tuple[Reference, Blank]]:
        """References between doomed rows that can be released; those that are nullable are set to null.

        Not every database can delete rows that refer to each other in one statement.
        """
        for kind, other in itertools.product(criteria, criteria):
            for table, reference in kind.refers_to(other):
                if table is not kind.table or not isinstance(reference, Reference):
                    continue
                blank = blank_of(table, reference, self.connection.dialect)
                if blank is not None:
                    yield reference, blank
                    nulls: dict[Any, None] = {
                        each: None for each in reference.relation.local if each.nullable
                    }
                    if nulls:
                        released = sa.update(table.rows).where(criteria[kind])
                        self.connection.execute(released.values(nulls))

    def _doom(
        self,
        doomed: dict[sa.Table, list[sa.ColumnElement[bool]]],
        table: Table,
        criterion: sa.ColumnElement[bool],
    ) -> None:
        """Collect conditions for the rows of *table* that meet *criterion*, and for everything they own."""
        relations = [*(each.relation for each in table.links), *(each.relation for each in table.ledgers)]
        groups = [list(core.primary_key) for core in table.mapper.tables]
        groups += [list(relation.local) for relation in relations]
        wanted = list(dict.fromkeys(column for group in groups for column in group))
        statement = sa.select(*wanted).select_from(table.mapper.persist_selectable).where(criterion)
        rows = [dict(zip(wanted, row, strict=True)) for row in self.connection.execute(statement)]

        def among(columns: Any, sources: Any) -> sa.ColumnElement[bool]:
            keys = {tuple(row[source] for source in sources) for row in rows}
            return is_among(columns, [key for key in keys if None not in key])

        for core in table.mapper.tables:
            key = list(core.primary_key)
            doomed.setdefault(core, []).append(among(key, key))  # type: ignore[arg-type]
        for links in table.links:
            between: Any = links.relation.remote[0].table
            doomed.setdefault(between, []).append(among(links.relation.remote, links.relation.local))
        for ledger in table.ledgers:
            self._doom(doomed, ledger.table, among(ledger.relation.remote, ledger.relation.local))

    def counts(self) -> dict[str, int]:
        """The number of rows of each table of the host's metadata that exists."""
        cores = [core for kind in self.kinds for table in kind.table.all() for core in table.core_tables]
        tables = {each.fullname: each for core in cores for each in core.metadata.tables.values()}
        schemas = {name: self.connection.schema_for_object(each) for name, each in tables.items()}
        inspector = sa.inspect(self.connection)
        existing = {
            (schema, name) for schema in set(schemas.values()) for name in inspector.get_table_names(schema)
        }
        return {
            name: self.connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for name, table in tables.items()
            if (schemas[name], table.name) in existing
        }

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Roll back everything that the block does."""
        nested = self.connection.begin_nested()
        try:
            yield
        finally:
            if nested.is_active:
                nested.rollback()

    @contextmanager
    def statements(self) -> Iterator[Counter[str]]:
        """Count the statements that the block executes, regardless of parameters and their number."""
        seen: Counter[str] = Counter()

        def note(
            _connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, *_: Any
        ) -> None:
            compiled = getattr(context, "compiled", None)
            # The compiled text does not depend on the number of values of an IN list.
            text = statement if compiled is None else str(compiled)
            seen[re.sub(r"__\[POSTCOMPILE_\w+\]|(?<=sa_savepoint_)\d+", "…", text)] += 1

        sa.event.listen(self.connection, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(self.connection, "before_cursor_execute", note)


@contextmanager
def scene(history: History, make_runs: MakeRuns, count: int) -> Iterator[Scene]:
    """A scene with *count* runs, which is rolled back after the block."""
    with _session(history) as session:
        connection = session.connection({"mapper": history.bound.database.mapper})
        before = {kind.name: _identities(connection, kind) for kind in kinds_of(history)}
        try:
            make_runs(session, count)
            session.flush()
        except sa.exc.DBAPIError as error:
            raise AssertionError(f"The database rejects the runs of make_runs: {error.orig}") from error
        if connection.closed:
            raise AssertionError(_COMMITTED)
        identities = {}
        for kind in kinds_of(history):
            there = set(before[kind.name])
            identities[kind.name] = [each for each in _identities(connection, kind) if each not in there]
        yield Scene(history, session, connection, identities)


def _is_among(kind: Kind, identities: Collection[Any]) -> sa.ColumnElement[bool]:
    """A condition for the rows of *kind* with these *identities*."""
    there = aliased(kind.table.mapper.class_)
    own = kind.identity.sql(there)
    names = [kind.table.mapper.get_property_by_column(each).key for each in kind.table.mapper.primary_key]
    keys = sa.select(*(getattr(there, name) for name in names))
    own_keys = own.join(keys).where(own.among(identities))
    return sa.tuple_(*(getattr(kind.table.mapper.class_, name) for name in names)).in_(own_keys)


def _identities(connection: Connection, kind: Kind) -> list[Any]:
    own = kind.identity.sql(kind.table.mapper.class_)
    return [kind.identity.join_parts(row) for row in connection.execute(own.select())]


@contextmanager
def _session(history: History) -> Iterator[Session]:
    """A session of the host, in a transaction that is rolled back after the block."""
    database = history.bound.database
    bind, mapper = database.bind, database.mapper
    if bind is None:
        raise NotConfiguredError("this history has no database: bind one to the test database")
    if isinstance(bind, sessionmaker):
        with bind() as first:
            own = first.get_bind(mapper)
        with _begin(own) as connection:
            options: dict[str, Any] = {"join_transaction_mode": "create_savepoint", "twophase": False}
            with bind(bind=connection, binds=None, **options) as session:
                if session.get_bind(mapper) is connection:
                    yield session
                    return
        with bind() as session, _in_savepoint(session, mapper):  # it chooses its connection itself
            yield session
    elif isinstance(bind, Connection):
        with (
            _begin(bind) as connection,
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            yield session
    else:
        session = bind() if isinstance(bind, scoped_session) else bind
        with _in_savepoint(session, mapper):
            yield session


@contextmanager
def _begin(bind: Engine | Connection) -> Iterator[Connection]:
    """A connection in a transaction, or in a savepoint if *bind* is in a transaction already."""
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            ensure_transaction(connection)
            yield connection
        return
    outer = bind.in_transaction()
    ensure_transaction(bind)
    nested = bind.begin_nested()
    try:
        yield bind
    finally:
        if nested.is_active:
            nested.rollback()
        if not outer:
            bind.rollback()


@contextmanager
def _in_savepoint(session: Session, mapper: Any) -> Iterator[None]:
    """A savepoint of a *session* that may be in use elsewhere."""
    outer = session.in_transaction()
    ensure_transaction(session.connection({"mapper": mapper}))
    nested = session.begin_nested()
    try:
        yield
        if not nested.is_active:
            raise AssertionError(_COMMITTED)
    finally:
        if nested.is_active:
            nested.rollback()
        if not outer:
            session.rollback()
