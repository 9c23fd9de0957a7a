"""Catalog kinds of a host's own models: what they describe, and what is wrong with a binding."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import AsyncHistory, BindingError, History
from histio.tuning import tuned
from tests.support import kitchen
from tests.support.databases import DIALECTS
from tests.support.kitchen import CATALOG, BatchSchema

MOMENT = dt.datetime(2025, 12, 10, tzinfo=dt.UTC)


def catalog_of(*replacements, without=()):
    """The kitchen's catalog with other schemas for some models, and without some."""
    replaced = {each.opts.model for each in replacements} | {each.opts.model for each in without}
    return (*(each for each in CATALOG if each.opts.model not in replaced), *replacements)


def schema(base, model=None, /, **options):
    """A subclass of the schema *base* with other options of Meta."""
    model = model or base.opts.model
    meta = type("Meta", (base.Meta,), {"model": model, "register": False} | options)
    return type(base)("ChangedSchema", (base,), {"Meta": meta, "__module__": __name__})


@pytest.mark.parametrize("make", [History, AsyncHistory])
def test_catalog_kinds_come_in_the_order_in_which_they_can_be_written(make):
    history = make(None, BatchSchema, catalog=CATALOG)
    assert (history.catalog, history.kinds) == (
        ("category", "ingredient", "recipe", "size", "oven"),
        ("batch",),
    )


def test_a_history_on_another_database_keeps_the_catalog(sqlite):
    bound = History(None, BatchSchema, catalog=CATALOG).bound.on(sqlite)
    assert History.from_bound(bound).catalog == ("category", "ingredient", "recipe", "size", "oven")


def test_a_bundled_catalog_schema_is_bound_to_a_hosts_model():
    class OwnRecipeSchema(histio.RecipeSchema.bind(kitchen.Recipe)):
        lines = Nested(kitchen.LineSchema, many=True)

    history = History(None, BatchSchema, catalog=catalog_of(OwnRecipeSchema))
    properties = history.json_schema()["$defs"]["recipe"]["properties"]
    assert list(properties) == ["slug", "name", "lines"]


def test_keys_of_several_columns_trees_and_lists_are_in_the_json_schema():
    rules = History(None, BatchSchema, catalog=CATALOG).json_schema()["$defs"]
    required = {kind: rules[kind]["required"] for kind in ("category", "ingredient", "size", "oven")}
    assert required == {
        "category": ["slug"],
        "ingredient": ["slug", "sku"],
        "size": ["recipe_slug", "name"],
        "oven": ["code", "degrees"],
    }
    assert sorted(rules["batch"]["properties"]["size"]["properties"]) == ["name", "recipe.slug"]


class SecondRecipeSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = kitchen.Recipe, "formula", "formulas", "slug"
        exclude = ("lines",)


class MachineSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = kitchen.Machine, "machine", "machines", "code"


class BatchRowSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = kitchen.Batch, "old_batch", "old_batches", "uuid"
        unbound = "ignore"


class LineRowSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = kitchen.Line, "line", "lines", ("recipe_slug", "place")

    recipe_slug = histio.Slug("recipe", required=True)
    place = histio.Integer(required=True)
    ingredient_slug = histio.Slug("ingredient")


class NoteSchema(histio.AutoCatalogSchema):
    """Refers to a run's entries only through the run."""

    class Meta:
        model, kind, collection, identity = kitchen.Use, "use", "uses_of_batches", ("batch", "grams")
        exclude = ("ingredient_id",)

    batch = histio.Slug("batch", key="uuid", required=True)


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        (
            (*CATALOG, SecondRecipeSchema),
            r"RecipeSchema\.Meta\.model: SecondRecipeSchema has the rows of Recipe, too: leave out one",
        ),
        ((*CATALOG, MachineSchema), r"OvenSchema\.Meta\.model: MachineSchema has the rows of Machine, too"),
        ((*CATALOG, BatchRowSchema), r"Meta\.model: BatchSchema has the rows of Batch, too"),
        ((*CATALOG, LineRowSchema), r"LineRowSchema\.Meta\.model: LineSchema has the rows of Line, too"),
        ((*CATALOG, NoteSchema), r"NoteSchema\.batch: refers to batch, but .* before runs: exclude it"),
        (
            catalog_of(schema(kitchen.IngredientSchema, exclude=("sku",))),
            r"ChangedSchema: UseSchema\.ingredient_sku .* by 'sku', .*: write sku = auto_field\(\)",
        ),
        (
            catalog_of(schema(kitchen.SizeSchema, exclude=("name",), identity="recipe_slug")),
            r"BatchSchema\.size names rows of Size by 'name', but these records have no 'name'",
        ),
        (
            catalog_of(schema(kitchen.RecipeSchema, exclude=("slug",), identity="name")),
            r"ChangedSchema: \w+\.recipe_slug names rows of Recipe by 'slug', but these records have no",
        ),
        (
            catalog_of(schema(kitchen.OvenSchema, kind="batch")),
            "two schemas have the same kind or collection: .*batch in ovens",
        ),
        (
            catalog_of(schema(kitchen.OvenSchema, collection="batches")),
            "two schemas have the same kind or collection: .*oven in batches",
        ),
        ((BatchSchema,), "catalog: a kind is a subclass of CatalogSchema"),
        (
            catalog_of(schema(kitchen.OvenSchema, identity=None)),
            r'it has 0, and no Meta\.identity that names another member: write identity = "code"',
        ),
        (
            (schema(histio.RecipeSchema, timestamp="created_at"),),
            r"Meta\.timestamp: catalog rows are sorted by their identity: leave it out",
        ),
    ],
    ids=[
        *("two kinds of one model", "a kind of its base class", "a run's model", "a ledger's model"),
        *("a reference to runs", "a key left out", "a part of a key left out", "a catalog's key left out"),
        *("the kind of a run", "the list of a run", "a run's schema", "no identity", "a timestamp"),
    ],
)
def test_what_is_wrong_with_a_catalog_is_a_binding_error(catalog, message):
    with pytest.raises(BindingError, match=message):
        History(None, BatchSchema, catalog=catalog)


def test_a_key_over_a_relationship_needs_its_reference_in_the_record():
    class LonelyProductSchema(histio.ProductSchema):
        class Meta(histio.ProductSchema.Meta):
            exclude = ("ingredient_slug",)
            unbound = "ignore"

    with pytest.raises(BindingError) as error:
        History(None, histio.AssemblyRunSchema, catalog=(LonelyProductSchema,))
    assert str(error.value).endswith(
        "AssemblyPackagingConsumptionSchema.ingredient_slug names rows of Product by 'ingredient.slug', but "
        "these records have no 'ingredient', so that rows that they create could not be found: "
        'write ingredient_slug = Slug("ingredient", key="slug")'
    )


@pytest.mark.parametrize(
    "filled",
    [
        {"values": {"sku": "none"}},
        {"kinds": (schema(BatchSchema, exclude=("uses",)),)},
    ],
    ids=["by values", "nothing names it"],
)
def test_a_key_that_is_filled_or_not_used_may_be_left_out(filled):
    kinds = filled.pop("kinds", (BatchSchema,))
    catalog = catalog_of(schema(kitchen.IngredientSchema, exclude=("sku", "note"), unbound="ignore"))
    assert History(None, *kinds, catalog=catalog, **filled).kinds == ("batch",)


def test_a_missing_relation_of_a_catalog_row_is_told_with_the_lines_to_paste():
    without_sizes = catalog_of(without=(kitchen.SizeSchema,))
    with pytest.raises(BindingError) as error:
        History(None, BatchSchema, catalog=without_sizes)
    [fault] = error.value.faults
    assert (fault.schema, fault.attribute) == ("RecipeSchema", "sizes")
    assert fault.lines == (
        "sizes = Nested(SizeSchema, many=True)",
        "History(…, catalog=(…, SizeSchema))",
        'exclude = ("sizes",)',
    )


def lines_of(history, start, **session):
    return [line for line in history.explain(**session).splitlines() if line.startswith(start)]


def test_an_explanation_says_which_rows_do_not_travel():
    unmoved = "rows that do not travel, as no catalog kind has them: "
    without = History(None, BatchSchema)
    assert lines_of(without, "rows that") == [unmoved + "Recipe, Size, Oven, Ingredient"]
    some = History(None, BatchSchema, catalog=catalog_of(without=(kitchen.OvenSchema,)))
    assert lines_of(some, "rows that") == [unmoved + "Oven"]
    assert lines_of(History(None, BatchSchema, catalog=CATALOG), "rows that") == []
    assert lines_of(History(), "rows that") == []


def test_an_explanation_says_which_catalog_kinds_nothing_refers_to():
    history = History(
        None, histio.ProductionRunSchema, catalog=(histio.RecipeSchema, histio.FinishedGoodSchema)
    )
    text = "finished_good: nothing refers to these rows, so only a whole catalog has them"
    assert lines_of(history, "finished_good: ") == [text]


def test_an_explanation_has_the_paths_of_catalog_kinds(sqlite_of):
    history = History(sqlite_of(kitchen.Base.metadata), BatchSchema, catalog=CATALOG)
    names = ("category, ", "size, ", "oven, ", "batch, ")
    found = [line for line in lines_of(history, names) if "path" in line]
    assert [line.partition(":")[0] for line in found] == [
        *("category, export", "category, import", "size, export", "size, import"),
        *("oven, export", "oven, import", "batch, export", "batch, import"),
    ]


@pytest.mark.parametrize("full_path_only", [False, True], ids=["either path", "full path"])
def test_a_catalog_of_every_sort_goes_through_all_databases(databases, full_path_only):
    places = [*((dialect, 0) for dialect in DIALECTS), ("sqlite", 1)]
    engines = [databases.of_host(dialect)(kitchen.Base.metadata, number=place) for dialect, place in places]
    with Session(engines[0]) as session:
        kitchen.make_batches(session, 3)
        session.commit()
    first, *others = [History(each, BatchSchema, catalog=CATALOG) for each in engines]
    with tuned(full_path_only=full_path_only):
        documents = {
            each: first.export_document(catalog=each, exported_at=MOMENT) for each in ("used", "all")
        }
        for history in others:
            for chosen, created in (("used", 13), ("all", 4)):
                report = history.import_document(documents[chosen], catalog="create")
                assert (report.problems, report.warnings) == ((), ())
                assert sum(counts.imported for counts in report.catalog.values()) == created
                assert history.export_document(catalog=chosen, exported_at=MOMENT) == documents[chosen]
            report = history.import_document(documents["all"], catalog="create")
            assert {counts.imported for counts in (*report.catalog.values(), *report.by_kind.values())} == {0}


class Base(orm.DeclarativeBase):
    pass


class Dish(Base):
    """Each row is of a subclass."""

    __tablename__ = "dishes"
    id: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(10))
    slug: Mapped[str] = mapped_column(sa.String(50), unique=True)
    __mapper_args__ = {"polymorphic_on": "type"}


class Soup(Dish):
    """In the table of dishes."""

    litres: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "soup"}


class Cake(Dish):
    """In a table of its own, too."""

    __tablename__ = "cakes"
    id: Mapped[int] = mapped_column(sa.ForeignKey(Dish.id), primary_key=True)
    pieces: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "cake"}


class Meal(Base):
    __tablename__ = "meals"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    dish_id: Mapped[int] = mapped_column(sa.ForeignKey(Dish.id))
    dish: Mapped[Dish] = relationship()


class MealSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Meal, "meal", "meals", None

    dish_slug = histio.Slug("dish")


class DishSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Dish, "dish", "dishes", "slug"


class SoupSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Soup, "soup", "soups", "slug"


class CakeSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Cake, "cake", "cakes", "slug"


MENU = {
    "version": "1.0",
    "soups": [{"slug": "borscht", "litres": 2}],
    "cakes": [{"slug": "pie", "pieces": 8}],
    "meals": [
        {"dish_slug": dish, "uuid": f"00000000-0000-4000-8000-{place:012}"}
        for place, dish in enumerate(["borscht", "pie"])
    ],
}


def test_each_subclass_is_a_catalog_kind_of_its_own(create):
    history = History(create(Base.metadata), MealSchema, catalog=[SoupSchema, CakeSchema])
    report = history.import_document(MENU, catalog="create")
    assert (report.imported, report.problems) == (2, ())
    exported = history.export_document(catalog="used")
    del exported["exported_at"]
    assert exported == MENU
    assert lines_of(history, "rows that") == []
    one = History(None, MealSchema, catalog=[SoupSchema])
    assert lines_of(one, "rows that") == ["rows that do not travel, as no catalog kind has them: Cake"]


def test_a_catalog_kind_of_the_base_class_cannot_export_rows_of_subclasses(sqlite_of):
    engine = sqlite_of(Base.metadata, Cake(slug="pie", pieces=8))
    history = History(engine, MealSchema, catalog=[DishSchema])
    message = "is a Cake, .* only in part: make Cake, and each other subclass, a catalog kind of its own"
    with pytest.raises(histio.ExportError, match=message):
        history.export_document(catalog="all")
