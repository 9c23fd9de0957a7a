"""What a few runs cost depends on them, not on how many others the database has."""

from __future__ import annotations

import datetime as dt
import itertools

import sqlalchemy as sa
from sqlalchemy.orm import Session

import histio
from histio import History
from histio.database.dialects import set_up
from histio.models import FinishedUnit, ProductionConsumption, ProductionRun, Recipe
from tests.support.bakery import document, number, production_run
from tests.support.databases import stocked
from tests.support.differences import production

START = dt.datetime(2025, 1, 1)  # noqa: DTZ001
FEW, MANY, ASKED = 600, 3_000, 3


def fill(engine, count):
    """Runs, one a minute, each with one ledger entry; the catalog is there."""
    runs, entries = [], []
    with Session(engine) as session:
        keys = {
            "recipe_id": session.scalars(sa.select(Recipe.id)).first(),
            "finished_unit_id": session.scalars(sa.select(FinishedUnit.id)).first(),
        }
    for n in range(1, count + 1):
        moment = START + dt.timedelta(minutes=n)
        times = {"created_at": moment, "updated_at": moment}
        sums = {"total_ingredient_cost": 1, "per_unit_cost": 1, "produced_at": moment}
        counts = dict.fromkeys(("num_batches", "expected_yield", "actual_yield"), 1)
        runs.append({"id": n, "uuid": number(n), **keys, **counts, **sums, **times})
        amounts = {"ingredient_slug": "flour", "quantity_consumed": 1, "unit": "cups", "total_cost": 1}
        entries.append({"uuid": number(10**6 + n), "production_run_id": n, **amounts, **times})
    with engine.begin() as connection:
        connection.execute(sa.insert(ProductionRun), runs)
        connection.execute(sa.insert(ProductionConsumption), entries)
        tables = "production_runs, production_consumptions"
        analyze = {"postgresql": f"ANALYZE {tables}", "mariadb": f"ANALYZE TABLE {tables}"}
        connection.exec_driver_sql(analyze.get(engine.dialect.name, "ANALYZE"))


class SqliteReads:
    """Counts steps of SQLite's virtual machine: each row that is looked at takes some."""

    def __init__(self, engine):
        self.steps = 0
        sa.event.listen(engine, "connect", lambda driver, _: driver.set_progress_handler(self._count, 10))

    def _count(self):
        self.steps += 10

    def __call__(self, _connection):
        return self.steps


def mariadb_reads(connection):
    """The rows that the session has read."""
    rows = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
    return sum(int(count) for name, count in rows if name != "Handler_read_rnd_deleted")


def postgresql_reads(connection):
    """The rows of the large tables that have been read."""
    connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    connection.commit()
    return connection.exec_driver_sql(
        "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0))::int FROM pg_stat_user_tables "
        "WHERE relname IN ('production_runs', 'production_consumptions')"
    ).scalar_one()


READS = {"mariadb": lambda _: mariadb_reads, "postgresql": lambda _: postgresql_reads, "sqlite": SqliteReads}


def actions(engine, target, count, folder):
    """What is asked of the last runs, or of as many in the middle."""
    history = History(engine)
    last, receipt = START + dt.timedelta(minutes=count - ASKED + 1), folder / "receipt.jsonl"
    known = history.export_document(kinds="production_run", since=last)["production_runs"]
    assert len(known) == ASKED
    middle = START + dt.timedelta(minutes=count // 2)
    chosen = ProductionRun.uuid.in_([run["uuid"] for run in known])
    bounds = {"since": middle, "until": middle + dt.timedelta(minutes=ASKED - 1)}
    new = document(*(production_run(n, consumptions=[]) for n in range(10**5, 10**5 + ASKED)))
    changed = document(*(run | {"notes": "new"} for run in known))
    options = {"catalog": "used", "kinds": "production_run"}
    yield "since", lambda: history.export_document(since=last)
    yield "since and until", lambda: history.export_document(**bounds)
    yield "with catalog", lambda: history.export_document(since=last, **options)
    yield "counted", lambda: history.export_file(folder / "a.jsonl", since=last, progress=lambda _: None)
    yield "changed", lambda: history.export_document(changed_since=last)
    yield "where", lambda: history.export_document(where={"production_run": chosen})
    yield "verify", lambda: list(histio.verify(production(*known), history))
    yield "check", lambda: list(histio.check_file(production(*known), history=history))
    yield "references", lambda: list(histio.references(production(*known), history=history))
    yield "copy", lambda: histio.copy(history, History(target), since=last)
    yield "new", lambda: history.import_document(new, receipt=receipt)
    yield "undo", lambda: history.undo(receipt)
    for how, given in itertools.product(("skip", "verify", "update"), (document(*known), changed)):
        yield how, lambda given=given, how=how: history.import_document(given, on_duplicate=how)


def reads(engine, target, count, folder):
    """By action, what the database reads for it."""
    engine.dispose()
    alone = sa.create_engine(engine.url, pool_size=1, max_overflow=0)
    set_up(alone)
    count_reads = READS[engine.dialect.name](alone)
    found = {}
    folder.mkdir()
    for name, act in actions(alone, target, count, folder):
        with alone.connect() as connection:
            before = count_reads(connection)
        act()
        with alone.connect() as connection:
            found[name] = count_reads(connection) - before
    alone.dispose()
    return found


def test_what_is_asked_of_three_runs_reads_as_much_beside_many_as_beside_few(databases, dialect, tmp_path):
    costs = []
    for place, count in enumerate((FEW, MANY)):
        engine = stocked(databases(dialect, place))
        fill(engine, count)
        target = stocked(databases("sqlite", 2))
        costs.append(reads(engine, target, count, tmp_path / str(count)))
    few, many = costs
    assert {name: (few[name], many[name]) for name in few if many[name] > few[name] * 1.2 + 100} == {}
