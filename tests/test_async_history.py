"""The history of an application that uses asyncio: on every driver what `History` is on every database."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import inspect
import json
import re
import subprocess
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from histio import (
    AsyncHistory,
    BindingError,
    DocumentError,
    ExportError,
    History,
    NotConfiguredError,
    is_conflict,
)
from histio.database.dialects import row_fault, set_up
from histio.models import FinishedUnit, ProductionConsumption, ProductionRun, Recipe
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.databases import stocked
from tests.support.loops import in_a_loop
from tests.support.reports import codes_of, outcomes, rows

DRIVERS = ["sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg", "mariadb+aiomysql"]
SERVERS = DRIVERS[1:]
GOOD_AND_BAD = document(production_run(1), production_run(2, recipe_slug="gone"), assembly=[assembly_run(1)])
MANY = document(*(production_run(n) for n in range(1, 501)))


@pytest.fixture(params=DRIVERS)
def driver(request):
    return request.param


@pytest.fixture
def engine(databases, driver):
    """The database as others see it, with a catalog and no runs."""
    return stocked(databases(driver.partition("+")[0]))


@pytest.fixture
def url(engine, driver):
    return engine.url.set(drivername=driver)


@contextlib.asynccontextmanager
async def connected(url, **options):
    """An AsyncEngine as an application makes it."""
    engine = create_async_engine(url, **options)
    try:
        yield engine
    finally:
        await engine.dispose()


async def all_returned(pool):
    """Wait until no connection is in use; what the garbage collector closes is closed a little later."""
    while pool.checkedout():  # noqa: ASYNC110 - a pool tells of no event
        await asyncio.sleep(0.01)


# --- what it has ---------------------------------------------------------------------------------------

INTERNAL = {"bound", "from_bound"}
SYNCHRONOUS = {"export_parts", "import_parts"}
METHODS = sorted(
    name for name in vars(History) if not name.startswith("_") and name not in INTERNAL | SYNCHRONOUS
)


def options_of(member):
    """Name, kind and default of each parameter; types differ in what they call sessions."""
    if isinstance(member, property):
        return []
    return [(each.name, each.kind, each.default) for each in inspect.signature(member).parameters.values()]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_the_options_of_the_one_that_is_not_awaited(name):
    assert options_of(getattr(AsyncHistory, name)) == options_of(getattr(History, name))


@pytest.mark.parametrize("name", METHODS)
def test_every_docstring_explains_the_same_options_and_errors(name):
    own, other = (
        inspect.getdoc(getattr(each, name)).partition("\nArgs:") for each in (AsyncHistory, History)
    )
    sync = {
        "AsyncSession,": "Session,",
        "async_scoped_session": "scoped_session",
        "AsyncConnection": "Connection",
    }
    assert [sync.get(word, word) for word in own[2].split()] == other[2].split()
    assert own[0].partition("\n")[0] == other[0].partition("\n")[0]


# --- binds ---------------------------------------------------------------------------------------------


@in_a_loop
async def test_the_report_of_an_update_has_its_changes(url):
    async with connected(url) as engine:
        history = AsyncHistory(engine)
        await history.import_document(document(production_run(1)))
        given = document(production_run(1, notes="new"))
        report = await history.import_document(given, on_duplicate="update", dry_run=True)
    [revision] = report.revisions
    assert (revision.pointer, revision.stored, revision.given) == ("/notes", "Test batch", "new")


@pytest.mark.slow
@in_a_loop
async def test_what_comes_in_goes_out_again_as_it_was(url):
    given = document(production_run(1), production_run(2), assembly=[assembly_run(1)])
    async with AsyncHistory(url) as history:
        assert outcomes(await history.import_document(given)) == (3, 0, 0)
        exported = await history.export_document()
        assert exported | {"exported_at": given["exported_at"]} == given
        assert (history.kinds, history.json_schema()) == (History().kinds, History().json_schema())
        assert history.json_schema(openapi=True) == History().json_schema(openapi=True)
        assert outcomes(await history.import_document(exported, on_duplicate="verify")) == (0, 3, 0)


@pytest.mark.parametrize(
    "bound",
    [
        lambda engine: engine,
        async_sessionmaker,
        lambda engine: engine.url.render_as_string(hide_password=False),
        lambda engine: engine.url,
    ],
    ids=["engine", "sessionmaker", "url", "URL"],
)
@in_a_loop
async def test_a_database_of_its_own_is_committed(engine, url, bound):
    async with connected(url) as own, AsyncHistory(bound(own)) as history:
        assert outcomes(await history.import_document(GOOD_AND_BAD)) == (2, 0, 1)
        assert rows(engine) == 1
        assert len((await history.export_document())["production_runs"]) == 1
        assert own.pool.checkedout() == 0


async def as_it_is(session):
    return session


async def scoped(session):
    return async_scoped_session(lambda: session, asyncio.current_task)


async def its_connection(session):
    return await session.connection()


@pytest.mark.slow
@pytest.mark.parametrize("borrow", [as_it_is, scoped, its_connection])
@in_a_loop
async def test_what_is_handed_over_is_used_and_not_committed(engine, url, borrow):
    async with connected(url) as own, AsyncSession(own) as session:
        lent = await borrow(session)
        assert outcomes(await AsyncHistory(lent).import_document(GOOD_AND_BAD)) == (2, 0, 1)
        exported = await AsyncHistory(None).export_document(session=lent)
        assert len(exported["production_runs"]) == 1
        assert outcomes(await AsyncHistory(own).import_document(GOOD_AND_BAD, session=lent)) == (0, 2, 1)
        await session.rollback()
        assert rows(engine) == 0
        await AsyncHistory().import_document(GOOD_AND_BAD, session=session)
        await session.commit()
    assert rows(engine) == 1


@in_a_loop
async def test_a_scoped_session_is_asked_each_time(engine, url):
    async with connected(url) as own:
        registry = async_scoped_session(async_sessionmaker(own), asyncio.current_task)
        history = AsyncHistory(registry)
        await history.import_document(GOOD_AND_BAD)
        await registry.commit()
        await registry.remove()
        assert outcomes(await history.import_document(GOOD_AND_BAD)) == (0, 2, 1)
        assert registry().in_transaction()
        await registry.remove()
    assert rows(engine) == 1


@in_a_loop
async def test_a_sessionmaker_inside_a_test_transaction_stays_inside_it(engine, url):
    async with connected(url) as own:
        set_up(own.sync_engine)
        async with own.connect() as connection:
            outer = await connection.begin()
            maker = async_sessionmaker(connection, join_transaction_mode="create_savepoint")
            assert outcomes(await AsyncHistory(maker).import_document(GOOD_AND_BAD)) == (2, 0, 1)
            assert len((await AsyncHistory(maker).export_document())["production_runs"]) == 1
            await outer.rollback()
    assert rows(engine) == 0


@pytest.mark.parametrize("options", [{}, {"dry_run": True}, {"atomic": True}])
@in_a_loop
async def test_unflushed_work_of_the_caller_survives_every_failure(engine, url, options):
    async with connected(url) as own, AsyncSession(own) as session:
        session.add(Recipe(name="New", slug="new"))
        given = document(production_run(1), production_run(2, recipe_slug="gone"))
        report = await AsyncHistory().import_document(given, session=session, **options)
        with pytest.raises(DocumentError, match="version"):
            await AsyncHistory().import_document({"version": "9.0"}, session=session)
        await session.commit()
    assert rows(engine) == report.imported * (not report.dry_run)
    assert rows(engine, Recipe) == 3


@in_a_loop
async def test_a_catalog_is_created_and_updated(engine, url):
    given = document(production_run(1, recipe_slug="cake")) | {"recipes": [{"slug": "cake", "name": "Cake"}]}
    async with AsyncHistory(url) as history:
        assert [each.code for each in await history.check(given)] == ["unknown-reference"]
        assert await history.check(given, catalog="create") == []
        assert outcomes(await history.import_document(given, catalog="create")) == (1, 0, 0)
        report = await history.import_document(given, catalog="update")
        assert report.catalog["recipe"].skipped == 1
    assert rows(engine, Recipe) == 3


@pytest.mark.slow
@in_a_loop
async def test_rollback_means_rollback_on_an_engine_that_sqlalchemy_made(engine, url):
    async with connected(url) as own:
        async with AsyncSession(own) as session:
            await AsyncHistory(session).import_document(GOOD_AND_BAD)
            await session.rollback()
        async with own.connect() as connection:
            await AsyncHistory(connection).import_document(GOOD_AND_BAD)
            await connection.rollback()
        await AsyncHistory(own).import_document(GOOD_AND_BAD, dry_run=True)
    assert rows(engine) == 0


@in_a_loop
async def test_foreign_keys_are_enforced_on_an_engine_of_its_own(engine, url):
    async with AsyncHistory(url) as history:
        await history.import_document(document(production_run()))
        async with AsyncSession(history._engine) as session:
            with pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign key"):
                await session.execute(sa.delete(FinishedUnit))
    assert rows(engine, FinishedUnit) == 2


@in_a_loop
async def test_autocommit_is_refused(engine, url):
    async with connected(url, isolation_level="AUTOCOMMIT") as own, own.connect() as connection:
        for bind in (own, connection):
            with pytest.raises(BindingError, match="AUTOCOMMIT"):
                await AsyncHistory(bind).import_document(document(production_run()))
        async with connected(url) as plain:
            bind = plain.execution_options(isolation_level="AUTOCOMMIT")
            with pytest.raises(BindingError, match="AUTOCOMMIT"):
                await AsyncHistory(bind).import_document(document(production_run()))
    assert rows(engine) == 0


@pytest.mark.parametrize("wrong", [lambda engine: engine, Session, sessionmaker, scoped_session])
@in_a_loop
async def test_what_is_not_for_asyncio_is_sent_to_history(sqlite, wrong):
    with pytest.raises(BindingError, match="is not for asyncio: use History"):
        AsyncHistory(wrong(sqlite))
    with pytest.raises(BindingError, match="is not for asyncio: use History"):
        await AsyncHistory().export_document(session=wrong(sqlite))
    with pytest.raises(BindingError, match="is not for asyncio: name an asyncio driver, or use History"):
        AsyncHistory(sqlite.url)


@pytest.mark.parametrize("wrong", [lambda own: own, AsyncSession, async_sessionmaker, lambda own: own.url])
@in_a_loop
async def test_what_is_for_asyncio_is_sent_to_async_history(sqlite, wrong):
    async with connected(sqlite.url.set(drivername="sqlite+aiosqlite")) as own:
        with pytest.raises(BindingError, match="is for asyncio: use AsyncHistory"):
            History(wrong(own))


@in_a_loop
async def test_a_session_for_asyncio_is_no_session_of_a_history(sqlite):
    async with connected(sqlite.url.set(drivername="sqlite+aiosqlite")) as own, AsyncSession(own) as session:
        with pytest.raises(BindingError, match="is for asyncio: use AsyncHistory"):
            History(sqlite).export_document(session=session)


@pytest.mark.parametrize("bad", [object(), 5, AsyncSession])
def test_what_is_no_database_is_refused(bad):
    with pytest.raises(BindingError, match="a URL, AsyncEngine"):
        AsyncHistory(bad)


@in_a_loop
async def test_a_connection_that_is_not_open_is_refused(sqlite):
    async with connected(sqlite.url.set(drivername="sqlite+aiosqlite")) as own:
        with pytest.raises(BindingError, match="the AsyncConnection is not open"):
            await AsyncHistory(own.connect()).export_document()


@in_a_loop
async def test_without_a_database_every_call_needs_a_session():
    with pytest.raises(NotConfiguredError, match="has no database"):
        await AsyncHistory().export_document()


@pytest.mark.slow
def test_without_greenlet_only_async_history_is_missing(tmp_path):
    (tmp_path / "greenlet.py").write_text("raise ImportError('no greenlet')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import histio; histio.AsyncHistory()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert re.search(r"ImportError: AsyncHistory needs greenlet: pip install .*\[asyncio\]", done.stderr)


# --- imports -------------------------------------------------------------------------------------------


@in_a_loop
async def test_a_dry_run_writes_nothing_and_reports_the_same(engine, url):
    async with AsyncHistory(url) as history:
        trial = await history.import_document(GOOD_AND_BAD, dry_run=True)
        assert rows(engine) == 0
        assert outcomes(trial) == outcomes(await history.import_document(GOOD_AND_BAD))


@pytest.mark.slow
@in_a_loop
async def test_an_import_is_taken_back(engine, url, tmp_path):
    receipt = tmp_path / "receipt.jsonl"
    async with AsyncHistory(url) as history:
        await history.import_document(document(production_run(1)))
        await history.import_document(MANY, on_duplicate="update", receipt=receipt)
        changed = document(production_run(2, notes="new"))
        await history.import_document(changed, on_duplicate="update", receipt=receipt)
        tried = await history.undo(receipt, dry_run=True)
        assert (tried.removed, rows(engine)) == (499, 500)
        report = await history.undo(receipt)
        assert (report.removed, report.restored, report.problems, rows(engine)) == (499, 0, (), 1)


@in_a_loop
async def test_only_the_chosen_kinds_are_imported(engine, url, tmp_path):
    path = tmp_path / "both.json"
    path.write_text(json.dumps(GOOD_AND_BAD))
    async with AsyncHistory(url) as history:
        assert outcomes(await history.import_document(GOOD_AND_BAD, kinds="assembly_run")) == (1, 0, 0)
        assert rows(engine) == 0
        assert outcomes(await history.import_file(path, kinds=["production_run"])) == (1, 0, 1)


@in_a_loop
async def test_the_catalog_is_exported_with_the_runs(engine, url, tmp_path):
    History(engine).import_document(document(production_run(1)))
    async with AsyncHistory(url) as history:
        found = await history.export_document(catalog="used")
        report = await history.export_file(tmp_path / "all.jsonl", catalog="all")
    assert found == History(engine).export_document(catalog="used") | {"exported_at": found["exported_at"]}
    assert [row["slug"] for row in found["recipes"]] == ["cookies"]
    assert report.catalog["recipe"] == 2


@in_a_loop
async def test_several_files_are_one_import(engine, url, tmp_path):
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path, given in zip(paths, (GOOD_AND_BAD, document(production_run(3))), strict=True):
        path.write_text(json.dumps(given))
    async with AsyncHistory(url) as history:
        report = await history.import_file(paths)
    assert (outcomes(report), rows(engine)) == ((3, 0, 1), 2)
    assert report.problems[0].file == str(paths[0])


@in_a_loop
async def test_atomic_is_all_or_nothing(engine, url):
    async with AsyncHistory(url) as history:
        assert outcomes(await history.import_document(GOOD_AND_BAD, atomic=True)) == (0, 0, 1)
        assert rows(engine) == 0
        renamed = {"recipe_slug": {"gone": "cookies"}}
        assert outcomes(await history.import_document(GOOD_AND_BAD, atomic=True, rename=renamed)) == (3, 0, 0)
    assert rows(engine) == 2


@pytest.mark.parametrize(
    ("on_duplicate", "end", "codes"),
    [("skip", (1, 1, 0), []), ("error", (1, 0, 1), ["duplicate"]), ("verify", (1, 0, 1), ["conflict"])],
)
@in_a_loop
async def test_known_runs_are_dealt_with_as_the_caller_wishes(url, on_duplicate, end, codes):
    async with AsyncHistory(url) as history:
        await history.import_document(document(production_run(1)))
        given = document(production_run(1, num_batches=7), production_run(2))
        report = await history.import_document(given, on_duplicate=on_duplicate)
    assert outcomes(report) == end
    assert [problem.code for problem in report.problems] == codes


@in_a_loop
async def test_check_names_what_is_wrong_and_writes_nothing(engine, url):
    async with AsyncHistory(url) as history:
        found = await history.check(GOOD_AND_BAD)
        assert codes_of(found) == [("/production_runs/1/recipe_slug", "unknown-reference")]
        assert await history.check(GOOD_AND_BAD, rename={"recipe_slug": {"gone": "cookies"}}) == []
    assert rows(engine) == 0


UNLUCKY = "CREATE UNIQUE INDEX unlucky ON production_runs (num_batches, actual_yield)"
NO_LONGER = {"mariadb": "DROP INDEX unlucky ON production_runs"}


@pytest.fixture
def ruled(engine):
    """A database with a rule of which histio knows nothing."""
    with engine.begin() as connection:
        connection.exec_driver_sql(UNLUCKY)
    yield engine
    with engine.begin() as connection:
        connection.execute(sa.delete(ProductionConsumption))
        connection.execute(sa.delete(ProductionRun))
        connection.exec_driver_sql(NO_LONGER.get(engine.dialect.name, "DROP INDEX unlucky"))


@pytest.mark.slow
@in_a_loop
async def test_a_constraint_is_pinned_to_the_run_that_breaks_it(ruled, url):
    runs = [production_run(n, num_batches=n) for n in range(1, 41)]
    runs[30]["num_batches"] = 1
    async with AsyncHistory(url) as history:
        report = await history.import_document(document(*runs))
    assert outcomes(report) == (39, 0, 1)
    assert codes_of(report.problems) == [("/production_runs/30", "constraint")]
    assert rows(ruled) == 39


@in_a_loop
async def test_a_constraint_leaves_a_session_that_was_handed_over_usable(ruled, url):
    runs = [production_run(n) for n in (1, 2)]
    async with connected(url) as own, AsyncSession(own) as session:
        session.add(Recipe(name="New", slug="new"))
        report = await AsyncHistory(session).import_document(document(*runs))
        assert codes_of(report.problems) == [("/production_runs/1", "constraint")]
        await session.commit()
    assert (rows(ruled), rows(ruled, Recipe)) == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("driver", SERVERS, indirect=True)
@in_a_loop
async def test_a_run_that_another_client_writes_meanwhile_is_a_duplicate(engine, url):
    given, written = document(*(production_run(n) for n in (1, 2, 3))), []

    def rival(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO production_runs") and not written:
            written.append(History(engine).import_document(document(production_run(2))))

    async with connected(url) as own:
        sa.event.listen(own.sync_engine, "before_cursor_execute", rival)
        report = await AsyncHistory(own).import_document(given, on_duplicate="error")
    assert outcomes(report) == (2, 0, 1)
    assert codes_of(report.problems) == [("/production_runs/1/uuid", "duplicate")]


@in_a_loop
async def test_of_two_imports_at_once_one_imports_and_the_other_skips(engine, url):
    given = document(*(production_run(n) for n in range(1, 21)))
    async with AsyncHistory(url) as history:
        reports = await asyncio.gather(*(history.import_document(given) for _ in range(2)))
    assert sorted(map(outcomes, reports)) == [(0, 20, 0), (20, 0, 0)]
    assert rows(engine) == 20


KILL = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
    "mariadb": ("SELECT connection_id()", "KILL {}"),
}


@pytest.mark.parametrize("driver", SERVERS, indirect=True)
@in_a_loop
async def test_a_killed_connection_is_raised_and_nothing_is_written(engine, url):
    who, kill = KILL[engine.dialect.name]

    def murder(connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO production_consumptions"):
            victim = connection.exec_driver_sql(who).scalar_one()
            with engine.connect() as other:
                other.exec_driver_sql(kill.format(victim))

    async with connected(url) as own:
        sa.event.listen(own.sync_engine, "before_cursor_execute", murder)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            await AsyncHistory(own).import_document(document(production_run()))
        sa.event.remove(own.sync_engine, "before_cursor_execute", murder)
        assert caught.value.connection_invalidated
        assert outcomes(await AsyncHistory(own).import_document(document(production_run(2)))) == (1, 0, 0)
    assert rows(engine) == 1


@pytest.mark.parametrize("driver", SERVERS, indirect=True)
@in_a_loop
async def test_a_deadlock_is_raised_and_no_runs_fault(engine, url):
    History(engine).import_document(document(production_run(1), production_run(2)))
    locks = [
        sa.select(ProductionRun.id).where(ProductionRun.uuid == number(n)).with_for_update() for n in (1, 2)
    ]
    arrived = [asyncio.Event(), asyncio.Event()]

    async def take(own, first, second):
        async with own.connect() as connection:
            await connection.execute(locks[first])
            arrived[first].set()
            await arrived[second].wait()
            await connection.execute(locks[second])

    async with connected(url) as own:
        ended = await asyncio.gather(take(own, 0, 1), take(own, 1, 0), return_exceptions=True)
    (error,) = [error for error in ended if error is not None]
    assert re.search("(?i)deadlock", str(error))
    assert is_conflict(error)
    with engine.connect() as connection:
        assert row_fault(error, [], connection) is None


@pytest.mark.parametrize("driver", SERVERS, indirect=True)
@in_a_loop
async def test_a_number_too_large_is_the_rows_own_fault(engine, url):
    History(engine).import_document(document(production_run()))
    async with connected(url) as own, own.connect() as connection:
        with pytest.raises(sa.exc.DBAPIError) as caught:
            await connection.execute(sa.update(ProductionRun).values(num_batches=2**40))
    with engine.connect() as connection:
        assert re.search("out of", row_fault(caught.value, [], connection), re.IGNORECASE)


@in_a_loop
async def test_a_commit_that_finds_sqlite_locked_is_raised_and_leaves_no_transaction_behind(sqlite):
    url = sqlite.url.set(drivername="sqlite+aiosqlite")
    async with connected(url, connect_args={"timeout": 0.1}) as own:
        history = AsyncHistory(own)
        with sqlite.connect() as reader:
            reading = reader.execute(sa.text("SELECT id FROM recipes"))
            with pytest.raises(sa.exc.OperationalError, match="locked"):
                await history.import_document(document(production_run(1)))
            reading.close()
        assert outcomes(await history.import_document(document(production_run(2)))) == (1, 0, 0)
    assert [run["uuid"] for run in History(sqlite).iter_runs("production_run")] == [number(2)]


# Its driver waits for the lock in a thread, which nobody can cancel.
IMPATIENT = {"sqlite": {"connect_args": {"timeout": 1}}}


@in_a_loop
async def test_a_cancelled_import_writes_nothing_and_gives_its_connection_back(engine, url):
    given = document(*(production_run(n) for n in (1, 2, 3)))
    async with connected(url, **IMPATIENT.get(engine.dialect.name, {})) as own:
        with engine.connect() as other:
            History(other).import_document(document(production_run(2)))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(AsyncHistory(own).import_document(given), 0.5)
            other.rollback()
        assert own.pool.checkedout() == 0
        assert rows(engine) == 0
        assert outcomes(await AsyncHistory(own).import_document(given)) == (3, 0, 0)


# --- files ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runs.jsonl.zst", "runs.json"])
@in_a_loop
async def test_files_go_out_and_come_in_as_with_history(engine, url, tmp_path, name):
    calls = []
    async with AsyncHistory(url) as history:
        await history.import_document(document(production_run(1), assembly=[assembly_run(1)]))
        written = await history.export_file(tmp_path / name, progress=calls.append)
        assert (written.by_kind, calls[-1].runs) == ({"production_run": 1, "assembly_run": 1}, 2)
        assert written.sha256 == History(engine).export_file(tmp_path / f"sync-{name}").sha256
        later = await history.export_file(tmp_path / f"later-{name}", differs_from=tmp_path / name)
        assert (later.exported, later.unchanged) == (0, 2)
        assert outcomes(await history.import_file(tmp_path / name, on_duplicate="verify")) == (0, 2, 0)
        with engine.begin() as connection:
            connection.execute(sa.delete(ProductionRun))
        report = await history.import_file(
            tmp_path / name, commit_every=1, rejects=tmp_path / "rejects.jsonl"
        )
        assert outcomes(report) == (1, 1, 0)
        assert rows(engine) == 1


@in_a_loop
async def test_commits_in_a_session_that_was_handed_over_are_the_callers(url, tmp_path):
    async with connected(url) as own, AsyncSession(own) as session:
        with pytest.raises(ValueError, match="a session that was handed over"):
            await AsyncHistory(session).import_file(tmp_path / "none.jsonl", commit_every=1)


# --- iter_runs -----------------------------------------------------------------------------------------


@in_a_loop
async def test_runs_come_page_by_page_and_the_connection_goes_back(engine, url):
    History(engine).import_document(MANY)
    async with connected(url) as own:
        history = AsyncHistory(own)
        uuids = [run["uuid"] async for run in history.iter_runs("production_run")]
        assert own.pool.checkedout() == 0
        criterion = ProductionRun.uuid > number(490)
        some = [run["uuid"] async for run in history.iter_runs("production_run", where=criterion)]
    assert uuids == [number(n) for n in range(1, 501)]
    assert some == uuids[490:]


@in_a_loop
async def test_other_work_is_done_between_two_runs(engine, url):
    History(engine).import_document(MANY)
    history = AsyncHistory(url)
    async with history, contextlib.aclosing(history.iter_runs("production_run")) as runs:
        given = document(await anext(runs))
        assert outcomes(await history.import_document(given, dry_run=True)) == (0, 1, 0)
        assert (await anext(runs))["uuid"] == number(2)


@in_a_loop
async def test_an_iterator_that_is_closed_early_gives_its_connection_back(engine, url):
    History(engine).import_document(MANY)
    async with connected(url) as own:
        async with contextlib.aclosing(AsyncHistory(own).iter_runs("production_run")) as runs:
            assert (await anext(runs))["uuid"] == number(1)
            assert own.pool.checkedout() == 1
        assert own.pool.checkedout() == 0


@in_a_loop
async def test_an_iterator_that_an_exception_leaves_behind_gives_its_connection_back(engine, url):
    History(engine).import_document(MANY)

    async def fail(history):
        async for _ in history.iter_runs("production_run"):
            raise KeyError("mine")

    async with connected(url) as own:
        with pytest.raises(KeyError, match="mine"):
            await fail(AsyncHistory(own))
        await asyncio.wait_for(all_returned(own.pool), 10)


@in_a_loop
async def test_runs_before_one_that_cannot_be_exported_are_given_out(engine, url):
    History(engine).import_document(document(*(production_run(n) for n in (1, 2, 3))))
    with engine.begin() as connection:
        second = sa.update(ProductionRun).where(ProductionRun.uuid == number(2))
        connection.execute(second.values(produced_at=dt.datetime(900, 1, 1)))  # noqa: DTZ001 - stored naive
    async with AsyncHistory(url) as history:
        runs = history.iter_runs("production_run")
        assert [(await anext(runs))["uuid"] for _ in range(2)] == [number(1), number(3)]
        with pytest.raises(ExportError, match=number(2)):
            await anext(runs)


@pytest.mark.slow
@in_a_loop
async def test_runs_that_cannot_be_exported_may_be_left_out(engine, url, tmp_path):
    History(engine).import_document(document(*(production_run(n) for n in (1, 2, 3))))
    with engine.begin() as connection:
        second = sa.update(ProductionRun).where(ProductionRun.uuid == number(2))
        connection.execute(second.values(produced_at=dt.datetime(900, 1, 1)))  # noqa: DTZ001 - stored naive
    async with AsyncHistory(url) as history:
        report = await history.export_file(tmp_path / "runs.jsonl", on_unreadable="skip")
    assert (report.exported, report.skipped, report.problems[0].uuid) == (2, 1, number(2))


@pytest.mark.slow
@in_a_loop
async def test_an_exact_export_refuses_what_is_read_otherwise(sqlite, tmp_path):
    History(sqlite).import_document(document(production_run(1)))
    with sqlite.begin() as connection:
        connection.exec_driver_sql("UPDATE production_runs SET per_unit_cost = 5 / 3.0")
    async with AsyncHistory(sqlite.url.set(drivername="sqlite+aiosqlite")) as history:
        report = await history.export_file(tmp_path / "runs.jsonl")
        assert (report.warnings[0].code, report.warning_count) == ("precision", 1)
        for export in (
            lambda: history.export_file(tmp_path / "exact.jsonl", exact=True),
            lambda: history.export_document(exact=True),
            lambda: anext(history.iter_runs("production_run", exact=True)),
        ):
            with pytest.raises(ExportError, match=r"stored as 1\.6666666666666667 and read as 1\.6667"):
                await export()


@in_a_loop
async def test_runs_are_read_in_a_session_that_was_handed_over(url):
    async with connected(url) as own, AsyncSession(own) as session:
        history = AsyncHistory(session)
        await history.import_document(document(production_run()))
        assert [run["uuid"] async for run in history.iter_runs("production_run")] == [number(1)]
        assert session.in_transaction()


def test_a_kind_that_is_none_is_refused_at_once(sqlite):
    with pytest.raises(ValueError, match="no such kind"):
        AsyncHistory().iter_runs("bake")
