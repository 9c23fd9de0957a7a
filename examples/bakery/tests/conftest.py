"""Databases of the tests' own: SQLite always, PostgreSQL where a server answers."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import histio
import pytest
import sqlalchemy as sa
import uvicorn
from sqlalchemy.orm import Session

from bakery_service import demo
from bakery_service.app import create_app
from bakery_service.history import CATALOG, KINDS, VERSION
from bakery_service.models import Bake, Base
from bakery_service.transfer import Limits

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


class Bakery:
    """A service that runs, its database, and its files to try."""

    def __init__(self, url: str, engine: sa.Engine, folder: Path, files: Path) -> None:
        self.url = url
        self.folder = folder
        self.files = files
        self._engine = engine

    def count(self, model: type[Any] = Bake) -> int:
        with Session(self._engine) as session:
            return session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


@pytest.fixture
def bakery(new_sqlite: NewEngine, tmp_path: Path) -> Iterator[Bakery]:
    """A service on a socket, with what the demonstration begins with."""
    engine, folder, files = new_sqlite(), tmp_path / "imports", tmp_path / "files"
    files.mkdir()
    for name, content in demo.samples(demo.BRANCH).items():
        (files / name).write_bytes(content)
    Base.metadata.create_all(engine)
    history = histio.History(engine, *KINDS, catalog=CATALOG, version=VERSION, values={"branch": demo.BRANCH})
    history.import_document(demo.year(demo.BRANCH), catalog="create")
    url = engine.url.set(drivername="sqlite+aiosqlite").render_as_string()
    app = create_app(url, demo.BRANCH, Limits(size=2**20), folder, demo.samples(demo.BRANCH))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    yield Bakery(f"http://{host}:{port}", engine, folder, files)
    server.should_exit = True
    thread.join()
