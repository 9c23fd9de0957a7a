"""The index of the shared documents says what is in the folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

from jsonschema import Draft202012Validator

from histio.kinds.json_schema import published
from histio.report import Code
from tests.support.corpus import (
    CASES,
    FOLDER,
    INDEX,
    has_lone_surrogate,
    has_repeated_name,
    read_exactly,
)

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
VALIDATOR = Draft202012Validator(published())


def test_the_index_names_every_file_of_the_folder_once():
    files = [path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*")]
    assert sorted(case.file for case in CASES) == sorted(files)


def test_a_case_is_called_like_its_file_in_the_folder_of_its_verdict():
    folders = {True: "valid", False: "invalid"}
    assert [case.file for case in CASES] == [f"{folders[case.valid]}/{case.name}.json" for case in CASES]
    assert len({case.name for case in CASES}) == len(CASES)


def test_each_case_says_why_and_each_invalid_one_what_is_wrong():
    assert [case.name for case in CASES if not case.why.endswith(".")] == []
    assert [case.name for case in CASES if case.valid != (not case.problems)] == []
    assert {code for case in CASES for _, code in case.problems} <= set(get_args(Code))


def test_the_index_says_of_which_format_and_release_it_is_and_how_it_may_be_used():
    assert {name: INDEX[name] for name in ("format", "version", "license")} == {
        "format": published()["properties"]["version"]["const"],
        "version": PROJECT["version"],
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
