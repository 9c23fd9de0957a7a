"""A conflict with another transaction is told from all other errors, so that callers can repeat an import."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import histio
from histio import AsyncHistory, History
from histio.database.dialects import set_up
from histio.models import ProductionRun
from tests.support.bakery import document, number, production_run
from tests.support.databases import stocked
from tests.support.reports import outcomes

IMPATIENT = {
    "sqlite": "PRAGMA busy_timeout = 100",
    "postgresql": "SET lock_timeout = 100",
    "mariadb": "SET innodb_lock_wait_timeout = 1",
}
SYNC = ["sqlite", "postgresql", "mariadb"]
ASYNC = ["sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg", "mariadb+aiomysql"]
GIVEN = document(production_run(1), production_run(2))


def impatient(engine):
    """An engine whose connections wait shortly for locks."""

    @sa.event.listens_for(engine, "connect")
    def _shorten(connection, _record):
        cursor = connection.cursor()
        cursor.execute(IMPATIENT[engine.dialect.name])
        cursor.close()
        connection.commit()

    return engine


@pytest.mark.parametrize("name", SYNC)
def test_an_import_that_waits_too_long_for_another_one_can_be_repeated(databases, name):
    engine = impatient(stocked(databases(name)))
    with engine.connect() as other:
        History(other).import_document(GIVEN)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            History(engine).import_document(GIVEN)
        other.rollback()
    assert histio.is_conflict(caught.value)
    assert outcomes(History(engine).import_document(GIVEN)) == (2, 0, 0)


@pytest.mark.parametrize("driver", ASYNC)
def test_with_asyncio_too(databases, driver):
    engine = stocked(databases(driver.partition("+")[0]))

    async def attempt():
        own = create_async_engine(engine.url.set(drivername=driver))
        set_up(own.sync_engine)
        impatient(own.sync_engine)
        try:
            await AsyncHistory(own).import_document(GIVEN)
        finally:
            await own.dispose()

    with engine.connect() as other:
        History(other).import_document(GIVEN)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            asyncio.run(attempt())
        other.rollback()
    assert histio.is_conflict(caught.value)


def test_two_transactions_that_cannot_be_serialized_are_a_conflict(databases):
    engine = stocked(databases("postgresql")).execution_options(isolation_level="SERIALIZABLE")
    History(engine).import_document(GIVEN)
    notes = sa.update(ProductionRun).values(notes="Changed").where(ProductionRun.uuid == number(1))
    with engine.connect() as one, engine.connect() as other:
        one.execute(sa.select(ProductionRun.uuid)).all()
        other.execute(notes)
        other.commit()
        with pytest.raises(sa.exc.DBAPIError) as caught:
            one.execute(notes)
        one.rollback()
    assert histio.is_conflict(caught.value)


@pytest.mark.parametrize("name", SYNC)
def test_no_other_error_is_a_conflict(databases, name):
    engine = stocked(databases(name))
    for statement in (
        "SELECT * FROM nowhere",
        "SELECT FROM FROM",
        "INSERT INTO recipes (slug) VALUES (NULL)",
    ):
        with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
            connection.exec_driver_sql(statement)
        assert not histio.is_conflict(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(1213),
        sa.exc.TimeoutError("the pool is exhausted"),
        sa.exc.InvalidRequestError("a transaction is already begun"),
        sa.exc.OperationalError("SELECT 1", {}, None),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_database_has_raised_is_no_conflict(error):
    assert not histio.is_conflict(error)
