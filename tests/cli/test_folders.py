"""Commands that read a folder with an export in parts."""

from __future__ import annotations

import json
import re

import pytest

from histio import History, cli
from histio.cli.exit_codes import ExitCode
from histio.models import Base
from tests.support.bakery import assembly_run, document, production_run
from tests.support.databases import stocked
from tests.support.folders import split
from tests.support.reports import runs_by_uuid
from tests.support.streams import MOMENT

RUNS = document(*(production_run(n) for n in range(1, 8)), assembly=[assembly_run(20)])


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def home(sqlite, tmp_path, monkeypatch):
    """Two databases, one with runs, and a folder with its runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    for name in ("bakery", "branch"):
        with History(f"sqlite:///{name}.db") as history:
            engine = history.bound.database.find_engine()
            Base.metadata.create_all(engine)
            stocked(engine)
            if name == "bakery":
                history.import_document(RUNS)
                history.export_file("whole.jsonl", exported_at=MOMENT)
    split((tmp_path / "whole.jsonl").read_bytes(), tmp_path / "parts")


BRANCH = ("--url", "sqlite:///branch.db")


@pytest.mark.parametrize("jobs", [(), ("--jobs", 2)], ids=["as one file", "part by part"])
def test_a_folder_is_imported(jobs, home, run):
    code, printed, _ = run("import", "parts", *jobs, *BRANCH)
    assert (code, printed.split()[-1]) == (0, "Done.")
    with History("sqlite:///branch.db") as history:
        assert runs_by_uuid(history.export_document()) == runs_by_uuid(RUNS)


def test_a_file_is_not_imported_by_parts(home, run):
    code, _, errors = run("import", "whole.jsonl", "--jobs", 2, *BRANCH)
    assert (code, "not a folder with an export in parts" in errors) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    "others",
    [["--atomic"], ["--dry-run"], ["--receipt", "r.jsonl"], ["whole.jsonl"]],
    ids=lambda others: others[0],
)
def test_what_makes_one_transaction_is_not_combined_with_jobs(others, home, run):
    code, _, errors = run("import", "parts", "--jobs", 2, *others, *BRANCH)
    assert (code, "--jobs" in errors) == (ExitCode.USAGE, True)


def test_an_interrupted_import_of_parts_says_how_to_continue(home, run, tmp_path):
    (tmp_path / "parts" / "part-00002.jsonl.zst").write_bytes(b"")
    code, _, errors = run("import", "parts", "--jobs", 1, *BRANCH)
    assert (code, "part-00002.jsonl.zst" in errors) == (ExitCode.BAD, True)
    assert errors.startswith("The runs committed so far are kept. To continue, repeat the command.")


@pytest.mark.parametrize("name", ["parts", "parts/manifest.json"])
def test_findings_have_the_path_of_their_part(name, home, run):
    _, printed, _ = run("check", name)
    assert re.match("parts/part-00000.jsonl.zst:2: /production_run/total_ingredient_cost: ", printed)
    _, printed, _ = run("audit", name)
    assert "\n  parts/part-00001.jsonl.zst:2: " in printed


def test_an_inspection_shows_that_it_is_an_export_in_parts(home, run):
    code, printed, _ = run("inspect", "parts")
    assert (code, printed.splitlines()[0]) == (0, "An export in parts, format 1.0")
    assert json.loads(run("inspect", "parts", "--json")[1])["form"] == "folder"


def test_a_folder_is_verified_and_merged(home, run, tmp_path):
    assert run("verify", "parts", "--url", "sqlite:///bakery.db")[0] == 0
    assert run("merge", "parts", "-o", "merged.jsonl")[0] == 0
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
