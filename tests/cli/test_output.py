"""What the commands print with ``--json`` and ``--jsonl``, and the JSON Schema of it."""

import json
import shlex
from pathlib import Path

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from sqlalchemy.orm import Session

import histio
from histio import History, cli
from histio.cli.app import app
from histio.cli.differences import name_database
from histio.cli.exit_codes import ExitCode
from histio.cli.history import show_database
from histio.cli.outputs import LINES, OUTPUTS
from histio.models import Base, ProductionRun
from tests.support import output_schema, shop
from tests.support.bakery import document, number, production_run, stock

SCHEMA = json.loads(output_schema.FILE.read_text("utf-8"))
BAKERY = "--url sqlite:///bakery.db"
BRANCH = "--url sqlite:///branch.db"
SUMS = {"total_ingredient_cost": "2.5000", "per_unit_cost": "0.0272"}
MANY = 1_100

OWN = History(None, shop.OrderSchema)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two bakeries, one with runs, and files of all kinds."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("bakery", "branch"):
        engine = histio.create_engine(f"sqlite:///{folder}/{name}.db")
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            session.add_all(stock())
        engine.dispose()
    with History(f"sqlite:///{folder}/bakery.db") as history:
        history.import_document(document(*(production_run(n, **SUMS) for n in range(1, 4))))
        history.export_file(folder / "history.jsonl")
        history.export_file(folder / "catalog.jsonl", catalog="all")
        history.export_parts(folder / "parts", catalog="all", jobs=1)
    wrong = [production_run(n, recipe_slug="cokies") for n in range(10, 12)]
    files = {
        "changed": [production_run(1, **SUMS, notes="new", consumptions=[]), production_run(9, **SUMS)],
        "wrong": [*wrong, production_run(12, oven=1), production_run(13), {"uuid": 1}],
        "many": [production_run(n, recipe_slug="gone", per_unit_cost="9") for n in range(MANY)],
        "empty": [],
    }
    for name, runs in files.items():
        (folder / f"{name}.json").write_text(json.dumps(document(*runs)))
    (folder / "orders.json").write_text('{"version": "1.0", "orders": []}')
    with History(f"sqlite:///{folder}/branch.db") as history:
        history.import_file(folder / "wrong.json", rejects=folder / "rejected.jsonl", dry_run=True)
    whole = (folder / "history.jsonl").read_bytes()
    (folder / "cut.jsonl").write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    return folder


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    """A copy of them, where the test is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    for path in made.rglob("*.*"):
        target = tmp_path / path.relative_to(made)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a command line; gives its exit code, its output and its errors."""

    def run(line):
        code = cli.main(shlex.split(line))
        return code, *capsys.readouterr()

    return run


def validate(name, value):
    Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}).validate(value)


LISTS = [
    ("verify history.jsonl", BAKERY, 0),
    ("verify history.jsonl", BRANCH, 1),
    ("verify changed.json", BAKERY, 1),
    ("verify many.json", BRANCH, 1),
    ("check history.jsonl", "", 0),
    ("check wrong.json", BRANCH, 1),
    ("check many.json", BRANCH, 1),
    ("check parts", "", 0),
    ("check cut.jsonl", "", 1),
    ("check empty.json", "", 0),
    ("references wrong.json", "", 0),
    ("references wrong.json", BRANCH, 1),
    ("references wrong.json --missing", BRANCH, 1),
    ("references catalog.jsonl", "--url sqlite:///new.db", 1),
    ("references empty.json", BRANCH, 0),
    ("diff history.jsonl parts", "", 0),
    ("diff history.jsonl changed.json", "", 1),
    ("diff changed.json", BAKERY, 1),
    ("audit history.jsonl", "", 0),
    ("audit many.json", "", 0),
    ("audit many.json --strict", "", 1),
    ("audit", BAKERY, 0),
    ("audit orders.json --history tests.cli.test_output:OWN", "", 0),
]
"""Commands that print many results, the database, and the exit code."""


@pytest.mark.parametrize(("command", "database", "code"), LISTS)
def test_many_results_are_one_object_or_an_object_per_line(home, run, command, database, code):
    run("init --url sqlite:///new.db")
    name = command.split()[0]
    first, whole, errors = run(f"{command} {database} --json")
    second, lines, _ = run(f"{command} {database} --jsonl")
    assert (first, second, errors) == (code, code, "")
    found = json.loads(whole)
    validate(name, found)
    [listed] = [value for key, value in found.items() if key in ("problems", "differences", "references")]
    assert listed == [json.loads(line) for line in lines.splitlines()]
    for each in listed:
        validate(f"{name}_line", each)


OBJECTS = [
    ("init --url sqlite:///new.db", 0),
    (f"init {BRANCH}", 0),
    (f"export out.jsonl {BAKERY}", 0),
    (f"export out.json {BAKERY} --with-catalog", 0),
    (f"export out.jsonl {BRANCH}", 0),
    (f"export out {BAKERY} --parts 2 --jobs 1 --with-catalog", 0),
    (f"export out.jsonl {BAKERY} --differs-from history.jsonl", 0),
    (f"export out.jsonl {BAKERY} --skip-unreadable", 0),
    (f"import history.jsonl {BRANCH} --receipt receipt.jsonl --report page.html", 0),
    (f"import history.jsonl {BAKERY}", 0),
    (f"import catalog.jsonl {BRANCH} --update-catalog", 0),
    ("import catalog.jsonl --url sqlite:///empty.db --create-catalog --dry-run", 0),
    ("import wrong.json --url sqlite:///empty.db", 1),
    (f"import parts {BRANCH}", 0),
    (f"import parts {BRANCH} --jobs 1 --create-catalog", 0),
    (f"import history.jsonl wrong.json {BRANCH} --rejects rejects.jsonl", 3),
    (f"import wrong.json {BRANCH} --atomic", 1),
    (f"import many.json {BRANCH} --rejects rejects.jsonl", 1),
    (f"import many.json {BRANCH} --rename recipe_slug:gone=cookies", 0),
    (f"import changed.json {BAKERY} --on-duplicate update --dry-run", 0),
    (f"import changed.json {BAKERY} --on-duplicate verify", 3),
    (f"import changed.json {BAKERY} --on-duplicate error", 3),
    (f"import cut.jsonl {BRANCH} --allow-truncated", 3),
    (f"import empty.json {BRANCH}", 0),
    ("copy --from sqlite:///bakery.db --to sqlite:///branch.db", 0),
    ("copy --from sqlite:///bakery.db --to sqlite:///empty.db --create-catalog --dry-run", 0),
    ("rejects rejected.jsonl", 3),
    (f"rejects rejected.jsonl {BRANCH} --list", 3),
    ("inspect history.jsonl", 0),
    ("inspect catalog.jsonl", 0),
    ("inspect parts", 0),
    ("inspect wrong.json", 0),
    ("inspect cut.jsonl", 1),
    ("inspect empty.json", 0),
    ("merge history.jsonl changed.json -o out.jsonl", 0),
    ("merge empty.json -o out.json", 0),
    ("report history.jsonl -o page.html", 0),
    (f"report -o page.html {BAKERY}", 0),
    ("flatten history.jsonl --to tables", 0),
    (f"flatten --to book --format xlsx {BAKERY}", 0),
    ("flatten wrong.json --to tables --skip-invalid", 3),
    ("explain", 0),
    (f"explain {BAKERY}", 0),
    ("explain --history tests.cli.test_output:OWN", 0),
]
"""Commands that print one result, and the exit code."""


@pytest.mark.parametrize(("command", "code"), OBJECTS)
def test_one_result_is_one_object(home, run, command, code):
    run("init --url sqlite:///empty.db")
    found, printed, errors = run(f"{command} --json")
    assert (found, errors) == (code, "")
    validate(command.split()[0], json.loads(printed))


def test_an_undo_is_one_object(home, run):
    run(f"import changed.json {BAKERY} --on-duplicate update --receipt receipt.jsonl")
    with Session(histio.create_engine("sqlite:///bakery.db")) as session, session.begin():
        session.execute(sa.update(ProductionRun).where(ProductionRun.uuid == number(9)).values(notes="mine"))
    for options, code in (("--dry-run", 3), ("", 3), ("", 3)):
        found, printed, _ = run(f"undo receipt.jsonl {BAKERY} {options} --json")
        assert found == code
        validate("undo", json.loads(printed))


def test_an_export_that_leaves_out_runs_is_one_object(home, run):
    with histio.create_engine("sqlite:///bakery.db").begin() as connection:
        connection.exec_driver_sql(f"UPDATE production_runs SET produced_at = 'x' WHERE uuid = '{number(1)}'")
        connection.exec_driver_sql("UPDATE production_runs SET per_unit_cost = 5 / 3.0")
    code, printed, _ = run(f"export out.jsonl {BAKERY} --skip-unreadable --json")
    assert code == ExitCode.REJECTS
    validate("export", json.loads(printed))


def test_the_sides_of_differences_have_names(home, run):
    found = json.loads(run(f"verify changed.json {BAKERY} --json")[1])
    assert (found["file"], found["database"], found["count"]) == ("changed.json", "sqlite:///bakery.db", 2)
    assert found["differences"][0]["changes"][0] == {
        "pointer": "/notes",
        "file": "new",
        "database": "Test batch",
    }
    assert found["differences"][1]["only_in"] == "file"
    found = json.loads(run("diff changed.json history.jsonl --json")[1])
    assert (found["a"], found["b"]) == ("changed.json", "history.jsonl")
    assert [each["only_in"] for each in found["differences"]] == [None, "b", "b", "a"]


def test_a_database_is_named_without_secrets():
    with History("postgresql+psycopg://me:secret@127.0.0.1/bakery?sslpassword=hidden") as history:
        name = name_database(history)
    assert (name.endswith("@127.0.0.1/bakery?sslpassword=***"), "secret" in name) == (True, False)
    assert show_database("postgresql://me:secret@127.0.0.1/bakery", None) == " --url …"
    assert show_database("sqlite:///my bakery.db", "shop:history") == (
        " --url 'sqlite:///my bakery.db' --history shop:history"
    )


def test_problems_and_missing_rows_are_counted(home, run):
    found = json.loads(run(f"check many.json {BRANCH} --json")[1])
    assert (found["errors"], len(found["problems"])) == (MANY, MANY + found["warnings"])
    assert json.loads(run(f"references wrong.json {BRANCH} --json")[1])["missing"] == 1
    assert json.loads(run("references wrong.json --json")[1])["missing"] is None


def test_files_that_were_written_are_listed_with_their_sizes(home, run):
    files = "--rejects rejects.jsonl --receipt receipt.jsonl --report page.html"
    written = json.loads(run(f"import history.jsonl wrong.json {BRANCH} {files} --json")[1])["written"]
    assert [(each["content"], each["file"], each["bytes"]) for each in written] == [
        (content, name, Path(name).stat().st_size)
        for content, name in (
            ("rejects", "rejects.jsonl"),
            ("receipt", "receipt.jsonl"),
            ("report", "page.html"),
        )
    ]
    [written] = json.loads(run(f"export out.jsonl {BAKERY} --json")[1])["written"]
    assert written == {"file": "out.jsonl", "content": "runs", "bytes": Path("out.jsonl").stat().st_size}


@pytest.mark.parametrize("option", ["--json", "--jsonl"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("check gone.json", ExitCode.USAGE),
        ("references gone.json", ExitCode.USAGE),
        (f"verify gone.json {BAKERY}", ExitCode.USAGE),
        ("diff history.jsonl gone.json", ExitCode.USAGE),
        ("audit cut.jsonl", ExitCode.BAD),
        (f"audit --nothing {BAKERY}", ExitCode.USAGE),
    ],
)
def test_a_command_that_fails_at_once_prints_no_json(home, run, command, code, option):
    found, printed, errors = run(f"{command} {option}")
    assert (found, printed, bool(errors)) == (code, "", True)


def test_an_object_that_breaks_off_is_incomplete(home, run):
    header = {
        "header": {"version": "1.0", "exported_at": "2025-12-09T12:00:00Z", "kinds": ["production_run"]}
    }
    lines = [header, {"production_run": production_run(1, per_unit_cost="9")}]
    Path("cut.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, printed, errors = run("audit cut.jsonl --json")
    assert (code, "without its trailer" in errors) == (ExitCode.BAD, True)
    assert printed.startswith('{\n  "problems": [\n    {')
    with pytest.raises(json.JSONDecodeError):
        json.loads(printed)


def test_the_two_forms_exclude_each_other(home, run):
    code, _, errors = run("check history.jsonl --json --jsonl")
    assert (code, "--json cannot be combined with --jsonl" in errors) == (ExitCode.USAGE, True)


# --- the schema ----------------------------------------------------------------------------------------


def options_of(command):
    return {option for each in command.params for option in each.opts}


def test_every_command_with_json_has_a_schema_and_examples_here():
    with_json = {name for name, each in app.all_commands.items() if "--json" in options_of(each)}
    with_lines = {name for name, each in app.all_commands.items() if "--jsonl" in options_of(each)}
    assert with_json == set(OUTPUTS)
    assert with_lines == set(LINES) == {command.split()[0] for command, *_ in LISTS}
    assert with_json - with_lines - {"undo"} == {command.split()[0] for command, _ in OBJECTS}


def test_the_published_schema_is_derived_from_the_classes():
    assert output_schema.derive() == SCHEMA
    assert json.dumps(SCHEMA, indent=2) + "\n" == output_schema.FILE.read_text("utf-8")
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_schema_of_a_command_is_printed(run, name):
    code, printed, _ = run(f"schema --command {name}")
    schema = json.loads(printed)
    assert (code, schema["$id"]) == (0, f"urn:histio:output:1.0:{name}")
    assert not Draft202012Validator(schema).is_valid({"no": "output"})


@pytest.mark.parametrize(
    ("options", "why"),
    [("--command demo", "write one of init, export"), ("--command check --openapi", "cannot be combined")],
)
def test_a_schema_that_there_is_not_is_a_matter_of_usage(run, options, why):
    code, _, errors = run(f"schema {options}")
    assert (code, why in errors) == (ExitCode.USAGE, True)
