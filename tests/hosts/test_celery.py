"""Celery: what tasks and groups of tasks gave, as its database backend keeps it.

Results, arguments and children are bytes in whatever serialization the application has chosen, and travel
as bytes. A task that is not done has no time, so that no time orders tasks. MariaDB keeps whole seconds
of Celery's times.
"""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

import histio
from histio import Bytes, Integer, Text, UtcTimestamp, testing
from tests.hosts.journey import Host, move_by_scaffold, need, see, travel, whole_seconds

need("celery.backends.database.models")

from celery import Celery
from celery.backends.database.models import TaskExtended, TaskSet
from celery.result import GroupResult


# In docs/how-to/recipes.md:
class TaskSchema(histio.RunSchema):
    class Meta:
        model, kind, collection = TaskExtended, "task", "tasks"
        timestamp = None  # a task that is not done has no date_done
        identity = "task_id"

    task_id = Text(required=True)
    name = Text(allow_none=True)
    status = Text(allow_none=True)
    args = Bytes(allow_none=True)
    kwargs = Bytes(allow_none=True)
    result = Bytes(allow_none=True)
    traceback = Text(allow_none=True)
    children = Bytes(allow_none=True)
    date_done = UtcTimestamp(allow_none=True)
    worker = Text(allow_none=True)
    queue = Text(allow_none=True)
    retries = Integer(allow_none=True)
    stamps = Bytes(allow_none=True)


# So far docs/how-to/recipes.md.


class TaskSetSchema(histio.RunSchema):
    class Meta:
        model, kind, collection = TaskSet, "task_set", "task_sets"
        timestamp, identity = None, "taskset_id"

    taskset_id = Text(required=True)
    result = Bytes(allow_none=True)
    date_done = UtcTimestamp(allow_none=True)


DAY = dt.datetime(2025, 12, 9)  # noqa: DTZ001 - as Celery keeps it


def application(url):
    app = Celery("host", backend=f"db+{url}", set_as_current=False)
    # Tasks run at once, and store what they give as workers do.
    app.conf.update(result_extended=True, task_always_eager=True, task_store_eager_result=True)
    return app


def add(x, y):
    return x + y


def fill(url):
    app = application(url)
    task = app.task(name="add")(add)
    task.apply((1, 2.5), task_id="adds")
    task.apply(("ä",), {"y": 1}, task_id=" is wrong\n")
    app.backend.store_result("is not done", None, "STARTED")
    GroupResult("a group", [app.AsyncResult("adds"), app.AsyncResult("is not done")], app=app).save()


def create(url):
    return application(url).backend.ResultSession().get_bind()


def seen(url):
    app = application(url)
    results = [app.AsyncResult(name) for name in ("adds", " is wrong\n", "is not done", "never heard of")]
    group = GroupResult.restore("a group", app=app)
    return {
        "results": [
            [result.state, repr(result.result), result.traceback, result.date_done, result.name]
            for result in results
        ],
        "requests": [
            [result.args, result.kwargs, result.worker, result.retries, result.queue] for result in results
        ],
        "group": [group.id, group.completed_count(), [result.id for result in group]],
    }


HOST = Host(
    kinds=(TaskSchema, TaskSetSchema),
    create=create,
    fill=fill,
    seen=seen,
    options={"truncate_times": True},
)


@pytest.fixture(scope="module")
def stops(new_database, tmp_path_factory):
    yield from travel(HOST, new_database, tmp_path_factory.mktemp("celery"))


def test_all_results_arrive_everywhere(stops):
    assert [(stop.report.imported, stop.report.problems) for stop in stops[1:]] == [(4, ())] * 3


def test_every_database_exports_the_same_but_for_the_digits_of_seconds_that_mariadb_does_not_keep(stops):
    sqlite, postgresql, mariadb, back = (stop.file for stop in stops)
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def test_celery_gives_the_same_results_everywhere(stops):
    sqlite, postgresql, mariadb, back = (stop.seen for stop in stops)
    assert "TypeError" in sqlite
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def make_runs(session, count):
    for _ in range(count):
        name = uuid.uuid4().hex
        session.add(task := TaskExtended(name))
        task.status, task.result, task.date_done = "SUCCESS", name.encode(), DAY


def test_the_binding_keeps_what_histio_promises(stops):
    for stop in stops[1:3]:  # SQLite, the fastest, is left to the tests of the kit
        testing.check_host(stop.history, make_runs=make_runs)


def test_what_histio_scaffolds_moves_everything(stops, new_database):
    assert move_by_scaffold(HOST, stops[0], new_database, TaskExtended, TaskSet) == see(HOST, stops[0].url)


def test_celery_goes_on_where_the_history_arrived(stops):
    for stop in stops:
        app = application(stop.url)
        app.task(name="add")(add).apply((2, 3), task_id="new")
        assert app.AsyncResult("new").result == 5
