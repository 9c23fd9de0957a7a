"""Constraints that only the database knows, and what else can go wrong while writing."""

from __future__ import annotations

import datetime as dt
import gc
import json
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Session

import histio
from histio import History
from histio.database.dialects import row_fault, savepoint
from histio.models import Base, ProductionConsumption, ProductionRun, Recipe
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.databases import LATIN1, stocked
from tests.support.reports import codes_of, outcomes, rows

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


@pytest.mark.slow
def test_a_constraint_is_pinned_to_the_guilty_runs_and_named(ruled):
    engine, name = ruled
    guilty = {3, 4, 77, 119}
    runs = [production_run(n, num_batches=13 if n in guilty else 1) for n in range(120)]
    report = History(engine).import_document(document(*runs))
    assert outcomes(report) == (116, 0, 4)
    assert codes_of(report.problems) == [(f"/production_runs/{n}", "constraint") for n in sorted(guilty)]
    assert all(name in problem.message for problem in report.problems)
    assert rows(engine) == rows(engine, ProductionConsumption) == 116


def test_nothing_but_the_report_tells_of_a_refused_run(ruled, caplog):
    engine, _ = ruled
    runs = [production_run(n, num_batches=13 if n == 3 else 1) for n in range(8)]
    History(engine).import_document(document(*runs))
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


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
    assert outcomes(report) == (1, 0, 1)


def test_atomic_takes_back_everything_when_a_constraint_speaks(ruled):
    engine, _ = ruled
    report = History(engine).import_document(
        document(production_run(1), production_run(2, num_batches=13)), atomic=True
    )
    assert outcomes(report) == (0, 0, 1)
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
        assert row_fault(caught.value, [ProductionRun.__table__], connection) == "uq_production_runs_uuid"


class Rival:
    """Another client that writes runs just before histio does."""

    def __init__(self, engine, *runs):
        self.history, self.runs, self.reports = History(engine), runs, []

    def __call__(self, _connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO production_runs") and not self.reports:
            self.reports.append(self.history.import_document(document(*self.runs)))


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
    assert outcomes(rival.reports[0]) == (1, 0, 0)
    assert outcomes(report) == end
    assert [problem.code for problem in report.problems] == codes


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
@pytest.mark.parametrize("on_duplicate", ["verify", "update"])
def test_a_run_that_another_client_writes_meanwhile_alike_is_skipped(databases, server, on_duplicate):
    engine = stocked(databases(server))
    own = histio.create_engine(engine.url)
    runs = [production_run(n) for n in (1, 2, 3)]
    sa.event.listen(own, "before_cursor_execute", Rival(engine, *runs))
    report = History(own).import_document(document(*runs), on_duplicate=on_duplicate)
    own.dispose()
    assert (report.skipped, report.rejected, report.problems) == (3, 0, ())


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


@pytest.mark.slow
@pytest.mark.parametrize("produced_at", ["2025-11-29T10:30:00.000000Z", "2025-11-29T11:30:00+01:00"])
def test_statements_fit_a_server_that_takes_small_ones(databases, produced_at):
    engine = stocked(databases("mariadb"))
    runs = [production_run(n, notes="it's " * 400, produced_at=produced_at) for n in range(400)]
    with engine.connect() as connection:
        setting = sa.text("SET GLOBAL max_allowed_packet = :size")
        size = connection.execute(sa.text("SELECT @@GLOBAL.max_allowed_packet")).scalar_one()
        connection.execute(setting, {"size": 2**19})
        try:
            engine.dispose()  # it holds for new connections
            report = History(engine).import_document(document(*runs))
        finally:
            connection.execute(setting, {"size": size})
            engine.dispose()
    assert outcomes(report) == (400, 0, 0)
    assert rows(engine) == 400


@pytest.mark.slow
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
                with savepoint(connection):
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
    with engine.connect() as connection:
        assert row_fault(errors[0], [], connection) is None


def test_values_the_driver_cannot_convert_are_the_rows_own_fault(sqlite):
    with sqlite.connect() as connection:
        assert row_fault(OverflowError("too large"), [], connection) == "too large"
        assert row_fault(RuntimeError("a bug"), [], connection) is None


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
    assert outcomes(history.import_document(document(production_run(2)))) == (1, 0, 0)
    assert [run["uuid"] for run in history.iter_runs("production_run")] == [number(2)]
    engine.dispose()


# --- databases that do more than refuse --------------------------------------------------------------


TRIGGERS = {
    "sqlite": (
        ["CREATE TRIGGER odd BEFORE INSERT ON production_runs WHEN NEW.notes = 'bad' BEGIN {action}; END"],
        ["DROP TRIGGER odd"],
    ),
    "postgresql": (
        [
            """CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.notes = 'bad' THEN {action}; END IF; RETURN NEW; END $$""",
            "CREATE TRIGGER odd BEFORE INSERT ON production_runs FOR EACH ROW EXECUTE FUNCTION odd()",
        ],
        ["DROP TRIGGER odd ON production_runs", "DROP FUNCTION odd"],
    ),
    "mariadb": (
        [
            """CREATE TRIGGER odd BEFORE INSERT ON production_runs FOR EACH ROW
               IF NEW.notes = 'bad' THEN {action}; END IF"""
        ],
        ["DROP TRIGGER odd"],
    ),
}


@pytest.fixture
def trigger(engine, dialect):
    """Makes a trigger on production_runs that does the dialect's action for runs whose notes are "bad"."""
    create, drop = TRIGGERS[dialect]

    def run(statements, **actions):
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.format(action=actions.get(dialect)))

    yield lambda **actions: run(create, **actions)
    run(drop)


BAD_IN_THE_MIDDLE = document(production_run(1), production_run(2, notes="bad"), production_run(3))


def test_a_trigger_may_refuse_a_run_with_an_error_of_its_own(engine, history, trigger):
    trigger(
        sqlite="SELECT RAISE(ABORT, 'my own reason')",
        postgresql="RAISE EXCEPTION 'my own reason' USING ERRCODE = 'U0001'",
        mariadb="SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = 'my own reason'",
    )
    report = history.import_document(BAD_IN_THE_MIDDLE)
    assert outcomes(report) == (2, 0, 1)
    assert "my own reason" in report.problems[0].message


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("entries", [[], [consumption(77)]])
def test_a_run_that_the_database_drops_in_silence_is_rejected_and_not_called_imported(
    engine, history, trigger, entries
):
    trigger(sqlite="SELECT RAISE(IGNORE)", postgresql="RETURN NULL")
    runs = [production_run(1), production_run(2, notes="bad", consumptions=entries), production_run(3)]
    report = history.import_document(document(*runs))
    assert (outcomes(report), rows(engine)) == ((2, 0, 1), 2)
    assert "did not keep" in report.problems[0].message


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("make_engine", [sa.create_engine, histio.create_engine])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_constraint_that_ends_the_transaction_is_raised_and_leaves_nothing_behind(
    engine, trigger, make_engine, dry_run
):
    trigger(sqlite="SELECT RAISE(ROLLBACK, 'all gone')")
    own = make_engine(engine.url)
    with pytest.raises(sa.exc.IntegrityError, match="all gone"):
        History(own).import_document(BAD_IN_THE_MIDDLE, dry_run=dry_run)
    with Session(own) as session:
        session.add(Recipe(name="mine", slug="mine"))
        with pytest.raises(sa.exc.IntegrityError, match="all gone"):
            History(session).import_document(BAD_IN_THE_MIDDLE, dry_run=dry_run)
        session.add(Recipe(name="later", slug="later"))
        with pytest.raises(sa.exc.SQLAlchemyError):
            session.commit()
    own.dispose()
    assert rows(engine) == 0
    assert rows(engine, Recipe) == 2


def deferring(databases, number, column):
    """A PostgreSQL database in which, at COMMIT, no two runs may have the same value in *column*."""
    engine = stocked(databases("postgresql", number))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE production_runs DROP CONSTRAINT IF EXISTS only_one, "
            f"ADD CONSTRAINT only_one UNIQUE ({column}) DEFERRABLE INITIALLY DEFERRED"
        )
    return engine


@pytest.mark.slow
@pytest.mark.parametrize(("number", "column"), [(7, "num_batches"), (8, "notes")])
def test_a_deferred_constraint_is_found_inside_the_savepoint_and_the_dry_run_tells(databases, number, column):
    engine = deferring(databases, number, column)
    given = document(production_run(1), production_run(2), production_run(3, num_batches=5, notes="b"))
    dry = History(engine).import_document(given, dry_run=True)
    real = History(engine).import_document(given)
    assert outcomes(real) == (2, 0, 1)
    assert "only_one" in real.problems[0].message
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()


@pytest.mark.slow
def test_a_deferred_constraint_that_the_caller_breaks_is_not_blamed_on_the_runs(databases):
    engine = deferring(databases, 8, "notes")
    with Session(engine) as session:
        History(session).import_document(document(production_run(1, notes="a"), production_run(2, notes="b")))
        session.execute(sa.update(ProductionRun).values(notes="same"))
        assert outcomes(History(session).import_document(document(production_run(3)))) == (1, 0, 0)
        with pytest.raises(sa.exc.IntegrityError, match="only_one"):
            session.commit()


@pytest.mark.slow
def test_a_deferred_foreign_key_of_sqlites_is_found_and_the_dry_run_tells(tmp_path):
    engine = histio.create_engine(f"sqlite:///{tmp_path}/deferred.db")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE production_runs ADD COLUMN place TEXT DEFAULT NULL "
            "REFERENCES recipes (slug) DEFERRABLE INITIALLY DEFERRED"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER odd AFTER INSERT ON production_runs WHEN NEW.notes = 'bad' "
            "BEGIN UPDATE production_runs SET place = 'nowhere' WHERE id = NEW.id; END"
        )
    stocked(engine)
    dry = History(engine).import_document(BAD_IN_THE_MIDDLE, dry_run=True)
    real = History(engine).import_document(BAD_IN_THE_MIDDLE)
    engine.dispose()
    assert outcomes(real) == (2, 0, 1)
    assert "FOREIGN KEY of production_runs" in real.problems[0].message
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(
    ("on_duplicate", "end"), [("skip", (1, 1, 0)), ("error", (1, 0, 1)), ("verify", (1, 0, 1))]
)
def test_a_rival_that_the_transaction_cannot_see_is_a_duplicate_all_the_same(
    databases, level, on_duplicate, end
):
    engine = stocked(databases("postgresql"))
    with engine.connect().execution_options(isolation_level=level) as connection:
        connection.execute(sa.select(Recipe.id))
        History(engine).import_document(document(production_run(1)))
        runs = document(production_run(1), production_run(2))
        assert outcomes(History(connection).import_document(runs, on_duplicate=on_duplicate)) == end


# SQLAlchemy 2.0 leaves the connection to the garbage collector if its first queries fail.
_LEFT_OPEN = pytest.mark.filterwarnings("ignore:connection .* was deleted while still open:ResourceWarning")


@_LEFT_OPEN
@pytest.mark.parametrize(
    ("server", "option"),
    [
        ("mariadb", {"charset": "latin1"}),
        ("mariadb", {"charset": "utf8mb3"}),
        ("postgresql", {"client_encoding": "latin1"}),
        ("postgresql", {"client_encoding": "sql_ascii"}),
    ],
)
def test_a_connection_that_would_alter_text_is_refused(databases, server, option):
    engine = histio.create_engine(databases(server).url.update_query_dict(option))
    with pytest.raises(histio.BindingError, match="would change characters"):
        History(engine).export_document()
    with pytest.raises(histio.BindingError, match="would change characters"):
        History(engine).import_document(document(production_run()))
    engine.dispose()
    gc.collect()


@pytest.mark.parametrize("setting", ["character_set_connection = latin1", "character_set_results = NULL"])
def test_a_session_that_would_alter_text_is_refused(databases, setting):
    with databases("mariadb").connect() as connection:
        connection.exec_driver_sql(f"SET {setting}")
        with pytest.raises(histio.BindingError, match="would change characters"):
            History(connection).export_document()
        connection.invalidate()


@_LEFT_OPEN
def test_a_connection_of_postgresql_without_characters_is_refused_whoever_made_its_engine(databases):
    ascii_only = LATIN1.replace("LATIN1", "SQL_ASCII")
    url = databases.empty("postgresql", ascii_only, client_encoding="utf8").url
    engine = sa.create_engine(url.difference_update_query(["client_encoding"]))
    for bind in (engine, engine.url, Session(engine)):
        with pytest.raises(
            histio.BindingError, match="character set SQL_ASCII, which would change characters"
        ):
            History(bind).export_document()
    gc.collect()


def test_a_dry_run_ends_without_a_commit(sqlite):
    with sqlite.connect() as reader:
        reading = reader.execute(sa.text("SELECT id FROM recipes"))
        report = History(sqlite).import_document(document(production_run()), dry_run=True)
        reading.close()
    assert outcomes(report) == (1, 0, 0)


def test_a_full_disk_is_raised_and_the_caller_cannot_commit_the_rest(tmp_path):
    engine = histio.create_engine(f"sqlite:///{tmp_path}/full.db")
    Base.metadata.create_all(engine)
    stocked(engine)
    runs = document(*(production_run(n, notes="x" * 5_000) for n in range(200)))
    with Session(engine) as session:
        pages = session.scalar(sa.text("PRAGMA page_count"))
        session.execute(sa.text(f"PRAGMA max_page_count = {pages + 20}"))
        session.add(Recipe(name="mine", slug="mine"))
        with pytest.raises(sa.exc.OperationalError, match="full"):
            History(session).import_document(runs)
        with pytest.raises(sa.exc.SQLAlchemyError):
            session.commit()
    with pytest.raises(sa.exc.OperationalError, match="full"):
        History(engine).import_document(runs)
    assert (rows(engine), rows(engine, Recipe)) == (0, 2)
    engine.dispose()


def test_a_missing_table_is_raised_as_it_is(engine):
    with engine.connect() as connection:
        hidden = connection.execution_options(schema_translate_map={None: "no_such_schema"})
        with pytest.raises(sa.exc.DBAPIError):
            History(hidden).import_document(document(production_run()))
        connection.rollback()


def test_a_failed_commit_of_the_applications_own_leaves_no_transaction_in_the_pool(sqlite):
    engine = histio.create_engine(sqlite.url, connect_args={"timeout": 0.1})
    with sqlite.connect() as reader:
        reading = reader.execute(sa.text("SELECT id FROM recipes"))
        with Session(engine) as session:
            session.add(Recipe(name="half", slug="half"))
            with pytest.raises(sa.exc.OperationalError, match="locked"):
                session.commit()
        reading.close()
    with Session(engine) as session:
        assert session.scalars(sa.select(Recipe.slug).where(Recipe.slug == "half")).all() == []
    engine.dispose()


class Host(orm.DeclarativeBase):
    """An application's own models."""


class Shift(Host):
    """A run whose optional column has a default that only the database knows."""

    __tablename__ = "shifts"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    uuid: orm.Mapped[str] = orm.mapped_column(sa.String(36), unique=True)
    at: orm.Mapped[dt.datetime]
    place: orm.Mapped[str] = orm.mapped_column(sa.String(20), server_default="the oven")


class ShiftSchema(histio.RunSchema):
    class Meta(histio.RunSchema.Meta):
        model = Shift
        kind = "shift"
        collection = "shifts"
        timestamp = "at"

    uuid = histio.RunUUID(required=True)
    at = histio.UtcTimestamp(required=True)
    place = histio.Text()


def test_a_default_that_only_the_database_knows_fills_what_is_left_out(tmp_path):
    engine = histio.create_engine(f"sqlite:///{tmp_path}/host.db")
    Host.metadata.create_all(engine)
    shifts = [{"uuid": number(n), "at": "2025-01-01T00:00:00Z"} for n in range(4)]
    shifts[1]["place"] = shifts[3]["place"] = "the counter"
    history = History(engine, ShiftSchema)
    assert outcomes(history.import_document({"version": "1.0", "shifts": shifts})) == (4, 0, 0)
    places = [run["place"] for run in history.iter_runs("shift")]
    engine.dispose()
    assert places == ["the oven", "the counter", "the oven", "the counter"]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_rival_that_wrote_the_whole_batch_costs_no_halving(databases, count_statements, server):
    engine = stocked(databases(server))
    own = histio.create_engine(engine.url)
    runs = [production_run(n) for n in range(64)]
    sa.event.listen(own, "before_cursor_execute", Rival(engine, *runs))
    statements = count_statements(own)
    assert outcomes(History(own).import_document(document(*runs))) == (0, 64, 0)
    assert len(statements.matching("INSERT")) <= 2  # once without marshmallow
    own.dispose()
