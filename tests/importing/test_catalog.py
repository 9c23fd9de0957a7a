"""The catalog rows of a file: checked, created or updated before its runs."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import histio
from histio import Counts, DocumentError, FinishedUnitSchema, History, ProductionRunSchema, RecipeSchema, Text
from histio.models import Base, FinishedUnit, Ingredient, Recipe
from tests.support.bakery import ASSEMBLY, consumption, document, number, production_run
from tests.support.catalogs import COLLECTIONS, as_file
from tests.support.catalogs import STOCK as ROWS
from tests.support.reports import codes_of, outcomes, rows

BOTH = ROWS | document(production_run(1), assembly=[ASSEMBLY])
KINDS = ("ingredient", "recipe", "finished_unit", "finished_good", "product")


def catalog(**records):
    """A document with these catalog rows, and no runs."""
    return {"version": "1.0", **records}


def texts(engine, column, *criteria):
    """The stored values of a column, in order."""
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(column).where(*criteria)))


def counts(report):
    """What became of catalog rows, without kinds that have none."""
    return {kind: each for kind, each in report.catalog.items() if each != Counts()}


@pytest.fixture
def empty(databases, dialect):
    """A database without rows."""
    return databases(dialect)


@pytest.fixture
def new(databases):
    """A database of SQLite without rows."""
    return databases("sqlite")


# --- create --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_history_goes_into_an_empty_database(empty, form):
    history = History(empty)
    report = history.import_file(as_file(BOTH, form), catalog="create")
    assert (outcomes(report), report.problems, report.warnings) == ((2, 0, 0), (), ())
    assert report.catalog == {kind: Counts(imported=2 if kind == "ingredient" else 1) for kind in KINDS}
    assert report.by_kind == {"production_run": Counts(imported=1), "assembly_run": Counts(imported=1)}
    assert history.export_document()["production_runs"] == BOTH["production_runs"]
    again = history.import_file(as_file(BOTH, form), catalog="create")
    assert outcomes(again) == (0, 2, 0)
    assert again.catalog == {kind: Counts(skipped=2 if kind == "ingredient" else 1) for kind in KINDS}


def test_rows_that_exist_stay_as_they_are(history):
    given = catalog(
        ingredients=[{"slug": "flour", "display_name": "Wheat", "uuid": number(7)}, ROWS["ingredients"][0]],
        finished_units=[{"slug": "cookie", "display_name": "Keks", "recipe_slug": "bread"}],
    )
    report = history.import_document(given, catalog="create")
    assert counts(report) == {"ingredient": Counts(skipped=2), "finished_unit": Counts(skipped=1)}
    assert (report.problems, report.warnings) == ((), ())


def test_existing_rows_become_what_the_document_says_and_keep_their_uuids(history, engine):
    before = texts(engine, Ingredient.uuid)
    given = catalog(
        ingredients=[{"slug": "flour", "display_name": "Wheat", "uuid": number(7)}, ROWS["ingredients"][0]],
        finished_units=[{"slug": "cookie", "display_name": "Keks", "recipe_slug": "bread"}],
        recipes=[{"slug": "cake", "name": "Cake", "uuid": number(8)}],
    )
    report = history.import_document(given, catalog="update")
    assert counts(report) == {
        "ingredient": Counts(updated=1, skipped=1),
        "finished_unit": Counts(updated=1),
        "recipe": Counts(imported=1),
    }
    assert (report.problems, report.warnings) == ((), ())
    assert texts(engine, Ingredient.uuid) == before
    assert texts(engine, Recipe.uuid, Recipe.slug == "cake") == [number(8)]
    assert texts(engine, FinishedUnit.display_name) == ["Keks", "Loaf"]
    assert texts(engine, Recipe.slug, Recipe.id == FinishedUnit.recipe_id) == ["bread", "bread"]
    again = history.import_document(given, catalog="update")
    assert counts(again) == {
        "ingredient": Counts(skipped=2),
        "finished_unit": Counts(skipped=1),
        "recipe": Counts(skipped=1),
    }


def test_a_malformed_row_is_a_problem_and_so_are_the_runs_that_need_it(history):
    rows_ = ROWS | {"recipes": [{"slug": "cake", "name": 7}], "finished_units": []}
    given = rows_ | document(production_run(1, recipe_slug="cake"), production_run(2))
    reports = {mode: history.import_document(given, catalog=mode) for mode in ("ignore", "create", "update")}
    for mode, report in reports.items():
        assert report.catalog["recipe"] == Counts(rejected=1), mode
        assert codes_of(report.problems) == [
            ("/recipes/0/name", "schema"),
            ("/production_runs/0/recipe_slug", "unknown-reference"),
        ]
    assert {mode: report.problems[1].hint for mode, report in reports.items()} == {
        "ignore": None,
        "create": "/recipes/0 has it, but is rejected",
        "update": "/recipes/0 has it, but is rejected",
    }


@pytest.mark.parametrize("mode", ["create", "update"])
def test_a_uuid_of_another_row_rejects_a_new_row_and_names_the_other(history, mode):
    history.import_document(
        catalog(recipes=[{"slug": "old", "name": "Old", "uuid": number(9)}]), catalog=mode
    )
    given = catalog(
        recipes=[
            {"slug": "new", "name": "New", "uuid": number(9)},
            {"slug": "one", "name": "One", "uuid": number(10)},
            {"slug": "two", "name": "Two", "uuid": number(10)},
        ]
    )
    report = history.import_document(given, catalog=mode)
    assert counts(report) == {"recipe": Counts(imported=1, rejected=2)}
    hint = " (if it was renamed, read the old slug as the new one with rename=)"
    assert [(str(each), each.code) for each in report.problems] == [
        (f"/recipes/{index}/uuid: Duplicate uuid: {number(uuid)}, of the recipe {other}{hint}", "duplicate")
        for index, uuid, other in ((0, 9, "old"), (2, 10, "one"))
    ]


# --- ignore --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.turns
def test_ignored_rows_are_named_by_the_hints_of_what_is_missing(engine, form):
    given = BOTH | {
        "recipes": [{"slug": "cake", "name": "Cake"}],
        "ingredients": [{"slug": "cacao", "display_name": ""}],
    }
    given |= document(
        production_run(1, recipe_slug="cake"),
        production_run(2, consumptions=[consumption(ingredient_slug="cacao")]),
    )
    report = History(engine).import_file(as_file(given, form))
    hint = 'the file has it: import it with catalog="create" or --create-catalog'
    [problem], [warning] = report.problems, report.warnings
    assert (problem.code, problem.hint) == (warning.code, warning.hint) == ("unknown-reference", hint)
    assert (outcomes(report), report.advice) == ((1, 0, 1), None)
    assert report.catalog == {kind: Counts(skipped=1) for kind in KINDS}
    assert rows(engine, Recipe) == 2


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (BOTH, 'and the file has them: import it with catalog="create" (--create-catalog).'),
        (document(production_run(1), assembly=[ASSEMBLY]), 'export it again with catalog="used"'),
    ],
    ids=["with a catalog", "without"],
)
@pytest.mark.cells(2)
def test_one_sentence_says_what_to_do_if_the_whole_catalog_is_missing(empty, given, advice, caplog):
    caplog.set_level("INFO", "histio")
    report = History(empty).import_file(as_file(given))
    assert report.advice.startswith("The database has none of the rows that runs refer to")
    assert advice in report.advice
    assert report.advice in caplog.messages
    assert {problem.hint for problem in report.problems} == {None}
    assert report.to_dict()["advice"] == report.advice


def test_one_row_of_the_catalog_is_enough_for_hints_instead(new):
    with Session(new) as session:
        session.add(Ingredient(slug="flour", display_name="Flour"))
        session.commit()
    report = History(new).import_document(BOTH)
    assert report.advice is None
    assert {problem.hint for problem in report.problems} == {
        'the file has it: import it with catalog="create" or --create-catalog'
    }


def test_a_table_that_is_missing_hides_no_problem_of_runs_that_do_not_need_it(create):
    missing = {"finished_goods", "products", "assembly_runs"}
    tables = [
        table
        for table in Base.metadata.sorted_tables
        if table.name not in missing and not table.name.startswith("assembly")
    ]
    metadata = sa.MetaData()
    for table in tables:
        table.to_metadata(metadata)
    report = History(create(metadata)).import_document(document(production_run(1)), kinds="production_run")
    assert [problem.code for problem in report.problems] == ["unknown-reference"] * 2
    assert report.advice is None


def test_catalogs_are_imported_whichever_kinds_of_run_are_chosen(new):
    report = History(new).import_document(BOTH, catalog="create", kinds="assembly_run")
    assert (outcomes(report), list(report.by_kind)) == ((1, 0, 0), ["assembly_run"])
    assert sum(each.imported for each in report.catalog.values()) == 6


def test_a_history_without_catalog_kinds_cannot_create_any(sqlite):
    history = History(sqlite, ProductionRunSchema)
    for call in (history.import_document, history.check):
        with pytest.raises(ValueError, match="catalog='create': this history has no catalog kinds"):
            call(document(), catalog="create")
        with pytest.raises(ValueError, match="catalog must be one of"):
            call(document(), catalog="all")


# --- transactions --------------------------------------------------------------------------------------


def test_a_dry_run_and_a_withheld_import_leave_nothing(empty):
    history = History(empty)
    dry = history.import_document(BOTH, catalog="create", dry_run=True)
    assert [rows(empty, table) for table in Base.metadata.sorted_tables] == [0] * 10
    wrong = BOTH | {"finished_goods": [{"slug": "gift-bag", "display_name": 7}], "assembly_runs": []}
    withheld = history.import_document(wrong, catalog="create", atomic=True)
    assert [rows(empty, table) for table in Base.metadata.sorted_tables] == [0] * 10
    assert (withheld.imported, withheld.withheld, withheld.rejected) == (0, 1, 0)
    assert counts(withheld) == {
        kind: Counts(rejected=1)
        if kind == "finished_good"
        else Counts(withheld=2 if kind == "ingredient" else 1)
        for kind in KINDS
    }
    report = history.import_document(BOTH, catalog="create")
    assert dry == dataclasses.replace(report, dry_run=True)


def test_a_session_that_is_handed_in_is_not_committed(empty):
    with Session(empty) as session:
        report = History().import_document(BOTH, catalog="create", session=session)
        assert outcomes(report) == (2, 0, 0)
        assert session.scalar(sa.select(sa.func.count()).select_from(Recipe)) == 1
        session.rollback()
    assert rows(empty, Recipe) == 0


@pytest.mark.parametrize("commit_every", [1, 2, 3, 100])
@pytest.mark.turns
def test_the_catalog_goes_in_before_the_first_commit(empty, commit_every):
    runs = document(*(production_run(n) for n in range(1, 5)), assembly=[ASSEMBLY])
    report = History(empty).import_file(as_file(ROWS | runs), catalog="create", commit_every=commit_every)
    assert (outcomes(report), report.problems) == ((5, 0, 0), ())
    assert sum(each.imported for each in report.catalog.values()) == 6


def test_a_damaged_file_leaves_no_rows(new):
    data = as_file(BOTH).getvalue()
    with pytest.raises(DocumentError, match="without its trailer"):
        History(new).import_file(io.BytesIO(data[: data.rindex(b"\n", 0, -1) + 1]), catalog="create")
    assert rows(new, Recipe) == 0


# --- renames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["create", "update"])
def test_a_renamed_slug_renames_the_row_that_it_names(history, engine, mode):
    given = ROWS | document(production_run(1), assembly=[ASSEMBLY])
    rename = {
        "recipe_slug": {"cookies": "kekse"},
        "ingredient_slug": {"flour": "mehl", "bag": "sack"},
        "product_slug": {"bag-100": "sack-100"},
        "finished_unit_slug": {"cookie": "keks"},
    }
    report = history.import_document(given, catalog=mode, rename=rename)
    assert (outcomes(report), report.problems, report.warnings) == ((2, 0, 0), (), ())
    assert {kind: each.imported for kind, each in counts(report).items()} == {
        "ingredient": 2,
        "recipe": 1,
        "finished_unit": 1,
        "product": 1,
        "finished_good": 0,
    }
    assert texts(engine, Recipe.slug) == ["bread", "cookies", "kekse"]
    assert [use.pointer for use in report.renamed][:6] == [
        "/ingredients/0/slug",
        "/ingredients/1/slug",
        "/recipes/0/slug",
        "/finished_units/0/slug",
        "/finished_units/0/recipe_slug",
        "/products/0/slug",
    ]
    [run] = history.export_document()["production_runs"]
    assert (run["recipe_slug"], run["consumptions"][0]["ingredient_slug"]) == ("kekse", "mehl")


def test_two_rows_that_become_one_are_a_duplicate(history):
    given = catalog(recipes=[{"slug": "old", "name": "Old"}, {"slug": "new", "name": "New"}])
    report = history.import_document(given, catalog="create", rename={"recipe_slug": {"old": "new"}})
    assert counts(report) == {"recipe": Counts(imported=1, skipped=1)}
    assert codes_of(report.warnings) == [("/recipes/1/slug", "duplicate-in-document")]


# --- several files, and what is rejected ---------------------------------------------------------------


def test_the_catalogs_of_all_files_come_before_all_runs(empty):
    files = [
        as_file(document(production_run(1)) | {"recipes": ROWS["recipes"]}),
        as_file(ROWS | document(production_run(2), assembly=[ASSEMBLY]), "json"),
    ]
    report = History(empty).import_file(files, catalog="create")
    assert (outcomes(report), report.problems) == ((3, 0, 0), ())
    assert report.catalog["recipe"] == Counts(imported=1, skipped=1)


def rejected_by(history, given, path, **options):
    """The report of an import, and the lines of its rejects by name."""
    report = history.import_file(as_file(given, options.pop("form", "jsonl")), rejects=path, **options)
    return report, [list(json.loads(line).items())[-1] for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("mode", ["ignore", "create", "update"])
def test_rejects_have_the_rows_that_their_runs_may_need(empty, tmp_path, mode, form):
    wrong = [{"slug": "cake", "name": 7}]
    given = ROWS | {"recipes": ROWS["recipes"] + wrong}
    given |= document(
        production_run(1), production_run(2, num_batches=0), production_run(3, recipe_slug="cake")
    )
    path = tmp_path / "rejects.jsonl"
    report, (header, *lines) = rejected_by(History(empty), given, path, catalog=mode, form=form)
    assert header == (
        "header",
        {
            "version": "1.0",
            "kinds": ["production_run", "assembly_run"],
            "sealed": False,
            "catalog": list(KINDS),
        },
    )
    kept = [(kind, record) for kind in KINDS for record in ROWS[COLLECTIONS[kind]]]
    rejected = given["production_runs"] if mode == "ignore" else given["production_runs"][1:]
    assert lines == [("recipe", wrong[0]), *kept, *(("production_run", run) for run in rejected)]
    mended = (
        path.read_text().replace('"num_batches":0', '"num_batches":1').replace('"name":7', '"name":"Cake"')
    )
    report = History(empty).import_file(io.BytesIO(mended.encode()), catalog="create")
    assert (report.imported, report.rejected, report.catalog_rejected) == (len(rejected), 0, 0)


def test_rejects_have_no_rows_where_no_run_is_rejected(empty, tmp_path):
    given = ROWS | {"recipes": [*ROWS["recipes"], {"slug": "cake"}]} | document(production_run(1))
    report, lines = rejected_by(History(empty), given, tmp_path / "rejects.jsonl", catalog="create")
    assert [name for name, _ in lines] == ["header", "recipe"]
    assert (report.rejected, report.catalog_rejected) == (0, 1)


# --- many rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ignore", "create", "update"])
@pytest.mark.turns
def test_rows_take_statements_for_each_batch_and_not_for_each_row(empty, mode, count_statements):
    numbers = []
    for count in (100, 1_100):
        given = catalog(
            recipes=[{"slug": f"recipe-{n}", "name": f"{mode} {count} {n}"} for n in range(count)],
            finished_units=[
                {"slug": f"unit-{n}", "display_name": "Unit", "recipe_slug": f"recipe-{n}"}
                for n in range(count)
            ],
        )
        statements = count_statements(empty)
        report = History(empty).import_document(given, catalog=mode)
        assert (report.problems, sum(each.rejected for each in report.catalog.values())) == ((), 0)
        numbers.append(len(statements.all))
    assert numbers[1] - numbers[0] < 50


# --- what else has to do with it -----------------------------------------------------------------------


def test_an_unreadable_line_among_the_rows_is_rejected_alone(new, tmp_path):
    file = as_file(ROWS | document(production_run(1, num_batches=0)))
    header, *lines = file.getvalue().splitlines(keepends=True)
    opened = header.replace(b'"kinds"', b'"sealed":false,"kinds"')
    data = b"".join([opened, b"nonsense\n", *lines[:3], b'{"recipe": 7\n', *lines[3:-1]])
    path = tmp_path / "rejects.jsonl"
    report = History(new).import_file(io.BytesIO(data), catalog="create", rejects=path)
    assert (outcomes(report), report.catalog_rejected) == ((0, 0, 3), 0)
    assert sum(each.imported for each in report.catalog.values()) == 6
    again = History(new).import_file(path, catalog="create")
    assert (outcomes(again), sum(each.skipped for each in again.catalog.values())) == ((0, 0, 3), 6)


def test_rows_of_an_older_version_are_upgraded_by_a_function_of_their_kind(new):
    class LabelSchema(RecipeSchema):
        class Meta(RecipeSchema.Meta):
            pass

        name = Text(required=True, data_key="label")

    def rename(record):
        return {("label" if name == "name" else name): value for name, value in record.items()}

    history = History(
        new,
        ProductionRunSchema,
        catalog=(LabelSchema, FinishedUnitSchema),
        version="2.0",
        upgrades={"1.0": {"recipe": rename}},
    )
    given = {name: ROWS[name] for name in ("recipes", "finished_units")} | document(production_run(1))
    del given["assembly_runs"]
    report = history.import_document(given, catalog="create")
    assert (outcomes(report), report.problems) == ((1, 0, 0), ())
    assert texts(new, Recipe.name) == ["Cookies"]


def test_a_receipt_takes_rows_back_too(empty, tmp_path):
    history = History(empty)
    history.import_document(BOTH, catalog="create", receipt=tmp_path / "receipt.jsonl")
    report = history.undo(tmp_path / "receipt.jsonl")
    assert (report.removed, report.left) == (8, 0)
    assert [rows(empty, table) for table in Base.metadata.sorted_tables] == [0] * 10


def test_the_four_functions_name_only_their_own_runs(new):
    given = ROWS | {"recipes": [{"slug": "cake"}]} | document(production_run(1))
    with Session(new) as session:
        summary = histio.import_production_history(given, session=session)
    [error] = summary["errors"]
    assert error.startswith("Recipe not found: cookies; FinishedUnit not found: cookie")
