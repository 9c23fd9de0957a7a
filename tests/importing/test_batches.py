"""What a batch costs on the fast path, and that its methods write what the full path writes."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

import histio
from histio import History
from histio.importing.spool import Spool
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.databases import stocked
from tests.support.reports import outcomes, rows

# By database: both of the savepoint, the look-ups of identities and keys, and INSERTs of SQLAlchemy.
STATEMENTS_PER_BATCH = {"sqlite": 6, "postgresql": 4, "mariadb": 4}
ODD = "'\"\\ \\0 % %s %(x)s :x ? \t\n\r\x1a\b\v\f \u2028 ä 🍪 \\N"


def many(count, start=1):
    return [
        production_run(n, consumptions=[consumption(10 * n), consumption(10 * n + 1)])
        for n in range(start, start + count)
    ]


def test_each_further_batch_costs_few_statements(engine, dialect, count_statements, tune):
    tune(batch=200)
    history = History(engine)
    history.import_document(document(*many(200)))  # what is found out once is known
    statements = count_statements(engine)
    counts = []
    for start, count in ((1_000, 200), (2_000, 600)):
        statements.clear()
        assert outcomes(history.import_document(document(*many(count, start)))) == (count, 0, 0)
        counts.append(len(statements.all))
    assert counts[1] - counts[0] == 2 * STATEMENTS_PER_BATCH[dialect]


@pytest.mark.parametrize("count", [1, 150])
def test_texts_with_characters_that_statements_escape_arrive_unchanged(history, count):
    runs = [
        production_run(n, notes=ODD if n % 2 else None, consumptions=[consumption(n, unit=ODD)])
        for n in range(1, count + 1)
    ]
    assembled = [assembly_run(n, notes=ODD) for n in range(1, count + 1)]
    assert outcomes(history.import_document(document(*runs, assembly=assembled))) == (2 * count, 0, 0)
    exported = history.export_document()
    assert [run["notes"] for run in exported["production_runs"]] == [run["notes"] for run in runs]
    assert {run["notes"] for run in exported["assembly_runs"]} == {ODD}
    units = {entry["unit"] for run in exported["production_runs"] for entry in run["consumptions"]}
    assert units == {ODD}


ODD_KEYS = {
    "a trigger changes them": (
        """
        CREATE FUNCTION shift() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.id := NEW.id + 5000; RETURN NEW; END';
        CREATE TRIGGER shift BEFORE INSERT ON production_runs FOR EACH ROW EXECUTE FUNCTION shift()
        """,
        "DROP TRIGGER shift ON production_runs; DROP FUNCTION shift",
    ),
    "their default is computed": (
        "ALTER TABLE production_runs ALTER id SET DEFAULT 7000 + nextval('production_runs_id_seq')",
        "ALTER TABLE production_runs ALTER id SET DEFAULT nextval('production_runs_id_seq')",
    ),
    "they are another sequence's": (
        "CREATE SEQUENCE other START 900;ALTER TABLE production_runs ALTER id SET DEFAULT nextval('other')",
        """
        ALTER TABLE production_runs ALTER id SET DEFAULT nextval('production_runs_id_seq');
        DROP SEQUENCE other
        """,
    ),
    "nothing is odd": ("SELECT 1", "SELECT 1"),
    "they grow by more than one": (
        "ALTER SEQUENCE production_runs_id_seq INCREMENT BY 10",
        "ALTER SEQUENCE production_runs_id_seq INCREMENT BY 1",
    ),
}


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("case", ODD_KEYS)
def test_entries_belong_to_their_runs_however_keys_are_made(engine, case):
    make, drop = ODD_KEYS[case]
    with engine.begin() as connection:
        connection.exec_driver_sql(make)
    try:
        runs = many(150)
        assert outcomes(History(engine).import_document(document(*runs))) == (150, 0, 0)
        found = {run["uuid"]: run for run in History(engine).iter_runs("production_run")}
        assert found == {run["uuid"]: run for run in runs}
        with engine.begin() as connection:  # the next key of the host is free
            values = {each.key: value for each, value in zip(*_one_row(connection), strict=True)}
            values |= {"uuid": number(999_999)}
            connection.execute(sa.insert(histio.models.ProductionRun.__table__), values)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(drop)
    assert rows(engine) == 151


def _one_row(connection):
    table = histio.models.ProductionRun.__table__
    columns = [column for column in table.c if column.key not in ("id", "uuid")]
    return columns, connection.execute(sa.select(*columns)).first()


def test_names_that_were_noted_in_bulk_keep_their_first_place():
    with Spool() as spool:
        noted = [(str(n % 2_500), f"line {n}") for n in range(5_000)]
        for start in range(0, 5_000, 500):
            spool.note("kind", noted[start : start + 500])
        assert spool.place("kind", "7") == "line 7"
        mark = spool.mark()
        spool.note("kind", [("new", "line 6000")])
        assert spool.place("kind", "new") == "line 6000"
        spool.forget(mark)
        assert spool.place("kind", "new") is None
        assert list(spool.noted("kind")) == noted


ACTIONS = {
    "import": lambda history, runs: history.import_document(runs),
    "verify": lambda history, runs: history.import_document(runs, on_duplicate="verify"),
    "update": lambda history, runs: history.import_document(changed(runs), on_duplicate="update"),
    "check": lambda history, runs: history.check(runs),
    "export": lambda history, _: history.export_document(),
}


def changed(given):
    """A document with another unit in every entry."""
    runs = [
        run | {"consumptions": [entry | {"unit": "bags"} for entry in run["consumptions"]]}
        for run in given["production_runs"]
    ]
    return document(*runs)


@pytest.mark.slow
def test_entries_in_one_run_cost_no_more_statements_than_in_many_runs(databases, count_statements):
    counts = []
    for each, count in ((30, 40), (1_200, 1)):
        engine = stocked(databases("sqlite"))
        history, statements = History(engine), count_statements(engine)
        history.import_document(document())
        runs = document(
            *[
                production_run(n, consumptions=[consumption(each * n + m) for m in range(each)])
                for n in range(1, count + 1)
            ]
        )
        found = {}
        for name, act in ACTIONS.items():
            statements.clear()
            act(history, runs)
            found[name] = len(statements.all)
        counts.append(found)
    many, one = counts
    assert {name: one[name] <= many[name] for name in ACTIONS} == dict.fromkeys(ACTIONS, True)
    assert history.export_document()["production_runs"] == changed(runs)["production_runs"]
