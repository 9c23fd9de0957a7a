"""The page of an import: what happened comes first, then why, then what went in."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import make_url
from sqlalchemy.orm import sessionmaker

import histio
from histio import Counts, ImportReport, Problem, Revision
from histio.database.dialects import describe_database
from histio.page.gather import database_name
from tests.support.bakery import document, number, production_run
from tests.support.pages import page, run

ATOMIC = "Nothing was written, because the import was atomic. Withheld runs have no errors."


def words(seen):
    """The text of a page, with plain spaces."""
    return " ".join(seen.text.split())


def problems(count, code="unknown-reference", *, more=0, **members):
    found = tuple(
        Problem("error", code, "Recipe not found: flan", f"/production_runs/{n}/recipe_slug",
                "production_run", number(n), n, **members)
        for n in range(1, count + 1)
    )  # fmt: skip
    return {"problems": found, "problem_count": count + more}


@pytest.mark.parametrize(
    ("report", "label", "headline", "numbers"),
    [
        (ImportReport(imported=1700), "Import complete", "All 1 700 runs imported", "1 700 0 0 0"),
        (ImportReport(imported=1), "Import complete", "1 run imported", "1 0 0 0"),
        (
            ImportReport(imported=12, updated=3, skipped=5),
            "Import complete",
            "12 runs imported, 3 updated, 5 skipped",
            "12 3 5 0",
        ),
        (
            ImportReport(rejected=2000, **problems(3)),
            "Import failed",
            "All 2 000 runs rejected, nothing imported",
            "0 0 0 2 000",
        ),
        (
            ImportReport(imported=1, rejected=6, **problems(3)),
            "Import incomplete",
            "6 of 7 runs rejected, 1 imported",
            "1 0 0 6",
        ),
        (
            ImportReport(rejected=1, **problems(1)),
            "Import failed",
            "1 run rejected, nothing imported",
            "0 0 0 1",
        ),
        (
            ImportReport(skipped=20),
            "Import without changes",
            "All 20 runs skipped, because they exist",
            "0 0 20 0",
        ),
        (ImportReport(), "Import without changes", "The file has no runs", "0 0 0 0"),
        (
            ImportReport(rejected=2, withheld=5, **problems(2)),
            "Import failed",
            "2 of 7 runs rejected, 5 withheld, nothing imported " + ATOMIC,
            "0 0 0 2 Withheld 5",
        ),
        (
            ImportReport(imported=3, dry_run=True),
            "Dry run: complete import",
            "All 3 runs imported This was a dry run: nothing was written.",
            "3 0 0 0",
        ),
        (
            ImportReport(imported=3, truncated=True),
            "Import incomplete",
            "All 3 runs imported The file is damaged: it was imported up to the damage.",
            "3 0 0 0",
        ),
        (
            ImportReport(imported=3, catalog={"recipe": Counts(imported=2, rejected=1)}),
            "Import incomplete",
            "All 3 runs imported, 1 catalog row rejected",
            "3 0 0 0",
        ),
        (
            ImportReport(catalog={"recipe": Counts(imported=2)}),
            "Import complete",
            "2 catalog rows imported",
            "0 0 0 0",
        ),
    ],
)
def test_what_happened_is_the_first_thing_on_the_page(report, label, headline, numbers, tmp_path):
    text = re.sub("Updated |Skipped |Rejected ", "", words(page(document(), tmp_path, imported=report)))
    assert f"{label} {headline} Imported {numbers} " in text


def test_a_failed_import_shows_nothing_of_what_did_not_go_in(tmp_path):
    report = ImportReport(rejected=60, by_kind={"production_run": Counts(rejected=60)}, **problems(60))
    seen = page(document(*(run(n) for n in range(1, 61))), tmp_path, imported=report)
    assert seen.charts == []
    assert list(seen.tables) == ["All problems and warnings", "What the file contains"]
    assert seen.tables["What the file contains"] == [
        ["Kind", "Runs", "First", "Last"],
        ["Production runs", "60", "2025-01-02 10:00 UTC", "2025-03-02 10:00 UTC"],
    ]


@pytest.mark.parametrize(
    ("report", "title"),
    [
        (ImportReport(imported=2, by_kind={"production_run": Counts(imported=2)}), "What was imported"),
        (
            ImportReport(imported=2, by_kind={"production_run": Counts(imported=2)}, dry_run=True),
            "What would be imported",
        ),
        (
            ImportReport(imported=1, skipped=1, by_kind={"production_run": Counts(imported=1, skipped=1)}),
            "What the file contains",
        ),
    ],
)
def test_the_page_says_whether_it_shows_what_went_in_or_the_file(report, title, tmp_path):
    seen = page(document(run(1), run(2)), tmp_path, imported=report)
    assert f"{title} 2 production runs." in words(seen)


def test_the_page_says_what_to_do_next(tmp_path):
    advised = ImportReport(rejected=3, advice="Create <them>.", **problems(3))
    assert "What to do next Create <them>. Problems 3" in words(page(document(), tmp_path, imported=advised))
    rejected = words(page(document(), tmp_path, imported=ImportReport(rejected=3, **problems(3))))
    assert "What to do next Create the rows that the runs refer to (--create-catalog does" in rejected
    assert "Write the rejected runs to a file with --rejects FILE" in rejected
    report = ImportReport(rejected=3, **problems(3))
    named = page(document(), tmp_path, imported=report, rejects=tmp_path / "left.jsonl")
    assert f"Correct the rejected runs in {tmp_path / 'left.jsonl'}, and import that file." in words(named)
    secret = page(document(), tmp_path, imported=report, rejects="ftp://ann:s3cret@example.org/left.jsonl")
    assert "s3cret" not in secret.text
    done = page(document(), tmp_path, imported=ImportReport(imported=3))
    assert "What to do next" not in done.text


def test_repeated_problems_are_one_with_their_number_and_the_first_runs(tmp_path):
    seen = page(document(), tmp_path, imported=ImportReport(rejected=5, **problems(5)))
    group = "5 5\N{MULTIPLICATION SIGN} times Recipe not found: flan /production_runs/*/recipe_slug"
    first = f"first in production_run {number(1)}, {number(2)}, {number(3)}"
    assert f"Problems 5 unknown-reference {group} {first} " in f"{words(seen)} "


def test_a_list_that_is_cut_says_so(tmp_path):
    report = ImportReport(rejected=2000, **problems(1000, more=3600))
    text = words(page(document(), tmp_path, imported=report))
    assert "Problems 4 600 1 000 of 4 600 shown" in text


def test_a_code_counts_problems_that_are_not_listed(tmp_path):
    codes = {"unknown-reference": 4000, "constraint": 600}
    report = ImportReport(rejected=2000, problem_codes=codes, **problems(1000, more=3600))
    text = words(page(document(), tmp_path, imported=report))
    assert "1 000 of 4 600 shown; numbers with \N{MULTIPLICATION SIGN} count those that are shown." in text
    assert "unknown-reference 4 000 " in text
    assert "constraint 600 " in text


def test_codes_and_groups_of_most_problems_come_first(tmp_path):
    found = [
        Problem("error", "schema", "Unknown field.", "/oven", "production_run", number(1), line=2),
        *problems(2)["problems"],
        Problem(
            "error", "unknown-reference", "Recipe not found: pie", "/recipe_slug", hint="did you mean π?"
        ),
    ]
    report = ImportReport(rejected=3, problems=tuple(found), problem_count=4)
    text = words(page(document(), tmp_path, imported=report))
    places = [
        text.index(each) for each in ("unknown-reference 3", "flan", "pie (did you mean π?)", "schema 1")
    ]
    assert places == sorted(places)
    assert f"Unknown field. /oven in production_run {number(1)} in line 2" in text


def test_all_problems_and_warnings_are_listed_where_groups_hide_some(tmp_path):
    warnings = [
        Problem("warning", "unknown-reference", "No.", "/x", line=3, hint="did you mean flour?", file="b")
    ] * 1200
    report = ImportReport(imported=4, warnings=tuple(warnings), warning_count=1200, **problems(1, "schema"))
    seen = page(document(), tmp_path, imported=report)
    _, *rows = seen.tables["All problems and warnings"]
    assert rows[0] == [
        "error", "schema", "Recipe not found: flan", "/production_runs/1/recipe_slug",
        f"production_run {number(1)}",
    ]  # fmt: skip
    assert rows[1] == ["warning", "unknown-reference", "No. (did you mean flour?)", "b, line 3 /x", ""]
    assert len(rows) == 1001
    assert "(1 001 of 1 201 shown)" in words(seen)
    few = page(document(), tmp_path, imported=ImportReport(rejected=1, **problems(1)))
    assert "All problems and warnings" not in few.tables


def test_the_catalog_is_counted_unless_all_of_it_was_left_out(tmp_path):
    report = ImportReport(
        imported=3,
        by_kind={"production_run": Counts(imported=3)},
        catalog={"recipe": Counts(imported=2, skipped=1), "product": Counts(skipped=4)},
    )
    assert page(document(), tmp_path, imported=report).tables["By kind"][1:] == [
        ["Recipe", "2", "0", "1", "0"],
        ["Production run", "3", "0", "0", "0"],
    ]


@pytest.mark.slow
def test_an_imports_changes_are_listed_by_run(tmp_path):
    of_runs = [
        Revision("production_run", number(1), "/notes", None, "new"),
        Revision("production_run", number(1), "/consumptions/0", {"unit": "kg"}, None),
        Revision("production_run", number(2), "/actual_yield", 92, 7),
    ]
    report = ImportReport(updated=2, revisions=tuple(of_runs), revision_count=1_203)
    seen = page(document(), tmp_path, imported=report)
    assert seen.tables["Changes"] == [
        ["Member", "Before", "After"],
        [f"production_run {number(1)}"],
        ["/notes", "nothing", '"new"'],
        ["/consumptions/0", '{"unit": "kg"}', "nothing"],
        [f"production_run {number(2)}"],
        ["/actual_yield", "92", "7"],
    ]
    assert "3 of 1\u202f203 shown." in seen.text
    assert "Changes" not in page(document(), tmp_path, imported=ImportReport(imported=1)).tables


@pytest.mark.slow
def test_the_page_names_the_database_that_the_import_wrote_to(history, tmp_path):
    report = history.import_document(document(production_run(1)))
    seen = page(document(production_run(1)), tmp_path, history=history, imported=report)
    assert f"Into {database_name(history)}" in words(seen)
    assert "Into" not in page(document(), tmp_path, imported=report).text


@pytest.mark.slow
def test_the_page_of_a_database_says_which_one(history, tmp_path):
    url = history.bound.database.find_engine().url
    seen = page(history, tmp_path)
    assert f"History report: {database_name(history)}" in seen.text
    assert (url.database or "").rpartition("/")[2] in database_name(history)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("sqlite:////home/ann/secret/bakery.db", "SQLite bakery.db"),
        ("sqlite:///file:/home/ann/bakery.db?mode=ro&uri=true", "SQLite bakery.db"),
        ("sqlite://", "SQLite in memory"),
        ("postgresql+psycopg://ann:s3cret@db.example.org:5433/bakery?sslpassword=s3cret",
         "PostgreSQL bakery on db.example.org:5433"),
        ("postgresql+psycopg://ann:s3cret@/bakery?host=/run/s3cret", "PostgreSQL bakery"),
        ("mariadb+pymysql://ann:s3cret@db.example.org/bakery", "MariaDB bakery on db.example.org"),
        ("mysql+pymysql://ann@[::1]/bakery", "MySQL bakery on ::1"),
    ],
)  # fmt: skip
def test_a_database_is_named_without_its_user_password_query_and_folder(url, text):
    assert describe_database(make_url(url)) == text


def test_a_history_without_a_database_has_no_name_of_one():
    assert database_name(histio.History()) is None
    assert database_name(histio.History(sessionmaker())) is None
