"""The OpenAPI document of a format says what its JSON Schema says, and linters have nothing against it."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from referencing.jsonschema import DRAFT202012

from histio import History
from histio.kinds.json_schema import published
from histio.kinds.openapi import to_openapi
from histio.testing import near_documents
from tests.support import shop
from tests.support.corpus import CASES, has_lone_surrogate
from tests.support.effort import examples
from tests.support.fragments import FRAGMENTS
from tests.support.tools import ROOT, need_npm

LINTERS = ROOT / "tests" / "openapi"

# A format with whatever JSON Schema allows the field of a host: resources, anchors and definitions in
# definitions, which refer to each other and to themselves, and names that are keywords or that OpenAPI lacks.
ODD: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:histio:history:3.0:plan",
    "title": "History",
    "description": "Plans.",
    "type": "object",
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "3.0"},
        "plans": {"type": "array", "items": {"$ref": "#/$defs/plan"}},
    },
    "additionalProperties": False,
    "$defs": {
        "History": {"type": "object", "properties": {"of": {"$ref": "#"}}, "additionalProperties": False},
        "größe": {"type": "integer", "minimum": 1},
        "gr__e": {"enum": ["S", "L"]},
        "never": False,
        "plan": {
            "type": "object",
            "properties": {
                "größe": {"$ref": "#/$defs/gr%C3%B6%C3%9Fe"},
                "size": {"$ref": "#/$defs/gr__e"},
                "a/b~c d%": {"type": "boolean"},
                "same": {"$ref": "#/$defs/plan/properties/a~1b~0c%20d%25"},
                "not": {"$ref": "#/$defs/never"},
                "$ref": {"const": "#/$defs/never"},
                "$id": {"type": "array", "examples": [[{"$ref": "#/$defs/never", "$id": "urn:x"}]]},
                "earlier": {"$ref": "#/$defs/History"},
                "tree": {
                    "$id": "https://example.com/forest/tree",
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "$ref": "#node",
                    "$defs": {
                        "plan": {
                            "$anchor": "node",
                            "type": "object",
                            "properties": {
                                "children": {"type": "array", "items": {"$ref": "#/$defs/plan"}},
                                "leaf": {"$ref": "leaf"},
                                "size": {"$ref": "urn:histio:history:3.0:plan#/$defs/gr__e"},
                            },
                            "unevaluatedProperties": False,
                        },
                        "leaf": {
                            "$id": "leaf",
                            "type": ["object", "null"],
                            "properties": {"of": {"$ref": "tree#node"}, "same": {"$ref": "#"}},
                            "additionalProperties": {"$ref": "tree#/$defs/plan/properties/size"},
                        },
                    },
                },
            },
            "patternProperties": {"^x-": {"$ref": "#/$defs/gr__e"}},
            "dependentSchemas": {"size": {"not": {"required": ["größe"]}}},
            "additionalProperties": False,
        },
    },
}
PLANS = {
    "valid": [
        {"größe": 1},
        {"size": "L", "x-1": "S"},
        {"a/b~c d%": True, "same": False},
        {"$ref": "#/$defs/never", "$id": [{"$ref": 1}]},
        {"earlier": {"of": {"$schema": "", "plans": [{"earlier": {}}]}}},
        {"tree": {"children": [{"children": [], "size": "S"}], "leaf": {"of": {"leaf": None}, "more": "L"}}},
        {"tree": {"leaf": {"same": {"same": None}}}},
    ],
    "invalid": [
        {"größe": 0},
        {"gr__e": "L"},
        {"size": 1},
        {"size": "L", "größe": 1},
        {"x-1": "M"},
        {"same": 1},
        {"not": 1},
        {"$ref": "#/$defs/plan"},
        {"$id": {}},
        {"earlier": {"of": {"plans": [{"earlier": {"size": "L"}}]}}},
        {"tree": {"children": [{"children": [{"größe": 1}]}]}},
        {"tree": {"size": "M"}},
        {"tree": {"leaf": {"of": {"leaf": 1}}}},
        {"tree": {"leaf": {"more": "M"}}},
        {"tree": {"leaf": {"same": {"same": 1}}}},
    ],
}

SHOP = History(None, shop.OrderSchema)
SCHEMAS = {"bundled": published(), "shop": SHOP.json_schema(), "odd": ODD}
DOCUMENTS = {name: to_openapi(copy.deepcopy(schema)) for name, schema in SCHEMAS.items()}


def validator(name: str, component: str = "History") -> Draft202012Validator:
    """What validates by a component, with the whole document as the resource."""
    return Draft202012Validator(DOCUMENTS[name] | {"$ref": f"#/components/schemas/{component}"})


def schemas_in(schema: Any) -> Iterator[Any]:
    """*schema* and every schema in it."""
    yield schema
    for inner in DRAFT202012.subresources_of(schema):
        yield from schemas_in(inner)


# The same verdicts.


def test_the_component_of_the_root_accepts_and_rejects_the_shared_documents():
    of_root = validator("bundled")
    verdicts = {case.name: of_root.is_valid(case.document) for case in CASES}
    assert verdicts == {case.name: case.valid or has_lone_surrogate(case.text) for case in CASES}


def test_the_component_of_a_definition_accepts_and_rejects_what_the_definition_does():
    validators = {each.root: validator("bundled", each.root) for each in FRAGMENTS}
    of_json = [(each, validators[each.root].is_valid(json.loads(each.text))) for each in FRAGMENTS]
    assert [each for each, verdict in of_json if verdict != each.valid] == []


@pytest.mark.slow
@settings(max_examples=examples(100))
@given(near_documents(SHOP))
def test_the_components_of_a_host_agree_with_its_schema_near_a_valid_document(document):
    expected = Draft202012Validator(SCHEMAS["shop"]).is_valid(document)
    assert validator("shop").is_valid(document) is expected


@pytest.mark.parametrize("verdict", PLANS)
def test_components_agree_with_a_schema_of_nested_resources(verdict):
    documents = [{"version": "3.0", "plans": [plan]} for plan in PLANS[verdict]]
    assert {Draft202012Validator(ODD).is_valid(each) for each in documents} == {verdict == "valid"}
    assert {validator("odd").is_valid(each) for each in documents} == {verdict == "valid"}


# The form.


def test_a_history_returns_the_document_of_its_own_format():
    for history, name in [(History(), "bundled"), (SHOP, "shop")]:
        assert history.json_schema(openapi=True) == DOCUMENTS[name]
        assert history.json_schema() == SCHEMAS[name]


def test_every_definition_is_a_component_with_the_same_name_if_openapi_allows_that():
    for name in ("bundled", "shop"):
        schemas = DOCUMENTS[name]["components"]["schemas"]
        assert list(schemas) == ["History", *SCHEMAS[name]["$defs"]]
    odd = DOCUMENTS["odd"]["components"]["schemas"]
    assert [*odd] == ["History", "History_2", "gr__e", "gr__e_2", "never", "plan", "plan_2", "leaf"]
    assert odd["never"] == {"not": {}}  # linters take no booleans for components


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_component_is_a_resource_of_its_own_or_has_definitions(name):
    components = DOCUMENTS[name]["components"]["schemas"].values()
    objects = [each for component in components for each in schemas_in(component) if isinstance(each, dict)]
    assert [each for each in objects if {"$id", "$schema", "$defs", "$anchor"} & each.keys()] == []
    references = {each["$ref"] for each in objects if "$ref" in each}
    assert {
        reference for reference in references if not reference.startswith("#/components/schemas/")
    } == set()


def test_titles_descriptions_and_examples_stay():
    kept = {"title", "description", "examples", "pattern", "enum", "const"}

    def noted(schemas: Any) -> Counter[str]:
        objects = [each for each in schemas if isinstance(each, dict)]
        return Counter(f"{word}: {each[word]}" for each in objects for word in kept & each.keys())

    components = DOCUMENTS["bundled"]["components"]["schemas"].values()
    moved = noted(each for component in components for each in schemas_in(component))
    assert moved == noted(schemas_in(SCHEMAS["bundled"]))


@pytest.mark.parametrize("name", ["bundled", "shop"])
def test_examples_are_valid(name):
    schemas = [each for each in schemas_in(SCHEMAS[name]) if isinstance(each, dict) and "examples" in each]
    invalid = [
        each
        for each in schemas
        if not all(
            map(Draft202012Validator(each | {"$defs": SCHEMAS[name]["$defs"]}).is_valid, each["examples"])
        )
    ]
    assert (invalid, schemas != []) == ([], True)


def test_a_reference_to_another_document_stays():
    rule = {"$id": "https://example.com/a/b", "anyOf": [{"$ref": "c#/d"}, {"$ref": "urn:x"}, {"$ref": "#e"}]}
    schema = ODD | {"$defs": {"plan": rule}}
    [*references] = to_openapi(schema)["components"]["schemas"]["plan"]["anyOf"]
    expected = ["https://example.com/a/c#/d", "urn:x#", "https://example.com/a/b#e"]
    assert [each["$ref"] for each in references] == expected


# Linters. Each reads all documents at once, because starting takes most of its time.

LINTED = ("bundled", "shop")


@pytest.fixture(scope="module")
def lint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a linter over the documents, and returns what it prints."""
    folder = tmp_path_factory.mktemp("openapi")
    for name in LINTED:
        folder.joinpath(f"{name}.json").write_text(json.dumps(DOCUMENTS[name]), "utf-8")

    def lint(linter: str, *options: str) -> str:
        quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
        ran = subprocess.run(
            [need_npm(LINTERS, linter), "lint", *options, *(f"{name}.json" for name in LINTED)],
            cwd=folder,
            env=os.environ | quiet,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return lint


UNUSED = ["History", "manifest", "receipt_line", "stream_line"]
"""To these components, nothing in the document refers: they are for the paths of a service."""


@pytest.mark.slow
def test_redocly_finds_no_errors_and_warns_only_of_what_a_service_adds(lint):
    printed = lint("redocly", "--format=github-actions")
    bundled = re.findall(r"^::(\w+) title=([\w-]+),file=bundled.json.*::(.*?)%0A", printed, re.MULTILINE)
    assert sorted(bundled) == [
        ("warning", "info-license", "Info object should contain `license` field."),
        *(("warning", "no-unused-components", f'Component: "{name}" is never used.') for name in UNUSED),
    ]


@pytest.mark.slow
def test_spectral_finds_no_errors_and_warns_only_of_what_a_service_adds(lint):
    told = json.loads(lint("spectral", "--format=json", f"--ruleset={LINTERS / 'spectral.json'}", "--quiet"))
    bundled = [(each["code"], each["path"][-1]) for each in told if each["source"].endswith("bundled.json")]
    assert bundled == [("info-contact", "info"), *(("oas3-unused-component", name) for name in UNUSED)]
