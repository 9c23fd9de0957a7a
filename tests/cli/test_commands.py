"""What people do at a terminal: every command, what it says, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

import histio
from histio import History, cli
from histio.cli.app import app
from histio.cli.exit_codes import ExitCode
from histio.cli.printing import escape
from histio.cli.results import print_revisions
from histio.demo import bakery
from histio.models import Base, ProductionRun, Recipe
from tests.support import shop
from tests.support.bakery import assembly_run, consumption, document, number, production_run, stock
from tests.support.catalogs import write
from tests.support.databases import SERVERS
from tests.support.mapping_styles import listening

SUMS = {"total_ingredient_cost": "2.5000", "per_unit_cost": "0.0272"}

WITHOUT_RULES = History(None, shop.OrderSchema)

HOSTILE = "\x1b[31mred\x1b[0m\x07\u202eevil\r\nnew line"


def database(path, *, catalog=True, runs=None):
    """A database file with the bundled tables, and perhaps with a catalog and runs."""
    engine = histio.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    if catalog:
        with Session(engine) as session:
            session.add_all(stock())
            session.commit()
    if runs:
        assert History(engine).import_document(runs).rejected == 0
    engine.dispose()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a bakery that has runs, a branch that has none, and an export of the bakery."""
    folder = tmp_path_factory.mktemp("made")
    runs = [production_run(n, produced_at=f"2025-12-{n + 1:02}T10:00:00Z", **SUMS) for n in range(5)]
    assembly = assembly_run(1, total_component_cost="4.6760", per_unit_cost="0.9352")
    database(folder / "bakery.db", runs=document(*runs, assembly=[assembly]))
    database(folder / "branch.db")
    with History(f"sqlite:///{folder}/bakery.db") as history:
        history.export_file(folder / "history.jsonl")
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
def run(capsys):
    """Run a command line; gives its exit code, its output and its errors."""

    def run(line):
        code = cli.main(shlex.split(line))
        return code, *capsys.readouterr()

    return run


BAKERY = "--url sqlite:///bakery.db"
BRANCH = "--url sqlite:///branch.db"


def kept(url):
    with History(url) as history:
        return history.export_document()


def runs_of(url):
    """The production runs and the assembly runs of a database."""
    found = kept(url)
    return found["production_runs"], found["assembly_runs"]


# --- there and back ------------------------------------------------------------------------------------


def test_an_import_of_runs_that_exist_says_that_there_was_nothing_to_do(home, run):
    code, printed, _ = run(f"import history.jsonl {BAKERY}")
    assert (code, printed.endswith("\nDone: there was nothing to import, as all runs exist.\n")) == (0, True)


@pytest.mark.slow
def test_a_history_moves_from_one_database_to_another(home, run):
    assert run(f"export out.jsonl.zst {BAKERY}")[0] == 0
    code, printed, _ = run(f"import out.jsonl.zst {BRANCH}")
    assert (code, printed.split()[-1]) == (0, "Done.")
    assert run(f"verify out.jsonl.zst {BRANCH}")[0] == 0
    assert kept("sqlite:///branch.db")["production_runs"] == kept("sqlite:///bakery.db")["production_runs"]


@pytest.mark.slow
def test_an_export_tells_counts_size_and_digest(home, run):
    code, printed, errors = run(f"export out.jsonl {BAKERY}")
    assert (code, errors) == (0, "")
    assert re.search(r"production_run +5\nassembly_run +1\ntotal +6\n", printed)
    with History("sqlite:///bakery.db") as history:
        assert f"(sha256): {history.export_file('again.jsonl').sha256}\n" in printed
    assert printed.endswith("To see what an import would do:\n  histio import out.jsonl --url … --dry-run\n")


@pytest.mark.parametrize(("option", "recipes"), [("--with-catalog", 1), ("--whole-catalog", 2)])
def test_an_export_has_the_catalog_that_is_asked_for(home, run, option, recipes):
    code, printed, errors = run(f"export out.jsonl {option} {BAKERY}")
    assert (code, errors) == (0, "")
    assert re.search(rf"production_run +5\nassembly_run +1\ntotal +6\n(.*\n)*recipe +{recipes}\n", printed)
    code, printed, _ = run(f"export again.jsonl {option} {BAKERY} --json")
    assert (code, json.loads(printed)["catalog"]["recipe"]) == (0, recipes)


@pytest.mark.parametrize("options", ["--parts 3 --jobs 1", "--jobs 1"])
def test_an_export_in_parts_writes_a_folder(home, run, options):
    code, printed, errors = run(f"export parts {options} {BAKERY}")
    assert (code, errors) == (0, "")
    manifest = json.loads(Path("parts/manifest.json").read_bytes())
    assert f"\nDigest of the parts (sha256): {manifest['sha256']}\n" in printed
    assert run("merge parts -o merged.jsonl")[0] == run(f"export whole.jsonl {BAKERY}")[0] == 0
    assert run("diff merged.jsonl whole.jsonl")[0] == 0
    assert run(f"export parts {options} {BAKERY}")[0] == ExitCode.USAGE
    assert run(f"export parts {options} --force {BAKERY}")[0] == 0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("export out.jsonl --parts 2", "name a folder, not out.jsonl"),
        ("export - --jobs 2", "name a folder"),
        ("export out --parts 2 --format jsonl", "--format cannot be combined"),
        ("export out --jobs 2 --differs-from history.jsonl", "--differs-from cannot be combined"),
        ("export out --parts 0", "--parts"),
    ],
)
def test_parts_need_a_folder(home, run, command, why):
    code, _, errors = run(f"{command} {BAKERY}")
    assert code == 2
    assert why in errors


def test_an_import_takes_the_kinds_that_are_asked_for(home, run):
    code, printed, _ = run(f"import history.jsonl --kind assembly_run {BRANCH}")
    assert (code, "production_run" in printed) == (0, False)
    assert list(map(len, runs_of("sqlite:///branch.db"))) == [0, 1]
    assert run(f"import history.jsonl --kind production_run --kind assembly_run {BRANCH}")[0] == 0
    assert list(map(len, runs_of("sqlite:///branch.db"))) == [5, 1]
    code, _, errors = run(f"import history.jsonl --kind assembly {BRANCH}")
    assert (code, "no such kind: assembly" in errors) == (ExitCode.USAGE, True)


@pytest.mark.slow
def test_an_existing_file_is_kept_unless_it_is_forced(home, run):
    Path("mine.jsonl").write_text("mine")
    assert run(f"export mine.jsonl {BAKERY}") == (
        2,
        "",
        "Error: mine.jsonl: File exists; --force replaces it\n",
    )
    assert Path("mine.jsonl").read_text() == "mine"
    assert run(f"export mine.jsonl --force {BAKERY}")[0] == 0
    assert histio.inspect_file("mine.jsonl").sealed


@pytest.fixture
def spoiled(home):
    """The bakery, with a run that the format cannot hold and a cost that is stored with more digits."""
    engine = histio.create_engine("sqlite:///bakery.db")
    with engine.begin() as connection:
        change = "UPDATE production_runs SET {} WHERE uuid = '{}'"
        connection.exec_driver_sql(change.format("produced_at = 'yesterday'", number(2)))
        connection.exec_driver_sql(change.format("per_unit_cost = 5 / 3.0", number(3)))
    engine.dispose()


@pytest.mark.slow
def test_a_run_that_the_format_cannot_hold_fails_and_tells_what_leaves_it_out(spoiled, run):
    code, printed, errors = run(f"export out.jsonl {BAKERY}")
    assert (code, printed) == (1, "")
    assert f"/produced_at: production_run {number(2)}" in errors
    assert errors.endswith("To leave these runs out, export or copy with --skip-unreadable.\n")
    assert not Path("out.jsonl").exists()


@pytest.mark.slow
def test_what_is_left_out_or_stored_otherwise_is_told_and_ends_with_three(spoiled, run):
    code, printed, errors = run(f"export out.jsonl --skip-unreadable {BAKERY}")
    assert (code, errors) == (3, "")
    assert re.search(r"production_run +4\nassembly_run +1\ntotal +5\n", printed)
    assert "\nRuns left out, because the format cannot hold them: 1\n" in printed
    assert f"Problems: 1\n  schema (1)\n    /produced_at: production_run {number(2)}" in printed
    assert f"Warnings: 1\n  precision (1)\n    /per_unit_cost: production_run {number(3)}" in printed
    assert "is stored as 1.6666666666666667 and read as 1.6667." in printed
    assert run(f"import out.jsonl {BRANCH}")[0] == 0
    assert run(f"verify out.jsonl {BRANCH}")[0] == 0


@pytest.mark.slow
def test_quiet_tells_of_runs_left_out_and_not_of_warnings(spoiled, run):
    code, printed, _ = run(f"export out.jsonl --skip-unreadable --quiet {BAKERY}")
    assert (code, "Runs left out" in printed) == (3, True)
    engine = histio.create_engine("sqlite:///bakery.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM production_runs WHERE produced_at = 'yesterday'")
    engine.dispose()
    assert run(f"export all.jsonl --quiet {BAKERY}") == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify out.jsonl", "import out.jsonl --on-duplicate verify"])
def test_what_is_stored_otherwise_is_verified_as_it_is_read(home, run, command):
    engine = histio.create_engine("sqlite:///bakery.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE production_runs SET per_unit_cost = 5 / 3.0")
    engine.dispose()
    assert run(f"export out.jsonl --quiet {BAKERY}") == (0, "", "")
    code, printed, errors = run(f"{command} {BAKERY}")
    assert code == 0
    assert not re.search("precision|otherwise", printed + errors)


@pytest.mark.slow
def test_an_update_tells_what_is_stored_otherwise(home, run):
    engine = histio.create_engine("sqlite:///bakery.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE production_runs SET per_unit_cost = 5 / 3.0")
    engine.dispose()
    assert run(f"export out.jsonl --quiet {BAKERY}") == (0, "", "")
    code, printed, _ = run(f"import out.jsonl --on-duplicate update {BAKERY}")
    assert (code, "Warnings: 5\n  precision (5)\n" in printed) == (0, True)


@pytest.mark.slow
def test_json_has_what_is_left_out_and_stored_otherwise(spoiled, run):
    code, printed, _ = run(f"export out.jsonl --skip-unreadable --json {BAKERY}")
    report = json.loads(printed)
    assert (code, report["exported"], report["skipped"]) == (3, 5, 1)
    assert (report["problem_count"], report["problems"][0]["uuid"]) == (1, number(2))
    assert (report["warning_count"], report["warnings"][0]["pointer"]) == (1, "/per_unit_cost")


@pytest.mark.slow
def test_runs_to_standard_output_leave_the_report_to_standard_error(spoiled, run):
    code, printed, errors = run(f"export - --skip-unreadable {BAKERY}")
    assert (code, printed.count("\n")) == (3, 7)
    assert "Problems: 1" in errors
    assert "Warnings: 1" in errors


@pytest.mark.slow
def test_exact_makes_an_export_fail_for_what_is_stored_otherwise(spoiled, run):
    code, _, errors = run(f"export out.jsonl --exact {BAKERY}")
    assert (code, f"/per_unit_cost: production_run {number(3)}" in errors) == (1, True)
    code, printed, _ = run(f"export out.jsonl --exact --skip-unreadable {BAKERY}")
    assert (code, "Runs left out, because the format cannot hold them: 2\n" in printed) == (3, True)


def test_an_export_leaves_out_what_an_earlier_one_has(home, run):
    run(f"export first.jsonl --kind assembly_run {BAKERY}")
    code, printed, _ = run(f"export later.jsonl --differs-from first.jsonl {BAKERY}")
    assert (code, "Runs left out, because the earlier export has them: 1\n" in printed) == (0, True)
    code, printed, _ = run(f"export last.jsonl --json --differs-from later.jsonl {BAKERY}")
    assert (json.loads(printed)["exported"], json.loads(printed)["unchanged"]) == (1, 5)
    code, _, errors = run(f"export other.jsonl --differs-from nowhere.jsonl {BAKERY}")
    assert (code, "nowhere.jsonl" in errors) == (2, True)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("--since 2025-12-02 --until 2025-12-03 --kind production_run", 2),
        ("--since 2025-12-02T10:00:00Z --until 2025-12-02T10:00:00Z", 1),
        ("--changed-since 2999-01-01", 0),
        ("--kind assembly_run", 1),
        ("--kind assembly_run --kind production_run", 6),
        ("--where recipe_slug=cookies", 5),
        ("--where ingredient_slug=flour", 5),
        ("--where finished_unit_slug=cookie", 6),
        ("--where finished_unit_slug=cookie --kind assembly_run", 1),
        ("--where recipe_slug=cookies --where ingredient_slug=flour", 5),
    ],
)
def test_an_export_has_the_runs_that_are_asked_for(home, run, options, count):
    code, printed, _ = run(f"export out.jsonl --json {options} {BAKERY}")
    assert (code, json.loads(printed)["exported"]) == (0, count)


def test_standard_output_has_the_runs_and_nothing_else(home, capfdbinary):
    assert cli.main(["export", "-", "--url", "sqlite:///bakery.db"]) == 0
    printed, errors = capfdbinary.readouterr()
    assert printed.splitlines()[1:-1] == Path("history.jsonl").read_bytes().splitlines()[1:-1]
    assert b"standard output" in errors


@pytest.mark.slow
def test_a_file_comes_from_standard_input(home):
    command = [sys.executable, "-m", "histio", "import", "-", "--url", "sqlite:///branch.db", "--json"]
    with Path("history.jsonl").open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, check=True, env=ENVIRONMENT)
    assert json.loads(done.stdout)["imported"] == 6


ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


@pytest.mark.parametrize("server", SERVERS)
def test_a_url_without_a_driver_means_the_one_that_comes_with_histio(
    databases, server, home, run, monkeypatch
):
    url = databases(server).url.set(drivername=server).render_as_string(hide_password=False)
    monkeypatch.setenv("HISTIO_DATABASE_URL", url)
    assert run("export out.jsonl --json")[0] == 0
    assert run("verify out.jsonl")[0] == 0


# --- imports -------------------------------------------------------------------------------------------


def file_of(*runs, name="new.json"):
    Path(name).write_text(json.dumps(document(*runs)))
    return name


def test_several_files_are_one_import(home, run):
    assert run(f"export later.jsonl --differs-from history.jsonl {BAKERY}")[0] == 0
    file = file_of(production_run(8), production_run(9, recipe_slug="gone"))
    command = f"import later.jsonl {file} history.jsonl --rejects rejects.jsonl --report page.html {BRANCH}"
    code, printed, _ = run(command)
    assert code == ExitCode.REJECTS
    assert f"{file}: /production_runs/1/recipe_slug: Recipe not found: gone" in printed
    assert "To list them:\n  histio references FILE --missing --url sqlite:///branch.db\n" in printed
    assert '"file":"new.json"' in Path("rejects.jsonl").read_text()
    page = Path("page.html").read_text().replace("<wbr>", "")
    assert f"{file} and 2 more" in page
    assert "/production_runs/1/recipe_slug</span>" in page
    assert f"in {file}</p>" in page
    assert list(map(len, runs_of("sqlite:///branch.db"))) == [6, 1]
    [problem] = json.loads(run(f"import history.jsonl {file} --json {BRANCH}")[1])["problems"]
    assert problem["file"] == file


def test_if_one_of_several_files_is_damaged_it_is_named_and_nothing_is_imported(home, run):
    whole = Path("history.jsonl").read_bytes()
    Path("cut.jsonl").write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    code, _, errors = run(f"import history.jsonl cut.jsonl {BRANCH}")
    assert (code, "cut.jsonl, line 7: The stream ends after line 7" in errors) == (ExitCode.BAD, True)
    assert list(map(len, runs_of("sqlite:///branch.db"))) == [0, 0]
    code, printed, _ = run(f"import history.jsonl cut.jsonl --allow-truncated {BRANCH}")
    assert code == ExitCode.REJECTS
    assert "A file is damaged, as the warnings say: it was imported up to the damage." in printed


@pytest.mark.parametrize("files", ["history.jsonl ./history.jsonl", "- history.jsonl -"])
def test_the_same_file_twice_is_wrong_usage(home, run, files, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.BytesIO(Path("history.jsonl").read_bytes()))
    code, _, errors = run(f"import {files} {BRANCH}")
    assert (code, "two of the files are the same: " in errors) == (ExitCode.USAGE, True)


def test_a_dry_run_tells_the_same_and_writes_nothing(home, run):
    file = file_of(production_run(1), production_run(2, recipe_slug="cookie"))
    trial, real = (run(f"import {file} {options} --json {BRANCH}") for options in ("--dry-run", ""))
    assert trial[0] == real[0] == ExitCode.REJECTS
    assert json.loads(trial[1]) | {"dry_run": False} == json.loads(real[1])


CHANGES = f"""
Changes: 4 in 2 runs
  production_run {number(1)}
    /actual_yield: 92 → 7
    /consumptions/0/total_cost: '2.5000' → '2.6000'
  production_run {number(2)}
    /notes: 'Test batch' → nothing
    /consumptions/0: {{'created_at'}} → nothing
"""


def test_an_update_shows_what_it_changes_before_and_after(home, run):
    entry = consumption(1_000_001, total_cost="2.6000")
    file = file_of(
        production_run(1, produced_at="2025-12-02T10:00:00Z", **SUMS, actual_yield=7, consumptions=[entry]),
        production_run(2, produced_at="2025-12-03T10:00:00Z", **SUMS, notes=None, consumptions=[]),
        production_run(3, produced_at="2025-12-04T10:00:00Z", **SUMS),
    )
    trial, real = (run(f"import {file} --on-duplicate update {each} {BAKERY}") for each in ("--dry-run", ""))
    assert trial[0] == real[0] == ExitCode.DONE
    assert trial[1].startswith(real[1].removesuffix("\nDone.\n"))
    assert CHANGES in re.sub(r"\{'created_at'.*\}", "{'created_at'}", real[1])


def test_the_changes_of_twenty_runs_are_shown_and_the_others_are_counted(home, run):
    with History("sqlite:///branch.db") as history:
        history.import_document(document(*(production_run(n) for n in range(1, 31))))
    many = [consumption(1_000 + n) for n in range(25)]
    file = file_of(
        production_run(1, consumptions=many), *(production_run(n, notes=None) for n in range(2, 31))
    )
    code, printed, _ = run(f"import {file} --on-duplicate update --dry-run {BRANCH}")
    assert (code, "Changes: 55 in 30 runs\n" in printed) == (0, True)
    assert printed.count("    /") == 20 + 19
    assert "    … and 6 more\n" in printed
    assert "  … and 10 more runs with 10 changes\n" in printed
    report = json.loads(run(f"import {file} --on-duplicate update --dry-run --json {BRANCH}")[1])
    assert (len(report["revisions"]), report["revision_count"]) == (55, 55)
    assert run(f"import {file} --on-duplicate update --quiet {BRANCH}") == (0, "", "")


def test_the_changes_of_one_run_that_a_report_does_not_list_are_counted(home, run):
    entries = [consumption(1_000 + n) for n in range(1_100)]
    with History("sqlite:///branch.db") as history:
        history.import_document(document(production_run(1, consumptions=entries)))
    file = file_of(production_run(1, consumptions=[]))
    printed = run(f"import {file} --on-duplicate update {BRANCH}")[1]
    assert "    … and 980 more\n  … and 100 more changes\n" in printed


def test_changes_of_catalog_rows_are_counted_apart(capsys):
    revisions = [histio.Revision("recipe", f"r{n}", "/name", None, "New") for n in range(21)]
    report = histio.ImportReport(
        updated=4,
        catalog={"recipe": histio.Counts(updated=21)},
        revisions=(*revisions, *(histio.Revision("run", f"{n}", "/a", 1, 2) for n in range(4))),
        revision_count=25,
    )
    print_revisions(report)
    printed = capsys.readouterr().out
    assert "Changes: 25 in 21 catalog rows and 4 runs\n  recipe r0\n    /name: nothing → 'New'\n" in printed
    assert printed.endswith("  … and 5 more with 5 changes\n")


def test_changes_have_colours_on_a_terminal(home, run, monkeypatch):
    with History("sqlite:///branch.db") as history:
        history.import_document(document(production_run(1)))
    file = file_of(production_run(1, notes="cafe\u0301 " + "x" * 100))
    command = f"import {file} --on-duplicate update --dry-run {BRANCH}"
    plain = run(command)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = run(command)[1]
    assert "\x1b[31m'Test batch'\x1b[0m → \x1b[32m'cafe" in coloured
    assert click.unstyle(coloured).split() == plain.split()


def test_rejected_runs_are_told_by_code_with_hints_and_with_what_to_do(home, run):
    wrong = [production_run(n, recipe_slug="cokies") for n in (1, 2)]
    file = file_of(*wrong, production_run(3, per_unit_cost="0.00001"), production_run(4))
    code, printed, _ = run(f"import {file} --rejects rejects.jsonl {BRANCH}")
    assert code == ExitCode.REJECTS
    assert re.search(r"production_run +1 +0 +0 +3\n", printed)
    assert "unknown-reference (2)" in printed
    assert "Recipe not found: cokies (did you mean cookies?), and 1 more like it" in printed
    assert "precision (1)" in printed
    assert "To mend them:\n  histio rejects rejects.jsonl --url sqlite:///branch.db\n" in printed
    mended = Path("rejects.jsonl").read_text().replace("cokies", "cookies").replace("0.00001", "0.0001")
    Path("rejects.jsonl").write_text(mended)
    assert run(f"import rejects.jsonl {BRANCH}")[0] == 0


def test_an_atomic_import_with_a_reject_writes_nothing(home, run):
    file = file_of(production_run(1), production_run(2, recipe_slug="none"))
    code, printed, _ = run(f"import {file} --atomic {BRANCH}")
    assert (code, "Nothing was written" in printed) == (ExitCode.BAD, True)
    assert re.search(r"rejected  withheld\n.*\n.*\ntotal +0 +0 +0 +1 +1\n", printed)
    assert kept("sqlite:///branch.db")["production_runs"] == []


def test_an_import_of_which_nothing_went_in_is_bad_input(home, run):
    assert run(f"import {file_of(production_run(1, recipe_slug='none'))} {BRANCH}")[0] == ExitCode.BAD


@pytest.mark.parametrize("rules", ["recipe_slug:kekse=cookies", "rules.json"])
def test_slugs_are_renamed_on_the_way_in(home, run, rules):
    Path("rules.json").write_text(json.dumps({"recipe_slug": {"kekse": "cookies"}}))
    file = file_of(production_run(1, recipe_slug="kekse"))
    code, printed, _ = run(f"import {file} --rename {rules} {BRANCH}")
    assert (code, "Slugs renamed in 1 place" in printed) == (0, True)


@pytest.mark.parametrize(
    ("choice", "code", "end"),
    [("skip", 0, "skipped"), ("error", 1, "rejected"), ("update", 0, "updated"), ("verify", 1, "rejected")],
)
def test_what_exists_is_treated_as_was_said(home, run, choice, code, end):
    file = file_of(production_run(1, notes="another one"))
    found, printed, _ = run(f"import {file} --on-duplicate {choice} --json {BAKERY}")
    assert (found, json.loads(printed)[end]) == (code, 1)


@pytest.mark.slow
def test_a_damaged_file_is_bad_input_and_writes_nothing(home, run):
    lines = Path("history.jsonl").read_text().splitlines(keepends=True)
    Path("cut.jsonl").write_text("".join(lines[:-1]))
    code, _, errors = run(f"import cut.jsonl {BRANCH}")
    assert code == ExitCode.BAD
    assert "without its trailer" in errors
    assert kept("sqlite:///branch.db")["production_runs"] == []
    code, printed, _ = run(f"import cut.jsonl --allow-truncated {BRANCH}")
    assert (code, "cut.jsonl is damaged: it was imported up to the damage" in printed) == (
        ExitCode.REJECTS,
        True,
    )


def test_a_file_of_rejects_that_exists_is_kept_unless_it_is_forced(home, run):
    file = file_of(production_run(1, recipe_slug="none"))
    before = Path("history.jsonl").read_bytes()
    code, _, errors = run(f"import {file} --rejects history.jsonl {BRANCH}")
    assert (code, "--force replaces it" in errors) == (ExitCode.USAGE, True)
    assert Path("history.jsonl").read_bytes() == before
    assert run(f"import {file} --rejects history.jsonl --force {BRANCH}")[0] == ExitCode.BAD
    assert Path("history.jsonl").read_bytes() != before


def test_what_an_update_did_to_ledgers_is_told(home, run):
    file = file_of(production_run(1, consumptions=[]))
    _, printed, _ = run(f"import {file} --on-duplicate update {BAKERY}")
    assert "Ledger entries: 0 added, 0 changed, 1 removed" in printed


def test_a_rename_that_no_run_needed_is_told(home, run):
    file = file_of(production_run(1))
    _, printed, _ = run(f"import {file} --rename recipe_slug:cokies=cookies {BRANCH}")
    assert "No run names cokies as recipe_slug." in printed


@pytest.mark.parametrize("line", [f"import history.jsonl -q {BRANCH}", f"export out.jsonl -q {BAKERY}"])
def test_where_all_is_well_a_quiet_command_prints_nothing(home, run, line):
    assert run(line) == (0, "", "")


@pytest.mark.slow
def test_a_report_that_cannot_be_printed_does_not_hide_that_the_import_is_done(home):
    command = [sys.executable, "-m", "histio", "import", "history.jsonl", "--url", "sqlite:///branch.db"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=ENVIRONMENT)
    assert (done.returncode, b"The import is done, but" in done.stderr) == (0, True)
    assert len(kept("sqlite:///branch.db")["production_runs"]) == 5


def interrupt(_connection, _cursor, statement, *_):
    """Raise what Ctrl+C raises, at the first statement that reads or writes runs."""
    if "production_runs" in statement:
        raise KeyboardInterrupt


def test_an_interrupted_import_in_parts_says_that_it_can_go_on(home, run):
    with listening(Engine, "before_cursor_execute", interrupt):
        code, _, errors = run(f"import history.jsonl --commit-every 2 {BRANCH}")
    assert (code, "To continue, repeat the command." in errors) == (ExitCode.INTERRUPTED, True)


def test_an_undo_that_is_repeated_says_that_there_is_nothing_to_take_back(home, run):
    run(f"import history.jsonl --receipt r.jsonl {BRANCH}")
    assert run(f"undo r.jsonl {BRANCH}")[1].endswith("\n\nDone.\n")
    for options in ("", "--dry-run"):
        code, printed, _ = run(f"undo r.jsonl {options} {BRANCH}")
        assert code == ExitCode.DONE
        assert "There is nothing to take back: all of it was removed or put back before." in printed


def test_an_import_with_a_receipt_can_be_taken_back(home, run):
    code, printed, _ = run(f"import history.jsonl --receipt r.jsonl {BRANCH}")
    assert code == ExitCode.DONE
    assert printed.endswith(
        "Wrote r.jsonl: 1.2 kB (receipt)\nDone.\n"
        "To take this import back:\n  histio undo r.jsonl --url sqlite:///branch.db\n"
    )
    before = kept("sqlite:///branch.db")
    code, printed, _ = run(f"undo r.jsonl --dry-run {BRANCH}")
    assert (code, "nothing was changed in the database" in printed) == (ExitCode.DONE, True)
    assert kept("sqlite:///branch.db")["production_runs"] == before["production_runs"]
    engine = histio.create_engine("sqlite:///branch.db")
    with Session(engine) as session:
        session.scalars(sa.select(ProductionRun).limit(1)).one().notes = "mine"
        session.commit()
    engine.dispose()
    code, printed, _ = run(f"undo r.jsonl {BRANCH}")
    assert code == ExitCode.REJECTS
    assert [line.split() for line in printed.splitlines() if "run" in line][:2] == [
        ["production_run", "4", "0", "0", "1"],
        ["assembly_run", "1", "0", "0", "0"],
    ]
    assert re.search(r"line \d: production_run [-0-9a-f]{36}: Has changed since the import.\n", printed)
    assert printed.endswith("Done, except for what was left. Solve its problems, and repeat the command.\n")
    code, printed, _ = run(f"undo r.jsonl --json {BRANCH}")
    found = json.loads(printed)
    assert (code, found["gone"], found["left"], found["problems"][0]["code"]) == (3, 5, 1, "changed")
    code, _, errors = run(f"undo r.jsonl {BAKERY}")
    assert (code, "another database" in errors) == (ExitCode.BAD, True)


# --- looking -------------------------------------------------------------------------------------------


def test_a_check_tells_a_line_for_each_problem_to_which_editors_jump(home, run):
    sound = production_run(2, total_ingredient_cost="2.5000", per_unit_cost="0.0272")
    runs = [production_run(1, oven="left"), sound | {"recipe_slug": "none"}]
    Path("wrong.json").write_text(json.dumps(document(*runs), indent=1))
    places = {line.strip(): n for n, line in enumerate(Path("wrong.json").read_text().splitlines(), 1)}
    code, printed, errors = run("check wrong.json")
    place = next(n for line, n in places.items() if line.startswith('"oven"'))
    assert printed == f"wrong.json:{place}: /production_runs/0/oven: Unknown field. [error: schema]\n"
    assert (code, errors) == (ExitCode.BAD, "1 error, 0 warnings\n")
    code, printed, errors = run(f"check wrong.json {BRANCH}")
    place = next(n for line, n in places.items() if line.startswith('"recipe_slug": "none"'))
    assert f"wrong.json:{place}: /production_runs/1/recipe_slug: Recipe not found: none" in printed
    assert errors == "2 errors, 0 warnings\n"


def test_a_sound_file_is_sound_without_a_database(home, run):
    assert run("check history.jsonl") == (0, "", "0 errors, 0 warnings\n")


def test_a_check_for_machines_is_an_object_to_a_line(home, run):
    code, printed, errors = run(
        f"check {file_of(production_run(1, oven='left'), production_run(1, mixer=1))} --jsonl"
    )
    assert [json.loads(line)["pointer"] for line in printed.splitlines()] == [
        "/production_runs/0/oven",
        "/production_runs/1/mixer",
    ]
    assert (code, errors) == (ExitCode.BAD, "")


@pytest.mark.slow
def test_verify_tells_what_a_database_lacks_or_has_otherwise(home, run):
    assert run(f"verify history.jsonl {BAKERY}")[0] == 0
    with History("sqlite:///bakery.db") as history:
        changed = kept("sqlite:///bakery.db")["production_runs"][1] | {"notes": "new"}
        history.import_document(document(changed), on_duplicate="update")
    code, printed, errors = run(f"verify history.jsonl {BAKERY}")
    assert code == ExitCode.BAD
    assert f"production_run {number(1)}:\n  /notes: file 'Test batch', database 'new'\n" in printed.replace(
        '"', "'"
    )
    code, printed, errors = run(f"verify history.jsonl {BRANCH}")
    assert (code, printed.count("only in history.jsonl"), errors) == (1, 6, "6 runs differ or are missing.\n")


@pytest.mark.slow
def test_what_a_database_has_beyond_a_file_is_told_by_diff_alone(home, run):
    assert run(f"export some.jsonl --until 2025-12-02 {BAKERY}")[0] == 0
    assert run(f"verify some.jsonl {BAKERY}")[0] == 0
    code, printed, _ = run(f"diff some.jsonl {BAKERY}")
    assert (code, printed.count("only in the database")) == (1, 4)
    assert run("diff some.jsonl history.jsonl")[1].count("only in history.jsonl") == 4
    assert run("diff history.jsonl history.jsonl") == (0, "", "No differences.\n")


@pytest.mark.parametrize(
    ("sides", "shown"),
    [
        ("a.json b.json", "a.json 'new', b.json 'Test batch'"),
        ("one/a.json two/b.json", "a.json 'new', b.json 'Test batch'"),
        ("one/a.json two/a.json", "one/a.json 'new', two/a.json 'Test batch'"),
        (f"a.json {BAKERY}", "file 'new', database 'Test batch'"),
    ],
)
def test_differences_name_both_sides(home, run, sides, shown):
    for folder in ("one", "two"):
        Path(folder).mkdir()
    stored = kept("sqlite:///bakery.db")
    [first, *others] = stored["production_runs"]
    changed = stored | {"production_runs": [first | {"notes": "new"}, *others]}
    for name in ("a.json", "one/a.json"):
        Path(name).write_text(json.dumps(changed))
    for name in ("b.json", "two/a.json", "two/b.json"):
        Path(name).write_text(json.dumps(stored))
    assert run(f"diff {sides}")[1] == f"production_run {first['uuid']}:\n  /notes: {shown}\n"


def test_an_inspection_tells_what_is_in_a_file(home, run):
    code, printed, _ = run("inspect history.jsonl")
    assert code == 0
    assert "A stream, sealed, format 1.0" in printed
    assert re.search(r"production_run +5 +2025-12-01T10:00:00Z +2025-12-05T10:00:00Z", printed)
    assert re.search(r"recipe_slug +uses *\ncookies +5", printed)


def test_commands_that_read_a_file_know_its_catalog(home, run):
    rows = [("recipe", {"slug": "tarts", "name": "Tarts"})]
    runs = [("production_run", production_run(77, recipe_slug="tarts"))]
    for name, items in (("rows.jsonl", rows), ("runs.json", runs)):
        Path(name).write_bytes(write(items, form=name.rpartition(".")[2])[0])
    code, printed, _ = run("merge rows.jsonl runs.json -o tarts.jsonl")
    assert code == 0
    assert re.search(r"^recipe +1$", printed, re.MULTILINE)
    assert "Digest of the catalog (sha256): " in printed
    assert re.search(r"^recipe +1$", run("inspect tarts.jsonl")[1], re.MULTILINE)
    code, printed, _ = run(f"references tarts.jsonl {BRANCH}")
    assert (code, "NO, the file has it" in printed) == (ExitCode.BAD, True)
    [missing, *_] = json.loads(run(f"references tarts.jsonl --missing --json {BRANCH}")[1])["references"]
    assert (missing["slug"], missing["carried"]) == ("tarts", True)
    code, printed, _ = run(f"check tarts.jsonl {BRANCH}")
    assert (code, "the file has it" in printed) == (ExitCode.BAD, True)
    assert run(f"check tarts.jsonl --create-catalog {BRANCH}")[0] == 0


def test_references_tell_what_is_missing_with_close_matches(home, run):
    file = file_of(production_run(1), production_run(2, recipe_slug="cokies"))
    assert run(f"references {file}")[0] == 0
    code, printed, _ = run(f"references {file} {BRANCH}")
    assert code == ExitCode.BAD
    assert re.search(r"recipe_slug +cokies +1 +NO: did you mean cookies\?", printed)
    assert re.search(r"recipe_slug +cookies +1 +yes", printed)
    code, printed, _ = run(f"references {file} --missing --json {BRANCH}")
    [missing] = json.loads(printed)["references"]
    assert (missing["member"], missing["slug"], missing["uses"]) == ("recipe_slug", "cokies", 1)
    assert "cookies  " not in run(f"references {file} --missing {BRANCH}")[1]


@pytest.mark.parametrize("given", ["history.jsonl", BAKERY])
def test_an_audit_tells_its_rules_and_what_breaks_them(home, run, given):
    with histio.create_engine("sqlite:///bakery.db").begin() as connection:
        connection.execute(
            sa.update(ProductionRun)
            .where(ProductionRun.uuid == number(1))
            .values(total_ingredient_cost="99.99")
        )
    assert run(f"export history.jsonl --force {BAKERY}")[0] == 0
    code, printed, errors = run(f"audit {given}")
    assert (code, errors) == (ExitCode.DONE, "2 findings\n")
    rule = "total_ingredient_cost is the sum of consumptions.total_cost, within 0.01"
    assert f"{rule} (production_run): 1 finding\n  " in printed
    assert "99.9900, but the entries add up to" in printed
    assert "\nconsumptions has entries (production_run): no findings\n" in printed
    assert run(f"audit {given} --strict")[0] == ExitCode.BAD


def test_the_first_findings_of_a_rule_are_shown_and_the_others_are_counted(home, run):
    file = file_of(*(production_run(n, total_ingredient_cost="99.99") for n in range(8)))
    code, printed, _ = run(f"audit {file}")
    assert code == 0
    assert printed.count("but the entries add up to") == 5
    assert "within 0.01 (production_run): 8 findings\n" in printed
    assert "  … and 3 more\n" in printed


def test_a_warning_counts_only_if_it_is_asked_for(home, run):
    file = file_of(production_run(1, total_ingredient_cost="99.99"))
    for command in ("check", "audit"):
        assert run(f"{command} {file}")[0] == ExitCode.DONE
        assert run(f"{command} {file} --strict")[0] == ExitCode.BAD


def test_an_audit_without_rules_says_that_there_are_none(home, run):
    Path("orders.json").write_text('{"version": "1.0", "orders": []}')
    told = run(f"audit orders.json --history {__name__}:WITHOUT_RULES")
    assert told == (0, "", "No rules are declared: Meta.audits of a schema declares them.\n")


def test_problems_that_differ_only_in_the_run_are_one_line(home, run):
    file = file_of(*(production_run(n) for n in range(1_200)))
    assert run(f"import {file} {BRANCH}")[0] == 0
    code, printed, _ = run(f"import {file} --on-duplicate error {BRANCH}")
    first = ", ".join(number(n) for n in range(3))
    assert code == ExitCode.BAD
    assert (
        "\nProblems: 1,200\n  duplicate (1,200)\n"
        f"    The database has these runs already: {first} and 1,197 more\n\n"
    ) in printed


@pytest.mark.slow
def test_exports_without_runs_are_told_apart_by_their_headers(home, run):
    printed = run(f"export first.jsonl --since 2999-01-01 {BAKERY}")[1]
    empty, header = re.findall(r"^Digest of the (?:runs|header) \(sha256\): (\w+)$", printed, re.MULTILINE)
    names = f"--follows {empty} --follows-header {header}"
    assert run(f"export second.jsonl {names} {BAKERY}")[0] == 0
    assert run(f"merge history.jsonl -o third.jsonl {names}")[0] == 0
    for file in ("second.jsonl", "third.jsonl"):
        inspected = run(f"inspect {file}")[1]
        assert re.search(rf"^follows +{empty}\n  its header +{header}$", inspected, re.MULTILINE)
        assert run(f"import {file} {names} --dry-run {BRANCH}")[0] == 0
        code, _, errors = run(f"import {file} --follows-header {empty} {BRANCH}")
        assert (code, f"follows the header {header}, not {empty}" in errors) == (ExitCode.BAD, True)


@pytest.mark.slow
def test_a_merge_makes_the_export_of_the_whole(home, run):
    for name, span in (("a", "--until 2025-12-02"), ("b", "--since 2025-12-03")):
        assert run(f"export {name}.jsonl {span} {BAKERY}")[0] == 0
    assert run("merge a.jsonl b.jsonl -o whole.jsonl")[0] == 0
    assert run("diff whole.jsonl history.jsonl")[0] == 0


@pytest.mark.slow
def test_a_page_shows_a_file_a_database_or_an_import(home, run):
    assert run("report history.jsonl -o file.html")[0] == 0
    assert run(f"report -o database.html {BAKERY}")[0] == 0
    assert run(f"report -o database.html {BAKERY}")[0] == ExitCode.USAGE
    file = file_of(production_run(1), production_run(2, recipe_slug="cokies"))
    assert run(f"import {file} --report import.html {BRANCH}")[0] == ExitCode.REJECTS
    assert "Recipe not found: cokies" in Path("import.html").read_text()
    assert "<html" in Path("file.html").read_text()[:200]


def test_tables_are_made_once(home, run):
    code, printed, _ = run("init --url sqlite:///new.db")
    assert (code, "production_consumptions" in printed) == (0, True)
    assert run("init --url sqlite:///new.db")[1] == "All tables exist already.\n"
    assert run("export new.jsonl --json --url sqlite:///new.db")[0] == 0


# --- hosts ---------------------------------------------------------------------------------------------

HOST = """
import histio
from histio.models import ProductionRun

kind = histio.ProductionRunSchema.bind(ProductionRun)
here = histio.History("sqlite:///bakery.db", kind)
nowhere = histio.History(None, kind)

def made():
    return here
"""


@pytest.fixture
def host(home, monkeypatch):
    (home / "ourshop.py").write_text(HOST)
    yield
    sys.modules.pop("ourshop").here.close()


@pytest.mark.parametrize(
    "options", ["ourshop:here", "ourshop:made", f"ourshop:nowhere {BAKERY}", f"ourshop:here {BAKERY}"]
)
def test_a_host_has_the_whole_command_line_with_its_history(host, run, options):
    code, printed, _ = run(f"export out.jsonl --json --history {options}")
    assert (code, json.loads(printed)["by_kind"]) == (0, {"production_run": 5})


@pytest.mark.parametrize(
    "named", ["ourshop", "ourshop:gone", "ourshop:kind", "json:dumps", "nomodule:history"]
)
def test_a_history_that_is_none_is_wrong_usage(host, run, named):
    assert run("export out.jsonl --history ourshop:here")[0] == 0
    assert run(f"export other.jsonl --history {named}")[0] == ExitCode.USAGE


def test_an_export_with_a_history_names_it_in_the_command_for_the_import(host, run):
    printed = run("export out.jsonl --history ourshop:here")[1]
    assert "\n  histio import out.jsonl --url … --history ourshop:here" in printed


# --- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (f"import gone.jsonl {BRANCH}", 2, "gone.jsonl: No such file"),
        ("check gone.jsonl", 2, "gone.jsonl: No such file"),
        ("export out.jsonl", 2, "No database: pass --url URL"),
        ("export out.jsonl --url sqlite:///typo.db", 2, "typo.db does not exist"),
        ("export out.jsonl --url postgresql://me:secret@word@127.0.0.1/x", 2, "%40"),
        ("export out.jsonl --url sqlite://folder/bakery.db", 2, "after three slashes"),
        ("export out.jsonl --url mariadb+pymysql://root@127.0.0.1/test?foo=bar", 4, "foo"),
        (f"export out.jsonl --kind production_runs {BAKERY}", 2, "did you mean production_run?"),
        (f"export out.jsonl --where recipe=cookies {BAKERY}", 2, "did you mean recipe_slug?"),
        (
            f"export out.jsonl --since 2025-02-01 --until 2025-01-01 {BAKERY}",
            2,
            "--since is later than --until",
        ),
        ("inspect bakery.db", 1, "bakery.db is the file of a database"),
        ("audit sqlite:///bakery.db", 2, "Pass it as --url sqlite:///bakery.db"),
        ("diff - -", 2, "A and B cannot both be standard input"),
        ("references history.jsonl --missing", 2, "needs a database: pass --url URL"),
        ("export out.jsonl --url nonsense", 2, "sqlite:///bakery.db"),
        (f"export out.jsonl --kind nothing {BAKERY}", 2, "production_run, assembly_run"),
        (f"export out.jsonl --where recipe_slug=cokies {BAKERY}", 2, "did you mean cookies?"),
        (f"export out.jsonl --where oven=left {BAKERY}", 2, "recipe_slug"),
        (f"export out.jsonl --where cookies {BAKERY}", 2, "MEMBER=SLUG"),
        (f"export out.jsonl --since yesterday {BAKERY}", 2, "2025-01-01"),
        (f"export out.jsonl --since 0001-01-01T00:00+14:00 {BAKERY}", 2, "beyond the times"),
        (f"export no/such/folder/out.jsonl {BAKERY}", 2, "No such file or directory"),
        (f"import history.jsonl --rename cookies {BRANCH}", 2, "MEMBER:OLD=NEW"),
        (f"import history.jsonl --commit-every 0 {BRANCH}", 2, "commit-every"),
        (
            f"import history.jsonl --commit-every 5 --atomic {BRANCH}",
            2,
            "--commit-every cannot be combined with",
        ),
        ("export out.jsonl --url postgresql://me:secret@127.0.0.1:1/x", 4, "refused"),
        ("import plain.txt --url sqlite:///branch.db", 1, "cannot be read as a history"),
        ("export out.jsonl --url sqlite:///empty.db", 4, "histio init"),
        (f"undo gone.jsonl {BRANCH}", 2, "gone.jsonl: No such file"),
        (f"undo history.jsonl {BRANCH}", 1, "not a receipt of imports"),
        (f"import history.jsonl --receipt history.jsonl {BRANCH}", 2, "must be a file of its own"),
        (f"import history.jsonl --receipt r.jsonl.gz {BRANCH}", 2, "must end with .jsonl"),
        (
            f"import history.jsonl --receipt r.jsonl --dry-run {BRANCH}",
            2,
            "--receipt cannot be combined with --dry-run",
        ),
    ],
)
def test_what_cannot_be_done_is_told_in_words(home, run, line, code, told):
    Path("plain.txt").write_text("plain text")
    Path("empty.db").touch()
    found, printed, errors = run(line)
    assert (found, printed) == (code, "")
    assert told in errors
    assert "Traceback" not in errors
    assert "secret" not in errors


def test_text_from_a_file_does_not_steer_the_terminal(home, run):
    file = file_of(
        production_run(1, **{HOSTILE: 1}), production_run(2, unit=HOSTILE, recipe_slug="ev\u202eil")
    )
    for line in (f"check {file}", f"import {file} {BRANCH}", f"references {file}", f"inspect {file}"):
        _, printed, errors = run(line)
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(printed + errors)


@pytest.mark.parametrize("columns", [1, 20, 60])
def test_a_table_is_whole_on_a_narrow_terminal(home, run, monkeypatch, columns):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert "finished_unit_slug" in run("references history.jsonl")[1]


def test_a_mark_that_steers_is_shown_as_what_it_is():
    assert escape(HOSTILE) == r"\x1b[31mred\x1b[0m\x07\u202eevil\r\nnew line"
    assert escape("crème-brûlée 🎂 抹茶") == "crème-brûlée 🎂 抹茶"


def test_an_interrupted_export_leaves_no_file(home, run):
    with listening(Engine, "before_cursor_execute", interrupt):
        code, printed, errors = run(f"export out.jsonl {BAKERY}")
    assert (code, printed, errors.strip()) == (
        ExitCode.INTERRUPTED,
        "",
        "histio: interrupted; no partial file or transaction is left",
    )
    assert sorted(path.name for path in home.iterdir()) == ["bakery.db", "branch.db", "history.jsonl"]


# --- help ----------------------------------------------------------------------------------------------

COMMANDS = app.all_commands
EXAMPLES = [
    line.strip()
    for command in COMMANDS.values()
    for line in (command.help or "").splitlines()
    if line.strip().startswith("histio ")
]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_every_option_a_sentence(name):
    context = click.Context(COMMANDS[name], info_name=name)
    assert "Examples:" in COMMANDS[name].help
    assert len(COMMANDS[name].get_short_help_str(62)) < 62
    assert "..." not in COMMANDS[name].get_short_help_str(62)
    options = [each for each in COMMANDS[name].get_params(context) if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal(name):
    context = click.Context(COMMANDS[name], info_name=f"histio {name}", terminal_width=80)
    assert [line for line in COMMANDS[name].get_help(context).splitlines() if len(line) > 80] == []


@pytest.mark.slow
@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_works(home, line, capsys, monkeypatch):
    monkeypatch.setenv("HISTIO_DATABASE_URL", "sqlite:///bakery.db")
    monkeypatch.setattr(bakery, "PRODUCTION_RUNS", 150)
    with Session(histio.create_engine("sqlite:///bakery.db")) as session:
        session.add(Recipe(name="Bread", slug="pain-de-mie"))
        session.commit()
    with History("sqlite:///bakery.db") as history:
        history.import_document(document(), receipt="receipt.jsonl")
        history.export_parts("parts", catalog="all", jobs=1)
    Path("history.jsonl").rename("later.jsonl")
    words = shlex.split(line.partition(">")[0])[1:]
    if words[:2] != ["export", "history"]:
        Path("parts").rename("history")
    if words[:2] != ["export", "history.jsonl"]:
        Path("history.jsonl").write_bytes(Path("later.jsonl").read_bytes())
    if words[0] == "rejects":
        Path("rejects.jsonl").write_text('{"header": {"version": "1.0", "sealed": false}}\n')
    assert cli.main(words) == 0
    capsys.readouterr()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_learns_to_complete(run, shell):
    code, printed, _ = run(f"completion {shell}")
    assert (code, "_HISTIO_COMPLETE" in printed) == (0, True)


def test_a_binding_is_scaffolded_and_explained(run, tmp_path, monkeypatch):
    code, printed, _ = run("scaffold histio.models:ProductionRun")
    (tmp_path / "scaffolded.py").write_text(printed, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert code == 0
    code, printed, _ = run("explain --history scaffolded:history")
    assert code == 0
    assert "production_run.consumptions, rows of ProductionConsumption" in printed


@pytest.mark.parametrize("named", ["histio.models", "histio.models:Nothing", "no_such_module:Run"])
def test_a_model_that_is_not_there_is_a_matter_of_usage(run, named):
    code, _, told = run(f"scaffold {named}")
    assert code == ExitCode.USAGE
    assert "MODULE:MODEL: " in told


def test_what_is_no_model_cannot_be_scaffolded(run):
    code, _, told = run("scaffold histio:__all__")
    assert (code, "is not a mapped class" in told) == (ExitCode.USAGE, True)
