"""The command line, and the demonstration as a newcomer sees it."""

import contextlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

import histio
from histio import cli
from histio.cli.app import app
from histio.cli.exit_codes import ExitCode
from histio.demo import bakery
from histio.demo import run as demo
from histio.models import AssemblyRun, Base, ProductionRun
from tests.support.mapping_styles import listening

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "schemas" / "history-1.0.schema.json"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "HISTIO_DATABASE_URL": ""}
FOLDER = "bakery"

# What is wrong with each of the damaged runs: code, pointer, and what else the screen says.
DAMAGE = [
    ("unknown-reference", "/production_runs/0/recipe_slug", "did you mean crème-brûlée?"),
    ("precision", "/production_runs/1/total_ingredient_cost", "4 digits"),
    ("out-of-range", "/production_runs/2/actual_yield", "from 0"),
    ("schema", "/production_runs/3/produced_at", "Missing"),
    ("schema", "/production_runs/4/oven", "Unknown"),
    ("duplicate", "/production_runs/5/consumptions/0/uuid", "an entry of another run"),
]

AWKWARD = {
    "an emoji in a slug": lambda run: "🎂" in run["recipe_slug"],
    "accents in a slug": lambda run: run["recipe_slug"] == "crème-brûlée",
    "no note": lambda run: run["notes"] is None,
    "an empty note": lambda run: run["notes"] == "",
    "a note of 5,000 characters": lambda run: len(run["notes"] or "") == 5_000,
    "costs of zero": lambda run: run["consumptions"] and run["total_ingredient_cost"] == "0.0000",
    "an empty ledger": lambda run: run["consumptions"] == [],
    "microseconds": lambda run: "." in run["produced_at"],
    "whole seconds": lambda run: "." not in run["produced_at"],
    "an ingredient that is gone": lambda run: "saffron" in str(run["consumptions"]),
    "a unit of another recipe": lambda run: (
        (run["recipe_slug"], run["finished_unit_slug"]) == ("crème-brûlée", "loaf")
    ),
}


def run_python(*arguments, cwd, **options):
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=False, **options
    )


@contextlib.contextmanager
def opened(path):
    """An engine on the database file *path*."""
    engine = histio.create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def exported(path, **options):
    with opened(path) as engine:
        return histio.History(engine).export_document(catalog="used", exported_at=demo.EXPORTED_AT, **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def played(home):
    """The demonstration, played once."""
    return run_python("-m", "histio", "demo", FOLDER, cwd=home)


@pytest.fixture(scope="module")
def folder(played, home):
    return home / FOLDER


@pytest.fixture(scope="module")
def document(folder):
    return json.loads((folder / "history.json").read_text("utf-8"))


@pytest.fixture
def a_short_year(monkeypatch):
    monkeypatch.setattr(bakery, "PRODUCTION_RUNS", 150)
    monkeypatch.setattr(bakery, "ASSEMBLY_RUNS", 10)


def test_the_demonstration_succeeds_and_complains_of_nothing(played):
    assert (played.returncode, played.stderr) == (0, "")


def test_the_demonstration_fits_on_a_screen(played):
    lines = played.stdout.splitlines()
    assert len(lines) <= 45
    assert [line for line in lines if len(line) > 80] == []


def test_the_demonstration_leaves_the_files_that_it_names(played, folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(demo.FILES)
    *_, where, listed, then = played.stdout.splitlines()
    assert where == f"The files are in {FOLDER}:"
    assert re.findall(r"([\w.]+) [\d.]+ \w+", listed) == list(demo.FILES)
    assert then == f"To look into one: histio inspect {FOLDER}/history.json"


def test_the_year_has_about_two_thousand_runs(document):
    assert (len(document["production_runs"]), len(document["assembly_runs"])) == (1_700, 300)


@pytest.mark.slow
def test_the_exported_file_is_what_the_source_holds(folder, document):
    assert exported(folder / "source.db") == document


@pytest.mark.slow
def test_the_target_holds_the_same_runs_and_the_one_sound_run_of_the_broken_copy(folder, document):
    sound = json.loads((folder / "broken.json").read_text("utf-8"))["production_runs"][-1]
    target = exported(folder / "target.db")
    target["production_runs"].remove(sound)
    assert json.dumps(target) == json.dumps(document)


def test_the_two_catalogs_have_different_row_ids(folder):
    recipes = Base.metadata.tables["recipes"]
    rows = []
    for name in ("source.db", "target.db"):
        with opened(folder / name) as engine, engine.connect() as connection:
            rows.append({row.slug: row.id for row in connection.execute(sa.select(recipes))})
    assert rows[0].keys() == rows[1].keys()
    assert rows[0] != rows[1]


@pytest.mark.parametrize("case", AWKWARD)
def test_the_year_has_its_awkward_cases(document, case):
    assert any(AWKWARD[case](run) for run in document["production_runs"])


@pytest.mark.parametrize(
    "sentence",
    [
        "1,700 production runs, 300 assembly runs",
        "28 recipes, units, goods, products and ingredients created",
        "2,000 imported, 0 skipped, 0 rejected",
        "Ingredient not found: saffron",
        "loaf belongs to another recipe",
        "identical, byte for byte",
        "0 imported, 2,000 skipped, 0 rejected, 0 warnings",
        "1 imported, 0 skipped, 6 rejected",
    ],
)
def test_the_demonstration_says_what_became_of_every_run(played, sentence):
    assert sentence in " ".join(played.stdout.split())


def test_the_demonstration_shows_the_digests_of_both_exports(played):
    first, second = re.search(r"sha256 ([0-9a-f]{12}) and ([0-9a-f]{12}):", played.stdout).groups()
    assert first == second


@pytest.mark.parametrize(("code", "pointer", "message"), DAMAGE)
def test_the_demonstration_shows_what_is_wrong_with_a_damaged_run(played, code, pointer, message):
    text = " ".join(played.stdout.split())
    assert re.search(rf"{code} {pointer}: .*{re.escape(message)}", text)


@pytest.mark.slow
def test_every_year_is_the_same(document, tmp_path):
    with opened(tmp_path / "again.db") as engine:
        demo.fill(engine, bakery.make_catalog(), with_runs=True)
    assert exported(tmp_path / "again.db") == document


@pytest.mark.slow
def test_the_lines_that_are_shown_do_the_same(a_short_year, tmp_path):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert cli.main(["demo", str(tmp_path)]) == 0
    expected = (tmp_path / "history.json").read_bytes()
    (tmp_path / "history.json").unlink()
    with opened(tmp_path / "target.db") as engine, engine.begin() as connection:
        connection.execute(sa.delete(ProductionRun))
        connection.execute(sa.delete(AssemblyRun))
    shown = re.findall(r"^  >>> (.*)$", output.getvalue(), re.MULTILINE)
    typed = run_python("-i", "-q", cwd=tmp_path, input="\n\n".join([*shown, "report.rejected", ""]))
    echoed = re.sub(r"(>>> |\.\.\. )+", "", typed.stdout).split("\n")
    assert (tmp_path / "history.json").read_bytes() == expected
    assert "True" in echoed
    assert [line.partition(":")[0] for line in echoed if "/production_runs/" in line] == [
        f"{code} {pointer}" for code, pointer, _ in DAMAGE
    ]
    assert "6" in echoed


@pytest.mark.slow
def test_without_a_folder_nothing_stays(a_short_year, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["demo"]) == 0
    assert "The temporary folder was removed." in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_history_that_comes_back_changed_is_a_failure(a_short_year, tmp_path, monkeypatch, capsys):
    def change(connection):
        if str(connection.engine.url).endswith("target.db"):
            connection.exec_driver_sql("UPDATE production_runs SET notes = 'changed' WHERE id = 1")

    with listening(Engine, "commit", change):
        assert cli.main(["demo", str(tmp_path)]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


@pytest.mark.parametrize("name", demo.FILES)
def test_a_folder_that_holds_one_of_the_files_is_left_untouched(tmp_path, name, capsys):
    (tmp_path / name).write_bytes(b"mine")
    assert cli.main(["demo", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(f"Error: {tmp_path / name} exists and will not be overwritten.\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["demo", str(tmp_path / "file" / "below")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"Error: .*below cannot be used as a folder: .*\.", last)


@pytest.mark.slow
def test_a_folder_may_have_a_name_that_means_something_in_a_url(a_short_year, tmp_path, capsys):
    folder = tmp_path / "50% ?a=b#c"
    assert cli.main(["demo", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(demo.FILES)


@pytest.mark.thorough
def test_what_a_terminal_cannot_show_is_escaped(a_short_year, capsys):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(terminal):
        assert cli.main(["demo"]) == 0
    terminal.seek(0)
    assert r"did you mean cr\xe8me-br\xfbl\xe9e?" in terminal.read()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_schema_command_prints_the_published_file(tmp_path):
    result = run_python("-m", "histio", "schema", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.encode() == PUBLISHED.read_bytes()


@pytest.mark.thorough
def test_a_reader_that_stops_reading_is_no_traceback(tmp_path):
    command = [sys.executable, "-m", "histio", "schema"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    monkeypatch.setattr(importlib.metadata, "version", {"histio": "1.2.3"}.__getitem__)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "histio 1.2.3\n"


def test_without_an_installed_package_there_is_no_version(monkeypatch, capsys):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "histio (not installed)\n"


def test_without_a_command_five_lines_say_what_to_do_first(capsys):
    assert cli.main([]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if len(line) > 90] == []
    assert [re.findall(r"histio (\S+)", line)[-1] for line in printed[1:]] == [
        "demo",
        "export",
        "scaffold",
        "--help",
    ]


def test_the_help_lists_all_commands_and_exit_codes(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in app.all_commands if f"\n  {name} " not in printed] == []
    assert [code for code in ExitCode if f"\n    {code:<4} {code.meaning}\n" not in printed] == []


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").write_text("plain text")
    assert cli.main(["inspect", "plain.txt"]) == 1
    assert capsys.readouterr().err.startswith("Error: plain.txt cannot be read as a history:\n")


def test_a_folder_without_an_export_says_how_to_write_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["inspect", "empty"]) == 1
    assert capsys.readouterr().err.endswith("can be imported: histio export FOLDER --parts N.\n")


def test_a_file_that_is_missing_is_one_line(capsys):
    assert cli.main(["check", "gone.jsonl"]) == 2
    assert capsys.readouterr().err == "Error: gone.jsonl: No such file or directory\n"
    assert cli.main(["verify", "gone.jsonl", "--url", "sqlite:///gone.db"]) == 2
    assert capsys.readouterr().err == (
        "Error: gone.db does not exist. To make a new database: histio init --url sqlite:///gone.db\n"
    )


@pytest.mark.parametrize("arguments", [["tarte"], ["--tatin"], ["demo", "one", "two"]])
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    assert cli.main(arguments) == 2
    assert "Usage: histio" in capsys.readouterr().err


def test_the_version_needs_no_database_library_and_no_command():
    listing = "import sys; from histio.cli import main; main(['--version']); print(*sys.modules)"
    *_, modules = run_python("-c", listing, cwd=ROOT).stdout.splitlines()
    heavy = ("sqlalchemy", "marshmallow", "jsonschema", "rich", "histio.cli.commands", "histio.history")
    assert "histio.cli.app" in modules.split()
    assert [name for name in modules.split() if name.startswith(heavy)] == []
