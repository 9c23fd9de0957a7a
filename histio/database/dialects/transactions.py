"""Set up connections, transactions and savepoints for each database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from histio.database.dialects.faults import RowFaultError
from histio.database.dialects.names import MYSQL
from histio.database.dialects.on_conflict import refusing_conflicts
from histio.database.dialects.settings import neutral_settings, strict_settings
from histio.database.dialects.stored import Stored, group_by_schema, quote_name
from histio.errors import BindingError
from histio.kinds.table import Kind

_Block: TypeAlias = Callable[[], AbstractContextManager[None]]

_ONLY_READS = "histio_only_reads"
"""The execution option of connections that histio has opened to read from."""

# By database, the query for the character sets of a connection, and what all of them have to be.
_OF_MYSQL = "SELECT @@character_set_client, @@character_set_connection, @@character_set_results"
_CHARACTER_SETS = {
    "postgresql": ("SHOW client_encoding", "UTF8"),
    **dict.fromkeys(MYSQL, (_OF_MYSQL, "utf8mb4")),
}


def create_engine(url: str | sa.URL, **options: Any) -> Engine:
    """SQLAlchemy's `create_engine`, with foreign keys and correct transactions on SQLite.

    On SQLite, foreign keys are enforced, and transactions begin when SQLAlchemy begins them: the driver would
    begin them later, and RELEASE SAVEPOINT would commit.

    Args:
        url: The URL of the database, such as ``sqlite:///bakery.db``.
        options: The options of SQLAlchemy's `create_engine`.
    """
    engine = sa.create_engine(url, **options)
    set_up(engine)
    return engine


def set_up(engine: Engine) -> None:
    """Set up an existing *engine* as `create_engine` does; it may be that of an AsyncEngine."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        sa.event.listen(engine, "checkin", _end_failed_commit)


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _end_failed_commit(dbapi_connection: Any, _record: Any) -> None:
    # As in `commit`, for the application's own sessions.
    if dbapi_connection is not None:
        dbapi_connection.rollback()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("histio_begin", "BEGIN"))


def reading_options(bind: Engine | Connection) -> dict[str, Any]:
    """Execution options with which all SELECTs of a transaction on *bind* see the same snapshot.

    Empty for a Connection, which may already be in a transaction. SQLite needs no isolation level.
    """
    if not isinstance(bind, Engine):
        return {}
    needs_level = bind.dialect.name == "postgresql" or bind.dialect.name in MYSQL
    return {_ONLY_READS: True, **({"isolation_level": "REPEATABLE READ"} if needs_level else {})}


def writing_options(bind: Engine | Connection) -> dict[str, Any]:
    """Execution options for a transaction on *bind* that reads and then writes.

    SQLite takes the write lock at once; in other databases, constraints detect concurrent writes.
    """
    return {"histio_begin": "BEGIN IMMEDIATE"} if bind.dialect.name == "sqlite" else {}


def takes_several_writers(bind: Engine | Connection) -> bool:
    """Whether several transactions can write to the database of *bind* at the same time."""
    return bind.dialect.name != "sqlite"


def locks_rows(connection: Connection) -> bool:
    """Whether a transaction that writes has to lock the rows that others may not change meanwhile."""
    return connection.dialect.name != "sqlite"


def locks_to_read_latest(connection: Connection) -> bool:
    """Whether a transaction with an older snapshot reads what is committed now if it locks what it reads."""
    return connection.dialect.name in MYSQL


def is_among_values(dialect: sa.Dialect, column: Any, values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """A condition: *column* has one of *values*, which are as SQLAlchemy takes them."""
    if dialect.name == "postgresql":  # one parameter: psycopg reuses the prepared statement
        return column == sa.any_(sa.literal(values, sa.ARRAY(column.type)))  # type: ignore[no-any-return]
    return column.in_(values)  # type: ignore[no-any-return]


def latest(connection: Connection, statement: sa.Select[Any]) -> sa.Select[Any]:
    """Let *statement* read what is committed now, even if the transaction has an older snapshot."""
    return statement.with_for_update(read=True) if locks_to_read_latest(connection) else statement


def hides_rivals(connection: Connection) -> bool:
    """Whether the transaction cannot read later commits of others, not even with `latest`."""
    if connection.dialect.name != "postgresql":
        return False
    return connection.get_isolation_level() in ("REPEATABLE READ", "SERIALIZABLE")


def check_engines(connection: Connection, tables: Collection[sa.Table]) -> None:
    """Raise BindingError if one of *tables* has a storage engine of MariaDB without transactions."""
    if connection.dialect.name not in MYSQL:
        return
    known = sa.text(
        "SELECT t.table_name, t.engine FROM information_schema.tables t "
        "JOIN information_schema.engines e ON e.engine = t.engine "
        "WHERE t.table_schema = COALESCE(:schema, DATABASE()) AND t.table_name IN :names "
        "AND e.transactions <> 'YES'"
    ).bindparams(sa.bindparam("names", expanding=True))
    for schema, names in group_by_schema(connection, tables).items():
        found = connection.execute(known, {"schema": schema, "names": names}).first()
        if found is not None:
            raise BindingError(
                f"{found[0]} uses the storage engine {found[1]}, which has no transactions; use InnoDB"
            )


def ensure_transaction(connection: Connection) -> None:
    """Begin the transaction of *connection*, unless SQLAlchemy and the driver have begun it.

    Raises:
        BindingError: The connection is in autocommit mode, or its character set would alter text.
    """
    if not connection.in_transaction():
        connection.begin()
    # An asyncio driver and SQLAlchemy's adapter have different attributes.
    adapter, driver = connection.connection.dbapi_connection, connection.connection.driver_connection
    is_set = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    if is_set or _autocommits(adapter) or _autocommits(driver):
        raise BindingError(
            "the connection is in AUTOCOMMIT mode, where nothing can be rolled back: "
            "pass a connection or session with transactions"
        )
    # The driver would begin with the first change, and RELEASE SAVEPOINT would commit.
    if connection.dialect.name == "sqlite" and not getattr(driver, "in_transaction", True):
        _begin_sqlite(connection)
    query, unicode = _CHARACTER_SETS.get(connection.dialect.name, ("", ""))
    for used in connection.exec_driver_sql(query).one() if query else ():
        if used != unicode:
            raise _character_set_error(used, unicode)


def _character_set_error(used: str | None, unicode: str) -> BindingError:
    text = f"the connection uses the character set {used}, which would change characters; use {unicode}"
    return BindingError(text)


@contextmanager
def connecting(dialect: sa.Dialect) -> Iterator[None]:
    """Use this block to connect. A database of PostgreSQL in SQL_ASCII is refused by name.

    psycopg returns bytes instead of text then, which SQLAlchemy does not expect.
    """
    try:
        yield
    except TypeError as error:
        if dialect.name == "postgresql" and "bytes-like" in str(error):
            raise _character_set_error("SQL_ASCII", "UTF8") from error
        raise


def _autocommits(driver: Any) -> bool:
    if hasattr(driver, "in_transaction"):  # SQLite: without autocommit, a transaction has begun by now
        return driver.isolation_level is None and not driver.in_transaction
    if hasattr(driver, "get_autocommit"):
        return bool(driver.get_autocommit())
    return getattr(driver, "autocommit", False) is True


def commit(session: Session, connection: Connection) -> None:
    """Commit *session*, whose connection is *connection*; if that fails, roll back in the database too.

    If COMMIT finds SQLite locked, the transaction stays open while SQLAlchemy considers it ended, and the
    next user of the pooled connection would commit it.
    """
    driver = connection.connection.dbapi_connection
    try:
        session.commit()
    except exc.OperationalError:
        if connection.dialect.name == "sqlite":
            driver.rollback()  # type: ignore[union-attr]
        raise


@contextmanager
def savepoint(connection: Connection) -> Iterator[sa.NestedTransaction]:
    """A savepoint that is rolled back if the block raises, and released otherwise.

    If the database has ended the whole transaction (a deadlock, a full disk, ON CONFLICT ROLLBACK), the
    savepoint no longer exists, and the original error is raised. On SQLite, SQLAlchemy's transaction is ended
    too, because each further statement would be committed.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The block has raised an exception that is not of the database, and the
            savepoint cannot be rolled back, as after a lost connection.
    """
    nested = connection.begin_nested()
    try:
        yield nested
        if nested.is_active:
            nested.commit()
    except BaseException as error:
        try:
            nested.close()  # unlike rollback(), also where the release was cancelled
        except exc.SQLAlchemyError as failure:
            root = connection.get_transaction()
            if connection.dialect.name == "sqlite" and root is not None:
                root.rollback()
            if isinstance(error, Exception) and not isinstance(error, exc.SQLAlchemyError):
                raise failure from error  # what catches the other one would go on
        raise


_MEGABYTE = 2**20
"""Drivers for MariaDB and MySQL combine rows in statements of up to this size, in bytes."""


def packet_size(connection: Connection) -> int:
    """The size of the largest statement of many rows in MariaDB and MySQL, in bytes."""
    if (largest := connection.info.get("histio_packet")) is None:
        largest = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
        connection.info["histio_packet"] = largest
    return min(int(largest) - 1, _MEGABYTE)  # one byte for the command


@contextmanager
def small_packets(connection: Connection) -> Iterator[None]:
    """Keep statements of many rows within the server's `max_allowed_packet`."""
    if connection.dialect.name not in MYSQL or (largest := packet_size(connection)) == _MEGABYTE:
        yield
        return

    def fit(_connection: Connection, cursor: Any, *_: object) -> None:
        getattr(cursor, "_cursor", cursor).max_stmt_length = largest

    sa.event.listen(connection, "before_cursor_execute", fit)
    try:
        yield
    finally:
        sa.event.remove(connection, "before_cursor_execute", fit)


@contextmanager
def quiet_pipelines() -> Iterator[None]:
    """Keep psycopg from logging the error of a failed executemany, which it also raises."""

    def is_new(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("error ignored terminating")

    logger = logging.getLogger("psycopg")
    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


_MADE = sa.table("sqlite_master", sa.column("name"), sa.column("sql"))
_DEFERRING = sa.select(_MADE.c.name).where(
    _MADE.c.name.in_(sa.bindparam("names", expanding=True)), _MADE.c.sql.ilike("%DEFERRED%")
)


_DEFERRABLE = sa.text(
    "SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgdeferrable) "
    "OR EXISTS (SELECT 1 FROM pg_constraint WHERE condeferrable)"
)


def has_deferred(connection: Connection, tables: Collection[sa.Table]) -> bool:
    """Whether `check_deferred` may find anything: in PostgreSQL, triggers may write to any other table."""
    if connection.dialect.name == "postgresql":
        return bool(connection.scalar(_DEFERRABLE))
    names = [table.name for table in tables]
    return connection.dialect.name == "sqlite" and bool(connection.scalar(_DEFERRING, {"names": names}))


def check_deferred(connection: Connection, tables: Collection[sa.Table]) -> None:
    """Check the deferred constraints of the transaction now, instead of at COMMIT.

    Raises:
        sqlalchemy.exc.IntegrityError: A constraint is violated.
        RowFaultError: A foreign key of *tables* is violated (SQLite).
    """
    if connection.dialect.name == "postgresql":
        with savepoint(connection) as nested:
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
            nested.rollback()  # restores the deferral of the transaction
    elif connection.dialect.name == "sqlite":
        for name in connection.scalars(_DEFERRING, {"names": [table.name for table in tables]}).all():
            _check_foreign_keys(connection, name)


def _check_foreign_keys(connection: Connection, name: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(name)
    if connection.exec_driver_sql(f"PRAGMA foreign_key_check({quoted})").first():
        raise RowFaultError(f"FOREIGN KEY of {name}")


def can_defer(constraint: sa.ForeignKeyConstraint | None, dialect: sa.Dialect) -> bool:
    """Whether rows may violate a foreign key until the end of a `deferring` block."""
    if dialect.name == "postgresql":
        return constraint is None or bool(constraint.deferrable or constraint.initially == "DEFERRED")
    return constraint is None or dialect.name == "sqlite"


_IMMEDIATE = sa.text(
    "SELECT DISTINCT quote_ident(n.nspname) || '.' || quote_ident(c.conname) "
    "FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace "
    "WHERE c.contype = 'f' AND c.condeferrable AND NOT c.condeferred AND c.conrelid = to_regclass(:name)"
)


@contextmanager
def deferring(connection: Connection, tables: Collection[sa.Table]) -> Iterator[None]:
    """Defer the deferrable foreign keys of *tables* in this block; they are checked at its end.

    The block must be in a savepoint that is rolled back if it raises.

    Raises:
        sqlalchemy.exc.IntegrityError: A foreign key is violated (PostgreSQL).
        RowFaultError: A foreign key is violated (SQLite).
    """
    if connection.dialect.name == "postgresql":
        found = [connection.scalars(_IMMEDIATE, {"name": quote_name(connection, table)}) for table in tables]
        names = ", ".join(sorted({name for each in found for name in each}))
        if names:
            connection.exec_driver_sql(f"SET CONSTRAINTS {names} DEFERRED")
        yield
        if names:
            connection.exec_driver_sql(f"SET CONSTRAINTS {names} IMMEDIATE")
    elif connection.dialect.name == "sqlite" and tables:
        before = connection.exec_driver_sql("PRAGMA defer_foreign_keys").scalar()
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        try:
            yield
            for table in tables:
                _check_foreign_keys(connection, table.name)
        finally:
            connection.exec_driver_sql(f"PRAGMA defer_foreign_keys = {before or 0}")
    else:
        yield


@contextmanager
def reading_blocks(connection: Connection, block: _Block) -> Iterator[_Block]:
    """A function that opens a savepoint to read in, again and again: the one that *block* opens.

    On connections that histio has opened to read, all blocks share one savepoint, until one of them raises.
    """
    if not connection.get_execution_options().get(_ONLY_READS):
        yield block
        return
    shared: list[sa.NestedTransaction] = []

    @contextmanager
    def share() -> Iterator[None]:
        if not shared:
            shared.append(connection.begin_nested())
        try:
            yield
        except BaseException:
            shared.pop().close()
            raise

    yield share
    if shared:
        shared.pop().commit()


_SETTING = {"postgresql", *MYSQL}
"""The databases whose sessions have settings that change values."""

_RESOLVED = "SELECT lower(name) FROM sqlite_master WHERE sql LIKE '%CONFLICT%'"
"""The tables with rules that may say ON CONFLICT."""


def neutral(
    connection: Connection, *kinds: Kind, has_instants: Callable[[], bool] | None = None
) -> AbstractContextManager[None]:
    """In this block, no setting of the session changes the values of *kinds* that are read.

    Afterwards, the session has its own settings again. The transaction, or a savepoint around the block, has
    to be rolled back if the block raises. *has_instants* returns what `keeps_instants` returns; None: ask the
    database.
    """
    is_setting = connection.dialect.name in _SETTING
    return neutral_settings(connection, kinds, has_instants) if is_setting else nullcontext()


@contextmanager
def neutral_savepoint(
    connection: Connection, *kinds: Kind, has_instants: Callable[[], bool] | None = None
) -> Iterator[None]:
    """A savepoint in which no setting of the session changes the values of *kinds* that are read."""
    with savepoint(connection), neutral(connection, *kinds, has_instants=has_instants):
        yield


def strict(
    connection: Connection, kinds: Collection[Kind], stored: Mapping[sa.Column[Any], Stored]
) -> AbstractContextManager[None]:
    """In this block, settings change no values, and MariaDB and MySQL reject values instead of cutting them.

    A key of 0 is kept, and SQLite replaces no row by another one. The block must be in a savepoint that is
    rolled back if it raises.
    """
    if connection.dialect.name == "sqlite":
        return _strict_in_sqlite(connection, kinds)
    is_setting = connection.dialect.name in _SETTING
    return strict_settings(connection, kinds, stored) if is_setting else nullcontext()


@contextmanager
def _strict_in_sqlite(connection: Connection, kinds: Collection[Kind]) -> Iterator[None]:
    """Replace no row by another one, and cache more of the indexes than SQLite does by default."""
    resolved = set(connection.exec_driver_sql(_RESOLVED).scalars())
    size = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {_CACHE if size == _DEFAULT_CACHE else size}")
    try:
        with refusing_conflicts(connection, kinds, resolved) if resolved else nullcontext():
            yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"PRAGMA cache_size = {size}")


_DEFAULT_CACHE, _CACHE = -2_000, -16_000
"""Sizes of SQLite's cache; negative ones are in KiB."""


def refresh_statistics(connection: Connection, tables: Collection[sa.Table]) -> None:
    """Let PostgreSQL analyze *tables* that have grown, because old statistics lead to slow queries.

    Other databases do not need it. Without the privilege, PostgreSQL only warns.
    """
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        connection.exec_driver_sql(f"ANALYZE {quote_name(connection, table)}")


def advance_sequence(connection: Connection, column: sa.Column[Any]) -> None:
    """Advance the sequence of a key beyond the values that were written explicitly.

    MariaDB and SQLite do it themselves.
    """
    if connection.dialect.name != "postgresql":
        return
    table = quote_name(connection, column.table)
    sequence = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table, column.name))).scalar()
    highest = connection.execute(sa.select(sa.func.max(column))).scalar()
    if sequence is not None and highest is not None:
        # Never back: other transactions may have taken higher values.
        ahead = sa.text(f"SELECT setval(:name, :highest) FROM {sequence} WHERE last_value < :highest")  # noqa: S608
        connection.execute(ahead, {"name": sequence, "highest": highest})
