"""Databases of the tests' own: SQLite always, PostgreSQL where a server answers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import histio
import pytest
import sqlalchemy as sa

SERVER = sa.make_url(
    os.environ.get("BAKERY_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
)

NewEngine = Callable[[], sa.Engine]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_engine(request: pytest.FixtureRequest) -> NewEngine:
    """Makes empty databases."""
    return request.getfixturevalue(f"new_{request.param}")


@pytest.fixture
def new_sqlite(tmp_path: Path) -> Iterator[NewEngine]:
    engines: list[sa.Engine] = []

    def make() -> sa.Engine:
        engines.append(histio.create_engine(f"sqlite:///{tmp_path}/{len(engines)}.db"))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def new_postgresql() -> Iterator[NewEngine]:
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT")
    engines: list[sa.Engine] = []

    def make() -> sa.Engine:
        name = f"bakery_{uuid.uuid4().hex}"
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engines.append(sa.create_engine(SERVER.set(database=name)))
        return engines[-1]

    try:
        server.connect().close()
    except sa.exc.OperationalError as error:
        message = f"no PostgreSQL at {SERVER!r}: {error.orig}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    yield make
    with server.connect() as connection:
        for engine in engines:
            engine.dispose()
            connection.exec_driver_sql(f"DROP DATABASE {engine.url.database}")
    server.dispose()
