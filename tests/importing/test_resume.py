"""Imports that are killed, in one transaction or in many: what is there then, and how they go on."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import DocumentError, History
from tests.support import shop
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.databases import stocked
from tests.support.streams import FAULTY, FORMS, MOMENT, stream_of

PROGRAM = """
import collections, itertools, json, os, signal, sys
import sqlalchemy as sa
import histio
from tests.support import shop

task = json.loads(sys.argv[1])


def work(method, path, kill, options):
    seen = collections.Counter()

    def at(name):
        def step(*_):
            seen[name] += 1
            if [name, seen[name]] == kill:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    def commit(connection, commit, done):
        commit(connection)
        done()

    engine = histio.create_engine(task["url"])
    history = eval(task["history"])
    sa.event.listen(engine, "before_cursor_execute", at("before a statement"))
    sa.event.listen(engine, "after_cursor_execute", at("after a statement"))
    sa.event.listen(engine, "commit", at("before a commit"))
    do_commit, done = engine.dialect.do_commit, at("after a commit")
    engine.dialect.do_commit = lambda connection: commit(connection, do_commit, done)
    getattr(history, method)(path, **options)


def rows():
    engine = histio.create_engine(task["url"], poolclass=sa.NullPool)
    with engine.connect() as connection:
        counts = [sa.select(sa.func.count()).select_from(sa.table(table)) for table in task["tables"]]
        return list(map(connection.scalar, counts))


engine = None
eval(task["history"])  # what every attempt would find out again is found out once

ends = []
for kill, path, options in task["attempts"]:
    child = os.fork()
    if not child:
        work(task["method"], path, kill, options)
        os._exit(0)
    ends.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *rows()])
print(json.dumps(ends))
"""
"""Makes attempts in processes that kill themselves at certain moments; tells how each ended, with which rows.

A fork costs less than a new interpreter for each attempt.
"""

KILLED = -9
BUNDLED = "histio.History(engine)"
TABLES = ["production_runs", "production_consumptions", "assembly_runs"]


def attempts(engine, made, *, history=BUNDLED, tables=TABLES, method="import_file"):
    """How the attempts that are *made* end, each a moment to be killed at, a path and options."""
    task = {
        "url": engine.url.render_as_string(hide_password=False),
        "history": history,
        "method": method,
        "tables": tables,
        "attempts": made,
    }
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(task)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr[-900:] == ""
    return json.loads(found.stdout)


def some_moments(seed, count):
    """Moments in an import, so early that every import has them."""
    choice = random.Random(seed)
    names = ["before a statement", "after a statement"]
    return [[choice.choice(names), choice.randrange(1, 10)] for _ in range(count)]


def exported(history):
    file = io.BytesIO()
    history.export_file(file, exported_at=MOMENT)
    return file.getvalue()


# --- killed --------------------------------------------------------------------------------------------

RUNS = document(
    *(production_run(n) for n in range(1, 101)), assembly=[assembly_run(n) for n in range(101, 131)]
) | {"exported_at": "2025-12-09T12:00:00Z"}


@pytest.mark.cells(1)
@pytest.mark.slow
def test_an_import_that_is_killed_leaves_nothing_or_whole_parts_and_ends_as_if_it_had_not_been(
    databases, dialect, tmp_path
):
    engine = stocked(databases(dialect))
    path = tmp_path / "history.jsonl"
    path.write_bytes(stream_of(RUNS))
    at_once, in_parts = [str(path), {}], [str(path), {"commit_every": 20}]
    ends = attempts(
        engine,
        [
            *([moment, *at_once] for moment in some_moments(dialect, 1)),
            [["before a commit", 1], *at_once],
            *([moment, *in_parts] for moment in some_moments(dialect, 1)),
            [["before a commit", 1], *in_parts],
            [["after a commit", 1], *in_parts],
            [["before a commit", 2], *in_parts],
            [["after a commit", 2], *in_parts],
            *([moment, *in_parts] for moment in some_moments(dialect, 1)),
            [["before a commit", 3], *in_parts],
            [None, *in_parts],
        ],
    )
    assert ends == [
        *[[KILLED, 0, 0, 0]] * 4,
        [KILLED, 20, 20, 0],
        [KILLED, 40, 40, 0],
        [KILLED, 80, 80, 0],
        [KILLED, 80, 80, 0],
        [KILLED, 100, 100, 20],
        [0, 100, 100, 30],
    ]
    assert exported(History(engine)) == stream_of(RUNS)
    assert History(engine).import_file(path, on_duplicate="verify", commit_every=100).skipped == 130


def order(n, parent):
    return shop.order(
        n,
        placed_on=f"2025-12-{n % 28 + 1:02}",
        parent=number(parent) if parent else None,
        lines=[shop.line(1)],
        tags=["new"],
        shipment=None,
    )


# A chain to the end, each of the others to one a few lines later, and some to nothing.
ORDERS = [order(n, n + 1) for n in range(1, 20)] + [order(n, n % 3 and n + 4) for n in range(20, 57)]
OTHERS = [order(n, None) for n in range(57, 62)]


@pytest.mark.thorough
def test_runs_that_refer_to_later_ones_end_in_too(create, tmp_path):
    engine = create(shop.Base.metadata, *shop.catalog())
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(shop.orders(*ORDERS, *OTHERS)))
    moments = [
        *some_moments(7, 1),
        ["before a commit", 2],
        ["after a commit", 1],
        ["before a commit", 4],
        None,
    ]
    ends = attempts(
        engine,
        [[moment, str(path), {"commit_every": 7}] for moment in moments],
        history="histio.History(engine, shop.OrderSchema, values={'shop_id': 7})",
        tables=["orders", "lines"],
    )
    killed, orders, lines = zip(*ends, strict=True)
    assert killed == (KILLED, KILLED, KILLED, KILLED, 0)
    assert orders == lines == tuple(sorted(orders))
    assert 0 < orders[-2] < orders[-1] == 61
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    got = exported(history)
    again = create(shop.Base.metadata, *shop.catalog(), number=1)
    other = History(again, shop.OrderSchema, values={"shop_id": 7})
    assert other.import_file(path).imported == 61
    assert exported(other) == got


@pytest.mark.thorough
def test_an_export_that_is_killed_leaves_the_previous_file_and_none_under_its_name(sqlite, tmp_path):
    History(sqlite).import_document(RUNS)
    (tmp_path / "previous.jsonl").write_bytes(b"previous")
    made = [
        [moment, str(tmp_path / name), {"overwrite": True}]
        for moment in (["before a statement", 1], ["after a statement", 7])
        for name in ("previous.jsonl", "new.json")
    ]
    assert [end for end, *_ in attempts(sqlite, made, method="export_file")] == [KILLED] * 4
    assert (tmp_path / "previous.jsonl").read_bytes() == b"previous"
    assert [path.name for path in tmp_path.glob("*.json*")] == ["previous.jsonl"]


# --- in parts ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5])
def test_the_report_is_that_of_an_import_in_one_transaction(databases, size):
    reports = []
    for options in ({}, {"commit_every": size}):
        history = History(stocked(databases("sqlite")))
        report = history.import_file(io.BytesIO(FORMS["a document"](FAULTY)), **options)
        again = history.import_file(io.BytesIO(FORMS["a sealed stream"](FAULTY)), **options)
        reports.append([report, again, exported(history)[-250:]])
    assert reports[0][:2] == reports[1][:2]


@pytest.mark.slow
@pytest.mark.parametrize("on_duplicate", ["update", "verify", "error"])
def test_what_comes_again_is_dealt_with_in_parts_too(databases, on_duplicate):
    changed = document(*(production_run(n, notes=f"changed {n}") for n in range(1, 8)))
    reports = []
    for options in ({}, {"commit_every": 3}):
        history = History(stocked(databases("sqlite")))
        history.import_document(document(*(production_run(n) for n in range(3, 6))))
        data = FORMS["a compressed stream"](changed)
        report = history.import_file(io.BytesIO(data), on_duplicate=on_duplicate, **options)
        reports.append([report, exported(history)])
    assert reports[0] == reports[1]


def test_a_file_is_verified_before_the_first_part_is_committed(sqlite):
    data = stream_of(RUNS)
    with pytest.raises(DocumentError, match="without its trailer"):
        History(sqlite).import_file(io.BytesIO(data[: data.rindex(b'{"trailer"')]), commit_every=1)
    assert exported(History(sqlite)).count(b'production_run":{') == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"commit_every": 1, "atomic": True}, ValueError, "commit_every excludes atomic"),
        ({"commit_every": 1, "dry_run": True}, ValueError, "commit_every excludes atomic, dry_run"),
        ({"commit_every": 0}, ValueError, "commit_every must be a positive integer, not 0"),
        ({"commit_every": -5}, ValueError, "not -5"),
        ({"commit_every": True}, ValueError, "not True"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_file_is_opened(sqlite, options, error, message):
    with pytest.raises(error, match=message):
        History(sqlite).import_file("/does/not/exist.jsonl", **options)


@pytest.mark.parametrize("borrow", [Session, sa.Engine.connect])
def test_a_session_that_was_handed_over_is_never_committed_in_parts(sqlite, borrow):
    with borrow(sqlite) as session:
        for history, options in ((History(sqlite), {"session": session}), (History(session), {})):
            with pytest.raises(
                ValueError, match="excludes atomic, dry_run and a session that was handed over"
            ):
                history.import_file("/does/not/exist.jsonl", commit_every=1, **options)
