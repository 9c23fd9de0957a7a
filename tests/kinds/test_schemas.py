"""The schemas as any marshmallow-sqlalchemy user knows them: dump a row, load a row."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.orm import Session

from histio import AssemblyRunSchema, History, ProductionRunSchema
from histio.models import AssemblyRun, Ingredient, Product, ProductionConsumption, ProductionRun, Recipe
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    without,
)

CASES = [(ProductionRunSchema, production_run()), (AssemblyRunSchema, assembly_run())]


@pytest.mark.parametrize(("schema", "record"), CASES)
def test_what_is_loaded_and_saved_dumps_the_same(engine, schema, record):
    with Session(engine) as session:
        session.add(schema().load(record, session=session))
        session.commit()
        row = session.scalars(sa.select(schema.Meta.model)).one()
        assert schema().dump(row) == record


@pytest.mark.parametrize(("schema", "record"), CASES)
def test_a_loaded_row_is_in_no_session_and_brings_nobody_along(sqlite, schema, record):
    with Session(sqlite) as session:
        row = schema().load(record, session=session)
        assert sa.inspect(row).transient
        assert not session.new
        assert not session.dirty
        session.add(row)
        assert {type(new).__name__ for new in session.new} == {
            type(row).__name__,
            *(
                type(entry).__name__
                for name in record
                if isinstance(record[name], list)
                for entry in getattr(row, name)
            ),
        }


@pytest.mark.parametrize(("schema", "record"), CASES)
def test_a_transient_load_asks_no_database_and_dumps_the_same(schema, record):
    row = schema().load(record, transient=True)
    assert schema().dump(row) == record


def test_loading_without_session_is_refused_as_ever():
    with pytest.raises(ValueError, match="requires a session"):
        ProductionRunSchema().load(production_run())


def test_loading_a_known_uuid_changes_its_row_and_ledger(sqlite):
    History(sqlite).import_document(
        document(production_run(1, consumptions=[consumption(5), consumption(6)]))
    )
    record = production_run(1, num_batches=9, consumptions=[consumption(6, unit="kg"), consumption(7)])
    with Session(sqlite) as session:
        row = ProductionRunSchema().load(record, session=session)
        assert sa.inspect(row).persistent
        session.commit()
    with Session(sqlite) as session:
        assert session.scalars(sa.select(ProductionConsumption.uuid)).all() == [number(6), number(7)]
    assert list(History(sqlite).iter_runs("production_run")) == [record]


def test_an_instance_can_be_changed_in_part(sqlite):
    History(sqlite).import_document(document(production_run(1), assembly=[assembly_run(1)]))
    with Session(sqlite) as session:
        run = session.scalars(sa.select(ProductionRun)).one()
        same = ProductionRunSchema().load({"notes": "new"}, session=session, instance=run, partial=True)
        assert same is run
        assert (run.notes, run.num_batches, len(run.consumptions)) == ("new", 2, 1)
        goods = session.scalars(sa.select(AssemblyRun)).one()
        AssemblyRunSchema().load({"quantity_assembled": 6}, session=session, instance=goods, partial=True)
        assert goods.quantity_assembled == 6


@pytest.mark.parametrize("entries", [1, 300])
def test_loading_asks_no_query_for_each_ledger_entry(sqlite, count_statements, entries):
    record = production_run(consumptions=[consumption(n) for n in range(100, 100 + entries)])
    goods = assembly_run(packaging_consumptions=[packaging(n) for n in range(100, 100 + entries)])
    statements = count_statements(sqlite)
    with Session(sqlite) as session:
        ProductionRunSchema().load(record, session=session)
        assert len(statements.matching("SELECT")) == 3  # recipe, unit, known run
        statements.clear()
        AssemblyRunSchema().load(goods, session=session)
        assert len(statements.matching("SELECT")) == 4  # good, unit, product, known run


def test_many_records_are_resolved_together(sqlite, count_statements):
    statements = count_statements(sqlite)
    with Session(sqlite) as session:
        loaded = ProductionRunSchema(many=True).load([production_run(n) for n in range(50)], session=session)
    assert [run.uuid for run in loaded] == [number(n) for n in range(50)]
    assert len(statements.matching("SELECT")) == 3


def test_references_that_lead_nowhere_are_validation_errors_at_their_members(sqlite):
    bag = packaging(2, product_slug="x")
    with Session(sqlite) as session:
        with pytest.raises(ValidationError) as one:
            AssemblyRunSchema().load(
                assembly_run(packaging_consumptions=[packaging(1), bag]), session=session
            )
        with pytest.raises(ValidationError) as many:
            ProductionRunSchema().load(
                [production_run(1), production_run(2, recipe_slug="x")], session=session, many=True
            )
    assert one.value.messages == {"packaging_consumptions": {1: {"product_slug": ["Product not found: x"]}}}
    assert many.value.messages == {1: {"recipe_slug": ["Recipe not found: x"]}}
    assert one.value.messages["packaging_consumptions"][1]["product_slug"][0].code == "unknown-reference"


def test_a_product_is_found_by_its_ingredient_alone(sqlite):
    run = assembly_run(packaging_consumptions=[without(packaging(), "product_slug")])
    with Session(sqlite) as session:
        row = AssemblyRunSchema().load(run, session=session)
        assert row.packaging_consumptions[0].product.slug == "bag-100"
        tape = Ingredient(display_name="t", slug="t")
        session.add_all([Product(product_name=n, slug=n, ingredient=tape) for n in ("t1", "t2")])
        entry = without(packaging(ingredient_slug="t"), "product_slug")
        with pytest.raises(ValidationError, match="ambiguous"):
            AssemblyRunSchema().load(assembly_run(packaging_consumptions=[entry]), session=session)


def test_plain_values_are_loaded_without_instance():
    values = ProductionRunSchema(load_instance=False).load(production_run())
    assert values["recipe_slug"] == "cookies"
    assert values["consumptions"][0]["unit"] == "cups"


def test_pending_rows_of_the_session_are_found(sqlite):
    with Session(sqlite) as session:
        session.add(Recipe(name="new", slug="new"))
        assert (
            ProductionRunSchema().load(production_run(recipe_slug="new"), session=session).recipe.name
            == "new"
        )


def test_a_row_the_format_cannot_hold_does_not_dump():
    row = ProductionRunSchema().load(production_run(), transient=True)
    row.per_unit_cost = None
    with pytest.raises(ValidationError, match="null"):
        ProductionRunSchema().dump(row)


def test_a_transient_load_does_not_stick_to_the_schema(sqlite):
    schema = ProductionRunSchema()
    schema.load(production_run(), transient=True)
    with Session(sqlite) as session, pytest.raises(ValidationError, match="not found"):
        schema.load(production_run(recipe_slug="gone"), session=session)


def test_making_a_class_leaves_its_namespace_as_it_was():
    namespace = {}
    type("Runs", (ProductionRunSchema,), namespace)
    assert namespace == {}
