"""Tasks of asyncio that are cancelled at any moment, alone or several at once, or lose their connections."""

from __future__ import annotations

import asyncio
import io

import pytest
import sqlalchemy as sa

from histio import AsyncHistory, History, create_async_engine
from tests.support.bakery import document, production_run
from tests.support.databases import stocked
from tests.support.interrupted import IMPORTS, MORE, RUNS, check_is_whole, without_bad
from tests.support.reports import runs_by_uuid, stored

DRIVERS = ["sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg", "mariadb+aiomysql"]


def history_of(numbers):
    return document(*(production_run(n) for n in numbers))


@pytest.fixture(autouse=True)
def small_batches(tune):
    tune(batch=10, page=20)


class Cancelling:
    """Cancels the tasks that come to these statements."""

    def __init__(self, engine, places):
        self.count, self._places = 0, places
        sa.event.listen(engine.sync_engine, "before_cursor_execute", self)

    def __call__(self, *_):
        self.count += 1
        if self.count in self._places:
            asyncio.current_task().cancel()


async def run(url, places, *works):
    """Do some *works* at a time, of which some are cancelled; returns how many statements there were."""
    engine = create_async_engine(url)
    cancelling = Cancelling(engine, places)
    history = AsyncHistory(engine)
    ends = await asyncio.gather(*(work(history) for work in works), return_exceptions=True)
    errors = [end for end in ends if isinstance(end, BaseException)]
    assert [error for error in errors if not isinstance(error, asyncio.CancelledError)] == []
    assert len(errors) <= len(places)
    assert engine.pool.checkedout() == 0
    await engine.dispose()
    return cancelling.count


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_an_import_that_is_cancelled_leaves_whole_runs_and_no_connection(databases, tries, tmp_path, driver):
    dialect = driver.partition("+")[0]
    own = databases(dialect)
    url = own.url.set(drivername=driver)

    def begin(before):
        History(stocked(databases(dialect))).import_document(before)

    for each in tries(3):
        with each as chance:
            before, given, form, options = IMPORTS[chance.choice([*IMPORTS])]
            options = options | dict.fromkeys(options.keys() & {"rejects"}, tmp_path / "rejects.jsonl")

            def work(history, given=given, form=form, options=options):
                return history.import_file(io.BytesIO(form(given)), **options)

            begin(before)
            count = asyncio.run(run(url, [], work))
            after = stored(own)
            assert after == runs_by_uuid(before) | runs_by_uuid(without_bad(given))
            begin(before)
            asyncio.run(run(url, [chance.randint(1, count)], work))
            check_is_whole(stored(own), before, given, options.get("commit_every", len(RUNS) + len(MORE)))
            asyncio.run(run(url, [], work))
            assert stored(own) == after


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_imports_of_which_some_are_cancelled_do_not_disturb_the_others(databases, tries, driver):
    dialect = driver.partition("+")[0]
    own = databases(dialect)
    url = own.url.set(drivername=driver)
    parts = [history_of(range(start, start + 20)) for start in (100, 200, 300, 400)]
    works = [lambda history, part=part: history.import_document(part) for part in parts]
    for each in tries(2):
        with each as chance:
            stocked(databases(dialect))
            count = asyncio.run(run(url, [], *works))
            everything = stored(own)
            assert everything == {uuid: run for part in parts for uuid, run in runs_by_uuid(part).items()}
            stocked(databases(dialect))
            asyncio.run(run(url, [chance.randint(1, count) for _ in range(3)], *works))
            found = stored(own)
            assert [len(found.keys() & runs_by_uuid(part)) in {0, 20} for part in parts] == [True] * 4
            asyncio.run(run(url, [], *works))
            assert stored(own) == everything
