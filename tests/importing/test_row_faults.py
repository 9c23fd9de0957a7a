"""Which errors of a database are the fault of a row, and which are raised."""

from __future__ import annotations

import contextlib
import hashlib
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import create_async_engine

import histio
from histio import AsyncHistory, History
from tests.support.hosts import document, model, run
from tests.support.loops import in_a_loop
from tests.support.reports import outcomes

Base = orm.declarative_base()
Run = model(Base, "Run", code=sa.Column(sa.Text))
Schema = run(Run, code=histio.Text(allow_none=True))

_POSTGRESQL = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN
IF NEW.code LIKE 'raise %' THEN RAISE EXCEPTION 'my own reason' USING ERRCODE = substr(NEW.code, 7); END IF;
IF NEW.code = 'two rows' THEN n := (SELECT 1 UNION SELECT 2); END IF;
IF NEW.code = 'zero' THEN n := 1 / 0; END IF;
IF NEW.code = 'unknown table' THEN INSERT INTO no_such_table VALUES (1); END IF;
RETURN NEW; END $$
"""
_MARIADB = """
CREATE TRIGGER refuse_{event} BEFORE {event} ON runs FOR EACH ROW BEGIN DECLARE n INT;
IF NEW.code LIKE 'raise %' THEN SET n = substr(NEW.code, 7);
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = n, MESSAGE_TEXT = 'my own reason'; END IF;
IF NEW.code = 'two rows' THEN SET n = (SELECT 1 UNION SELECT 2); END IF;
IF NEW.code = 'too many rows' THEN SELECT 1 UNION SELECT 2 INTO n; END IF;
IF NEW.code = 'range' THEN SET n = 9223372036854775807 + 1; END IF;
IF NEW.code = 'case' THEN CASE n WHEN 1 THEN SET n = 2; END CASE; END IF;
IF NEW.code = 'no data' THEN SIGNAL SQLSTATE '02000'; END IF;
IF NEW.code = 'deadlock' THEN SIGNAL SQLSTATE '40001' SET MESSAGE_TEXT = 'my own reason'; END IF;
IF NEW.code = 'unknown function' THEN SET n = no_such_function(1); END IF;
END
"""
_SQLITE = """
CREATE TRIGGER refuse_{event} BEFORE {event} ON runs BEGIN
SELECT RAISE(ABORT, 'my own reason') WHERE NEW.code = 'abort';
SELECT RAISE(FAIL, 'my own reason') WHERE NEW.code = 'fail';
SELECT abs(-9223372036854775808) WHERE NEW.code = 'range';
SELECT json_extract('no JSON', '$.a') WHERE NEW.code = 'json';
END
"""
TRIGGERS = {
    "sqlite": [_SQLITE.format(event=event) for event in ("INSERT", "UPDATE")],
    "postgresql": [
        _POSTGRESQL,
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
    "mariadb": [_MARIADB.format(event=event) for event in ("INSERT", "UPDATE")],
}

OF_ROWS = {
    "sqlite": ["abort", "fail", "range", "json"],
    "postgresql": [
        *("two rows", "zero", "raise 0A000", "raise 54000", "raise 21000", "raise 22P02", "raise 23514"),
        *("raise 38000", "raise 44000", "raise P0002", "raise 2F003", "raise U0001", "raise 12345"),
    ],
    "mariadb": [
        *("two rows", "too many rows", "range", "case", "no data", "deadlock", "raise 1644", "raise 30001"),
        *("raise 1267", "raise 1118", "raise 1172", "raise 4025", "raise 65000"),
    ],
}
RAISED = {
    "sqlite": [],
    "postgresql": [
        *("unknown table", "raise 08006", "raise 25006", "raise 40001", "raise 40P01", "raise 42P01"),
        *("raise 53100", "raise 55P03", "raise 57014", "raise 58030", "raise XX000"),
    ],
    "mariadb": [
        *("unknown function", "raise 1021", "raise 1041", "raise 1142", "raise 1146", "raise 1205"),
        *("raise 1213", "raise 1290", "raise 1317", "raise 1792", "raise 1927", "raise 1969", "raise 2013"),
    ],
}


def runs(*codes):
    return document(*({"id": n, "code": code} for n, code in enumerate(codes, 1)))


@pytest.fixture
def refusing(create, dialect):
    """A table with a trigger that raises the error that a run asks for."""
    engine = create(Base.metadata)
    with engine.begin() as connection:
        for statement in TRIGGERS[dialect]:
            connection.execute(sa.text(statement).execution_options(no_parameters=True))
    return engine


@pytest.mark.parametrize("stored", [[], [None]])
def test_an_error_that_a_row_causes_is_pinned_to_its_run_whatever_its_code(refusing, dialect, stored):
    bad = OF_ROWS[dialect]
    history = History(refusing, Schema)
    history.import_document(runs(*(stored * 2 * len(bad))))
    given = runs(*(each for code in bad for each in ("good", code)))
    report = history.import_document(given, on_duplicate="update")
    assert (report.imported + report.updated, report.rejected) == (len(bad), len(bad))
    assert [(problem.pointer, problem.code) for problem in report.problems] == [
        (f"/runs/{2 * n + 1}", "constraint") for n in range(len(bad))
    ]


@pytest.mark.parametrize(
    ("dialect", "code"),
    [(dialect, code) for dialect, codes in RAISED.items() for code in codes],
    indirect=["dialect"],
)
def test_an_error_that_is_no_property_of_a_run_is_raised(refusing, code):
    with pytest.raises(sa.exc.DBAPIError):
        History(refusing, Schema).import_document(runs("good", code, "good"))


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_text_too_long_for_its_index_is_the_fault_of_its_run(create, dialect):
    engine = create(Base.metadata)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE INDEX by_code ON runs (code)"))
    long = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(60))  # it cannot be compressed
    report = History(engine, Schema).import_document(runs("good", long, "good"))
    assert outcomes(report) == (2, 0, 1)
    assert "by_code" in report.problems[0].message


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
@pytest.mark.parametrize("on_duplicate", ["skip", "update"])
def test_a_row_that_a_policy_forbids_is_the_fault_of_its_run(create, dialect, on_duplicate):
    engine = create(Base.metadata)
    stored = runs(*["good"] * 3) if on_duplicate == "update" else runs()
    History(engine, Schema).import_document(stored)
    with as_user(engine, "SELECT, INSERT, UPDATE, DELETE") as connection:
        report = History(connection, Schema).import_document(
            runs("better", "secret", "better"), on_duplicate=on_duplicate
        )
    assert (report.imported + report.updated, report.rejected) == (2, 1)
    assert "row-level security" in report.problems[0].message


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_missing_privilege_is_raised(create, dialect):
    with as_user(create(Base.metadata), "SELECT") as connection:
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            History(connection, Schema).import_document(runs("good"))
        connection.rollback()


@contextlib.contextmanager
def as_user(engine, privileges):
    """A connection of a user with these *privileges*, from whom a policy keeps the code "secret"."""
    user = f"histio_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        for statement in (
            f"CREATE ROLE {user}",
            f"GRANT {privileges} ON runs TO {user}",
            "GRANT USAGE ON SCHEMA public TO " + user,
            "ALTER TABLE runs ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY open ON runs USING (true) WITH CHECK (code <> 'secret')",
            f"SET LOCAL ROLE {user}",
        ):
            connection.execute(sa.text(statement))
        yield connection
        connection.rollback()  # the role too


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_an_error_of_a_deferred_trigger_is_pinned_to_its_run_and_the_dry_run_tells(create, dialect):
    engine = create(Base.metadata)
    with engine.begin() as connection:
        connection.execute(sa.text(_POSTGRESQL).execution_options(no_parameters=True))
        connection.execute(
            sa.text(
                "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON runs DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    history, given = History(engine, Schema), runs("good", "raise 0A000", "good")
    dry = history.import_document(given, dry_run=True)
    real = history.import_document(given)
    assert outcomes(real) == (2, 0, 1)
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()


DRIVERS = [
    ("sqlite", "aiosqlite", "json"),
    ("postgresql", "asyncpg", "raise 0A000"),
    ("postgresql", "asyncpg", "raise 54000"),
    ("postgresql", "psycopg", "two rows"),
    ("mariadb", "aiomysql", "range"),
    ("mariadb", "aiomysql", "raise 65000"),
]


@pytest.mark.parametrize(("dialect", "driver", "code"), DRIVERS, indirect=["dialect"])
@in_a_loop
async def test_drivers_of_asyncio_pin_the_same_errors(refusing, dialect, driver, code):
    engine = create_async_engine(refusing.url.set(drivername=f"{dialect}+{driver}"))
    report = await AsyncHistory(engine, Schema).import_document(runs("good", code, "good"))
    await engine.dispose()
    assert outcomes(report) == (2, 0, 1)


@pytest.mark.parametrize(
    ("dialect", "driver", "code"),
    [("postgresql", "asyncpg", "raise 53100"), ("mariadb", "aiomysql", "raise 1290")],
    indirect=["dialect"],
)
@in_a_loop
async def test_drivers_of_asyncio_raise_the_same_errors(refusing, dialect, driver, code):
    engine = create_async_engine(refusing.url.set(drivername=f"{dialect}+{driver}"))
    with pytest.raises(sa.exc.DBAPIError, match="my own reason"):
        await AsyncHistory(engine, Schema).import_document(runs("good", code, "good"))
    await engine.dispose()
