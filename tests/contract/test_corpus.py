"""The indexes of the shared documents and streams say what is in their folders."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from histio.kinds.json_schema import published
from histio.report import Code
from tests.support.corpus import (
    CASES,
    FOLDERS,
    INDEXES,
    has_lone_surrogate,
    has_repeated_name,
    read_exactly,
)

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
VALIDATOR = Draft202012Validator(published())

of_each = pytest.mark.parametrize("name", FOLDERS)


@of_each
def test_the_index_names_every_file_of_the_folder_once(name):
    files = [path.relative_to(FOLDERS[name]).as_posix() for path in FOLDERS[name].glob("*/*")]
    assert sorted(case["file"] for case in INDEXES[name]["cases"]) == sorted(files)


@of_each
def test_a_file_is_in_the_folder_of_its_verdict(name):
    folders = {True: "valid/", False: "invalid/"}
    cases = INDEXES[name]["cases"]
    assert [each["file"] for each in cases if not each["file"].startswith(folders[each["valid"]])] == []


@of_each
def test_each_case_says_why_and_each_invalid_one_what_is_wrong(name):
    cases = INDEXES[name]["cases"]
    assert [each["file"] for each in cases if not each["why"].endswith(".")] == []
    assert [each["file"] for each in cases if each["valid"] != (not each["problems"])] == []
    assert {problem["code"] for each in cases for problem in each["problems"]} <= set(get_args(Code))


@of_each
def test_the_index_says_of_which_format_and_release_it_is_and_how_it_may_be_used(name):
    assert {each: INDEXES[name][each] for each in ("format_version", "histio_version", "license")} == {
        "format_version": published()["properties"]["version"]["const"],
        "histio_version": PROJECT["version"],
        "license": PROJECT["license"],
    }


def is_read_differently(case):
    return VALIDATOR.is_valid(read_exactly(case.text)) != VALIDATOR.is_valid(case.document)


def test_a_case_is_portable_unless_its_verdict_depends_on_the_parser():
    depending = [
        case.name
        for case in CASES
        if has_lone_surrogate(case.text) or has_repeated_name(case.text) or is_read_differently(case)
    ]
    assert [case.name for case in CASES if not case.portable] == depending


def test_no_two_documents_have_one_name():
    assert len({case.name for case in CASES}) == len(CASES)
