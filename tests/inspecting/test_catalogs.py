"""The catalog of a file: checked with and without a database, before anything is imported."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest

from histio import History, audit, check_file, diff, inspect_file, merge, references, report_page
from tests.support import kitchen, shop
from tests.support.bakery import assembly_run, document, packaging, production_run, without
from tests.support.catalogs import CATALOG, COLLECTIONS, ROWS, RUNS, write
from tests.support.databases import stocked
from tests.support.streams import line, sealed, text_of

NAMED = line("header", {"version": "1.0", "sealed": False, "catalog": CATALOG})


def checked(data, history=None, **options):
    """Severity, code, line and pointer of each problem, without those of the costs of runs."""
    found = check_file(io.BytesIO(data), history=history, **options)
    return [(each.severity, each.code, each.line, each.pointer) for each in found if each.code != "audit"]


def errors(data, history, **options):
    """The errors in *data*, each with what it says."""
    found = check_file(io.BytesIO(data), history=history, **options)
    return [(each.code, each.line, each.pointer, each.hint) for each in found if each.severity == "error"]


@pytest.fixture
def empty(databases, dialect):
    return History(databases(dialect))


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_file_with_a_catalog_has_no_problems(form):
    assert checked(write([*ROWS, RUNS[1]], form=form)[0]) == []
    assert checked(write(ROWS, form=form)[0]) == []


FAULTS = [
    ([line("recipe", {"slug": "a"})], [("error", "schema", 2, "/recipe/name")]),
    (
        [line("recipe", {"slug": " a", "name": "x", "b": 1})],
        [("error", "schema", 2, "/recipe/slug"), ("error", "schema", 2, "/recipe/b")],
    ),
    ([line("recipe", None)], [("error", "schema", 2, "/recipe")]),
    (
        [b'{"recipe":{"slug":"a","name":"x","name":"y"}}\n'],
        [("warning", "duplicate-member", 2, "/recipe/name")],
    ),
    (
        [line(*ROWS[2]), line(*ROWS[1]), line(*ROWS[2])],
        [("warning", "duplicate-in-document", 4, "/recipe/slug")],
    ),
    (
        [line("recipe", {"slug": "a", "name": "x"}), line("ingredient", {"slug": "a", "display_name": "x"})],
        [],
    ),
    ([b'{"recipe":{"slug"\n', line(*ROWS[2])], [("error", "schema", 2, "")]),
    ([b"\n", line(*ROWS[2])], [("error", "schema", 2, "")]),
    ([line("sale", {}), line(*ROWS[2])], [("error", "schema", 2, "")]),
    (
        [line("production_run", None), line(*ROWS[2])],
        [("error", "schema", 2, "/production_run"), ("error", "schema", 3, "/recipe")],
    ),
]


@pytest.mark.parametrize(("lines", "found"), FAULTS)
def test_what_is_wrong_with_a_row_has_its_line_and_its_place(lines, found):
    assert checked(NAMED + b"".join(lines)) == found


def test_the_rows_of_a_document_have_the_lines_of_the_file():
    given = b'{"version": "1.0",\n"production_runs": [],\n"recipes": [\n{"slug": "a",\n"name": 7}]}'
    assert checked(given) == [("error", "schema", 5, "/recipes/0/name")]


def test_a_catalog_that_was_changed_is_damaged():
    data = write([*ROWS, RUNS[1]])[0]
    assert checked(data.replace(b"Cellophane", b"Cellulose0")) == [
        ("error", "corrupt", 7, "/trailer/catalog_sha256")
    ]
    header = line("header", {"version": "1.0", "catalog": CATALOG})
    assert checked(sealed(*[line(*row) for row in ROWS], header=header)) == [
        ("error", "corrupt", 6, f"/trailer/{name}") for name in ("counts", "sha256", "catalog_sha256")
    ]


@pytest.mark.cells(1)
def test_a_run_may_need_what_an_import_would_create(empty):
    data = write([*ROWS, RUNS[0]])[0]
    hint = 'the file has it: import it with catalog="create" or --create-catalog'
    needed = [(name, hint) for name in ("recipe_slug", "finished_unit_slug")]
    assert errors(data, empty) == [
        ("unknown-reference", 6, f"/production_run/{name}", hint) for name, hint in needed
    ]
    for option in ("create", "update"):
        assert errors(data, empty, catalog=option) == []
    report = empty.import_file(io.BytesIO(data), catalog="create")
    assert (report.imported, report.rejected) == (1, 0)
    assert errors(data, empty) == []


@pytest.mark.cells(1)
def test_a_row_may_need_a_row_of_the_file_or_of_the_database(databases, dialect):
    unit = ("finished_unit", {"slug": "x", "display_name": "X", "recipe_slug": "new"})
    data = write([("recipe", {"slug": "new", "name": "New"}), unit])[0]
    stock = History(stocked(databases(dialect)))
    assert errors(data, stock, catalog="create") == []
    alone = write([unit])[0]
    assert errors(alone, stock) == []  # an import would not write it
    [(code, number, where, _)] = errors(alone, stock, catalog="create")
    assert (code, number, where) == ("unknown-reference", 2, "/finished_unit/recipe_slug")
    known = write([("finished_unit", unit[1] | {"recipe_slug": "bread"})])[0]
    assert errors(known, stock, catalog="create") == []


def test_a_run_does_not_find_a_row_that_is_rejected(databases):
    given = {"version": "1.0", "recipes": [{"slug": "cookies"}]} | document(production_run(1))
    found = errors(text_of(given), History(databases("sqlite")), catalog="create")
    assert [(code, where) for code, _, where, _ in found] == [
        ("schema", "/recipes/0/name"),
        ("unknown-reference", "/production_runs/0/recipe_slug"),
        ("unknown-reference", "/production_runs/0/finished_unit_slug"),
    ]


def test_a_history_without_catalog_takes_no_option_for_it(sqlite):
    history = History(sqlite, shop.OrderSchema, values={"shop_id": 7})
    with pytest.raises(ValueError, match="no catalog kinds"):
        list(check_file(io.BytesIO(NAMED), history=history, catalog="create"))


CARRIED = {
    "finished_goods": [{"slug": "gift-bag", "display_name": "Gift bag"}],
    "products": [{"slug": "bag-100", "product_name": "Bags", "ingredient_slug": "bag"}],
    **{COLLECTIONS[kind]: [row] for kind, row in ROWS},
}
NAMED_ROWS = document(
    production_run(1),
    production_run(2, recipe_slug="cooky"),
    assembly=[assembly_run(2, packaging_consumptions=[without(packaging(1), "product_slug")])],
)


def test_a_row_that_runs_name_may_be_in_the_file(databases):
    data = text_of(NAMED_ROWS | CARRIED)
    empty, stock = History(databases("sqlite")), History(stocked(databases("sqlite", 1)))
    alone, missing, known = (
        list(references(io.BytesIO(data), history=history)) for history in (None, empty, stock)
    )
    carried = {(each.member, each.model, each.slug): each.carried for each in alone}
    assert carried == {
        ("recipe_slug", "Recipe", "cookies"): True,
        ("recipe_slug", "Recipe", "cooky"): False,
        ("finished_unit_slug", "FinishedUnit", "cookie"): True,
        ("ingredient_slug", "Ingredient", "flour"): True,
        ("finished_good_slug", "FinishedGood", "gift-bag"): True,
        ("ingredient_slug", "Product", "bag"): True,
    }
    assert [each.carried for each in missing] == [each.carried for each in known] == [*carried.values()]
    assert {each.found for each in missing} == {False}
    assert {each.slug: each.hint for each in known if not each.found} == {"cooky": "did you mean cookies?"}
    bare = references(io.BytesIO(text_of(NAMED_ROWS)))
    assert {each.carried for each in bare} == {False}


def test_what_reads_runs_only_sees_the_same_without_a_catalog(databases, tmp_path):
    given, bare = tmp_path / "with", tmp_path / "without"
    for folder, items in ((given, [*ROWS, *RUNS]), (bare, RUNS)):
        folder.mkdir()
        for form in ("json", "jsonl"):
            (folder / f"runs.{form}").write_bytes(write(items, form=form)[0])
        report_page(folder / "runs.json", folder / "page.html")
    assert (given / "page.html").read_bytes() == (bare / "page.html").read_bytes()
    for form in ("json", "jsonl"):
        assert list(diff(given / f"runs.{form}", bare / "runs.json")) == []
    found, expected = ([each.message for each in audit(folder / "runs.json")] for folder in (given, bare))
    assert found == expected != []

    history = History(stocked(databases("sqlite")))
    history.import_file(given / "runs.jsonl")
    written = history.export_file(tmp_path / "all.jsonl", catalog="all")
    later = history.export_file(tmp_path / "later.jsonl", catalog="all", differs_from=tmp_path / "all.jsonl")
    assert (later.exported, later.unchanged, later.catalog) == (0, 2, written.catalog)
    assert (
        json.loads((tmp_path / "later.jsonl").read_bytes().splitlines()[0])["header"]["follows"]
        == written.sha256
    )


KITCHEN_HISTORY = History(None, kitchen.BatchSchema, catalog=kitchen.CATALOG)


@pytest.mark.cells(1)
def test_the_catalog_of_a_host_has_trees_ledgers_and_keys_of_several_columns(create, tmp_path):
    data = text_of(kitchen.KITCHEN)
    history = History(create(kitchen.Base.metadata), kitchen.BatchSchema, catalog=kitchen.CATALOG)
    assert checked(data, KITCHEN_HISTORY) == checked(data, history, catalog="create") == []
    assert {code for code, *_ in errors(data, history)} == {"unknown-reference"}
    assert {each.carried for each in references(io.BytesIO(data), history=history)} == {True}
    found = inspect_file(io.BytesIO(data), history=history)
    assert (
        found.catalog == {"ingredient": 2, "category": 3, "recipe": 1, "size": 2, "oven": 1} | found.catalog
    )
    assert history.import_file(io.BytesIO(data), catalog="create").rejected == 0
    assert errors(data, history) == []
    history.export_file(tmp_path / "exported.jsonl", catalog="all")
    merge([tmp_path / "exported.jsonl"], tmp_path / "merged.jsonl", history=history)
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "exported.jsonl").read_bytes()


def test_catalogs_of_hosts_are_merged_in_the_order_of_their_identities():
    def numbered(range_):
        rows = [{"recipe_slug": "bread", "name": f"{n}"} for n in range_]
        return {"version": "1.0", "categories": [{"slug": f"c{n}"} for n in range_], "sizes": rows}

    files = [io.BytesIO(text_of(numbered(each))) for each in (range(9, 4, -1), range(7))]
    out = io.BytesIO()
    merge(files, out, history=KITCHEN_HISTORY, format="json")
    merged = json.loads(out.getvalue())
    assert [row["slug"] for row in merged["categories"]] == [f"c{n}" for n in range(10)]
    assert [row["name"] for row in merged["sizes"]] == [f"{n}" for n in range(10)]


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_rows():
    rows = [("ingredient", {"slug": f"i{n:05}", "display_name": "x" * 50}) for n in range(20_000)]
    data = write(rows)[0]
    assert checked(write(rows[:5])[0]) == []
    tracemalloc.start()
    assert checked(data) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23
