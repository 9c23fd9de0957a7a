"""The four functions of the original system, exactly."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

import histio
from histio.models import AssemblyRun, FinishedGood, Ingredient, Product, ProductionRun, Recipe
from tests.support.bakery import assembly_run, consumption, document, number, packaging, production_run
from tests.support.reports import rows

TRANSPORT = [
    (histio.export_production_history, histio.import_production_history, "production_runs", ProductionRun),
    (histio.export_assembly_history, histio.import_assembly_history, "assembly_runs", AssemblyRun),
]


@pytest.fixture
def configured(engine, monkeypatch):
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    histio.configure(engine)
    yield engine
    histio.configure(None)


@pytest.fixture
def unconfigured(monkeypatch):
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    histio.configure(None)


def both(*numbers):
    return document(*map(production_run, numbers), assembly=[assembly_run(n) for n in numbers])


@pytest.mark.parametrize(("export", "import_", "collection", "model"), TRANSPORT)
def test_a_history_goes_round_through_a_fresh_database(
    configured, other_engine, export, import_, collection, model
):
    assert import_(both(1, 2, 3)) == {"imported": 3, "skipped": 0, "errors": []}
    exported = export()
    assert list(exported) == ["version", "exported_at", collection]
    with Session(other_engine) as session:
        assert import_(exported, session=session) == {"imported": 3, "skipped": 0, "errors": []}
        assert export(session=session)[collection] == exported[collection] == both(1, 2, 3)[collection]
        session.rollback()
    assert rows(other_engine, model) == 0
    assert rows(configured, model) == 3


@pytest.mark.parametrize(("export", "import_", "collection", "model"), TRANSPORT)
def test_duplicates_are_skipped_or_reported(configured, export, import_, collection, model):
    import_(both(1, 2))
    assert import_(both(1, 2, 3)) == {"imported": 1, "skipped": 2, "errors": []}
    assert import_(both(1), skip_duplicates=False) == {
        "imported": 0,
        "skipped": 0,
        "errors": [f"Duplicate UUID: {number(1)}"],
    }


def test_errors_read_as_they_always_did_one_string_for_each_run(configured):
    data = document(
        production_run(1, recipe_slug="tarte-tatin"),
        production_run(2, recipe_slug="tarte-tatin", finished_unit_slug="slice"),
        production_run(3, num_batches=0),
        production_run(4),
        production_run(5, recipe_slug="x", unknown=1, consumptions=[consumption(9, unit=4)]),
        {"recipe_slug": "cookies"},
    )
    result = histio.import_production_history(data)
    assert (result["imported"], result["skipped"]) == (1, 0)
    assert result["errors"][:3] == [
        "Recipe not found: tarte-tatin",
        "Recipe not found: tarte-tatin; FinishedUnit not found: slice",
        f"Error importing {number(3)}: num_batches: Must be from 1 to 2147483647.",
    ]
    assert sorted(result["errors"][3].split("; ")) == [
        f"Error importing {number(5)}: consumptions/0/unit: Not a string.",
        f"Error importing {number(5)}: unknown: Unknown field.",
        "Recipe not found: x",
    ]
    assert result["errors"][4].startswith("Error importing production_runs/5: uuid: ")
    assert len(result["errors"]) == 5


def test_assembly_errors_name_the_model(configured):
    run = assembly_run(1, finished_good_slug="x", packaging_consumptions=[packaging(2, product_slug="y")])
    assert histio.import_assembly_history(document(assembly=[run]))["errors"] == [
        "FinishedGood not found: x; Product not found: y"
    ]


def test_an_import_takes_its_own_list_and_ignores_the_other(configured):
    data = both(1) | {"assembly_runs": "nonsense"}
    assert histio.import_production_history(data)["imported"] == 1
    assert histio.import_production_history({"version": "1.0", "assembly_runs": []}) == {
        "imported": 0,
        "skipped": 0,
        "errors": [],
    }


@pytest.mark.turns
@pytest.mark.parametrize(
    "data", [None, [], "{}", {}, {"version": "1.0"}, {"version": "9.9", "production_runs": []}]
)
@pytest.mark.parametrize("import_", [histio.import_production_history, histio.import_assembly_history])
def test_a_document_that_cannot_be_read_raises(configured, import_, data):
    with pytest.raises(histio.DocumentError):
        import_(data)


def test_production_is_filtered_by_recipe_and_inclusive_dates(configured):
    runs = [production_run(n, produced_at=f"2025-03-0{n}T12:00:00Z") for n in range(1, 6)]
    histio.import_production_history(document(*runs, production_run(9, recipe_slug="bread")))
    with Session(configured) as session:
        bread = session.scalars(sa.select(Recipe.id).where(Recipe.slug == "bread")).one()

    def found(**filters):
        return [
            int(run["uuid"][-1]) for run in histio.export_production_history(**filters)["production_runs"]
        ]

    assert found(recipe_id=bread) == [9]
    assert found(recipe_id=0) == []
    assert found(
        start_date=dt.datetime(2025, 3, 2, 12, tzinfo=dt.UTC),
        end_date=dt.datetime(2025, 3, 4, 12, tzinfo=dt.UTC),
    ) == [2, 3, 4]
    assert found(start_date=dt.date(2025, 3, 3), end_date=dt.date(2025, 3, 5)) == [3, 4, 5]


def test_assembly_is_filtered_by_finished_good(configured):
    with Session(configured) as session:
        session.add(FinishedGood(display_name="Box", slug="box"))
        session.commit()
    histio.import_assembly_history(
        document(assembly=[assembly_run(1), assembly_run(2, finished_good_slug="box")])
    )
    with Session(configured) as session:
        box = session.scalars(sa.select(FinishedGood.id).where(FinishedGood.slug == "box")).one()
    assert [run["uuid"] for run in histio.export_assembly_history(finished_good_id=box)["assembly_runs"]] == [
        number(2)
    ]


def test_the_session_given_is_the_one_used(configured, other_engine):
    with Session(other_engine) as session:
        histio.import_production_history(both(1), session=session)
        session.commit()
    assert (rows(configured), rows(other_engine)) == (0, 1)


def test_a_session_needs_no_configuration(unconfigured, sqlite):
    with Session(sqlite) as session:
        assert histio.import_production_history(both(1), session=session)["imported"] == 1


def test_the_environment_names_the_database(unconfigured, sqlite, monkeypatch):
    monkeypatch.setenv("HISTIO_DATABASE_URL", sqlite.url.render_as_string(hide_password=False))
    assert histio.import_production_history(both(1))["imported"] == 1
    assert rows(sqlite) == 1


@pytest.mark.parametrize("wrap", [lambda engine: engine, sessionmaker, lambda engine: str(engine.url)])
def test_configure_takes_what_history_takes_and_comes_before_the_environment(sqlite, monkeypatch, wrap):
    monkeypatch.setenv("HISTIO_DATABASE_URL", "sqlite:////nowhere/at/all.db")
    histio.configure(wrap(sqlite))
    assert histio.import_production_history(both(1))["imported"] == 1
    histio.configure(None)


@pytest.mark.parametrize("value", [None, ""])
def test_no_database_is_an_error_that_says_how_to_name_one(unconfigured, monkeypatch, value):
    monkeypatch.setattr("os.environ", {} if value is None else {"HISTIO_DATABASE_URL": value})
    with pytest.raises(histio.NotConfiguredError, match=r"histio\.configure.*HISTIO_DATABASE_URL"):
        histio.export_production_history()


def test_a_packaging_of_unknown_ingredient_can_still_name_its_product(configured):
    with Session(configured) as session:
        session.add(Product(product_name="p", slug="p", ingredient=Ingredient(display_name="i", slug="i")))
        session.commit()
    run = assembly_run(1, packaging_consumptions=[packaging(2, product_slug="p", ingredient_slug="i")])
    assert histio.import_assembly_history(document(assembly=[run]))["errors"] == []


@pytest.mark.parametrize("bad", ["nonsense://x", 5])
def test_a_bad_configuration_is_refused_and_changes_nothing(configured, bad):
    with pytest.raises((sa.exc.ArgumentError, histio.BindingError)):
        histio.configure(bad)
    assert histio.export_production_history()["production_runs"] == []
