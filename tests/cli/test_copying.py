"""``histio copy``: its two databases, its options, and how it ends."""

from __future__ import annotations

import json
import shlex
import shutil
import sys

import pytest
import sqlalchemy as sa

import histio
from histio import History, cli
from histio.cli.exit_codes import ExitCode
from histio.models import Base
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.databases import stocked

FROM, TO = "--from sqlite:///bakery.db", "--to sqlite:///branch.db"
RUNS = document(*(production_run(n) for n in range(1, 6)), assembly=[assembly_run(9)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a bakery that has runs, and a branch that has none."""
    folder = tmp_path_factory.mktemp("made")
    engine = histio.create_engine(f"sqlite:///{folder}/branch.db")
    Base.metadata.create_all(engine)
    stocked(engine).dispose()
    shutil.copy(folder / "branch.db", folder / "bakery.db")
    with History(f"sqlite:///{folder}/bakery.db") as history:
        history.import_document(RUNS)
    return folder


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    """A copy of it, where the test is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    for path in made.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def run(home, capsys):
    """Run ``histio copy``; gives its exit code, its output and its errors."""

    def run(line):
        code = cli.main(["copy", *shlex.split(line)])
        return code, *capsys.readouterr()

    return run


def copied():
    with History("sqlite:///branch.db") as history:
        return [each["uuid"] for kind in history.kinds for each in history.iter_runs(kind)]


def execute(name, statement):
    engine = sa.create_engine(f"sqlite:///{name}.db")
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_copy_says_what_was_done(run):
    code, printed, errors = run(f"{FROM} {TO}")
    assert (code, errors) == (ExitCode.DONE, "")
    assert printed.split()[-6:] == ["total", "6", "0", "0", "0", "Done."]
    assert len(copied()) == 6
    code, printed, _ = run(f"{FROM} {TO} --json")
    assert (code, json.loads(printed)["skipped"]) == (ExitCode.DONE, 6)
    assert run(f"{FROM} {TO} --quiet") == (ExitCode.DONE, "", "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--kind assembly_run", [9]),
        ("--since 2026-01-01", []),
        ("--where finished_good_slug=gift-bag", [9]),
        ("--dry-run", []),
        ("--commit-every 2", [1, 2, 3, 4, 5, 9]),
    ],
)
def test_filters_and_options_are_those_of_export_and_import(run, options, expected):
    assert run(f"{FROM} {TO} {options}")[0] == ExitCode.DONE
    assert copied() == list(map(number, expected))


@pytest.mark.parametrize(("left", "url"), [(TO, "bakery"), (FROM, "branch")])
def test_the_environment_names_the_database_that_is_left_out(run, monkeypatch, left, url):
    monkeypatch.setenv("HISTIO_DATABASE_URL", f"sqlite:///{url}.db")
    assert run(left)[0] == ExitCode.DONE
    assert len(copied()) == 6


def test_a_history_of_a_host_brings_its_own_kinds(run, home):
    (home / "ourbakery.py").write_text(
        "import histio\n"
        "from histio.models import ProductionRun\n"
        "kind = histio.ProductionRunSchema.bind(ProductionRun)\n"
        "here = histio.History('sqlite:///bakery.db', kind)\n"
    )
    code, printed, _ = run(f"{TO} --history ourbakery:here --json")
    sys.modules.pop("ourbakery").here.close()
    assert (code, json.loads(printed)["by_kind"].keys()) == (ExitCode.DONE, {"production_run"})
    assert len(copied()) == 5


def test_rejected_runs_are_written_to_a_file(run, home):
    execute("branch", "DELETE FROM finished_goods")
    code, printed, _ = run(f"{FROM} {TO} --rejects rejects.jsonl")
    assert code == ExitCode.REJECTS
    assert "Copy again with --create-catalog to create the missing rows" in printed
    assert len((home / "rejects.jsonl").read_text().splitlines()) == 2
    code, _, errors = run(f"{FROM} {TO} --rejects rejects.jsonl")
    assert (code, "rejects.jsonl exists; --force replaces it" in errors) == (ExitCode.USAGE, True)
    assert run(f"{FROM} {TO} --kind assembly_run --rejects rejects.jsonl --force")[0] == ExitCode.BAD


@pytest.mark.parametrize(("options", "recipes"), [("", 1), ("--whole-catalog", 2)])
def test_a_database_without_a_catalog_gets_it(run, options, recipes):
    execute("branch", "DELETE FROM finished_units")
    execute("branch", "DELETE FROM recipes")
    assert run(f"{FROM} {TO} --kind production_run")[0] == ExitCode.BAD
    code, printed, _ = run(f"{FROM} {TO} --create-catalog {options} --json")
    assert (code, json.loads(printed)["imported"]) == (ExitCode.DONE, 6)
    assert json.loads(printed)["catalog"]["recipe"]["imported"] == recipes


def test_unreadable_runs_can_be_left_out(run):
    execute("bakery", "UPDATE assembly_runs SET assembled_at = 'yesterday'")
    code, _, errors = run(f"{FROM} {TO}")
    assert (code, errors.splitlines()[-1]) == (
        ExitCode.BAD,
        "To leave these runs out, export or copy with --skip-unreadable.",
    )
    assert copied() == []
    code, printed, _ = run(f"{FROM} {TO} --skip-unreadable")
    assert (code, "yesterday" in printed, len(copied())) == (ExitCode.REJECTS, True, 5)


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("", 2, "Pass --from URL, --to URL, or both"),
        (FROM, 2, "No database: pass --to URL"),
        (TO, 2, "No database: pass --from URL"),
        (f"{FROM} --to sqlite:///gone.db", 2, "gone.db does not exist"),
        (f"{FROM} {FROM.replace('from', 'to')}", 2, "source and target are one database"),
        (f"{FROM} {TO} --commit-every 5 --atomic", 2, "--commit-every cannot be combined"),
        (f"{FROM} {TO} --since 2025-02-01 --until 2025-01-01", 2, "--since is later than --until"),
        (f"{FROM} {TO} --whole-catalog", 2, "--whole-catalog needs --create-catalog"),
        (f"{FROM} {TO} --kind batch", 2, "no such kind: batch"),
        (f"{FROM} {TO} --where recipe_slug=nothing", 2, "nothing"),
        (f"{FROM} --to postgresql://me:sesame@127.0.0.1:1/x", 4, "the database that is the target"),
    ],
)
def test_a_mistake_is_named(run, line, code, told):
    ended, printed, errors = run(line)
    assert (ended, printed, told in errors, "sesame" in errors) == (code, "", True, False)


def test_tables_that_are_missing_are_named_with_their_side(run):
    execute("branch", "DROP TABLE production_consumptions")
    code, _, errors = run(f"{FROM} {TO}")
    assert code == ExitCode.FAILED
    assert "no such table: production_consumptions" in errors
    assert "The error comes from the database that is the target." in errors
