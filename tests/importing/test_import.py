"""What becomes of each run of a document."""

from __future__ import annotations

import copy
import datetime as dt
import logging

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, validates

from histio import Counts, DocumentError, History, RunSchema, RunUUID, Text
from histio.models import (
    AssemblyPackagingConsumption,
    Ingredient,
    Product,
    ProductionConsumption,
    ProductionRun,
    Recipe,
)
from tests.support.bakery import (
    TIME,
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.databases import stocked
from tests.support.reports import codes_of, outcomes, rows

# --- one run -----------------------------------------------------------------------------------------


def test_every_reference_becomes_the_row_of_its_slug(engine, history):
    history.import_document(document(production_run(), assembly=[assembly_run()]))
    with Session(engine) as session:
        run = session.scalars(sa.select(ProductionRun)).one()
        assert (run.recipe.slug, run.finished_unit.slug) == ("cookies", "cookie")
        assert session.scalars(sa.select(AssemblyPackagingConsumption)).one().product.slug == "bag-100"


def test_ledger_entries_keep_the_order_of_the_document(history):
    entries = [consumption(n, ingredient_slug=f"i{n}") for n in (9, 3, 7, 1)]
    history.import_document(document(production_run(consumptions=entries)))
    assert [entry["uuid"] for entry in next(history.iter_runs("production_run"))["consumptions"]] == [
        number(n) for n in (9, 3, 7, 1)
    ]


def test_what_may_be_left_out_is_filled_in(sqlite):
    bare = without(production_run(), "notes", "created_at", "updated_at", "consumptions")
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    History(sqlite).import_document({"version": "1.0", "production_runs": [bare]})
    with Session(sqlite) as session:
        run = session.scalars(sa.select(ProductionRun)).one()
        assert (run.notes, run.consumptions) == (None, [])
        assert before <= run.created_at <= run.updated_at <= dt.datetime.now(dt.UTC).replace(tzinfo=None)


def test_an_offset_is_converted_and_none_is_utc(history):
    runs = [
        production_run(1, produced_at="2025-12-08T12:30:00+02:30"),
        production_run(2, produced_at=TIME[:-1]),
    ]
    history.import_document(document(*runs))
    assert [run["produced_at"] for run in history.iter_runs("production_run")] == [TIME, TIME]


def test_fewer_and_more_digits_mean_the_same_decimal(history):
    history.import_document(document(production_run(per_unit_cost="0.5", total_ingredient_cost="7.50000000")))
    run = next(history.iter_runs("production_run"))
    assert (run["per_unit_cost"], run["total_ingredient_cost"]) == ("0.5000", "7.5000")


def test_an_upper_case_uuid_is_the_same_run(sqlite):
    history = History(sqlite)
    first = production_run(uuid="7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11")
    history.import_document(document(first))
    again = history.import_document(document(first | {"uuid": first["uuid"].upper()}))
    assert outcomes(again) == (0, 1, 0)


def test_the_document_is_never_changed(sqlite):
    given = document(production_run(1), production_run(1), production_run(2, recipe_slug="x"))
    before = copy.deepcopy(given)
    History(sqlite).import_document(given, rename={"recipe_slug": {"x": "bread"}})
    assert given == before


# --- references --------------------------------------------------------------------------------------


def test_missing_references_are_reported_all_with_close_matches(sqlite):
    report = History(sqlite).import_document(
        document(production_run(recipe_slug="cookie", finished_unit_slug="x"))
    )
    assert codes_of(report.problems) == [
        ("/production_runs/0/recipe_slug", "unknown-reference"),
        ("/production_runs/0/finished_unit_slug", "unknown-reference"),
    ]
    assert report.problems[0].message == "Recipe not found: cookie"
    assert [problem.hint for problem in report.problems] == ["did you mean cookies?", None]
    assert outcomes(report) == (0, 0, 1)


def test_references_in_every_ledger_are_checked(sqlite):
    run = assembly_run(
        finished_good_slug="a",
        finished_unit_consumptions=[unit_consumption(1), unit_consumption(2, finished_unit_slug="b")],
        packaging_consumptions=[packaging(3, product_slug="c")],
    )
    report = History(sqlite).import_document(document(assembly=[run]))
    assert codes_of(report.problems) == [
        ("/assembly_runs/0/finished_good_slug", "unknown-reference"),
        ("/assembly_runs/0/finished_unit_consumptions/1/finished_unit_slug", "unknown-reference"),
        ("/assembly_runs/0/packaging_consumptions/0/product_slug", "unknown-reference"),
    ]


def test_a_malformed_run_has_its_references_checked_too(sqlite):
    run = production_run(
        recipe_slug="gone",
        num_batches=0,
        consumptions=[consumption(5, unit=None), consumption(6, total_cost="1.23456")],
    )
    report = History(sqlite).import_document(document(run))
    assert sorted(codes_of(report.problems)) == [
        ("/production_runs/0/consumptions/0/unit", "schema"),
        ("/production_runs/0/consumptions/1/total_cost", "precision"),
        ("/production_runs/0/num_batches", "out-of-range"),
        ("/production_runs/0/recipe_slug", "unknown-reference"),
    ]


def test_an_ingredient_that_is_gone_is_a_warning(engine, history):
    report = history.import_document(
        document(production_run(consumptions=[consumption(ingredient_slug="flours")]))
    )
    assert outcomes(report) == (1, 0, 0)
    assert codes_of(report.warnings) == [
        ("/production_runs/0/consumptions/0/ingredient_slug", "unknown-reference")
    ]
    assert report.warnings[0].hint == "did you mean flour?"
    assert rows(engine, ProductionConsumption) == 1


def test_a_unit_of_another_recipe_is_a_warning(history):
    report = history.import_document(document(production_run(finished_unit_slug="loaf")))
    assert outcomes(report) == (1, 0, 0)
    assert codes_of(report.warnings) == [("/production_runs/0/finished_unit_slug", "mismatched-reference")]


@pytest.mark.parametrize("slug", ["Cookies", "COOKIES", "cookiés", "cookies.", "cooki\u0435s"])
def test_slugs_are_compared_exactly_on_every_database(history, slug):
    report = history.import_document(document(production_run(recipe_slug=slug)))
    assert codes_of(report.problems) == [("/production_runs/0/recipe_slug", "unknown-reference")]


@pytest.mark.parametrize(
    "slug", ["crème-brûlée", "Cookies", "🍪", "a b", "it's", 'a"b', "a\\b", "%s", ":x", "a/b~c"]
)
def test_any_slug_can_be_a_key(engine, history, slug):
    with Session(engine) as session:
        session.add(Recipe(name=slug, slug=slug))
        session.commit()
    assert outcomes(history.import_document(document(production_run(recipe_slug=slug)))) == (1, 0, 0)
    assert next(history.iter_runs("production_run"))["recipe_slug"] == slug


class TestProductsByIngredient:
    @pytest.fixture
    def history(self, engine):
        with Session(engine) as session:
            tape = Ingredient(display_name="Tape", slug="tape")
            session.add_all(
                [
                    Product(product_name="Tape 10", slug="tape-10", ingredient=tape),
                    Product(product_name="Tape 20", slug="tape-20", ingredient=tape),
                ]
            )
            session.commit()
        return History(engine)

    def run(self, **members):
        return document(
            assembly=[
                assembly_run(
                    packaging_consumptions=[without(packaging(), *members.pop("drop", ())) | members]
                )
            ]
        )

    def test_the_only_product_of_an_ingredient_is_found(self, history):
        assert outcomes(history.import_document(self.run(drop=["product_slug"]))) == (1, 0, 0)
        assert (
            next(history.iter_runs("assembly_run"))["packaging_consumptions"][0]["product_slug"] == "bag-100"
        )

    def test_one_of_several_is_ambiguous(self, history):
        report = history.import_document(self.run(drop=["product_slug"], ingredient_slug="tape"))
        assert codes_of(report.problems) == [
            ("/assembly_runs/0/packaging_consumptions/0/ingredient_slug", "ambiguous-reference")
        ]

    def test_an_ingredient_without_product_is_unknown(self, history):
        report = history.import_document(self.run(drop=["product_slug"], ingredient_slug="flour"))
        assert codes_of(report.problems) == [
            ("/assembly_runs/0/packaging_consumptions/0/ingredient_slug", "unknown-reference")
        ]

    def test_the_product_alone_is_enough(self, history):
        assert outcomes(history.import_document(self.run(drop=["ingredient_slug"]))) == (1, 0, 0)

    @pytest.mark.parametrize("ingredient", ["bag", "no-such"])
    def test_where_both_disagree_the_product_counts(self, history, ingredient):
        report = history.import_document(self.run(product_slug="tape-20", ingredient_slug=ingredient))
        assert outcomes(report) == (1, 0, 0)
        assert codes_of(report.warnings) == [
            ("/assembly_runs/0/packaging_consumptions/0/ingredient_slug", "mismatched-reference")
        ]
        assert (
            next(history.iter_runs("assembly_run"))["packaging_consumptions"][0]["product_slug"] == "tape-20"
        )


# --- duplicates --------------------------------------------------------------------------------------


def test_a_known_run_is_skipped(history):
    given = document(production_run(1), assembly=[assembly_run(1)])
    history.import_document(given)
    again = history.import_document(given | {"production_runs": [production_run(1), production_run(2)]})
    assert outcomes(again) == (1, 2, 0)
    assert {name: outcomes(counts) for name, counts in again.by_kind.items()} == {
        "production_run": (1, 1, 0),
        "assembly_run": (0, 1, 0),
    }


def test_a_known_run_is_classified_before_its_references(history):
    history.import_document(document(production_run(1)))
    again = history.import_document(document(production_run(1, recipe_slug="gone")))
    assert outcomes(again) == (0, 1, 0)


def test_form_comes_before_classification(history):
    history.import_document(document(production_run(1)))
    again = history.import_document(document(production_run(1, num_batches=0)))
    assert outcomes(again) == (0, 0, 1)


def test_a_known_run_can_be_an_error(history):
    history.import_document(document(production_run(1)))
    again = history.import_document(document(production_run(1)), on_duplicate="error")
    assert outcomes(again) == (0, 0, 1)
    assert codes_of(again.problems) == [("/production_runs/0/uuid", "duplicate")]


def test_the_same_uuid_may_serve_a_run_of_each_kind(history):
    assert outcomes(history.import_document(document(production_run(1), assembly=[assembly_run(1)]))) == (
        2,
        0,
        0,
    )


def test_a_run_that_comes_twice_is_imported_once_with_a_warning(history):
    report = history.import_document(document(production_run(1), production_run(1), production_run(1)))
    assert outcomes(report) == (1, 2, 0)
    assert codes_of(report.warnings) == [
        ("/production_runs/1/uuid", "duplicate-in-document"),
        ("/production_runs/2/uuid", "duplicate-in-document"),
    ]


def test_a_run_that_comes_twice_can_be_an_error(history):
    report = history.import_document(document(production_run(1), production_run(1)), on_duplicate="error")
    assert outcomes(report) == (1, 0, 1)
    assert codes_of(report.problems) == [("/production_runs/1/uuid", "duplicate-in-document")]


def test_a_good_copy_goes_in_where_a_bad_one_was_rejected(history):
    report = history.import_document(document(production_run(1, recipe_slug="gone"), production_run(1)))
    assert outcomes(report) == (1, 0, 1)


@pytest.mark.parametrize("on_duplicate", ["skip", "error", "verify"])
def test_an_entry_uuid_under_another_run_is_a_problem(history, on_duplicate):
    history.import_document(document(production_run(1, consumptions=[consumption(50)])))
    late = production_run(2, consumptions=[consumption(51), consumption(50)])
    report = history.import_document(document(late), on_duplicate=on_duplicate)
    assert outcomes(report) == (0, 0, 1)
    assert codes_of(report.problems) == [("/production_runs/0/consumptions/1/uuid", "duplicate")]


def test_an_entry_uuid_twice_in_a_document_rejects_the_later_run(history):
    runs = [production_run(n, consumptions=[consumption(50)]) for n in (1, 2)]
    report = history.import_document(document(*runs))
    assert outcomes(report) == (1, 0, 1)
    assert codes_of(report.problems) == [("/production_runs/1/consumptions/0/uuid", "duplicate-in-document")]


def test_an_entry_uuid_twice_in_a_run_rejects_it(history):
    report = history.import_document(
        document(production_run(1, consumptions=[consumption(50), consumption(50)]))
    )
    assert codes_of(report.problems) == [("/production_runs/0/consumptions/1/uuid", "duplicate-in-document")]


def test_an_entry_uuid_of_a_rejected_run_is_free(history):
    runs = [
        production_run(1, recipe_slug="gone", consumptions=[consumption(50)]),
        production_run(2, consumptions=[consumption(50)]),
    ]
    assert outcomes(history.import_document(document(*runs))) == (1, 0, 1)


class TestVerify:
    @pytest.fixture
    def stored(self, history):
        history.import_document(
            document(
                production_run(1, consumptions=[consumption(7), consumption(8)]), assembly=[assembly_run(1)]
            )
        )
        return history

    def test_the_same_content_is_skipped(self, stored):
        given = stored.export_document()
        assert outcomes(stored.import_document(given, on_duplicate="verify")) == (0, 2, 0)

    def test_the_same_content_in_another_spelling_is_skipped(self, stored):
        run = production_run(
            1,
            per_unit_cost="0.05710",
            produced_at="2025-12-08T11:00:00+01:00",
            num_batches=2.0,
            consumptions=[consumption(7, quantity_consumed="4"), consumption(8)],
        )
        assert outcomes(stored.import_document(document(run), on_duplicate="verify")) == (0, 1, 0)

    def test_what_is_left_out_is_not_compared(self, stored):
        run = without(production_run(1), "notes", "created_at", "updated_at", "consumptions")
        assert outcomes(stored.import_document(document(run), on_duplicate="verify")) == (0, 1, 0)

    def test_other_content_is_a_conflict_that_names_every_member(self, stored):
        run = production_run(
            1,
            num_batches=3,
            notes=None,
            finished_unit_slug="loaf",
            consumptions=[consumption(7, unit="kg"), consumption(9)],
        )
        report = stored.import_document(document(run), on_duplicate="verify")
        assert codes_of(report.problems) == [("/production_runs/0", "conflict")]
        for named in (
            "/num_batches: document 3, database 2",
            "/notes: document null, database 'Test batch'",
            "/finished_unit_slug",
            "/consumptions/0/unit",
            "/consumptions/1: only in the document",
            f"/consumptions: only in the database: {number(8)}",
        ):
            assert named in report.problems[0].message

    def test_a_new_run_goes_in(self, stored):
        assert outcomes(stored.import_document(document(production_run(2)), on_duplicate="verify")) == (
            1,
            0,
            0,
        )

    def test_a_second_copy_with_other_content_is_a_conflict(self, stored):
        runs = [production_run(2), production_run(2, num_batches=9)]
        report = stored.import_document(document(*runs), on_duplicate="verify")
        assert outcomes(report) == (1, 0, 1)
        assert codes_of(report.problems) == [("/production_runs/1", "conflict")]

    def test_a_rename_is_applied_before_the_comparison(self, stored):
        run = production_run(1, recipe_slug="biscuits", consumptions=[consumption(7), consumption(8)])
        report = stored.import_document(
            document(run), on_duplicate="verify", rename={"recipe_slug": {"biscuits": "cookies"}}
        )
        assert outcomes(report) == (0, 1, 0)


def test_a_way_with_duplicates_that_does_not_exist_is_refused(sqlite):
    with pytest.raises(ValueError, match="on_duplicate must be one of"):
        History(sqlite).import_document(document(), on_duplicate="replace")


def test_after_a_large_import_postgresql_knows_how_large_its_tables_are(databases, tune):
    engine = stocked(databases("postgresql"))
    tune(refresh_from=3)
    history = History(engine)
    known = sa.text("SELECT reltuples FROM pg_class WHERE relname = 'production_runs'")
    history.import_document(document(production_run(1), production_run(2)))
    with engine.connect() as connection:
        before = connection.scalar(known)
    history.import_document(document(*(production_run(n) for n in range(3, 8))))
    with engine.connect() as connection:
        assert (before != 7, connection.scalar(known)) == (True, 7)


# --- options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("on_duplicate", ["skip", "update", "verify"])
def test_atomic_writes_nothing_when_one_run_is_rejected(engine, history, on_duplicate, dry_run):
    history.import_document(document(production_run(1)))
    runs = production_run(1, notes="new"), production_run(2), production_run(3, recipe_slug="gone")
    read = document(*runs, assembly=[assembly_run(1)])
    report = history.import_document(read, on_duplicate=on_duplicate, atomic=True, dry_run=dry_run)
    expected = {
        "skip": Counts(skipped=1, rejected=1, withheld=1),
        "update": Counts(rejected=1, withheld=2),
        "verify": Counts(rejected=2, withheld=1),
    }
    assert report.by_kind == {"production_run": expected[on_duplicate], "assembly_run": Counts(withheld=1)}
    assert report.imported + report.updated + report.skipped + report.rejected + report.withheld == 4
    assert report.to_dict()["by_kind"]["assembly_run"]["withheld"] == 1
    assert rows(engine) == 1


def test_atomic_writes_all_of_a_good_document(engine, history):
    assert outcomes(history.import_document(document(production_run(1), production_run(2)), atomic=True)) == (
        2,
        0,
        0,
    )
    assert rows(engine) == 2


def test_a_dry_run_tells_what_the_real_run_does_and_writes_nothing(engine, history):
    history.import_document(document(production_run(5)))
    given = document(
        production_run(1),
        production_run(1),
        production_run(5),
        production_run(2, recipe_slug="gone"),
        production_run(3, finished_unit_slug="loaf"),
        assembly=[assembly_run(1)],
    )
    dry = history.import_document(given, dry_run=True)
    assert rows(engine) == 1
    assert dry.dry_run
    real = history.import_document(given)
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()
    assert rows(engine) == 3


def test_rename_changes_slugs_in_runs_and_ledgers_and_lists_each_use(history):
    given = document(
        production_run(1, recipe_slug="old", consumptions=[consumption(5, ingredient_slug="mehl")]),
        assembly=[assembly_run(2, packaging_consumptions=[packaging(6, ingredient_slug="beutel")])],
    )
    rename = {
        "recipe_slug": {"old": "cookies", "unused": "bread"},
        "ingredient_slug": {"mehl": "flour", "beutel": "bag"},
    }
    report = history.import_document(given, rename=rename)
    assert (outcomes(report), report.warnings) == ((2, 0, 0), ())
    assert [(use.pointer, use.old, use.new) for use in report.renamed] == [
        ("/production_runs/0/recipe_slug", "old", "cookies"),
        ("/production_runs/0/consumptions/0/ingredient_slug", "mehl", "flour"),
        ("/assembly_runs/0/packaging_consumptions/0/ingredient_slug", "beutel", "bag"),
    ]


def test_rename_can_swap_two_slugs(history):
    report = history.import_document(
        document(production_run(1)),
        rename={
            "recipe_slug": {"cookies": "bread", "bread": "cookies"},
            "finished_unit_slug": {"cookie": "loaf"},
        },
    )
    assert report.warnings == ()
    assert next(history.iter_runs("production_run"))["recipe_slug"] == "bread"


@pytest.mark.parametrize(
    ("rename", "why"),
    [
        ({"slug": {"a": "b"}}, "not a slug of these kinds"),
        ({"recipe_slug": {"a": " b"}}, "recipe_slug.*white space"),
    ],
)
def test_a_rename_that_makes_no_sense_is_refused(sqlite, rename, why):
    with pytest.raises(ValueError, match=why):
        History(sqlite).import_document(document(), rename=rename)


# --- whole documents ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "where", "code"),
    [
        ({}, "/version", "version"),
        ([], "", "schema"),
        (None, "", "schema"),
        ({"version": "1.0"}, "", "schema"),
        ({"version": "1.0", "production_runs": {}}, "/production_runs", "schema"),
        ({"version": "2.0", "production_runs": []}, "/version", "version"),
        ({"version": 1.0, "production_runs": []}, "/version", "version"),
        ({"version": "1.0", "production_runs": [], "more": 1}, "/more", "schema"),
    ],
)
def test_a_document_that_cannot_be_read_raises_with_its_problems(sqlite, given, where, code):
    with pytest.raises(DocumentError) as caught:
        History(sqlite).import_document(given)
    assert (where, code) in codes_of(caught.value.problems)
    assert codes_of(History(sqlite).check(given)) == codes_of(caught.value.problems)


def test_a_newer_version_is_refused_by_name(sqlite):
    with pytest.raises(DocumentError, match=r"Format 1\.1 is newer than 1\.0"):
        History(sqlite).import_document({"version": "1.1", "production_runs": []})


# --- check -------------------------------------------------------------------------------------------


def test_check_tells_form_references_and_warnings_in_order_and_writes_nothing(engine, history):
    given = document(
        production_run(1, num_batches=0, recipe_slug="gone"),
        production_run(2, finished_unit_slug="loaf"),
        production_run(2),
        production_run(3, consumptions=[consumption(1_000_002)]),
        assembly=[assembly_run(1, more=1)],
    )
    problems = history.check(given)
    assert [(p.pointer, p.code, p.severity) for p in problems] == [
        ("/production_runs/0/num_batches", "out-of-range", "error"),
        ("/production_runs/0/recipe_slug", "unknown-reference", "error"),
        ("/production_runs/1/finished_unit_slug", "mismatched-reference", "warning"),
        ("/production_runs/2/uuid", "duplicate-in-document", "warning"),
        ("/production_runs/3/consumptions/0/uuid", "duplicate-in-document", "error"),
        ("/assembly_runs/0/more", "schema", "error"),
    ]
    assert rows(engine) == 0


def test_check_of_a_good_document_finds_nothing(history):
    assert history.check(document(production_run(), assembly=[assembly_run()])) == []


def test_problems_say_which_run_they_are_about(sqlite):
    [problem] = History(sqlite).check(document(production_run(1), production_run(2, recipe_slug="gone")))
    assert (problem.kind, problem.index, problem.uuid) == ("production_run", 1, number(2))


def test_data_never_reaches_the_log(sqlite, caplog):
    caplog.set_level(logging.DEBUG, "histio")
    History(sqlite).import_document(
        document(production_run(notes="private", recipe_slug="secret"), production_run(2))
    )
    assert "1 imported" in caplog.text
    assert "private" not in caplog.text
    assert "secret" not in caplog.text


def test_what_the_code_of_a_host_raises_is_logged_without_its_text(sqlite_of, caplog):
    class Base(DeclarativeBase): ...

    class Batch(Base):
        __tablename__ = "batches"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
        label: Mapped[str]

        @validates("label")
        def _check(self, _key: str, label: str) -> str:
            raise ValueError(f"no batch is {label}")

    class BatchSchema(RunSchema):
        class Meta:
            model = Batch
            kind = "batch"
            collection = "batches"
            timestamp = None

        uuid = RunUUID(required=True)
        label = Text(required=True)

    caplog.set_level(logging.DEBUG, "histio")
    history = History(sqlite_of(Base.metadata), BatchSchema)
    run = {"uuid": number(1), "label": "private"}
    [problem] = history.import_document({"version": "1.0", "batches": [run]}).problems
    assert problem.message == "Cannot be written: ValueError: no batch is private"
    assert "ValueError" in caplog.text
    assert "_check" in caplog.text
    assert "private" not in caplog.text


# --- found by review ---------------------------------------------------------------------------------


def test_ledger_order_is_content_to_verify(history):
    entries = [consumption(7), consumption(8)]
    history.import_document(document(production_run(1, consumptions=entries)))
    report = history.import_document(
        document(production_run(1, consumptions=entries[::-1])), on_duplicate="verify"
    )
    assert "/consumptions: in another order in the database" in report.problems[0].message


def test_a_document_verifies_against_what_its_own_import_wrote(history):
    given = document(assembly=[assembly_run(packaging_consumptions=[packaging(1, ingredient_slug="other")])])
    assert len(history.import_document(given).warnings) == 1
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 1, 0)


def test_a_conflict_shows_values_as_they_look_on_the_wire(history):
    history.import_document(document(production_run(1)))
    run = production_run(1, produced_at="2025-12-08T10:00:01Z", per_unit_cost="1")
    [problem] = history.import_document(document(run), on_duplicate="verify").problems
    assert "/produced_at: document '2025-12-08T10:00:01Z', database '2025-12-08T10:00:00Z'" in problem.message
    assert "/per_unit_cost: document '1.0000', database '0.0571'" in problem.message


def test_check_frees_the_uuids_of_runs_that_will_not_go_in(history):
    given = document(
        production_run(1, recipe_slug="gone", consumptions=[consumption(9)]),
        production_run(2, consumptions=[consumption(9)]),
    )
    assert codes_of(history.check(given)) == [("/production_runs/0/recipe_slug", "unknown-reference")]


def test_one_fault_of_a_ledger_entry_is_told_once(history):
    history.import_document(document(production_run(1, consumptions=[consumption(9)])))
    report = history.import_document(
        document(production_run(2, consumptions=[consumption(9), consumption(8), consumption(8)]))
    )
    assert codes_of(report.problems) == [
        ("/production_runs/0/consumptions/0/uuid", "duplicate"),
        ("/production_runs/0/consumptions/2/uuid", "duplicate-in-document"),
    ]


@pytest.mark.parametrize("rename", [["x"], {"recipe_slug": "x"}])
def test_a_rename_of_another_shape_is_refused(sqlite, rename):
    with pytest.raises(TypeError, match="mapping"):
        History(sqlite).import_document(document(), rename=rename)


def test_members_left_out_here_and_there_cost_no_statement_for_each_run(sqlite, count_statements):
    statements = count_statements(sqlite)
    counts = []
    for start, many in ((0, 20), (1000, 200)):
        runs = [production_run(start + n) for n in range(1, many + 1)]
        given = [without(run, "created_at") if n % 2 else run for n, run in enumerate(runs)]
        for run in given[::3]:
            run["consumptions"] = [without(entry, "updated_at") for entry in run["consumptions"]]
        statements.clear()
        assert History(sqlite).import_document(document(*given)).imported == many
        counts.append(len(statements.matching("INSERT")))
    assert counts == [2, 2]


def test_what_is_left_out_has_one_time_in_the_whole_import(sqlite):
    runs = [without(production_run(n), "created_at", "updated_at") for n in range(1, 9)]
    History(sqlite).import_document(document(*runs))
    times = {(run["created_at"], run["updated_at"]) for run in History(sqlite).iter_runs("production_run")}
    assert len(times) == 1
    assert len(set(*times)) == 1
