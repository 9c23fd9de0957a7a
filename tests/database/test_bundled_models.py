"""The bundled models behave the same on every database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import histio
from histio.models import Base, Ingredient, ProductionConsumption, ProductionRun, Recipe
from tests.support.bakery import document, production_run

TABLES = {
    "recipes",
    "ingredients",
    "finished_units",
    "finished_goods",
    "products",
    "production_runs",
    "production_consumptions",
    "assembly_runs",
    "assembly_finished_unit_consumptions",
    "assembly_packaging_consumptions",
}


def test_the_tables_are_those_of_the_contract():
    assert set(Base.metadata.tables) == TABLES


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_has_the_four_columns(table):
    columns = Base.metadata.tables[table].columns
    assert columns["id"].primary_key
    assert columns["uuid"].unique
    assert not any(columns[name].nullable for name in ("uuid", "created_at", "updated_at"))


def test_slugs_differ_by_case_accent_and_trailing_space(engine):
    slugs = ["a", "A", "á", "a ", "a\u00a0", "\uff41"]
    with Session(engine) as session:
        session.add_all([Recipe(name="x", slug=slug) for slug in slugs])
        session.commit()
        for slug in slugs:
            assert session.scalars(sa.select(Recipe.slug).where(Recipe.slug == slug)).all() == [slug]


def test_what_is_stored_comes_back(engine, history):
    history.import_document(document(production_run()))
    notes = "🥐" * 40_000 + "end"
    moment = dt.datetime(2025, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001
    with Session(engine) as session:
        run = session.scalars(sa.select(ProductionRun)).one()
        run.notes, run.produced_at, run.per_unit_cost = notes, moment, Decimal("999999.9999")
        session.commit()
        session.expire_all()
        assert (run.notes, run.produced_at, run.per_unit_cost) == (notes, moment, Decimal("999999.9999"))


def test_new_rows_get_a_uuid_and_utc_times(engine):
    with Session(engine) as session:
        one, two = Recipe(name="a", slug="a"), Recipe(name="b", slug="b")
        session.add_all([one, two])
        session.commit()
        assert len(one.uuid) == 36
        assert one.uuid != two.uuid
        assert abs(one.created_at - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=5)


def test_a_recipe_in_use_cannot_be_deleted(engine, history):
    history.import_document(document(production_run()))
    with Session(engine) as session, pytest.raises(sa.exc.IntegrityError):
        session.execute(sa.delete(Recipe).where(Recipe.slug == "cookies"))


def test_an_ingredient_in_use_can_be_deleted(engine, history):
    history.import_document(document(production_run()))
    with Session(engine) as session:
        session.execute(sa.delete(Ingredient).where(Ingredient.slug == "flour"))
        session.commit()


@pytest.mark.parametrize(
    "delete", [lambda s, run: s.delete(run), lambda s, run: s.execute(sa.delete(ProductionRun))]
)
def test_a_deleted_run_takes_its_ledger_with_it(engine, history, delete):
    history.import_document(document(production_run()))
    with Session(engine) as session:
        delete(session, session.scalars(sa.select(ProductionRun)).one())
        session.commit()
        assert session.scalars(sa.select(ProductionConsumption)).all() == []


@pytest.mark.slow
def test_both_names_of_mariadb_make_the_same_tables(databases):
    engine = databases("mariadb")
    tables = []
    for name in ("mariadb+pymysql", "mysql+pymysql"):
        again = histio.create_engine(engine.url.set(drivername=name))
        Base.metadata.drop_all(again)
        Base.metadata.create_all(again)
        with again.connect() as connection:
            tables.append(connection.exec_driver_sql("SHOW CREATE TABLE production_runs").all()[0][1])
        again.dispose()
    assert tables[0] == tables[1]
    for part in ("utf8mb4_nopad_bin", "datetime(6)", "longtext", "CHARSET=utf8mb4", "InnoDB"):
        assert part in tables[0]


def test_runs_can_be_paged_by_an_index():
    indexed = [[column.name for column in index.columns] for index in ProductionRun.__table__.indexes]
    assert ["produced_at", "uuid"] in indexed
