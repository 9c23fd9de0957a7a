"""Catalogs at a terminal: how commands create, update and report rows that runs refer to."""

from __future__ import annotations

import json
import re
import shlex

import pytest

import histio
from histio import cli
from histio.cli.exit_codes import ExitCode
from histio.models import Base
from tests.support.bakery import production_run
from tests.support.catalogs import ROWS, write

RUN = ("production_run", production_run(1))
FLOUR, SUGAR, *OTHERS = ROWS


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command line on an empty database; gives its exit code, its output and its errors."""
    monkeypatch.chdir(tmp_path)
    engine = histio.create_engine("sqlite:///new.db")
    Base.metadata.create_all(engine)
    engine.dispose()

    def run(line, *items):
        (tmp_path / "history.jsonl").write_bytes(write(items or [*ROWS, RUN])[0])
        code = cli.main([*shlex.split(line), "--url", "sqlite:///new.db"])
        return code, *capsys.readouterr()

    return run


def words(printed):
    """What was printed, without line ends."""
    return " ".join(printed.split())


def test_a_history_with_its_catalog_goes_into_an_empty_database(run):
    code, printed, errors = run("import history.jsonl --create-catalog")
    assert (code, errors, printed.split()[-1]) == (0, "", "Done.")
    assert re.search(
        r"catalog +imported.*\ningredient +2 .*\nrecipe +1 .*\nfinished_unit +1 .*\n\nkind", printed
    )
    assert re.search(r"\ntotal +1 +0 +0 +0\n", printed)
    assert run("verify history.jsonl")[0] == 0
    assert run("import history.jsonl --update-catalog --json")[:1] == (0,)


def test_json_has_the_counts_of_the_catalog(run):
    code, printed, _ = run("import history.jsonl --create-catalog --json --dry-run")
    report = json.loads(printed)
    assert (code, report["catalog"]["ingredient"]["imported"], report["advice"]) == (0, 2, None)


def test_an_import_into_an_empty_database_says_in_the_end_how_to_create_its_catalog(run):
    code, printed, errors = run("import history.jsonl")
    assert (code, errors) == (1, "")
    assert words(printed).endswith(
        "Nothing was imported. The database has none of the rows that runs refer to, and the file has them: "
        "import it with --create-catalog."
    )
    assert not re.search("histio references|Catalog rows left out", printed)


def test_rows_that_are_missing_can_be_created_from_the_file(run):
    assert run("import history.jsonl --create-catalog", FLOUR)[0] == 0
    code, printed, _ = run("import history.jsonl")
    told = "Create the rows that are missing with --create-catalog, as history.jsonl has a catalog"
    assert (code, told in words(printed)) == (1, True)


def test_a_rejected_row_has_the_exit_code_of_rejected_runs(run):
    items = [*ROWS[:3], ("recipe", {"slug": "cake", "name": 7}), ROWS[3], RUN]
    code, printed, _ = run("import history.jsonl --create-catalog --atomic", *items)
    assert (code, "because runs or rows were rejected" in words(printed)) == (ExitCode.BAD, True)
    code, printed, _ = run("import history.jsonl --create-catalog --rejects rejects.jsonl", *items)
    assert code == ExitCode.REJECTS
    assert "The rejected catalog rows are in rejects.jsonl" in words(printed)


def test_an_update_shows_what_it_changes_in_the_catalog(run):
    run("import history.jsonl --create-catalog")
    code, printed, _ = run(
        "import history.jsonl --update-catalog", ("recipe", {"slug": "cookies", "name": "Kekse"})
    )
    assert (code, "Changes: 1 in 1 catalog row" in printed, "Kekse" in printed) == (0, True, True)


def test_options_of_the_catalog_exclude_each_other(run):
    code, _, errors = run("import history.jsonl --create-catalog --update-catalog")
    assert (code, "--create-catalog cannot be combined with --update-catalog" in errors) == (2, True)
    code, _, errors = run("export out.jsonl --with-catalog --whole-catalog")
    assert (code, "--with-catalog cannot be combined with --whole-catalog" in errors) == (2, True)


def test_rows_that_go_in_although_all_runs_are_rejected_are_written(run):
    wrong = ("production_run", production_run(1, recipe_slug="gone"))
    code, printed, _ = run("import history.jsonl --create-catalog --receipt r.jsonl", *ROWS, wrong)
    assert (code, "histio undo r.jsonl" in printed) == (ExitCode.REJECTS, True)
    assert run("import history.jsonl --create-catalog --receipt none.jsonl", wrong)[0] == ExitCode.BAD
    assert run("undo none.jsonl")[1].endswith(
        "\n\nThere is nothing to take back: the receipt has no lines.\n"
    )


@pytest.mark.parametrize(
    ("option", "told"), [("", True), ("--with-catalog", False), ("--quiet", False), ("--json", False)]
)
def test_an_export_of_runs_alone_says_how_to_export_what_they_name(run, option, told):
    assert run("import history.jsonl --create-catalog")[0] == 0
    code, printed, _ = run(f"export out.jsonl {option}")
    assert (code, "--with-catalog also exports the rows that runs name" in printed) == (0, told)
