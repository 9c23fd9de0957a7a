"""Validators of several languages give the same verdict; where they do not, the documentation explains it."""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from histio.files import MAX_DEPTH
from histio.files.decoding import decode
from histio.kinds.json_schema import published
from tests.support.bakery import assembly_run, document, production_run, without
from tests.support.catalogs import STOCK
from tests.support.corpus import CASES, has_lone_surrogate, has_repeated_name, read_exactly
from tests.support.effort import examples
from tests.support.fragments import DEFINITIONS, FRAGMENTS, VALID_LINES
from tests.support.mutants import mutated, to_text
from tests.support.tools import ROOT, give_up

PROGRAMS = ROOT / "tests" / "validators"
MUTANTS = 5_000

Text = tuple[str, str]
"""The name of a definition, or "document", and a JSON text."""


# What is judged.


@functools.cache
def definition(name: str) -> dict[str, Any]:
    """The published schema, or a schema with one of its definitions as root."""
    schema = published()
    if name == "document":
        return schema
    used: dict[str, Any] = {}
    left = [name]
    while left:
        own = left.pop()
        used[own] = schema["$defs"][own]
        left += {*re.findall(r'"#/\$defs/(\w+)"', json.dumps(used[own]))} - used.keys()
    return {
        "$schema": schema["$schema"],
        "$id": f"{schema['$id']}:{name}",
        "$ref": f"#/$defs/{name}",
        "$defs": used,
    }


def in_draft_7(rule: Any, name: str = "") -> Any:
    """A *rule* that is the value of *name*, in the words that draft 7 has for the same."""
    if isinstance(rule, list):
        return [in_draft_7(each) for each in rule]
    if isinstance(rule, dict):
        return {"definitions" if each == "$defs" else each: in_draft_7(rule[each], each) for each in rule}
    return rule.replace("#/$defs/", "#/definitions/") if name == "$ref" else rule


DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.org/schema"}


BASES: list[tuple[str, Any]] = [
    ("document", document(production_run(1), production_run(2, notes=None), assembly=[assembly_run(3)])),
    ("document", document(without(production_run(), "created_at", "updated_at", "consumptions"))),
    ("document", {"version": "1.0", **STOCK}),
    ("document", {"version": "1.0", **STOCK, "assembly_runs": [assembly_run()]}),
    ("production_run", production_run()),
    ("assembly_run", assembly_run()),
    *(("stream_line", VALID_LINES[name]) for name in ("production run", "rejected run with its problems")),
    *(("stream_line", VALID_LINES[name]) for name in ("header", "trailer", "catalog row with a reference")),
    *(
        ("stream_line", VALID_LINES[name])
        for name in ("trailer of a stream with a catalog", "header of one kind")
    ),
    *(("receipt_line", line) for line in DEFINITIONS["receipt_line"][0]),
]
"""What is changed. New cases of the corpus do not change it, and so no number in the documentation."""


def mutants() -> Iterator[Text]:
    """JSON texts near valid documents and lines, always the same ones."""
    chance = random.Random(2020)
    while True:
        root, tree = chance.choice(BASES)
        text = to_text(chance, mutated(chance, tree))
        with suppress(ValueError):  # it is not JSON, not UTF-8, or nested too deeply
            decode(text, MAX_DEPTH)
            text.encode()
            yield root, text


@functools.cache
def texts(count: int) -> tuple[Text, ...]:
    """All documents, all fragments, and so many mutants."""
    documents = [("document", case.text) for case in CASES]
    fragments = [(each.root, each.text) for each in FRAGMENTS]
    return *documents, *fragments, *itertools.islice(mutants(), count)


PARTS = len(CASES), len(FRAGMENTS)
"""The number of documents and of fragments."""


# Who judges.


@dataclass(frozen=True)
class Validator:
    """A validator.

    Attributes:
        command: The program that asks it.
        needs: Its program, and the file or folder that shows that it is installed.
        package: What to install.
        only_draft_7: Whether it knows no newer draft.
    """

    command: tuple[str, ...]
    needs: tuple[str, Path]
    package: str
    only_draft_7: bool = False

    def is_installed(self) -> bool:
        program, path = self.needs
        return shutil.which(program) is not None and path.exists()

    def judge(self, given: tuple[Text, ...]) -> list[bool]:
        """Whether it accepts each of the texts; it does not if its parser refuses a text."""
        schemas = {name: definition(name) for name in {root: None for root, _ in given}}
        if self.only_draft_7:
            schemas = {name: in_draft_7(schema) | DRAFT_7 for name, schema in schemas.items()}
        ran = subprocess.run(
            self.command,
            input=json.dumps({"schemas": schemas, "texts": given}),
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=os.environ | {"GO111MODULE": "off", "GOPATH": str(GO)},
        )
        assert ran.returncode == 0, ran.stderr
        return [verdict is True for verdict in json.loads(ran.stdout)]


def from_npm(name: str, program: str = "judge.mjs") -> Validator:
    command = ("node", str(PROGRAMS / program), name)
    return Validator(command, ("node", PROGRAMS / "node_modules" / name), "npm ci --prefix tests/validators")


def from_pypi(name: str) -> Validator:
    return Validator((sys.executable, str(PROGRAMS / "judge.py"), name), (sys.executable, PROGRAMS), name)


def from_debian(program: str, suffix: str, path: Path, package: str, **options: Any) -> Validator:
    first, *others = program.split()
    command = (first, *others, str(PROGRAMS / f"judge.{suffix}"))
    return Validator(command, (first, path), f"Debian's package {package}", **options)


SHARE, GO = Path("/usr/share"), Path("/usr/share/gocode")
REFERENCE = from_pypi("jsonschema")
VALIDATORS = {
    "jsonschema-rs": from_pypi("jsonschema-rs"),
    "ajv": from_npm("ajv"),
    "@cfworker/json-schema": from_npm("@cfworker/json-schema"),
    "@exodus/schemasafe": from_npm("@exodus/schemasafe"),
    "@hyperjump/json-schema": from_npm("@hyperjump/json-schema"),
    "@sourcemeta/jsonschema": from_npm("@sourcemeta/jsonschema", "sourcemeta.mjs"),
    "JSON::Validator": from_debian("perl", "pl", SHARE / "perl5/JSON/Validator.pm", "libjson-validator-perl"),
    "json_schemer": from_debian(
        "ruby",
        "rb",
        SHARE / "rubygems-integration/all/gems/json_schemer-0.2.18",
        "ruby-json-schemer",
        only_draft_7=True,
    ),
    "gojsonschema": from_debian(
        "go run",
        "go",
        GO / "src/github.com/xeipuuv/gojsonschema",
        "golang-github-xeipuuv-gojsonschema-dev",
        only_draft_7=True,
    ),
}


@functools.cache
def disagreements(count: int) -> dict[str, list[int]]:
    """The indexes of the texts about which each validator that is installed disagrees with jsonschema."""
    given = texts(count)
    installed = {name: each for name, each in VALIDATORS.items() if each.is_installed()}
    with ThreadPoolExecutor(2) as pool:  # each waits for a process
        wanted, *found = pool.map(lambda each: each.judge(given), [REFERENCE, *installed.values()])
    return {
        name: [place for place, verdict in enumerate(verdicts) if verdict is not wanted[place]]
        for name, verdicts in zip(installed, found, strict=True)
    }


# Why they disagree.


def has_other_digits(root: str, text: str) -> bool:
    """Whether a number is an integer as a double and none exactly, or the other way round."""
    accepts = jsonschema.Draft202012Validator(definition(root)).is_valid
    return bool(accepts(json.loads(text)) != accepts(read_exactly(text)))


def numbers_of(text: str) -> list[float]:
    """All numbers in *text*."""
    found: list[float] = []
    note = lambda digits: found.append(float(digits))  # noqa: E731
    json.loads(text, parse_float=note, parse_int=note)
    return found


CAUSES: dict[str, Callable[[str, str], bool]] = {
    "surrogates": lambda _, text: has_lone_surrogate(text),
    "repeats": lambda _, text: has_repeated_name(text),
    "digits": has_other_digits,
    "size": lambda _, text: any(abs(number) >= 1e15 for number in numbers_of(text)),
}
"""What the column "about" of the table in the documentation may have."""


# What the documentation says.


@dataclass(frozen=True)
class Row:
    """A row of the table: how often a validator disagrees, and about what."""

    documents: int
    fragments: int
    mutants: int
    about: frozenset[str]


def count_of(cell: str) -> int:
    return int(cell.removeprefix("all").removeprefix(" but ").replace(",", "") or 0)


def read_table() -> dict[str, Row]:
    page = (ROOT / "docs" / "reference" / "format.md").read_text("utf-8")
    rows = re.findall(
        r"^\| \[(.*?)\] \|.*\| (all.*?) \| (all.*?) \| (all.*?) \| (.*?) ?\|$", page, re.MULTILINE
    )
    return {
        name: Row(*map(count_of, counts), frozenset(filter(None, about.split(", "))))
        for name, *counts, about in rows
    }


TABLE = read_table()


def test_every_validator_is_installed_and_in_the_table():
    assert list(TABLE) == list(VALIDATORS)
    lacking = [f"{name} ({each.package})" for name, each in VALIDATORS.items() if not each.is_installed()]
    [give_up(f"not installed: {', '.join(lacking)}") for _ in lacking[:1]]


@pytest.mark.slow
def test_validators_disagree_about_nothing_that_the_table_does_not_name():
    count = examples(MUTANTS)
    unexplained = {
        (name, texts(count)[place])
        for name, places in disagreements(count).items()
        for place in places
        if not any(CAUSES[about](*texts(count)[place]) for about in TABLE[name].about)
    }
    assert unexplained == set()


@pytest.mark.thorough
def test_the_table_says_on_how_many_texts_validators_agree():
    documents, fragments = PARTS
    found = {}
    for name, places in disagreements(MUTANTS).items():
        of_documents = sum(place < documents for place in places)
        of_mutants = sum(place >= documents + fragments for place in places)
        given = [texts(MUTANTS)[place] for place in places]
        about = {about for about in TABLE[name].about if any(CAUSES[about](*each) for each in given)}
        found[name] = Row(of_documents, len(places) - of_documents - of_mutants, of_mutants, frozenset(about))
    assert found == {name: TABLE[name] for name in found}


def test_the_page_says_how_many_texts_there_are():
    page = " ".join((ROOT / "docs" / "reference" / "format.md").read_text("utf-8").split())
    documents, fragments = PARTS
    assert f"the {documents} documents of the corpus, {fragments} fragments and {MUTANTS:,} mutants" in page


def test_the_table_has_the_installed_versions_of_the_packages_of_npm():
    lock = json.loads((PROGRAMS / "package-lock.json").read_text("utf-8"))["packages"]
    page = (ROOT / "docs" / "reference" / "format.md").read_text("utf-8")
    shown = dict(re.findall(r"^\| \[(.*?)\] \| ([0-9.]+) \|", page, re.MULTILINE))
    names = [
        name.removeprefix("node_modules/") for name in lock if name.removeprefix("node_modules/") in TABLE
    ]
    assert [
        name for name in names if not lock[f"node_modules/{name}"]["version"].startswith(shown[name] + ".")
    ] == []
