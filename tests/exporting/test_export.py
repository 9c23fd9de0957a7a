"""Every row, in order, once; and a constant number of statements."""

from __future__ import annotations

import datetime as dt
import json
import weakref
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import ExportError, History
from histio.models import (
    AssemblyRun,
    FinishedGood,
    Ingredient,
    Product,
    ProductionConsumption,
    ProductionRun,
    Recipe,
)
from tests.support.bakery import assembly_run, consumption, document, number, packaging, production_run
from tests.support.databases import stocked

MOMENT = dt.datetime(2025, 12, 9, 12, tzinfo=dt.UTC)


def days(count, *, first=1):
    """A run a day from the first of January 2025, in shuffled order."""
    day = dt.datetime(2025, 1, 1, 10)  # noqa: DTZ001
    runs = [
        production_run(first + n, produced_at=(day + dt.timedelta(days=n)).isoformat() + "Z")
        for n in range(count)
    ]
    return runs[1::2] + runs[::2]


def exported(history, **options):
    return [run["produced_at"][:10] for run in history.export_document(**options)["production_runs"]]


def test_an_empty_history_is_a_document_with_empty_lists(history):
    assert history.export_document(exported_at=MOMENT) == {
        "version": "1.0",
        "exported_at": "2025-12-09T12:00:00Z",
        "production_runs": [],
        "assembly_runs": [],
    }


def test_runs_are_ordered_by_time_then_uuid(history):
    runs = [
        production_run(uuid="b0000000-0000-4000-8000-000000000000", consumptions=[]),
        production_run(uuid="00000000-0000-4000-8000-00000000000a", consumptions=[]),
        production_run(uuid="0a000000-0000-4000-8000-000000000000", consumptions=[]),
        production_run(3, produced_at="2025-12-08T10:00:00.000001Z"),
        production_run(4, produced_at="2025-12-08T09:59:59.999999Z"),
    ]
    history.import_document(document(*runs))
    order = [run["uuid"][:2] + run["uuid"][-1] for run in history.iter_runs("production_run")]
    assert order == ["004", "00a", "0a0", "b00", "003"]


@pytest.mark.parametrize("count", [199, 200, 201, 400, 450])
def test_pages_neither_lose_nor_repeat_runs(sqlite, count):
    history = History(sqlite)
    history.import_document(document(*(production_run(n, consumptions=[]) for n in range(count))))
    assert [run["uuid"] for run in history.iter_runs("production_run")] == [number(n) for n in range(count)]


def test_exports_of_the_same_rows_are_the_same_bytes(history):
    history.import_document(document(*days(30), assembly=[assembly_run(n) for n in range(30)]))
    one, two = (json.dumps(history.export_document(exported_at=MOMENT)) for _ in range(2))
    assert one == two


@pytest.mark.turns
@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        ({}, "2025-01-01", "2025-01-10"),
        ({"since": dt.datetime(2025, 1, 3, 10, tzinfo=dt.UTC)}, "2025-01-03", "2025-01-10"),
        ({"since": dt.datetime(2025, 1, 3, 10, 0, 0, 1, tzinfo=dt.UTC)}, "2025-01-04", "2025-01-10"),
        ({"since": dt.datetime(2025, 1, 3, 10)}, "2025-01-03", "2025-01-10"),  # noqa: DTZ001
        (
            {"since": dt.datetime(2025, 1, 3, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))},
            "2025-01-03",
            "2025-01-10",
        ),
        ({"since": dt.date(2025, 1, 3)}, "2025-01-03", "2025-01-10"),
        ({"until": dt.datetime(2025, 1, 5, 10, tzinfo=dt.UTC)}, "2025-01-01", "2025-01-05"),
        ({"until": dt.datetime(2025, 1, 5, 9, tzinfo=dt.UTC)}, "2025-01-01", "2025-01-04"),
        ({"until": dt.date(2025, 1, 5)}, "2025-01-01", "2025-01-05"),
        ({"until": dt.date.max}, "2025-01-01", "2025-01-10"),
        ({"since": dt.date(2025, 1, 4), "until": dt.date(2025, 1, 6)}, "2025-01-04", "2025-01-06"),
    ],
)
def test_bounds_are_inclusive(history, options, first, last):
    history.import_document(document(*days(10)))
    found = exported(history, **options)
    assert (found[0], found[-1]) == (first, last)
    assert len(found) == int(last[-2:]) - int(first[-2:]) + 1


def test_a_criterion_for_the_one_kind_asked_for(history):
    history.import_document(
        document(production_run(1), production_run(2, num_batches=9), assembly=[assembly_run(3)])
    )
    found = history.export_document(kinds="production_run", where=ProductionRun.num_batches > 5)
    assert [run["uuid"] for run in found["production_runs"]] == [number(2)]
    assert "assembly_runs" not in found


def test_criteria_by_kind(history):
    history.import_document(
        document(production_run(1), production_run(2, num_batches=9), assembly=[assembly_run(3)])
    )
    found = history.export_document(where={"production_run": ProductionRun.num_batches > 5})
    assert (len(found["production_runs"]), len(found["assembly_runs"])) == (1, 1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kinds": "production"}, "no such kind: production; did you mean production_run"),
        ({"where": ProductionRun.num_batches > 5}, "mapping from kind to criterion"),
        (
            {"kinds": ["production_run"], "where": {"assembly_run": AssemblyRun.id > 0}},
            "where names kinds that are not among the kinds exported: assembly_run",
        ),
        ({"exported_at": dt.datetime(2025, 1, 1)}, "aware"),  # noqa: DTZ001
    ],
)
def test_options_that_make_no_sense_are_refused(sqlite, options, why):
    with pytest.raises(ValueError, match=why):
        History(sqlite).export_document(**options)


def test_a_deleted_ingredient_does_not_lose_its_ledger_entry(engine, history):
    history.import_document(document(production_run()))
    with Session(engine) as session:
        session.execute(sa.delete(Ingredient).where(Ingredient.slug == "flour"))
        session.commit()
    assert next(history.iter_runs("production_run"))["consumptions"][0]["ingredient_slug"] == "flour"


def test_a_renamed_recipe_travels_under_its_new_slug(engine, history):
    history.import_document(document(production_run()))
    with Session(engine) as session:
        session.execute(sa.update(Recipe).where(Recipe.slug == "cookies").values(slug="kekse"))
        session.commit()
    assert next(history.iter_runs("production_run"))["recipe_slug"] == "kekse"


def test_costs_of_zero_are_zeros_with_the_columns_scale(history):
    run = production_run(
        per_unit_cost="0",
        total_ingredient_cost="0.0",
        consumptions=[consumption(quantity_consumed="1", total_cost="0")],
    )
    history.import_document(document(run))
    found = next(history.iter_runs("production_run"))
    assert (found["per_unit_cost"], found["total_ingredient_cost"]) == ("0.0000", "0.0000")
    assert (found["consumptions"][0]["quantity_consumed"], found["consumptions"][0]["total_cost"]) == (
        "1.000",
        "0.0000",
    )


def test_rows_the_format_cannot_hold_are_all_named_and_the_others_still_come(sqlite):
    history = History(sqlite)
    history.import_document(document(*days(4), assembly=[assembly_run(9)]))
    with sqlite.begin() as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        for column, value, n in (
            ("per_unit_cost", -1, 1),
            ("num_batches", 0, 1),
            ("produced_at", "0999-01-01 00:00:00.000000", 3),
        ):
            connection.execute(
                sa.text(f"UPDATE production_runs SET {column} = :v WHERE uuid = :u"),
                {"v": value, "u": number(n)},
            )
        connection.execute(
            sa.text("UPDATE production_consumptions SET ingredient_slug = ' ' WHERE uuid = :u"),
            {"u": number(1_000_001)},
        )
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
    got = []
    with pytest.raises(ExportError, match=r"cannot be exported \(4\)") as caught:
        got.extend(history.iter_runs("production_run"))
    assert [run["uuid"] for run in got] == [number(2), number(4)]
    assert sorted((problem.uuid, problem.pointer) for problem in caught.value.problems) == [
        (number(1), "/consumptions/0/ingredient_slug"),
        (number(1), "/num_batches"),
        (number(1), "/per_unit_cost"),
        (number(3), "/produced_at"),
    ]


@pytest.mark.slow
def test_twelve_thousand_runs_are_exported_as_twelve_thousand(sqlite):
    with Session(sqlite) as session:
        recipe = session.scalars(sa.select(Recipe)).first()
        unit = session.scalar(sa.text("SELECT id FROM finished_units"))
        at = dt.datetime(2025, 1, 1)  # noqa: DTZ001
        session.execute(
            sa.insert(ProductionRun),
            [
                {
                    "recipe_id": recipe.id,
                    "finished_unit_id": unit,
                    "num_batches": 1,
                    "expected_yield": 1,
                    "actual_yield": 1,
                    "produced_at": at + dt.timedelta(minutes=n),
                    "total_ingredient_cost": Decimal(1),
                    "per_unit_cost": Decimal(1),
                }
                for n in range(12_000)
            ],
        )
        session.commit()
    assert sum(1 for _ in History(sqlite).iter_runs("production_run")) == 12_000


@pytest.mark.slow
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_statements_grow_by_the_page_and_not_by_the_run(sqlite, count_statements, count):
    runs = [
        production_run(n, consumptions=[consumption(10**6 + n), consumption(2 * 10**6 + n)])
        for n in range(count)
    ]
    goods = [assembly_run(n) for n in range(50)]
    statements = count_statements(sqlite)
    History(sqlite).import_document(document(*runs, assembly=goods))
    assert len(statements.matching("SELECT")) <= 15 + 4 * (count // 500)
    assert len(statements.matching("INSERT")) == 2 * (count // 500) + 3
    statements.clear()
    History(sqlite).export_document()
    # A page is a SELECT of runs and one of each ledger; the first of these comes once more, in vain, after a
    # full page. For each kind, one looks for times in another spelling, one for runs without UUID, one for
    # runs without time.
    assert len(statements.matching("SELECT ")) == 2 * (count // 200) + 1 + 3 + 2 + 2 + 2


@pytest.mark.slow
def test_references_are_resolved_in_one_select_per_model(sqlite, count_statements):
    statements = count_statements(sqlite)
    runs = [production_run(n, recipe_slug=f"unknown-{n % 40}") for n in range(700)]
    packages = [
        packaging(5),
        {**packaging(6), "product_slug": "x"},
        {k: v for k, v in packaging(7).items() if k != "product_slug"},
    ]
    History(sqlite).check(document(*runs, assembly=[assembly_run(1, packaging_consumptions=packages)]))
    hints = [statement for statement in statements.all if "DISTINCT" in statement]
    for table in ("recipes", "finished_units", "products", "finished_goods"):
        assert len([s for s in statements.matching(f"FROM {table}") if s not in hints]) == 1
    assert len(hints) == 2


@pytest.mark.slow
def test_iteration_keeps_no_more_than_a_page_alive(sqlite):
    history = History(sqlite)
    history.import_document(document(*days(900)))
    alive, most = weakref.WeakSet(), []

    def note(target, _context):
        alive.add(target)
        most.append(len(alive))

    sa.event.listen(ProductionConsumption, "load", note)
    assert sum(1 for _ in history.iter_runs("production_run")) == 900
    sa.event.remove(ProductionConsumption, "load", note)
    assert len(most) == 900
    assert max(most) <= 2 * 200


def test_an_iterator_that_is_abandoned_gives_its_connection_back(engine, history):
    history.import_document(document(*days(3)))
    runs = history.iter_runs("production_run")
    next(runs)
    assert engine.pool.checkedout() == 1
    runs.close()
    assert engine.pool.checkedout() == 0


@pytest.mark.slow
def test_an_export_sees_one_moment(databases, dialect):
    engine = stocked(databases(dialect, 9))  # of its own: SQLite's WAL mode stays with the file
    history = History(engine)
    history.import_document(document(*days(300)))
    raw = engine.raw_connection()
    raw.cursor().execute({"sqlite": "PRAGMA journal_mode = WAL"}.get(dialect, "SELECT 1"))
    raw.close()
    runs = history.iter_runs("production_run")
    next(runs)
    with engine.begin() as writer:
        writer.execute(sa.delete(ProductionConsumption))
    assert sum(len(run["consumptions"]) for run in runs) == 299
    assert sum(len(run["consumptions"]) for run in history.iter_runs("production_run")) == 0


def test_two_products_of_one_ingredient_are_told_apart(engine, history):
    with Session(engine) as session:
        bag = session.scalars(sa.select(Ingredient).where(Ingredient.slug == "bag")).one()
        session.add_all(
            [
                Product(product_name="500", slug="bag-500", ingredient=bag),
                FinishedGood(display_name="x", slug="x"),
            ]
        )
        session.commit()
    given = document(
        assembly=[assembly_run(packaging_consumptions=[packaging(8), packaging(9, product_slug="bag-500")])]
    )
    history.import_document(given)
    assert list(history.iter_runs("assembly_run")) == given["assembly_runs"]


# --- what others have stored -------------------------------------------------------------------------


@pytest.fixture
def three_hundred(sqlite):
    """Three hundred runs of one moment, more than a page."""
    history = History(sqlite)
    history.import_document(document(*(production_run(n, consumptions=[]) for n in range(1, 301))))
    return history


@pytest.mark.slow
@pytest.mark.parametrize(
    "spelling",
    [
        "2025-12-08 10:00:00",
        "2025-12-08T10:00:00",
        "2025-12-08T10:00:00.000000",
        "2025-12-08 10:00",
        "2025-12-08 10:00:00.0",
    ],
)
def test_times_in_another_spelling_of_sqlites_lose_no_run(sqlite, three_hundred, spelling):
    with sqlite.begin() as connection:
        connection.execute(
            sa.text("UPDATE production_runs SET produced_at = :at WHERE id % 3 > 0"), {"at": spelling}
        )
    assert [run["uuid"] for run in three_hundred.iter_runs("production_run")] == [
        number(n) for n in range(1, 301)
    ]
    moment = dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC)
    assert len(three_hundred.export_document(since=moment, until=moment)["production_runs"]) == 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("total_ingredient_cost", 5.25001),
        ("total_ingredient_cost", "NaN"),
        ("per_unit_cost", "much"),
        ("produced_at", "yesterday"),
        ("produced_at", 1733652000),
        ("produced_at", "2025-02-30 10:00:00.000000"),
        ("produced_at", "2025-12-08 25:00:00"),
        ("created_at", "2025-12-08 10:00:00.1234567"),
    ],
)
def test_what_sqlite_stores_in_spite_of_its_type_is_named_and_not_rounded(
    sqlite, three_hundred, column, value
):
    with sqlite.begin() as connection:
        connection.execute(
            sa.text(f"UPDATE production_runs SET {column} = :value WHERE uuid = :uuid"),
            {"value": value, "uuid": number(7)},
        )
    with pytest.raises(ExportError) as caught:
        three_hundred.export_document(since=dt.date(2000, 1, 1), exact=True)
    assert [(problem.uuid, problem.pointer) for problem in caught.value.problems] == [
        (number(7), f"/{column}")
    ]
    got = []
    with pytest.raises(ExportError):
        got.extend(three_hundred.iter_runs("production_run", exact=True))
    assert len(got) == 299


def test_altered_ledger_entries_are_named_too(sqlite):
    history = History(sqlite)
    history.import_document(document(production_run(1), production_run(2)))
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE production_consumptions SET quantity_consumed = 0.00049 + id WHERE id = 2"
        )
    with pytest.raises(ExportError, match=number(1_000_002)) as caught:
        history.export_document(exact=True)
    assert [problem.pointer for problem in caught.value.problems] == ["/consumptions/quantity_consumed"]


@pytest.mark.parametrize(
    "stored", ["AAAAAAAA-0000-4000-8000-00000000000A", "aaaaaaaa0000400080000000000000aa", "x"]
)
def test_a_uuid_stored_in_another_spelling_is_named(engine, history, stored):
    history.import_document(document(production_run(1), production_run(2)))
    with engine.begin() as connection:
        connection.execute(
            sa.update(ProductionRun).where(ProductionRun.uuid == number(1)).values(uuid=stored)
        )
    with pytest.raises(ExportError) as caught:
        history.export_document()
    assert [(problem.uuid, problem.pointer) for problem in caught.value.problems] == [(stored, "/uuid")]


@pytest.mark.parametrize("bound", ["2025-01-01", 2025])
def test_bounds_that_are_no_dates_are_refused(sqlite, bound):
    with pytest.raises(TypeError, match="changed_since are dates or datetimes"):
        History(sqlite).export_document(since=bound)


def test_a_select_that_fails_leaves_the_callers_transaction_alive(engine):
    with Session(engine) as session:
        session.add(Recipe(name="mine", slug="mine"))
        history = History(session)
        for read in (
            lambda: history.export_document(kinds="production_run", where=sa.text("no_such_column = 1")),
            lambda: list(history.iter_runs("production_run", where=sa.text("no_such_column = 1"))),
        ):
            with pytest.raises(sa.exc.DBAPIError):
                read()
        session.commit()
    with Session(engine) as session:
        assert session.scalars(sa.select(Recipe.slug).where(Recipe.slug == "mine")).all() == ["mine"]


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "1500-01-01 BC", "12000-01-01"])
@pytest.mark.parametrize("column", ["produced_at", "created_at"])
def test_a_time_that_python_does_not_know_is_named(engine, history, dialect, moment, column):
    history.import_document(document(*days(3)))
    with engine.begin() as connection:
        stranger = sa.text(f"UPDATE production_runs SET {column} = :moment WHERE uuid = :uuid")
        connection.execute(stranger, {"moment": moment, "uuid": number(2)})
    with pytest.raises(ExportError) as caught:
        history.export_document()
    told = [(problem.pointer, problem.uuid) for problem in caught.value.problems]
    assert told == [(f"/{column}", number(2))]
