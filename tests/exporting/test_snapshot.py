"""An export sees one moment, whatever others commit meanwhile, and is in nobody's way."""

from __future__ import annotations

import io
import json
import threading
from contextlib import closing
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import History, create_engine
from histio.models import AssemblyRun, ProductionConsumption, ProductionRun
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.databases import stocked

HISTORY = History()
PREPARATIONS = {"sqlite": "PRAGMA journal_mode = WAL"}
"""On SQLite, only a write-ahead log lets others write while somebody reads."""

COUNT = 9


@pytest.fixture
def database(databases, dialect):
    """Every run costs as much as the entries of its ledger together."""
    engine = stocked(databases(dialect, 7))
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute(PREPARATIONS.get(dialect, "SELECT 1"))
    History(engine).import_document(
        document(*map(balanced, range(COUNT)), assembly=[assembly_run(n) for n in range(COUNT)])
    )
    return engine.url


@pytest.fixture
def engine(database):
    """What exports use."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def rival(database):
    """What others use meanwhile."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def small_pages(tune):
    tune(page=2)


def balanced(n):
    entries = [consumption(1000 * n + each, total_cost=f"{each}.0000") for each in (1, 2)]
    time = f"2025-12-{28 - n % 28:02}T10:00:00Z"
    return production_run(n, produced_at=time, total_ingredient_cost="3.0000", consumptions=entries)


def change(session, n):
    """One transaction: a run of each kind comes, another goes with its ledger, and a third one grows."""
    new = document(balanced(COUNT + n), assembly=[assembly_run(COUNT + n)])
    assert HISTORY.import_document(new, session=session).imported == 2
    session.execute(sa.delete(ProductionRun).where(ProductionRun.uuid == number(2 * n)))
    grown = session.scalars(sa.select(ProductionRun).where(ProductionRun.uuid == number(2 * n + 1))).one()
    grown.total_ingredient_cost += 5
    grown.consumptions.append(
        ProductionConsumption(
            ingredient_slug="flour", quantity_consumed=Decimal(1), unit="cups", total_cost=Decimal(5)
        )
    )
    session.commit()


def state(session):
    """What is there, read without histio: costs of each run with those of its ledger, and assembly runs."""
    runs = session.scalars(sa.select(ProductionRun))
    costs = {
        run.uuid: (run.total_ingredient_cost, sorted(entry.total_cost for entry in run.consumptions))
        for run in runs
    }
    return costs, set(session.scalars(sa.select(AssemblyRun.uuid)))


def changes(engine, states):
    """Changes that are committed one after the other, each fourth time; *states* gets what is there then."""
    with Session(engine) as session:
        states.append(state(session))
        session.rollback()
        for n in range(8):
            yield from [None] * 3
            change(session, n)
            states.append(state(session))
            session.rollback()
            yield


def seen(given):
    """The same of a document that was exported."""
    costs = {
        run["uuid"]: (
            Decimal(run["total_ingredient_cost"]),
            sorted(Decimal(entry["total_cost"]) for entry in run["consumptions"]),
        )
        for run in given["production_runs"]
    }
    return costs, {run["uuid"] for run in given["assembly_runs"]}


def to_stream(history):
    file, told = io.BytesIO(), []
    report = history.export_file(file, progress=told.append)
    _, *lines, _ = map(json.loads, file.getvalue().splitlines())
    assert told[-1].total == report.exported == len(lines)
    return {
        "production_runs": [line["production_run"] for line in lines if "production_run" in line],
        "assembly_runs": [line["assembly_run"] for line in lines if "assembly_run" in line],
    }


def to_document(history):
    file = io.BytesIO()
    history.export_file(file, format="json")
    return json.loads(file.getvalue())


WAYS = [to_stream, to_document, History.export_document]


@pytest.mark.slow
@pytest.mark.parametrize("export", WAYS, ids=["stream", "document", "dict"])
def test_an_export_sees_one_moment_though_others_commit_between_its_statements(engine, rival, export):
    states = []
    committing = changes(rival, states)
    sa.event.listen(engine, "before_cursor_execute", lambda *_: next(committing, None))
    found = seen(export(History(engine)))
    assert (found in states, len(states)) == (True, 9)
    assert found != states[-1]
    assert seen(export(History(rival))) == states[-1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", HISTORY.kinds)
def test_runs_that_are_iterated_over_are_those_of_one_moment(engine, rival, kind):
    before = list(History(engine).iter_runs(kind))
    runs = History(engine).iter_runs(kind)
    first = next(runs)
    for _ in changes(rival, []):
        pass
    assert [first, *runs] == before
    assert list(History(engine).iter_runs(kind)) != before


@pytest.mark.slow
def test_exports_see_one_moment_each_while_others_are_at_work(engine, rival):
    states, found = [], []
    at_work = threading.Thread(target=lambda: list(changes(rival, states)))
    at_work.start()
    while at_work.is_alive():
        found.append(seen(to_stream(History(engine))))
    at_work.join()
    assert len(states) == 9
    assert all(each in states for each in found)
    assert seen(to_stream(History(engine))) == states[-1]
