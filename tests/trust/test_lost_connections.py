"""Connections that are lost: the import or export raises, nothing half is stored, and it can be repeated."""

from __future__ import annotations

import asyncio
import io
from contextlib import closing, contextmanager, suppress
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from histio import AsyncHistory, History, create_async_engine, create_engine
from tests.support.databases import stocked
from tests.support.interrupted import IMPORTS, MORE, NEW, RUNS, check_is_whole
from tests.support.proxy import RECEIVED, SENT, Proxy
from tests.support.reports import stored
from tests.support.streams import MOMENT, stream_of

WHOLE = stream_of(NEW)


class InNetwork:
    """The network breaks at a byte, perhaps after a pause."""

    def __init__(self, proxy, direction, pause):
        self._proxy, self._direction, self._pause = proxy, direction, pause

    def count(self):
        """How far it has come since `break_at`."""
        return self._proxy.passed[self._direction]

    def break_at(self, place):
        """Begin to count, and break at a place; None: at none."""
        self._proxy.begin(self._direction if place else "", place or 0, self._pause)


def engine_of(url, driver):
    """An engine with a driver, which may be one for asyncio."""
    if driver in ASYNCHRONOUS:
        return create_async_engine(url.set(drivername=driver), poolclass=sa.NullPool)
    return create_engine(url, pool_pre_ping=True)


def call(engine, method, *args, **options):
    """Call a method of the history in a database."""
    if isinstance(engine, AsyncEngine):
        return asyncio.run(getattr(AsyncHistory(engine), method)(*args, **options))
    return getattr(History(engine), method)(*args, **options)


@contextmanager
def in_network(url, driver, *, direction, pause=0):
    with Proxy(url) as proxy:
        engine = engine_of(proxy.url, driver)
        yield engine, InNetwork(proxy, direction, pause)
        getattr(engine, "sync_engine", engine).dispose()


class AtStep:
    """Something is done at a step."""

    def __init__(self, action):
        self._action = action
        self.break_at(None)

    def __call__(self, connection=None, *_):
        self._count += 1
        return self._count == self._place and self._action(connection)

    def count(self):
        return self._count

    def break_at(self, place):
        self._count, self._place = 0, place


@contextmanager
def by_administrator(url, driver, *, command):
    """At a statement, the administrator ends the connection or the statement."""
    engine = engine_of(url, driver)
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")

    def act(connection):
        with closing(connection.connection.dbapi_connection.cursor()) as cursor:
            cursor.execute(WHO[engine.dialect.name])
            [number] = cursor.fetchone()
        with administrator.connect() as other:
            other.exec_driver_sql(command.format(number))

    breaking = AtStep(act)
    sa.event.listen(getattr(engine, "sync_engine", engine), "before_cursor_execute", breaking)
    yield engine, breaking
    getattr(engine, "sync_engine", engine).dispose()
    administrator.dispose()


@contextmanager
def in_sqlite(url, driver):
    """After so many operations, SQLite is interrupted."""
    engine = engine_of(url, driver)
    breaking = AtStep(lambda _: True)
    sa.event.listen(engine, "connect", lambda connection, _: connection.set_progress_handler(breaking, 50))
    yield engine, breaking
    engine.dispose()


ASYNCHRONOUS = ASYNCPG, AIOMYSQL = "postgresql+asyncpg", "mariadb+aiomysql"
WHO = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}

BREAKS = {
    "interrupted": ("sqlite", in_sqlite, {}),
    "ended": ("postgresql", by_administrator, {"command": "SELECT pg_terminate_backend({})"}),
    "cancelled": ("postgresql", by_administrator, {"command": "SELECT pg_cancel_backend({})"}),
    "killed": ("mariadb", by_administrator, {"command": "KILL {}"}),
    "query killed": ("mariadb", by_administrator, {"command": "KILL QUERY {}"}),
    "broken while sending": ("postgresql", in_network, {"direction": SENT}),
    "broken while receiving": ("postgresql", in_network, {"direction": RECEIVED}),
    "stalled": ("postgresql", in_network, {"direction": SENT, "pause": 0.05}),
    "broken while sending too": ("mariadb", in_network, {"direction": SENT}),
    "broken while receiving too": ("mariadb", in_network, {"direction": RECEIVED}),
    "stalled too": ("mariadb", in_network, {"direction": RECEIVED, "pause": 0.05}),
    "ended with asyncpg": (ASYNCPG, by_administrator, {"command": "SELECT pg_terminate_backend({})"}),
    "broken while sending with asyncpg": (ASYNCPG, in_network, {"direction": SENT}),
    "broken while receiving with asyncpg": (ASYNCPG, in_network, {"direction": RECEIVED}),
    "killed with aiomysql": (AIOMYSQL, by_administrator, {"command": "KILL {}"}),
    "broken while sending with aiomysql": (AIOMYSQL, in_network, {"direction": SENT}),
    "broken while receiving with aiomysql": (AIOMYSQL, in_network, {"direction": RECEIVED}),
}
"""Which driver, and how the connection is lost."""

breaks = pytest.mark.parametrize(
    ("dialect", "make_break"),
    [
        (driver.partition("+")[0], partial(make, driver=driver, **options))
        for driver, make, options in BREAKS.values()
    ],
    ids=BREAKS,
)


@pytest.fixture(autouse=True)
def small_batches(tune):
    tune(batch=10, page=20)


@pytest.mark.slow
@breaks
def test_an_import_that_loses_its_connection_raises_and_can_be_repeated(
    databases, dialect, make_break, tries, tmp_path
):
    own = databases(dialect)

    def work(place, given, form, options):
        breaking.break_at(place)
        return call(engine, "import_file", io.BytesIO(form(given)), **options)

    def begin(before):
        History(stocked(databases(dialect))).import_document(before)

    with make_break(own.url) as (engine, breaking):
        for each in tries(1):
            with each as chance:
                before, given, form, options = IMPORTS[chance.choice([*IMPORTS])]
                options = options | dict.fromkeys(options.keys() & {"rejects"}, tmp_path / "rejects.jsonl")
                job = given, form, options
                begin(before)
                report = work(None, *job)
                size, after = breaking.count(), stored(own)
                begin(before)
                with suppress(sa.exc.DBAPIError):
                    assert work(chance.randint(1, size), *job) == report
                check_is_whole(stored(own), before, given, options.get("commit_every", len(RUNS) + len(MORE)))
                again = work(None, *job)
                assert (again.rejected, again.problems) == (report.rejected, report.problems)
                assert stored(own) == after


@pytest.mark.slow
@breaks
def test_an_export_that_loses_its_connection_raises_and_can_be_repeated(
    databases, dialect, make_break, tries, tmp_path
):
    own = stocked(databases(dialect))
    History(own).import_document(NEW)
    path = tmp_path / "history.jsonl"
    with make_break(own.url) as (engine, breaking):

        def work(place):
            breaking.break_at(place)
            call(engine, "export_file", path, exported_at=MOMENT, overwrite=True)
            return breaking.count()

        size = work(None)
        for each in tries(1):
            with each as chance:
                path.write_bytes(b"previous")
                expected = b"previous"
                with suppress(sa.exc.DBAPIError):
                    work(chance.randint(1, size))
                    expected = WHOLE
                assert [file.read_bytes() for file in tmp_path.iterdir()] == [expected]
                work(None)
                assert path.read_bytes() == WHOLE
