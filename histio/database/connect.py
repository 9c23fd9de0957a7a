"""Connect to a database that is given by a URL, an engine or a session.

Transactions of histio's own are committed here. A session or connection that belongs to the caller never is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from histio.database.dialects import (
    check_kind,
    commit,
    connecting,
    create_engine,
    ensure_transaction,
    neutral,
    reading_options,
    writing_options,
)
from histio.database.portable import find_url
from histio.database.sessions import Habits, read_habits
from histio.errors import BindingError, NotConfiguredError
from histio.kinds.table import Kind
from histio.redact import quote_redacted, redact

BorrowedSession: TypeAlias = Session | scoped_session[Any] | Connection
Bind: TypeAlias = str | sa.URL | Engine | sessionmaker[Any] | BorrowedSession | None


class Database:
    """Opens connections to read and write runs.

    Args:
        bind: The database; None: every call passes a session.
        kinds: The kinds of run to read and write.

    Raises:
        BindingError: *bind* is not a database, or cannot hold the kinds.
    """

    def __init__(self, bind: Bind, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        tables = [table for kind in kinds for table in kind.table.all()]
        self._mappers = list(dict.fromkeys(mapper for table in tables for mapper in table.mappers()))
        self._engine = create_engine(bind) if isinstance(bind, (str, sa.URL)) else None
        if self._engine is not None and self._engine.dialect.is_async:
            raise BindingError(f"{redact(repr(self._engine.url))} is for asyncio: use AsyncHistory")
        self.bind: BorrowedSession | sessionmaker[Any] | None = _check_bind(self._engine or bind)
        dialect = _dialect_of(self.bind)
        if dialect is not None:
            self._check_dialect(dialect)

    @property
    def own_url(self) -> sa.URL | None:
        """The URL that the engine was created from, as other processes can open it; None: another bind."""
        return None if self._engine is None else find_url(self.bind)

    def close(self) -> None:
        """Close the connections of an engine that was created from a URL."""
        if self._engine is not None:
            self._engine.dispose()

    def is_borrowed(self, session: BorrowedSession | None) -> bool:
        """Whether a call with this *session* runs in the caller's transaction."""
        return session is not None or not isinstance(self.bind, sessionmaker)

    def find_engine(self) -> Engine:
        """The engine of the database.

        Raises:
            NotConfiguredError: There is no database.
        """
        bind = self.bind
        if bind is None:
            raise NotConfiguredError("this history has no database; pass session=")
        if isinstance(bind, Connection):
            return bind.engine
        with nullcontext(bind) if not isinstance(bind, sessionmaker) else bind() as session:
            return session.get_bind(self.mapper).engine

    @contextmanager
    def reading(
        self, session: BorrowedSession | None, *, begin: Callable[[Connection], object] = lambda _: None
    ) -> Iterator[Connection]:
        """Open a connection to read.

        Unless it belongs to the caller, all SELECTs see the same snapshot, and no setting changes values.
        *begin* is called with it before the first of them.
        """
        bind = self.bind if session is None else _check_bind(session)
        if isinstance(bind, sessionmaker):
            with bind() as own:
                connection = self._connection(own, reading_options)
                begin(connection)
                with neutral(connection, *self._kinds):
                    yield connection
        else:
            yield self._borrow(bind)[0]

    @contextmanager
    def writing(
        self, session: BorrowedSession | None
    ) -> Iterator[tuple[Connection, Habits, Callable[[], None]]]:
        """Open a connection to write.

        Yields:
            The connection, the habits of its session, and a function that commits; it does nothing if the
            session belongs to the caller.
        """
        bind = self.bind if session is None else _check_bind(session)
        if isinstance(bind, sessionmaker):
            with bind() as own:
                connection = self._connection(own, writing_options)
                yield connection, read_habits(own), functools.partial(commit, own, connection)
        else:
            connection, borrowed = self._borrow(bind)
            yield connection, read_habits(borrowed), lambda: None

    @property
    def mapper(self) -> Any:
        """The mapper of the first kind; a session chooses its database by it."""
        return self._kinds[0].table.mapper

    def _borrow(self, bind: BorrowedSession | None) -> tuple[Connection, Session | None]:
        if bind is None:
            raise NotConfiguredError("this history has no database; pass session=")
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
            BindingError: The session keeps the kinds in several databases, or the database cannot hold them.
        """
        binds = [session.get_bind(mapper) for mapper in self._mappers]
        if len({getattr(bind, "engine", bind) for bind in binds}) > 1:
            names = ", ".join(dict.fromkeys(mapper.class_.__name__ for mapper in self._mappers))
            raise BindingError(f"the session keeps {names} in several databases; create a History for each")
        self._check_dialect(binds[0].dialect)
        with connecting(binds[0].dialect):
            connection = session.connection({"mapper": self.mapper}, execution_options=options(binds[0]))
        ensure_transaction(connection)
        return connection

    def _check_dialect(self, dialect: sa.Dialect) -> None:
        """Raise BindingError if a database of *dialect* cannot hold the values of the fields."""
        for kind in self._kinds:
            check_kind(kind, dialect)


def _dialect_of(bind: Any) -> sa.Dialect | None:
    """The dialect of *bind*; None: only a session of it would know."""
    if isinstance(bind, sessionmaker):
        bind = bind.kw.get("bind")
    return bind.dialect if isinstance(bind, Engine | Connection) else None


def _check_bind(bind: Any) -> sessionmaker[Any] | BorrowedSession | None:
    """Check the type of *bind*, and return it; for an engine, return a sessionmaker."""
    if isinstance(bind, Engine):
        return sessionmaker(bind)
    if bind is None or isinstance(bind, (sessionmaker, Session, scoped_session, Connection)):
        return bind
    if any(each.__module__.startswith("sqlalchemy.ext.asyncio") for each in type(bind).__mro__):
        raise BindingError(f"{quote_redacted(bind)} is for asyncio: use AsyncHistory")
    raise BindingError(
        f"cannot use {quote_redacted(bind)} as a database: "
        "pass a URL, Engine, Connection, sessionmaker, Session or scoped_session"
    )
