"""Constraints that only the database knows, and what else can go wrong while writing."""

from __future__ import annotations

import json
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import histio
from histio import History
from histio.models import Base, ProductionConsumption, ProductionRun
from tests.bakery import assembly_run, consumption, document, number, production_run
from tests.conftest import stocked
from tests.test_importer import ends, rows, told

RULES = {
    "sqlite": (
        (
            "CREATE TRIGGER rule BEFORE INSERT ON production_runs WHEN NEW.num_batches = 13 "
            "BEGIN SELECT RAISE(ABORT, 'thirteen'); END"
        ),
        "DROP TRIGGER rule",
        "thirteen",
    ),
    "postgresql": (
        "ALTER TABLE production_runs ADD CONSTRAINT no_thirteen CHECK (num_batches <> 13)",
        "ALTER TABLE production_runs DROP CONSTRAINT no_thirteen",
        "no_thirteen",
    ),
    "mariadb": (
        "ALTER TABLE production_runs ADD CONSTRAINT no_thirteen CHECK (num_batches <> 13)",
        "ALTER TABLE production_runs DROP CONSTRAINT no_thirteen",
        "no_thirteen",
    ),
}


@pytest.fixture
def ruled(engine, dialect):
    """A database with a rule that the schema does not know: no run of thirteen batches."""
    make, drop, name = RULES[dialect]
    with engine.begin() as connection:
        connection.exec_driver_sql(make)
    yield engine, name
    with engine.begin() as connection:
        connection.exec_driver_sql(drop)


def test_a_constraint_is_pinned_to_the_guilty_runs_and_named(ruled):
    engine, name = ruled
    guilty = {3, 4, 77, 119}
    runs = [production_run(n, num_batches=13 if n in guilty else 1) for n in range(120)]
    report = History(engine).import_document(document(*runs))
    assert ends(report) == (116, 0, 4)
    assert told(report.problems) == [(f"/production_runs/{n}", "constraint") for n in sorted(guilty)]
    assert all(name in problem.message for problem in report.problems)
    assert rows(engine) == rows(engine, ProductionConsumption) == 116


def test_the_order_of_ledgers_survives_the_halving(ruled):
    engine, _ = ruled
    entries = {n: [consumption(n * 100 + m) for m in (3, 1, 2)] for n in range(1, 9)}
    runs = [production_run(n, num_batches=13 if n == 5 else 1, consumptions=entries[n]) for n in entries]
    History(engine).import_document(document(*runs))
    exported = History(engine).export_document()["production_runs"]
    assert [run["consumptions"] for run in exported] == [entries[n] for n in entries if n != 5]


def test_a_copy_of_a_run_refused_by_a_constraint_gets_its_own_try(ruled):
    engine, _ = ruled
    report = History(engine).import_document(document(production_run(1, num_batches=13), production_run(1)))
    assert ends(report) == (1, 0, 1)


def test_atomic_takes_back_everything_when_a_constraint_speaks(ruled):
    engine, _ = ruled
    report = History(engine).import_document(
        document(production_run(1), production_run(2, num_batches=13)), atomic=True
    )
    assert ends(report) == (0, 0, 1)
    assert rows(engine) == 0


@pytest.mark.parametrize(
    ("table", "column", "value", "name"),
    [
        ("production_runs", "num_batches", 0, "ck_production_runs_num_batches_positive"),
        ("production_runs", "per_unit_cost", -1, "ck_production_runs_per_unit_cost_not_negative"),
        ("assembly_runs", "quantity_assembled", 0, "ck_assembly_runs_quantity_assembled_positive"),
        (
            "production_consumptions",
            "quantity_consumed",
            0,
            "ck_production_consumptions_quantity_consumed_positive",
        ),
        (
            "assembly_packaging_consumptions",
            "total_cost",
            -1,
            "ck_assembly_packaging_consumptions_total_cost_not_negative",
        ),
    ],
)
def test_the_bundled_models_check_what_the_format_checks(engine, history, table, column, value, name):
    history.import_document(document(production_run(), assembly=[assembly_run()]))
    changed = Base.metadata.tables[table]
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match=name):
        connection.execute(sa.update(changed).values({column: value}))


def test_a_unique_constraint_has_its_name_on_every_database(engine, history):
    history.import_document(document(production_run(1)))
    with engine.begin() as connection:
        connection.execute(sa.update(ProductionRun).values(uuid=number(2)))
        unique = sa.insert(ProductionRun).from_select(
            [c.name for c in ProductionRun.__table__.c if c.name != "id"],
            sa.select(*[c for c in ProductionRun.__table__.c if c.name != "id"]),
        )
        with pytest.raises(sa.exc.IntegrityError) as caught, connection.begin_nested():
            connection.execute(unique)
    assert histio.dialects.row_fault(caught.value, [ProductionRun.__table__]) == "uq_production_runs_uuid"


def test_a_deferred_constraint_is_found_inside_the_savepoint(databases):
    engine = stocked(databases("postgresql", 7))
    table = Base.metadata.tables["production_runs"]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE production_runs DROP CONSTRAINT IF EXISTS one_a_batch, "
            "ADD CONSTRAINT one_a_batch UNIQUE (num_batches) DEFERRABLE INITIALLY DEFERRED"
        )
    constraint = sa.UniqueConstraint(
        table.c.num_batches, name="one_a_batch", deferrable=True, initially="DEFERRED"
    )
    table.append_constraint(constraint)
    try:
        given = document(production_run(1), production_run(2), production_run(3, num_batches=5))
        dry = History(engine).import_document(given, dry_run=True)
        real = History(engine).import_document(given)
    finally:
        table.constraints.discard(constraint)
    assert ends(real) == (2, 0, 1)
    assert "one_a_batch" in real.problems[0].message
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()


class Rival:
    """Another client that writes a run just before histio does."""

    def __init__(self, engine, run):
        self.history, self.run, self.reports = History(engine), run, []

    def __call__(self, _connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO production_runs") and not self.reports:
            self.reports.append(self.history.import_document(document(self.run)))


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
@pytest.mark.parametrize(
    ("on_duplicate", "end", "codes"),
    [("skip", (2, 1, 0), []), ("error", (2, 0, 1), ["duplicate"]), ("verify", (2, 0, 1), ["conflict"])],
)
def test_a_run_that_another_client_writes_meanwhile_is_a_duplicate(
    databases, server, on_duplicate, end, codes
):
    engine = stocked(databases(server))
    own = histio.create_engine(engine.url)
    rival = Rival(engine, production_run(2, num_batches=7))
    sa.event.listen(own, "before_cursor_execute", rival)
    runs = [production_run(n) for n in (1, 2, 3)]
    report = History(own).import_document(document(*runs), on_duplicate=on_duplicate)
    own.dispose()
    assert ends(rival.reports[0]) == (1, 0, 0)
    assert ends(report) == end
    assert [problem.code for problem in report.problems] == codes


def test_sqlite_takes_its_write_lock_before_it_reads(sqlite):
    history = History(sqlite)
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    sa.event.listen(sqlite, "before_cursor_execute", note)
    history.import_document(document(production_run()))
    sa.event.remove(sqlite, "before_cursor_execute", note)
    assert seen[0] == "BEGIN IMMEDIATE"


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_lock_timeout_is_raised_and_nothing_is_written(databases, server):
    engine = stocked(databases(server))
    timeout = {"postgresql": "SET lock_timeout = '200ms'", "mariadb": "SET innodb_lock_wait_timeout = 1"}[
        server
    ]
    runs = [production_run(n) for n in (1, 2)]
    with engine.connect() as blocker, Session(engine) as session:
        History(blocker).import_document(document(runs[1]))
        session.execute(sa.text(timeout))
        with pytest.raises(sa.exc.OperationalError):
            History(session).import_document(document(*runs))
        session.rollback()
        blocker.rollback()
    assert rows(engine) == 0


def test_a_killed_connection_is_raised_and_nothing_is_written(databases):
    engine = stocked(databases("postgresql"))
    other = histio.create_engine(engine.url)

    def kill(connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO production_consumptions"):
            pid = connection.connection.dbapi_connection.info.backend_pid
            with other.connect() as killer:
                killer.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    sa.event.listen(engine, "before_cursor_execute", kill)
    try:
        with pytest.raises(sa.exc.OperationalError):
            History(engine).import_document(document(production_run()))
    finally:
        sa.event.remove(engine, "before_cursor_execute", kill)
        other.dispose()
    assert rows(engine) == 0


def test_a_deadlock_is_raised_as_it_is_and_not_as_a_missing_savepoint(databases):
    engine = stocked(databases("mariadb"))
    History(engine).import_document(document(production_run(1), production_run(2)))
    first, second = (
        sa.select(ProductionRun.id).where(ProductionRun.uuid == number(n)).with_for_update() for n in (1, 2)
    )
    barrier, errors = threading.Barrier(2), []

    def work(take, then, weight):
        with engine.connect() as connection:
            connection.execute(sa.text(weight))
            connection.execute(take)
            barrier.wait()
            try:
                with histio.dialects.savepoint(connection):
                    connection.execute(then)
            except sa.exc.DBAPIError as error:
                errors.append(error)
            connection.rollback()

    threads = [
        threading.Thread(target=work, args=args)
        for args in ((first, second, "SELECT 1"), (second, first, "SELECT 2"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.orig.args[0] for error in errors] == [1213]
    assert histio.dialects.row_fault(errors[0], []) is None


def test_values_the_driver_cannot_convert_are_the_rows_own_fault():
    assert histio.dialects.row_fault(OverflowError("too large"), []) == "too large"
    assert histio.dialects.row_fault(RuntimeError("a bug"), []) is None


def test_the_reports_are_plain_json(ruled):
    engine, _ = ruled
    report = History(engine).import_document(document(production_run(num_batches=13)))
    assert json.loads(json.dumps(report.to_dict()))["problems"][0]["code"] == "constraint"


@pytest.mark.parametrize("make_engine", [sa.create_engine, histio.create_engine])
def test_a_commit_that_finds_sqlite_locked_is_raised_and_leaves_no_transaction_behind(sqlite, make_engine):
    engine = make_engine(sqlite.url, connect_args={"timeout": 0.1})
    history = History(engine)
    with sqlite.connect() as reader:
        reading = reader.execute(sa.text("SELECT id FROM recipes"))
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            history.import_document(document(production_run(1)))
        reading.close()
    assert ends(history.import_document(document(production_run(2)))) == (1, 0, 0)
    assert [run["uuid"] for run in history.iter_runs("production_run")] == [number(2)]
    engine.dispose()
