"""What other processes are told about a history, and how tasks run there."""

import gc
import os
import signal
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

import histio
from histio import BindingError, History
from histio.schemas import ProductionRunSchema
from histio.tasks import open_workers
from histio.workers import pickle_history
from tests.support.shop import OrderSchema

HERE = "tests.test_workers"


def located():
    return History(sa.create_engine("sqlite:///located.db", connect_args={"timeout": 9}))


@pytest.fixture
def file(tmp_path):
    return f"sqlite:///{tmp_path}/bakery.db"


def names(bound):
    return [kind.name for kind in bound.all_kinds]


@pytest.mark.parametrize(
    "bind",
    [
        str,
        sa.make_url,
        histio.create_engine,
        sa.create_engine,
        lambda url: sessionmaker(sa.create_engine(url)),
    ],
    ids=["text", "url", "engine of histio", "engine", "sessionmaker"],
)
def test_another_process_opens_a_history_by_its_schemas_and_url(file, bind):
    found = pickle_history(History(bind(file)).bound).open()
    assert names(found) == names(History().bound)
    assert str(found.database.own_url) == file


def test_a_bound_schema_and_the_options_of_a_history_are_told(file):
    upgrades = {"1.0": dict}
    history = History(file, OrderSchema, version="2.0", upgrades=upgrades, values={"shop_id": 7})
    found = pickle_history(history.bound).open()
    assert (names(found), found.versions.upgrades, found.values) == (["order"], upgrades, {"shop_id": 7})
    bound = ProductionRunSchema.bind(histio.models.ProductionRun)
    assert names(pickle_history(History(file, bound).bound).open()) == ["production_run"]


def test_connections_are_closed_when_a_process_has_forgotten_the_history(tmp_path):
    urls = [f"sqlite:///{tmp_path}/{n}.db" for n in range(10)]
    closed = []
    for url in urls:
        engine = pickle_history(History(url).bound).open().database.find_engine()
        sa.event.listen(engine, "close", lambda *_, url=url: closed.append(url))
        engine.connect().close()
        del engine
    gc.collect()
    assert urls[0] in closed
    assert urls[-1] not in closed


def test_a_password_is_told_and_not_shown():
    told = pickle_history(History("postgresql+psycopg://me:secret@127.0.0.1/bakery").bound)
    assert "secret" not in repr(told)
    assert told.open().database.own_url.password == "secret"


def test_a_relative_path_is_told_as_an_absolute_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = pickle_history(History("sqlite:///bakery.db").bound)
    assert told.open().database.own_url.database == f"{tmp_path}/bakery.db"


def listening(engine):
    sa.event.listen(engine, "connect", lambda *_: None)
    return engine


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        (lambda _: None, "it has no database"),
        (lambda url: Session(sa.create_engine(url)), "its Session has a transaction"),
        (lambda _: "sqlite://", "in the memory of this one"),
        (lambda _: "sqlite:///:memory:", "in the memory of this one"),
        (lambda url: listening(sa.create_engine(url)), "listener of connect, .*location="),
        (lambda url: sa.create_engine(url, creator=lambda: None), "a creator"),
        (lambda url: sa.create_engine(url, connect_args={"timeout": 9}), "connect_args"),
        (lambda url: sa.create_engine(url, json_serializer=str), "a json_serializer"),
        (lambda url: sa.create_engine(url).execution_options(stream_results=True), "stream_results"),
        (lambda url: sessionmaker(sa.create_engine(url), info={"user": 7}), "the option info"),
        (lambda url: sessionmaker(sa.create_engine(url), class_=type("Own", (Session,), {})), "class Own"),
    ],
)
def test_what_a_url_does_not_say_needs_the_location_of_the_history(file, bind, why):
    with pytest.raises(BindingError, match=why):
        pickle_history(History(bind(file)).bound)


def test_a_value_that_cannot_be_pickled_needs_the_location_of_the_history(file):
    with pytest.raises(BindingError, match="location="):
        pickle_history(History(file, OrderSchema, values={"shop_id": lambda: 7}).bound)


def test_a_history_is_imported_from_its_location():
    history = History(listening(sa.create_engine("sqlite:///x.db")), location=f"{HERE}:located")
    assert pickle_history(history.bound).open().database.find_engine().url.database == "located.db"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("no_such_module:history", "ModuleNotFoundError"),
        (f"{HERE}:nothing", "AttributeError"),
        (f"{HERE}:HERE", "is a str, not a History"),
        ("tests.exporting.test_snapshot:HISTORY", "has no database"),
    ],
)
def test_a_location_without_the_history_is_an_error(location, why):
    with pytest.raises(BindingError, match=why):
        pickle_history(History(location=location).bound)


def square(number):
    return number * number


def die_once(path):
    """Kill the process the first time."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def fail(number):
    raise ValueError(number)


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_run_on_processes_of_this_machine(jobs):
    with open_workers(None, jobs) as workers:
        assert sorted(workers.run(square, [(n,) for n in range(5)])) == [(n, n * n) for n in range(5)]


def test_processes_have_the_environment_of_now(monkeypatch):
    for value in ("one", "two"):
        monkeypatch.setenv("HISTIO_TEST", value)
        with open_workers(None, 2) as workers:
            assert dict(workers.run(os.getenv, [("HISTIO_TEST",)])) == {0: value}


def test_tasks_run_on_an_executor_of_the_caller_which_is_left_open():
    with ThreadPoolExecutor(2) as executor:
        with open_workers(executor) as workers:
            assert sorted(workers.run(square, [(3,), (4,)])) == [(0, 9), (1, 16)]
        assert executor.submit(square, 2).result() == 4


def test_a_task_that_is_lost_with_its_process_is_repeated(tmp_path):
    with open_workers(None, 2) as workers:
        done = dict(workers.run(die_once, [(str(tmp_path / name),) for name in "abc"]))
    assert sorted(done) == [0, 1, 2]
    assert os.getpid() not in done.values()


def test_a_process_that_is_killed_between_two_tasks_is_replaced():
    with open_workers(None, 2) as workers:
        [(_, process)] = workers.run(os.getpid, [()])
        os.kill(process, signal.SIGKILL)
        time.sleep(0.3)  # until the others know it
        [(_, other)] = workers.run(os.getpid, [()], may_repeat=False)
        assert other != process


def test_a_task_that_may_not_be_repeated_is_an_error_when_it_is_lost(tmp_path):
    with open_workers(None, 2) as workers, pytest.raises(BrokenExecutor):
        list(workers.run(die_once, [(str(tmp_path / "a"),)], may_repeat=False))


def test_the_error_of_a_task_cancels_those_that_have_not_begun():
    with ThreadPoolExecutor(1) as executor, open_workers(executor) as workers:
        results = workers.run(fail, [(n,) for n in (1, 2, 3)])
        with pytest.raises(ValueError, match="1"):
            next(results)


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5, "2"])
def test_jobs_is_a_positive_integer(jobs):
    with pytest.raises(ValueError, match="jobs must be a positive integer"), open_workers(None, jobs):
        pass


def test_an_executor_is_one_of_concurrent_futures():
    with pytest.raises(TypeError, match="Executor"), open_workers("dask"):
        pass
