"""Fixtures of databases, and how tests run."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from hypothesis import settings
from sqlalchemy.engine import Engine

import histio
from histio.models import Base
from histio.tuning import tuned
from tests.support.databases import DIALECTS, Databases, Statements, stocked
from tests.support.effort import Effort, choose
from tests.support.tries import Figures


def pytest_addoption(parser: pytest.Parser) -> None:
    choices = [effort.value for effort in Effort]
    parser.addoption(
        "--effort", choices=choices, default=Effort.DEFAULT.value, help="How much the tests prove."
    )
    parser.addoption("--times", type=float, help="How many times the tries of tests/trust are made.")
    parser.addoption("--seed", type=int, default=1, help="The seed of the tries of tests/trust.")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(config.getoption("effort"))
    config.pluginmanager.register(Figures(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the effort does not ask for; tests that are named one by one run in any case."""
    if any("::" in argument for argument in config.invocation_params.args):
        return
    chosen = choose(items, Effort(config.getoption("effort")))
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Do not look for garbage during collection: it takes a third of the time, and finds nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()  # without gc.freeze(), which Hypothesis takes for objects that nobody refers to


@pytest.fixture
def tune() -> Iterator[Callable[..., None]]:
    """Changes attributes of `histio.tuning.Tuning` until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda **changes: stack.enter_context(tuned(**changes))


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.drop()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A SQLite database with a catalog, in which no test leaves anything."""
    engine = histio.create_engine(f"sqlite:///{tmp_path_factory.mktemp('shelf')}/shelf.db")
    Base.metadata.create_all(engine)
    yield stocked(engine)
    engine.dispose()


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(databases: Databases, dialect: str) -> Engine:
    """A database with a catalog and no runs; the test runs on every dialect."""
    return stocked(databases(dialect))


@pytest.fixture
def other_engine(databases: Databases, dialect: str) -> Engine:
    """A second database of the same dialect, with the same catalog."""
    return stocked(databases(dialect, 1))


@pytest.fixture
def sqlite(databases: Databases) -> Engine:
    """A SQLite database with a catalog and no runs, for what is the same everywhere."""
    return stocked(databases("sqlite"))


@pytest.fixture
def history(engine: Engine) -> histio.History:
    return histio.History(engine)


@pytest.fixture
def create(databases: Databases, dialect: str) -> Callable[..., Engine]:
    """Makes the tables of a host's own models in an empty database; the test runs on every dialect."""
    return databases.of_host(dialect)


@pytest.fixture
def sqlite_of(databases: Databases) -> Callable[..., Engine]:
    """Makes the tables of a host's own models in SQLite, for what is the same everywhere."""
    return databases.of_host("sqlite")


@pytest.fixture
def count_statements() -> Iterator[Callable[[Engine], Statements]]:
    listening: list[tuple[Engine, Callable[..., None]]] = []

    def count(engine: Engine) -> Statements:
        statements = Statements()

        def note(_connection, _cursor, statement, *_) -> None:
            statements.all.append(statement)

        sa.event.listen(engine, "before_cursor_execute", note)
        listening.append((engine, note))
        return statements

    yield count
    for engine, note in listening:
        sa.event.remove(engine, "before_cursor_execute", note)
