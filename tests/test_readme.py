"""The README is true: every block of code in it runs, and every code of a problem is named."""

import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import typing
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator

import histio
from histio.report import Code

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
PUBLISHED = ROOT / "schemas" / "history-1.0.schema.json"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# Language, code, and the line it begins on.
BLOCKS = [
    (found[1], found[2], TEXT.count("\n", 0, found.start(2)) + 1)
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
]
PYTHON = [(code, line) for language, code, line in BLOCKS if language == "python"]
COMMANDS = [
    command for language, code, _ in BLOCKS if language == "sh" for command in code.strip().split("\n")
]
NPX = "npx -y -p ajv-cli@5 ajv"


def run(command, **options):
    """Run *command* as a shell would, `histio` being that of the checkout."""
    command = re.sub(r"^histio\b", f"'{sys.executable}' -m histio", command)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, shell=True, env=environment, capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder where all Python blocks ran, one after the other; what they left and printed."""
    folder = tmp_path_factory.mktemp("readme")
    names = {"__name__": "readme"}
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(output):
        monkeypatch.chdir(folder)
        monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
        for code, line in PYTHON:
            # Line numbers in a traceback are those of the README.
            exec(compile("\n" * (line - 1) + code, ROOT / "README.md", "exec"), names)
    yield SimpleNamespace(folder=folder, names=names, printed=output.getvalue().splitlines())
    histio.configure(None)
    for engine in filter(lambda value: isinstance(value, sa.Engine), names.values()):
        engine.dispose()


def test_every_python_block_prints_what_it_says(desk):
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", "".join(code for code, _ in PYTHON), re.MULTILINE)
    assert desk.printed == promised


def test_every_print_says_what_it_prints():
    lines = [line for code, _ in PYTHON for line in code.splitlines() if "print(" in line]
    assert [line for line in lines if "  # " not in line] == []


def test_the_four_functions_and_history_are_all_shown():
    shown = "".join(code for code, _ in PYTHON)
    wanted = [name for name in histio.__all__ if name.endswith("_history")] + [
        f"history.{name}" for name in ("export_document", "import_document", "iter_runs")
    ]
    assert [name for name in wanted if f"{name}(" not in shown] == []


@pytest.mark.parametrize("code", [code for language, code, _ in BLOCKS if language == "json"])
def test_every_json_block_is_valid(code):
    validator = Draft202012Validator(json.loads(PUBLISHED.read_text("utf-8")))
    assert list(validator.iter_errors(json.loads(code))) == []


def test_every_block_is_of_a_kind_that_is_tested():
    assert {language for language, *_ in BLOCKS} == {"python", "json", "sh"}


def is_a_target(command, _folder):
    target = command.removeprefix("make ")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def is_an_installation(command, _folder):
    extras = "|".join(PROJECT["optional-dependencies"])
    assert re.fullmatch(rf"pip install (\.|'\.\[({extras})\]')", command)


def is_a_default_of_the_tests(command, _folder):
    name, value = command.removeprefix("export ").split("=", 1)
    assert re.search(
        rf'"{name}",\s*"{re.escape(value)}"', (ROOT / "tests" / "conftest.py").read_text("utf-8")
    )


def writes_the_published_schema(command, folder):
    assert run(command, cwd=folder).returncode == 0
    assert (folder / "history-1.0.schema.json").read_bytes() == PUBLISHED.read_bytes()


def finds_the_history_valid(command, folder):
    need_ajv()
    shutil.copy(PUBLISHED, folder)
    result = run(command, cwd=folder)
    assert (result.returncode, result.stdout) == (0, "history.json valid\n")


VERIFIED = {
    "make": is_a_target,
    "pip": is_an_installation,
    "export": is_a_default_of_the_tests,
    "histio": writes_the_published_schema,
    "npx": finds_the_history_valid,
}


@functools.cache
def missing_ajv():
    """Why ajv cannot be run here; empty where it can."""
    if shutil.which("npx") is None:
        return "npx is not installed"
    result = run(f"{NPX} help")
    return "" if result.returncode == 0 else f"npx gives no ajv: {result.stderr.strip()[-200:]}"


def need_ajv():
    reason = missing_ajv()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works(command, desk):
    VERIFIED[command.split(maxsplit=1)[0]](command, desk.folder)


def test_ajv_refuses_a_history_that_is_none(desk):
    need_ajv()
    shutil.copy(PUBLISHED, desk.folder)
    (desk.folder / "none.json").write_text('{"version": "1.0"}')
    command = next(command for command in COMMANDS if command.startswith(NPX))
    result = run(command.replace("history.json", "none.json"), cwd=desk.folder)
    assert result.returncode == 1
    assert "none.json invalid" in result.stderr


@pytest.mark.parametrize("code", typing.get_args(Code))
def test_every_code_of_a_problem_is_named(code):
    assert f"`{code}`" in TEXT


def test_no_other_code_of_a_problem_is_named():
    table = TEXT.partition("| code | meaning |")[2].partition("\n\n")[0]
    codes = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert set(codes) <= set(typing.get_args(Code))


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_extra_is_named(extra):
    assert f"`histio[{extra}]`" in TEXT


def test_the_python_that_is_needed_is_named():
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')}" in TEXT


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|schemas)/[^`]+)`", TEXT))))
def test_every_file_that_is_named_exists(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w.]+)\)", TEXT))
def test_every_link_to_a_file_leads_somewhere(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", histio.__all__)
def test_every_public_name_can_be_imported(name):
    assert hasattr(histio, name)


def test_the_public_names_are_sorted():
    assert histio.__all__ == sorted(histio.__all__)
