"""What goes straight between driver and JSON is what marshmallow would have made, or marshmallow makes it."""

from __future__ import annotations

import copy
import io
import json
import re
import uuid

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marshmallow import post_dump, pre_load, validate
from sqlalchemy.orm import Session

import histio
from histio import ExportError, History, ProductionRunSchema, Text
from histio.models import Base, ProductionConsumption, ProductionRun
from histio.testing import documents, near_documents
from histio.tuning import tuned
from tests.support.bakery import consumption, document, number, production_run, stock
from tests.support.both_paths import MOMENT, imported
from tests.support.columns import host
from tests.support.effort import examples
from tests.support.streams import stream_of

SLUGS = {
    "recipe_slug": ["cookies", "bread"],
    "finished_unit_slug": ["cookie", "loaf"],
    "finished_good_slug": ["gift-bag"],
    "product_slug": ["bag-100"],
    "ingredient_slug": ["bag", "flour"],
}
QUIETLY = settings(
    max_examples=examples(30),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# --- the ways are alike ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [documents, near_documents], ids=["valid", "near"])
def test_an_import_reports_and_stores_the_same_either_way(sqlite, drawn):
    history = History(sqlite)

    @QUIETLY
    @given(drawn(history, slugs=SLUGS))
    def same(document):
        def into(connection):
            return history.import_document(copy.deepcopy(document), session=connection)

        try:
            expected = imported(sqlite, into)
        except histio.DocumentError:
            return
        with tuned(full_path_only=True):
            assert imported(sqlite, into) == expected

    same()


@pytest.mark.slow
def test_a_stream_of_the_same_runs_does_too(sqlite):
    history = History(sqlite)

    @QUIETLY
    @given(documents(history, slugs=SLUGS))
    def same(document):
        data = stream_of(
            {"exported_at": "2025-12-08T10:00:00Z", "production_runs": [], "assembly_runs": []} | document
        )

        def into(connection):
            return history.import_file(io.BytesIO(data), session=connection)

        expected = imported(sqlite, into)
        with tuned(full_path_only=True):
            assert imported(sqlite, into) == expected

    same()


MOMENTS = [
    "2025-12-08 10:00:00.000000",
    "2025-12-08 10:00:00.100000",
    "2025-12-08 10:00:00",
    "2025-12-08T10:00:00",
    "2025-12-08 10:00:00.1",
    "2024-02-29 23:59:59.999999",
    "2025-02-29 00:00:00.000000",
    "2025-02-30 00:00:00",
    "0999-12-31 00:00:00.000000",
    "1000-01-01 00:00:00.000000",
    "9998-12-31 23:59:59.999999",
    "9999-01-01 00:00:00.000000",
    "2025-12-08 24:00:00.000000",
    "2025-12-08 10:60:00.000000",
    "2025-12-08 10:00:60.000000",
    "2025-12-08",
    "",
    "x",
    "2025-12-08 10:00:00.000000Z",
    "2025-12-0٨ 10:00:00.000000",
    "2025-12-08 10:00:00,000000",
    "2025-12-08 1:000:00.000000",
    "2025-1208- 10:00:00.000000",
    20251208,
    1.5,
    b"x",
]
NUMBERS = [
    0,
    1,
    5.25,
    0.0001,
    0.00001,
    999999.9999,
    1000000,
    999999.99991,
    -1,
    -0.0,
    0.1 + 0.2,
    1e300,
    "5.25",
    "x",
    b"5",
    5.2500000000000009,
    2**40,
    5 / 3,
    0.00005,
    0.00015,
    -0.00001,
    -5 / 3,
    999999.99996,
    9007199254740993,
]
TEXTS = [
    "cups",
    "",
    " cups",
    "a\nb",
    'a"b',
    "a\\b",
    "a\tb\x01",
    "é",
    "\U0001f36a",
    "x" * 51,
    "x" * 201,
    "a\x00b",
    5,
    b"x",
    "%s",
    "%%",
]
UUIDS = [
    number(7),
    number(7).replace("-", ""),
    "ABCDEF00-0000-0000-0000-000000000000",
    "x" * 36,
    "",
    7,
    "0000000-00000-0000-0000-000000000007",
    "00000000-0000-0000-0000-00000000000g",
]
INTEGERS = [0, 1, -1, 2**31 - 1, 2**31, 2**62, 1.5, "7", "x", b"7"]
STORED = {
    "production_runs": {
        "uuid": UUIDS,
        "num_batches": INTEGERS,
        "actual_yield": INTEGERS,
        "produced_at": MOMENTS,
        "created_at": MOMENTS,
        "notes": [*TEXTS, None],
        "total_ingredient_cost": NUMBERS,
        "per_unit_cost": NUMBERS,
    },
    "production_consumptions": {
        "uuid": UUIDS,
        "ingredient_slug": TEXTS,
        "quantity_consumed": NUMBERS,
        "unit": TEXTS,
        "total_cost": NUMBERS,
        "updated_at": MOMENTS,
    },
    "recipes": {"slug": TEXTS},
}
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just(table), st.just(column), st.sampled_from(values), st.integers(1, 3))
        for table, columns in STORED.items()
        for column, values in columns.items()
    ),
    min_size=1,
    max_size=4,
)


def sorted_texts(problems):
    return sorted(map(repr, problems))


def exported(history, connection, **options):
    """The records of all runs and the warnings, or all that is wrong with them."""
    file = io.BytesIO()
    try:
        runs = list(history.iter_runs("production_run", session=connection, **options))
        report = history.export_file(
            file, kinds="production_run", session=connection, exported_at=MOMENT, **options
        )
    except ExportError as error:
        return sorted_texts(error.problems)
    assert written(file) == runs
    assert report.warning_count == len(report.warnings)
    return runs, sorted_texts(report.warnings)


def written(file):
    """The records of a stream."""
    return [json.loads(line)["production_run"] for line in file.getvalue().splitlines()[1:-1]]


def exported_in_part(history, connection):
    """The records of the runs that can be exported, and what is told of them and the others."""
    file = io.BytesIO()
    options = {"session": connection, "exported_at": MOMENT, "on_unreadable": "skip"}
    report = history.export_file(file, kinds="production_run", **options)
    assert len(written(file)) == report.exported
    assert report.skipped == len({problem.uuid for problem in report.problems})
    assert (report.problem_count, report.warning_count) == (len(report.problems), len(report.warnings))
    return written(file), report.skipped, sorted_texts(report.problems), sorted_texts(report.warnings)


def all_ways(history, connection):
    """What each way to export makes of the rows."""
    return (
        exported(history, connection),
        exported(history, connection, exact=True),
        exported_in_part(history, connection),
    )


@pytest.mark.slow
@QUIETLY
@given(CHANGES)
@example(
    [
        ("production_runs", "uuid", "ABCDEF00-0000-0000-0000-000000000000", 2),
        ("production_runs", "created_at", "x", 2),
    ]
)
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_an_export_of_whatever_sqlite_stores_is_the_same_either_way(sqlite, changes):
    history = History(sqlite)
    with sqlite.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        runs = [
            production_run(n, consumptions=[consumption(100 + n), consumption(200 + n)]) for n in (1, 2, 3)
        ]
        history.import_document(document(*runs), session=connection)
        for table, column, value, key in changes:
            connection.exec_driver_sql(
                f"UPDATE OR IGNORE {table} SET {column} = ? WHERE id = ?", (value, key)
            )
        expected = all_ways(history, connection)
        with tuned(full_path_only=True):
            assert all_ways(history, connection) == expected
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
        transaction.rollback()


ODD = {
    "postgresql": {
        "produced_at": [
            "'infinity'",
            "'-infinity'",
            "'1500-01-01 BC'",
            "'10000-01-01'",
            "'2025-12-08 10:00:00.5'",
        ],
        "total_ingredient_cost": ["'NaN'"],
        "uuid": ["upper(uuid)", "replace(uuid, '-', '')"],
        "notes": [r"E'a\tb\\c\x01'", "'%s'", "''"],
    },
    "mariadb": {
        "produced_at": ["'0000-00-00'", "'2025-12-08 10:00:00.5'", "'0999-01-01'"],
        "uuid": ["upper(uuid)", "replace(uuid, '-', '')"],
        "notes": [r"concat('a', char(9), char(1), '\\')", "concat('a', char(0))", "'%s'", "'='", "''"],
    },
}


@pytest.mark.parametrize(
    ("dialect", "column", "value"),
    [
        (server, column, value)
        for server, odd in ODD.items()
        for column, values in odd.items()
        for value in values
    ],
)
def test_an_export_of_odd_rows_is_the_same_either_way(engine, dialect, column, value):
    history = History(engine)
    with engine.connect() as connection:
        history.import_document(document(production_run(0xAB), production_run(2)), session=connection)
        mode = {"mariadb": "SET SESSION sql_mode = ''", "postgresql": "SELECT 1"}[dialect]
        connection.exec_driver_sql(mode)
        target = f"UPDATE production_runs SET {column} = {value} WHERE uuid = '{number(2)}'"
        connection.exec_driver_sql(target.replace("%", "%%"))
        expected = all_ways(history, connection)
        with tuned(full_path_only=True):
            assert all_ways(history, connection) == expected


# --- what goes straight, and what does not -----------------------------------------------------------------


def ways(history, session=None):
    """For each kind of run and direction, whether it goes straight."""
    names = tuple(f"{kind}, " for kind in history.kinds)
    explained = history.explain(session=session).splitlines()
    lines = [line for line in explained if line.startswith(names) and "port: " in line]
    return [line.endswith(": fast path") for line in lines]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_the_bundled_kinds_go_straight(engine, dialect):
    sorted_texts = History(engine).explain()
    assert ways(History(engine)) == [True] * 4
    assert '{"uuid":"…","ingredient_slug":…,' in sorted_texts
    assert "production_consumptions: uuid, ingredient_slug," in sorted_texts


@pre_load
def as_it_is_in(_schema, data, **_):
    return data


@post_dump
def as_it_is_out(_schema, data, **_):
    return data


def gets_it_alike(schema, *given):
    return super(type(schema), schema).get_attribute(*given)


@pytest.mark.parametrize(
    ("members", "straight", "why"),
    [
        ({"hook": as_it_is_in}, [True, True], "HostSchema has the hook hook (pre_load)"),
        ({"hook": as_it_is_out}, [False, True], "HostSchema has the hook hook (post_dump)"),
        (
            {"recipe_slug": histio.Slug("recipe", validate=validate.Length(max=99))},
            [False, False],
            "recipe_slug has validators",
        ),
        (
            {"get_attribute": gets_it_alike},
            [False, True],
            "has its own get_attribute",
        ),
    ],
)
def test_what_a_schema_does_by_itself_takes_marshmallow_and_is_told(sqlite, members, straight, why):
    history = History(sqlite, type("HostSchema", (ProductionRunSchema,), members))
    assert ways(history) == straight
    assert why in history.explain()
    history.import_document({"version": "1.0", "production_runs": [production_run()]})
    assert list(history.iter_runs("production_run")) == [production_run()]


@pytest.mark.parametrize(
    ("event", "straight"), [("load", [False, True, True, True]), ("before_insert", [True, True, True, True])]
)
def test_a_listener_is_noticed_whenever_it_comes_and_goes(sqlite, event, straight):
    history = History(sqlite)
    heard = []

    def listen(*given):
        heard.append(given)

    assert ways(history) == [True] * 4
    sa.event.listen(ProductionConsumption, event, listen)
    try:
        assert ways(history) == straight
        assert f"ProductionConsumption has a {event} listener" in history.explain()
        history.import_document(document(production_run()))
        list(history.iter_runs("production_run"))
    finally:
        sa.event.remove(ProductionConsumption, event, listen)
    assert len(heard) == 1
    assert ways(history) == [True] * 4


# --- databases ---------------------------------------------------------------------------------------------


TRICKY = ["a\tb\\nc\r\n", "\\.", "\\N", "", "=", "%s %%", "\x01\x02", "'\"`", "\u2028\U0001f36a", None]


@pytest.mark.slow
def test_texts_come_through_bulk_inserts_as_they_are(engine):
    history = History(engine)
    runs = [production_run(n, notes=TRICKY[n % len(TRICKY)]) for n in range(1, 300)]
    assert history.import_document(document(*runs)).imported == 299
    exported = list(history.iter_runs("production_run"))
    assert exported == sorted(runs, key=lambda run: run["uuid"])
    with tuned(full_path_only=True):
        assert list(history.iter_runs("production_run")) == exported


@pytest.mark.parametrize("dialect", ["mariadb"])
def test_entries_that_mariadb_cuts_off_or_mixes_up_are_exported_all_the_same(engine, dialect):
    history = History(engine)
    long = [consumption(n, unit="x" * 50) for n in range(1000, 1020)]
    odd = [consumption(n, unit="a\x01b") for n in range(2000, 2003)]
    runs = [production_run(1, consumptions=long), production_run(2, consumptions=odd)]
    history.import_document(document(*runs))
    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION group_concat_max_len = 1024")
        assert list(history.iter_runs("production_run", session=connection)) == runs


def test_ledgers_of_any_length_and_with_any_text_are_exported_in_order(engine, dialect, caplog):
    caplog.set_level("DEBUG", "histio")
    history = History(engine)
    lengths = [0, 1, 99, 100, 101, 2, 250]
    units = ["cups", "a\x01b", "a\x1f\x1eb", "\x1f\x1e\x01", "\x1e\x1f", "é 🍪"]
    runs = [
        production_run(
            n,
            consumptions=[consumption(1000 * n + m, unit=units[m % len(units)]) for m in range(length)],
        )
        for n, length in enumerate(lengths, start=1)
    ]
    assert history.import_document(document(*runs)).imported == len(runs)
    assert history.export_document(kinds="production_run")["production_runs"] == runs
    assert "full path" not in caplog.text


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_table_that_takes_no_copy_takes_rows_one_by_one(engine, dialect):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE guest_of_histio")
        connection.exec_driver_sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest_of_histio")
        connection.exec_driver_sql("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO guest_of_histio")
        connection.exec_driver_sql("ALTER TABLE production_runs ENABLE ROW LEVEL SECURITY")
        connection.exec_driver_sql("CREATE POLICY all_of_them ON production_runs USING (true)")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET ROLE guest_of_histio")
            runs = [production_run(n) for n in range(1, 151)]
            report = History(engine).import_document(document(*runs), session=connection)
            assert (report.imported, report.problems) == (150, ())
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP POLICY all_of_them ON production_runs")
            connection.exec_driver_sql("ALTER TABLE production_runs DISABLE ROW LEVEL SECURITY")
            connection.exec_driver_sql("DROP OWNED BY guest_of_histio")
            connection.exec_driver_sql("DROP ROLE guest_of_histio")


@pytest.mark.parametrize("forever", [True, False])
def test_keys_that_sqlite_has_given_away_come_never_again_where_it_says_so(tmp_path, forever):
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    engine = histio.create_engine(url)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        [made] = connection.execute(
            sa.text("SELECT sql FROM sqlite_master WHERE name = 'production_runs'")
        ).scalars()
        if forever:
            connection.exec_driver_sql("DROP TABLE production_runs")
            made = made.replace("\tid INTEGER NOT NULL", "\tid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL")
            made = re.sub(r"CONSTRAINT pk_production_runs PRIMARY KEY \(id\),\s*", "", made)
            connection.exec_driver_sql(made)
    with Session(engine) as session:
        session.add_all(stock())
        session.commit()
    history = History(engine)
    history.import_document(document(production_run(1), production_run(2)))
    with engine.begin() as connection:
        connection.execute(sa.delete(ProductionRun).where(ProductionRun.id == 2))
    history.import_document(document(production_run(3)))
    with engine.connect() as connection:
        keys = set(connection.execute(sa.select(ProductionRun.id)).scalars())
    engine.dispose()
    assert keys == ({1, 3} if forever else {1, 2})


def test_a_row_that_a_trigger_writes_keeps_its_key(sqlite):
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER echo AFTER INSERT ON production_runs WHEN NEW.notes = 'twice' BEGIN "
            "INSERT INTO production_runs (uuid, created_at, updated_at, recipe_id, finished_unit_id, "
            "num_batches, expected_yield, actual_yield, produced_at, total_ingredient_cost, per_unit_cost) "
            "SELECT hex(randomblob(18)), created_at, updated_at, recipe_id, finished_unit_id, num_batches, "
            "expected_yield, actual_yield, produced_at, total_ingredient_cost, per_unit_cost "
            "FROM production_runs WHERE id = NEW.id; END"
        )
    history = History(sqlite)
    runs = [production_run(1, notes="twice"), production_run(2), production_run(3)]
    assert history.import_document(document(*runs)).imported == 3
    criterion = ProductionRun.uuid.in_([number(1), number(2), number(3)])
    assert list(history.iter_runs("production_run", where=criterion)) == runs


DEFAULTS = {
    "a_function": (lambda: uuid.uuid4().hex, False),
    "a_constant": ("told", False),
    "of_the_row": (lambda context: context.get_current_parameters()["uuid"], True),
}


@pytest.mark.parametrize(("default", "by_sqlalchemy"), DEFAULTS.values(), ids=DEFAULTS)
def test_defaults_of_columns_that_the_format_leaves_out_are_filled_in(
    create, dialect, default, by_sqlalchemy
):
    metadata, kind = host(
        sa.String(80), Text(), {"exclude": ("place",)}, place=sa.Column(sa.String(80), default=default)
    )
    engine = create(metadata)
    history = History(engine, kind)
    assert ways(history) == [True, True]
    assert ("SQLAlchemy writes the rows" in history.explain()) == by_sqlalchemy
    given = [{"uuid": number(n), "value": "x"} for n in (1, 2)]
    assert history.import_document({"version": "1.0", "things": given}).imported == 2
    model = kind.Meta.model
    with Session(engine) as session:
        places = session.scalars(sa.select(model.place)).all()
    assert len(set(filter(None, places))) == (2 if callable(default) else 1)


@pytest.mark.parametrize("on_duplicate", ["verify", "update"])
def test_runs_of_a_document_that_are_stored_as_they_are_do_not_take_the_full_path(
    sqlite, caplog, on_duplicate
):
    history = History(sqlite)
    history.import_document(document(*(production_run(n) for n in range(1, 4))))
    caplog.set_level("DEBUG", "histio")
    report = history.import_document(history.export_document(), on_duplicate=on_duplicate)
    assert (report.skipped, report.problem_count, report.warning_count) == (3, 0, 0)
    assert "full path" not in caplog.text
