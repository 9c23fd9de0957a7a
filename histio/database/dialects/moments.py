"""Let several processes read a database as of one moment.

PostgreSQL exports a snapshot, which any transaction can take over. Elsewhere, a lock keeps everybody from
writing until all processes that are ready have begun their transactions. They agree on that, and share their
work, by flags: named locks of the server, or files beside the database.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import sort_tables

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import quote_name
from histio.errors import BindingError

_START = 60.0
"""How long to wait for the first process to be ready, in seconds."""

_SETTLE = (2.0, 15.0)
"""How long to wait for a further one: if their number is not known, and if it is."""

_BEGIN = 10.0
"""How long the lock is held for processes that are ready to begin their transactions, and to get it."""

_GIVE_UP = 600.0
"""How long a process that is ready waits for the lock."""

_PATIENCE = 30.0
"""How long to wait for the write lock of SQLite, in seconds."""

_POLL, _SHORTEST_POLL = 0.02, 0.001
"""The time between two looks at flags or attempts to lock tables, and to lock SQLite, in seconds."""

_PING = 5.0
"""The time between two checks that the connection with the snapshot is not lost, in seconds."""


class MomentLostError(Exception):
    """A transaction that saw the moment has ended, so the export has to start again at a new moment."""


class TooLateError(Exception):
    """This process has begun too late to see the moment, or nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a database, which another process can join. It can be pickled.

    Attributes:
        key: The name of the snapshot, or what the names of all flags begin with.
        folder: The folder of the flags; None: they are locks of the server, or there are none.
    """

    key: str
    folder: str | None = None

    def join(self, connection: Connection, worker: int) -> Visit:
        """Let the transaction of *connection*, which has read nothing yet, see the moment.

        Args:
            connection: To the database.
            worker: The number of the process.

        Raises:
            TooLateError: The moment is over.
        """
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{self.key}'")
            return _Alone()
        flags = _NamedLocks(connection, self.key) if self.folder is None else _Files(Path(self.folder))
        return _Sharing(flags, connection, worker)


class Host(Protocol):
    """The process that keeps a moment.

    Attributes:
        moment: The moment.
        is_shared: Whether each process reads with one transaction as long as there is work, and nobody can
            begin later. False: a process that is lost can be replaced.
    """

    moment: Moment
    is_shared: bool

    def watch(self) -> None:
        """Do what is due; called all the time while other processes work.

        Raises:
            MomentLostError: The moment is lost.
            TimeoutError: No process has started.
            BindingError: The user of the database must not lock the tables.
        """

    def note_late(self, worker: int) -> None:
        """Note that a process has ended because it was too late.

        Raises:
            MomentLostError: It had begun before, and now lacks what it has done.
        """

    def finished(self, numbers: Iterable[int]) -> set[int]:
        """Those *numbers* of work that processes with a transaction each have finished."""

    def check(self) -> None:
        """Raise MomentLostError if the moment is lost, after an error of a process."""


class Visit(Protocol):
    """The transaction of a process that has joined a moment."""

    def share(self, numbers: Sequence[int]) -> Iterator[int]:
        """The *numbers* of work that this process has to do; it has done one when it asks for the next.

        Raises:
            TooLateError: Nobody waits for it any more.
        """

    def leave(self) -> None:
        """Release what the process has kept; its transaction may end now."""


@contextmanager
def hold_moment(engine: Engine, tables: Collection[sa.Table], jobs: int | None, tasks: int) -> Iterator[Host]:
    """Keep a moment of the database in this block, for other processes to join.

    Args:
        engine: The database.
        tables: All tables that are read.
        jobs: How many processes will join; None: not known.
        tasks: How many there are at most.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield _Snapshot(connection)
    elif engine.dialect.name in MYSQL:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()  # closed with the block, and all named locks with it
            key = f"histio-{uuid4().hex[:16]}"
            lock = _TableLock(connection, tables)
            yield _LockHolder(Moment(key), _NamedLocks(connection, key), lock, jobs, tasks)
    else:
        with engine.connect() as connection, _flag_folder(_find_file(connection)) as folder:
            moment = Moment(folder.name, str(folder))
            yield _LockHolder(moment, _Files(folder), _WriteLock(connection), jobs, tasks)


class _Snapshot:
    """Keeps the transaction of *connection* open, whose snapshot it exports."""

    is_shared = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        self.moment = Moment(connection.execute(sa.select(sa.func.pg_export_snapshot())).scalar_one())
        self._asked = time.monotonic()

    def watch(self) -> None:
        if time.monotonic() > self._asked + _PING:
            self.check()

    def note_late(self, worker: int) -> None:
        pass

    def finished(self, numbers: Iterable[int]) -> set[int]:  # noqa: ARG002 - of the protocol
        return set()

    def check(self) -> None:
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError as error:
            raise MomentLostError(str(error.orig)) from error
        self._asked = time.monotonic()


class _Alone:
    """Does all work that it is given: others are given other work."""

    def share(self, numbers: Sequence[int]) -> Iterator[int]:
        return iter(numbers)

    def leave(self) -> None:
        pass


class _Flags(Protocol):
    """Flags that all processes see. Each has a name, and is raised by one of them.

    Attributes:
        outlive: Whether they stay raised when a process ends.
    """

    outlive: bool

    def raise_(self, name: str) -> bool:
        """Raise a flag; False: another process has raised it."""

    def lower(self, name: str) -> None:
        """Lower a flag that this process has raised."""

    def raised(self, names: Iterable[str]) -> set[str]:
        """Which of the *names* are those of flags that are raised."""


class _NamedLocks:
    """Named locks of MariaDB and MySQL, which are released with the connection that has them."""

    outlive = False

    def __init__(self, connection: Connection, key: str) -> None:
        self._connection = connection
        self._key = key

    def raise_(self, name: str) -> bool:
        return bool(self._connection.execute(sa.select(sa.func.get_lock(f"{self._key}-{name}", 0))).scalar())

    def lower(self, name: str) -> None:
        self._connection.execute(sa.select(sa.func.release_lock(f"{self._key}-{name}")))

    def raised(self, names: Iterable[str]) -> set[str]:
        every = list(names)
        asked = [sa.func.is_used_lock(f"{self._key}-{name}").is_not(None) for name in every]
        found = self._connection.execute(sa.select(*asked)).one() if every else ()
        return {name for name, used in zip(every, found, strict=True) if used}


class _Files:
    """Empty files in a folder."""

    outlive = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def raise_(self, name: str) -> bool:
        try:
            (self._folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise TooLateError(name) from None
        return True

    def lower(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def raised(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if (self._folder / name).exists()}


def _find_file(connection: Connection) -> Path:
    """The file of a SQLite database."""
    files = {name: file for _, name, file in connection.exec_driver_sql("PRAGMA database_list")}
    connection.rollback()
    return Path(files["main"])


@contextmanager
def _flag_folder(database: Path) -> Iterator[Path]:
    """A folder for flags beside the *database*, which processes that use the database find."""
    prefix = f".histio-moment-{hashlib.sha256(database.name.encode()).hexdigest()[:12]}-"
    for left in database.parent.glob(f"{prefix}*"):
        if time.time() > left.stat().st_mtime + 2 * _GIVE_UP:  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = database.parent / f"{prefix}{uuid4().hex[:16]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Lock(Protocol):
    """What keeps everybody from writing."""

    def take(self) -> None:
        """Wait for the lock, for a limited time."""

    def release(self) -> None:
        """Release the lock.

        Raises:
            MomentLostError: It was lost before.
        """


class _TableLock:
    """Read locks of MariaDB and MySQL on *tables*.

    The connection has nothing else to do: to begin a transaction would release them.
    """

    def __init__(self, connection: Connection, tables: Collection[sa.Table]) -> None:
        self._connection = connection
        names = dict.fromkeys(quote_name(connection, table) for table in sort_tables(tables))
        self._statement = f"LOCK TABLES {', '.join(f'{name} READ' for name in names)}"
        self._id = self._ask_id()

    def take(self) -> None:
        # If it waited for one table and had others, it could be in a deadlock with transactions of others.
        latest = time.monotonic() + _BEGIN
        while getattr(self._connection.dialect, "is_mariadb", False) and time.monotonic() < latest:
            if self._lock("NOWAIT"):
                return
            time.sleep(_POLL)
        self._connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {_BEGIN:.0f}")
        self._lock()

    def _lock(self, option: str = "") -> bool:
        """Lock the tables; False: with this *option*, that is not possible now."""
        try:
            self._connection.exec_driver_sql(f"{self._statement} {option}")
        except sa.exc.DBAPIError as error:
            number = getattr(error.orig, "args", (0,))[0]
            if number in _DENIED:
                text = "the user of the database must not LOCK TABLES, for processes to see one moment"
                advice = "grant that right, or export a file"
                raise BindingError(text, advice=advice) from error
            if option and number == _TIMEOUT:
                return False
            raise
        return True

    def release(self) -> None:
        try:
            if self._ask_id() != self._id:
                raise MomentLostError("the connection that had locked the tables was lost")
            self._connection.exec_driver_sql("UNLOCK TABLES")
        except sa.exc.DBAPIError as error:
            raise MomentLostError(str(error.orig)) from error

    def _ask_id(self) -> int:
        return int(self._connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())


_DENIED = {1044, 1045, 1142}
_TIMEOUT = 1205
"""The numbers of errors of MariaDB and MySQL for rights that are missing, and for locks that others have."""


class _WriteLock:
    """The write lock of SQLite."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection.execution_options(histio_begin="BEGIN IMMEDIATE")

    def take(self) -> None:
        # SQLite waits longer after each attempt, so others that write all the time would always be first.
        driver: Any = self._connection.connection.driver_connection
        usual = driver.execute("PRAGMA busy_timeout").fetchone()[0]
        driver.execute("PRAGMA busy_timeout = 0")
        latest = time.monotonic() + _PATIENCE
        try:
            while not self._begin(is_last=time.monotonic() > latest):
                time.sleep(_SHORTEST_POLL)
        finally:
            driver.execute(f"PRAGMA busy_timeout = {usual}")

    def _begin(self, *, is_last: bool) -> bool:
        """Begin to write; False: another connection writes, and this is not the last attempt."""
        try:
            self._connection.begin()
            driver = self._connection.connection.driver_connection
            if not getattr(driver, "in_transaction", True):  # an engine that histio has not created
                self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        except sa.exc.OperationalError as error:
            self._connection.rollback()
            if is_last or not getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise
            return False
        return True

    def release(self) -> None:
        self._connection.rollback()


class _LockHolder:
    """Takes a lock when other processes are ready, and releases it when they have begun their transactions.

    Args:
        moment: The moment.
        flags: The flags.
        lock: The lock.
        jobs: How many processes will join; None: not known.
        tasks: How many there are at most.
    """

    is_shared = True

    def __init__(self, moment: Moment, flags: _Flags, lock: _Lock, jobs: int | None, tasks: int) -> None:
        self.moment = moment
        self._flags = flags
        self._lock = lock
        self._workers = range(tasks)
        self._expected = min(jobs or tasks, tasks)
        self._settle = _SETTLE[jobs is not None]
        self._ready: set[str] = set()
        self._begun: set[str] = set()
        self._since = time.monotonic()
        self._do: Callable[[], None] = self._wait_for_ready
        flags.raise_("host")

    def watch(self) -> None:
        self._do()

    def note_late(self, worker: int) -> None:
        if self._flags.outlive and f"begun-{worker}" in self._begun:
            raise MomentLostError("a process was lost, and the others do not know what it has not done")

    def check(self) -> None:
        pass

    def finished(self, numbers: Iterable[int]) -> set[int]:
        by_name = {f"done-{number}": number for number in numbers}
        return {by_name[name] for name in self._flags.raised(by_name)}

    def _wait_for_ready(self) -> None:
        ready = self._flags.raised(f"ready-{worker}" for worker in self._workers)
        now = time.monotonic()
        if ready != self._ready:
            self._ready, self._since = ready, now
        if len(ready) >= self._expected or (ready and now > self._since + self._settle):
            self._lock.take()
            self._flags.raise_("open")
            self._since = time.monotonic()
            self._do = self._wait_for_begun
        elif now > self._since + _START:
            raise TimeoutError(f"no worker has started within {_START:.0f} seconds")

    def _wait_for_begun(self) -> None:
        begun = self._begun = self._flags.raised(name.replace("ready", "begun") for name in self._ready)
        if len(begun) < len(self._ready) and time.monotonic() < self._since + _BEGIN:
            return
        self._flags.raise_("over")
        self._flags.lower("open")
        self._lock.release()
        if not begun:
            raise MomentLostError("no worker has begun in time")
        self._do = lambda: None


class _Sharing:
    """Begins the transaction of *connection* while everything is locked, and shares the work with others."""

    def __init__(self, flags: _Flags, connection: Connection, worker: int) -> None:
        self._flags = flags
        self._raised: list[str] = []
        if not self._raise(f"ready-{worker}"):
            raise TooLateError("another process has this number")
        self._wait()
        _take_snapshot(connection)
        if not flags.raised(["open"]):  # it is lowered before the lock is released
            raise TooLateError("the lock was released")
        self._raise(f"begun-{worker}")

    def _raise(self, name: str) -> bool:
        if self._flags.raise_(name):
            self._raised.append(name)
            return True
        return False

    def _wait(self) -> None:
        latest = time.monotonic() + _GIVE_UP
        while True:
            raised = self._flags.raised(["host", "open", "over"])
            if "over" in raised or "host" not in raised or time.monotonic() > latest:
                raise TooLateError("the moment is over")
            if "open" in raised:
                return
            time.sleep(_POLL)

    def share(self, numbers: Sequence[int]) -> Iterator[int]:
        left = list(numbers)
        while left:
            raised = self._flags.raised(["host", *(f"done-{number}" for number in left)])
            if "host" not in raised:
                raise TooLateError("nobody waits any more")
            left = [number for number in left if f"done-{number}" not in raised]
            mine = next((number for number in left if self._raise(f"part-{number}")), None)
            if mine is not None:
                yield mine
                self._raise(f"done-{mine}")
                left.remove(mine)
            elif left:  # others are at it; if a process is lost, what it has done is free again
                time.sleep(_POLL)

    def leave(self) -> None:
        with suppress(sa.exc.DBAPIError):  # the connection has been lost, and all locks with it
            for name in () if self._flags.outlive else self._raised:
                self._flags.lower(name)


def _take_snapshot(connection: Connection) -> None:
    if connection.dialect.name in MYSQL:
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    else:
        connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first()
