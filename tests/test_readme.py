"""The README is true: every block of code in it runs, and every code of a problem is named."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import typing

import pytest
from jsonschema import Draft202012Validator

import histio
from histio.report import Code
from tests.markdown import ROOT, Page

PAGE = Page("README.md")
PUBLISHED = ROOT / "schemas" / "history-1.0.schema.json"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

COMMANDS = [
    command for block in PAGE.blocks if block.language == "sh" for command in block.code.strip().split("\n")
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
    yield from PAGE.run(tmp_path_factory.mktemp("readme"))


def test_every_python_block_prints_what_it_says(desk):
    assert desk.printed == PAGE.promised


def test_every_print_says_what_it_prints():
    assert PAGE.unsaid == []


def test_the_four_functions_and_history_are_all_shown():
    methods = ("export_document", "import_document", "export_file", "import_file", "iter_runs")
    wanted = [name for name in histio.__all__ if name.endswith("_history")]
    wanted += [f"history.{name}" for name in methods]
    assert [name for name in wanted if f"{name}(" not in PAGE.python] == []


@pytest.mark.parametrize("code", [block.code for block in PAGE.blocks if block.language == "json"])
def test_every_json_block_is_valid(code):
    validator = Draft202012Validator(json.loads(PUBLISHED.read_text("utf-8")))
    assert list(validator.iter_errors(json.loads(code))) == []


def test_every_block_is_of_a_kind_that_is_tested():
    assert {block.language for block in PAGE.blocks} == {"python", "json", "sh", "text"}


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
    assert f"`{code}`" in PAGE.text


def test_no_other_code_of_a_problem_is_named():
    codes = {code.strip("`") for code, _ in PAGE.table("Problems")}
    assert codes <= set(typing.get_args(Code))


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_extra_is_named(extra):
    assert f"`histio[{extra}]`" in PAGE.text


def test_the_python_that_is_needed_is_named():
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')}" in PAGE.text


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|schemas)/[^`]+)`", PAGE.text))))
def test_every_file_that_is_named_exists(path):
    assert (ROOT / path).is_file()


def test_every_link_leads_somewhere():
    assert PAGE.missing == []


@pytest.mark.parametrize("name", histio.__all__)
def test_every_public_name_can_be_imported(name):
    assert hasattr(histio, name)


def test_the_public_names_are_sorted():
    assert histio.__all__ == sorted(histio.__all__)
