"""Imports with asyncio that are cancelled: at each statement, and at random moments beside others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import warnings

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from histio import AsyncHistory, History, ImportReport
from histio.database.dialects import set_up
from tests.support.bakery import document, production_run
from tests.support.databases import stocked
from tests.support.interrupted import IMPORTS, MORE, RUNS, check_is_whole, without_bad
from tests.support.loops import in_a_loop
from tests.support.reports import outcomes, rows, runs_by_uuid, stored

SERVERS = ["postgresql+asyncpg", "postgresql+psycopg", "mariadb+aiomysql"]
DRIVERS = ["sqlite+aiosqlite", *SERVERS]

# Some runs are rejected, so that batches are halved: savepoints are rolled back as well as released.
GIVEN = document(*(production_run(n, num_batches=n % 5) for n in range(5, 11)), production_run(6))


@contextlib.asynccontextmanager
async def connected(databases, driver):
    """A database and an AsyncEngine; in the end, no connection is used, and SQLAlchemy has not warned."""
    engine = stocked(databases(driver.partition("+")[0]))
    async with connected_to(engine.url.set(drivername=driver)) as own:
        yield engine, own


@contextlib.asynccontextmanager
async def connected_to(url):
    own = create_async_engine(url, pool_size=5, max_overflow=0)
    set_up(own.sync_engine)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gc.freeze()  # only what is made from here on is looked through
        yield own
        gc.collect()
        gc.unfreeze()
        await asyncio.sleep(0)
        assert own.pool.checkedout() == 0
        await own.dispose()
    assert [str(each.message) for each in warned if issubclass(each.category, sa.exc.SAWarning)] == []


@pytest.mark.parametrize("driver", DRIVERS)
@in_a_loop
async def test_an_import_that_is_cancelled_at_any_statement_writes_nothing(databases, driver):
    async with connected(databases, driver) as (engine, own):
        left = 0

        def cancel(*_):
            nonlocal left
            left -= 1
            if left == 0:
                asyncio.current_task().cancel()

        sa.event.listen(own.sync_engine, "before_cursor_execute", cancel)
        statements, end = 0, None
        while not isinstance(end, ImportReport):
            assert rows(engine) == 0
            left = statements = statements + 1
            task = asyncio.create_task(AsyncHistory(own).import_document(GIVEN))
            [end] = await asyncio.gather(task, return_exceptions=True)
            assert statements < 100  # psycopg may raise an AssertionError of its own
        assert outcomes(end) == (4, 1, 2)
        assert statements > 10


@pytest.mark.parametrize("driver", SERVERS)
def test_imports_side_by_side_that_are_cancelled_leave_the_others_alone(databases, driver, tries):
    async def attack(chance):
        async with connected(databases, driver) as (engine, own):
            history = AsyncHistory(own)
            given = [document(*(production_run(100 * part + n) for n in range(20))) for part in range(1, 9)]
            tasks = [asyncio.create_task(history.import_document(each)) for each in given]
            cancelled = chance.sample(tasks, 4)
            for task in cancelled:
                await asyncio.sleep(chance.random() / 20)
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            # A cancelled task may also end with an AssertionError of psycopg.
            others = [end for task, end in zip(tasks, ends, strict=True) if task not in cancelled]
            assert {type(end) for end in others} == {ImportReport}
            reported = sum(end.imported for end in ends if isinstance(end, ImportReport))
            # A cancellation may arrive during COMMIT, which cannot be withdrawn.
            assert (rows(engine) - reported) % 20 == 0
            assert rows(engine) >= reported

    for attempt in tries(5):
        with attempt as chance:
            asyncio.run(attack(chance))


async def run(url, place, work):
    """Do some *work* that is cancelled at one of its statements; returns how many there were."""
    async with connected_to(url) as own:
        count = 0

        def cancel(*_):
            nonlocal count
            count += 1
            if count == place:
                asyncio.current_task().cancel()

        sa.event.listen(own.sync_engine, "before_cursor_execute", cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.create_task(work(AsyncHistory(own)))
        return count


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_an_import_that_is_cancelled_leaves_whole_runs_and_can_be_repeated(
    databases, driver, tries, tmp_path, tune
):
    dialect = driver.partition("+")[0]
    own = databases(dialect)
    url = own.url.set(drivername=driver)

    def begin(before):
        History(stocked(databases(dialect))).import_document(before)

    tune(batch=10)
    for each in tries(1):
        with each as chance:
            before, given, form, options = IMPORTS[chance.choice([*IMPORTS])]
            options = options | dict.fromkeys(options.keys() & {"rejects"}, tmp_path / "rejects.jsonl")

            def work(history, given=given, form=form, options=options):
                return history.import_file(io.BytesIO(form(given)), **options)

            begin(before)
            count = asyncio.run(run(url, None, work))
            after = stored(own)
            assert after == runs_by_uuid(before) | runs_by_uuid(without_bad(given))
            begin(before)
            asyncio.run(run(url, chance.randint(1, count), work))
            check_is_whole(stored(own), before, given, options.get("commit_every", len(RUNS) + len(MORE)))
            asyncio.run(run(url, None, work))
            assert stored(own) == after
