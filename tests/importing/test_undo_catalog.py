"""Catalog rows that an import has written: undone after the runs, unless something else refers to them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import relationship

import histio
from histio import History, UndoCounts, create_engine
from histio.models import Base
from tests.support import kitchen
from tests.support.bakery import ASSEMBLY, document, production_run
from tests.support.databases import SERVERS
from tests.support.hosts import MOMENT, model, text, to
from tests.support.receipts import digest, lines_of

ROWS = {
    "ingredients": [{"slug": "bag", "display_name": "Bag"}, {"slug": "flour", "display_name": "Flour"}],
    "recipes": [{"slug": "cookies", "name": "Cookies"}],
    "finished_units": [{"slug": "cookie", "display_name": "Cookie", "recipe_slug": "cookies"}],
    "finished_goods": [{"slug": "gift-bag", "display_name": "Gift bag"}],
    "products": [{"slug": "bag-100", "product_name": "100 bags", "ingredient_slug": "bag"}],
}
LEFT = "Is left, because others refer to it:"
BOTH = ROWS | document(production_run(1), assembly=[ASSEMBLY])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "receipt.jsonl"


@pytest.fixture
def empty(databases, dialect):
    """A database without rows."""
    return databases(dialect)


def contents(engine, metadata=Base.metadata):
    """The rows of each table."""
    with engine.connect() as connection:
        return {
            table.name: connection.execute(sa.select(table).order_by(*table.primary_key)).all()
            for table in metadata.tables.values()
        }


def test_a_catalog_that_was_created_is_removed_after_its_runs(empty, path):
    history = History(empty)
    history.import_document(BOTH, catalog="create", receipt=path)
    named = [(line["created"]["kind"], line["created"]["identity"]) for line in lines_of(path)[1:]]
    assert named[:3] == [("ingredient", "bag"), ("ingredient", "flour"), ("recipe", "cookies")]
    report = history.undo(path)
    assert (report.removed, report.problems) == (8, ())
    assert report.by_kind["ingredient"] == UndoCounts(removed=2)
    assert not any(contents(empty).values())
    assert history.undo(path).gone == 8


def test_catalog_rows_that_were_updated_are_put_back(engine, path):
    history = History(engine)
    before = contents(engine)
    changed = ROWS | {"recipes": [{"slug": "cookies", "name": "Biscuits"}, {"slug": "cake", "name": "Cake"}]}
    report = history.import_document(BOTH | changed, catalog="update", receipt=path)
    assert (report.catalog["recipe"].updated, report.catalog["recipe"].imported) == (1, 1)
    [line] = [
        line["updated"] for line in lines_of(path) if line.get("updated", {}).get("identity") == "cookies"
    ]
    assert line["before"]["name"] != "Biscuits"
    report = history.undo(path)
    assert report.problems == ()
    assert report.by_kind["recipe"] == UndoCounts(removed=1, restored=1)
    assert contents(engine) == before


@pytest.mark.parametrize("dialect", list(SERVERS), indirect=True)
@pytest.mark.parametrize("full", [False, True])
def test_runs_that_name_rows_of_a_rival_are_removed(empty, path, tune, full):
    # On MariaDB, the transaction of the import does not see those rows.
    tune(full_path_only=full)
    own = create_engine(empty.url)
    rivals = [lambda: History(empty).import_document(ROWS | {"version": "1.0"}, catalog="create")]

    def rival(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO ingredients"):
            while rivals:
                rivals.pop()()

    sa.event.listen(own, "before_cursor_execute", rival)
    report = History(own).import_document(BOTH, catalog="create", receipt=path)
    own.dispose()
    assert (report.imported, report.problems, rivals) == (2, (), [])
    assert not any(each.imported for each in report.catalog.values())
    assert None not in [line["created"]["sha256"] for line in lines_of(path)[1:]]
    assert (History(empty).undo(path).removed, report.warnings) == (2, ())


@pytest.mark.parametrize(("flour", "salt"), [("F-2", "S-1"), ("S-1", "F-1")])
@pytest.mark.turns
def test_runs_are_put_back_whose_rows_have_got_other_keys_by_the_same_import(create, path, flour, salt):
    engine = create(kitchen.Base.metadata)
    history = History(engine, kitchen.BatchSchema, catalog=kitchen.CATALOG)
    history.import_document(kitchen.KITCHEN, catalog="create")
    before = history.export_document(exported_at=MOMENT, catalog="all")
    skus = zip(kitchen.KITCHEN["ingredients"], (flour, salt), strict=True)
    [batch] = kitchen.KITCHEN["batches"]
    changed = kitchen.KITCHEN | {
        "ingredients": [row | {"sku": sku} for row, sku in skus],
        "batches": [batch | {"uses": [{"ingredient_sku": flour, "grams": 7}]}],
    }
    report = history.import_document(changed, catalog="update", on_duplicate="update", receipt=path)
    assert (report.updated, report.problems) == (1, ())
    assert history.undo(path).problems == ()
    assert history.export_document(exported_at=MOMENT, catalog="all") == before


def test_catalog_rows_that_other_runs_refer_to_are_left_with_those_that_they_name(empty, path):
    history = History(empty)
    history.import_document(BOTH, catalog="create", receipt=path)
    history.import_document(document(production_run(2, consumptions=[])))
    report = history.undo(path)
    assert (report.removed, report.left) == (6, 2)
    assert [(each.kind, each.uuid, each.message) for each in report.problems] == [
        (
            "recipe",
            "cookies",
            f"{LEFT} 1 row of finished_units (recipe_id); 1 row of production_runs (recipe_id)",
        ),
        (
            "finished_unit",
            "cookie",
            f"{LEFT} 1 row of production_runs (finished_unit_id)",
        ),
    ]
    assert len(history.export_document()["production_runs"]) == 1


def test_a_tree_of_a_catalog_is_removed_whatever_refers_to_what(create, path, tune):
    tune(batch=3, page=4)
    base = orm.declarative_base()
    parent = relationship("Group", remote_side="Group.id")
    group = model(base, "Group", slug=text(unique=True), parent_id=to("groups"), parent=parent)
    job = model(
        base,
        "Job",
        number=sa.Column(sa.Integer, unique=True),
        group_id=to("groups"),
        group=relationship(group),
    )

    class GroupSchema(histio.CatalogSchema):
        class Meta:
            model, kind, collection, identity = group, "group", "groups", "slug"

        slug = histio.Slug(required=True)
        parent = histio.Slug("parent", allow_none=True)

    class JobSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, identity, timestamp = job, "job", "jobs", "number", None

        number = histio.Integer(required=True)
        group = histio.Slug("group", allow_none=True)

    engine = create(base.metadata)
    history = History(engine, JobSchema, catalog=(GroupSchema,))
    history.import_document({"version": "1.0", "groups": [{"slug": "old", "parent": None}]}, catalog="create")
    before = contents(engine, base.metadata)
    groups = [{"slug": f"g{n}", "parent": "old" if n % 5 == 0 else f"g{n - 1}"} for n in reversed(range(20))]
    groups += [{"slug": "ring", "parent": "ring"}]
    given = {"version": "1.0", "groups": groups, "jobs": [{"number": n, "group": f"g{n}"} for n in range(20)]}
    report = history.import_document(given, catalog="create", receipt=path)
    assert (report.imported, report.catalog["group"].imported) == (20, 21)
    lines = [line["created"] for line in lines_of(path, kinds="a host's")[1:]]
    assert lines[-1]["sha256"] == digest({"number": 19, "group": "g19"})
    report = history.undo(path)
    assert (report.removed, report.problems) == (41, ())
    assert contents(engine, base.metadata) == before
