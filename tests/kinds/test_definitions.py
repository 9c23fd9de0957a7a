"""The JSON Schema of a host's field may have definitions of its own, which refer to each other."""

from __future__ import annotations

import copy
import io
import json
import re
from typing import Any

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow import fields
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import histio
from histio import BindingError, History
from histio.kinds.definitions import lift_definitions
from tests.support.bakery import number


class Base(DeclarativeBase):
    pass


class Plan(Base):
    __tablename__ = "plans"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36))
    tree: Mapped[Any] = mapped_column(sa.JSON)


# A tree whose nodes have a slug and children; names are those of other definitions.
NODE = {
    "type": "object",
    "properties": {
        "slug": {"$ref": "#/$defs/slug"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/header"}},
    },
    "required": ["slug"],
    "additionalProperties": False,
}
DEFINITIONS = {"header": NODE, "slug": {"type": "string", "maxLength": 3}}
PARTS = {
    "slug": DEFINITIONS["slug"],
    "children": {"type": "array", "items": {"$ref": "#/$defs/header/anyOf/1"}},
}
RULES = {
    "as pydantic writes it": {"$defs": DEFINITIONS, "$ref": "#/$defs/header"},
    "with members beside the reference": {
        "$ref": "#/$defs/header",
        "description": "A tree.",
        "$defs": DEFINITIONS,
    },
    "with a URI": {"$id": "https://example.com/tree", "$ref": "tree#/$defs/header", "$defs": DEFINITIONS},
    "with an anchor": {"$defs": DEFINITIONS | {"header": {"$anchor": "node"} | NODE}, "$ref": "#node"},
    "with a path into a definition": {
        "$ref": "#/$defs/header/anyOf/1",
        "$defs": {
            "header": {"anyOf": [False, NODE | {"properties": PARTS}]},
            "slug": {"not": {"maxLength": 2}},
        },
    },
    "as its own root": {
        "$id": "urn:example:tree",
        **NODE,
        "properties": {
            "slug": {"maxLength": 3, "type": "string"},
            "children": {"items": {"$ref": "#"}, "type": "array"},
        },
    },
}
VALID = [{"slug": "a"}, {"slug": "abc", "children": [{"slug": "b", "children": []}, {"slug": ""}]}]
INVALID = [
    {},
    {"slug": "abcd"},
    {"slug": "a", "children": [{"slug": "b", "children": [{"slug": 1}]}]},
    {"slug": "a", "header": {}},
    {"slug": "a", "children": {}},
]


def history_of(rule: dict[str, Any], bind: Any = None, **options: Any) -> History:
    class PlanSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Plan, "plan", "plans", None

        uuid = histio.RunUUID(required=True)
        tree = fields.Raw(required=True, metadata={"json_schema": copy.deepcopy(rule)}, **options)

    return History(bind, PlanSchema)


def plans(*trees: Any) -> dict[str, Any]:
    return {"version": "1.0", "plans": [{"uuid": number(n), "tree": tree} for n, tree in enumerate(trees, 1)]}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_schema_says_what_the_rule_says_and_histio_too(rule):
    history = history_of(rule)
    schema, openapi = history.json_schema(), history.json_schema(openapi=True)
    verdicts = [
        Draft202012Validator(schema).is_valid,
        Draft202012Validator(openapi | {"$ref": "#/components/schemas/History"}).is_valid,
        lambda given: not list(histio.check_file(io.BytesIO(json.dumps(given).encode()), history=history)),
    ]
    for verdict in verdicts:
        assert [verdict(plans(tree)) for tree in VALID] == [True] * len(VALID)
        assert [verdict(plans(tree)) for tree in INVALID] == [False] * len(INVALID)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_all_definitions_are_those_of_the_whole_schema(rule):
    schema = history_of(rule).json_schema()
    assert {name for name in schema["$defs"] if name.startswith("plan.")} >= {"plan.tree"}
    assert json.dumps(schema["$defs"]).count('"$id"') == json.dumps(schema["$defs"]).count('"$defs"') == 0
    assert schema["$defs"]["header"]["properties"].keys() > {"version", "kinds"}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_null_is_allowed_where_the_field_allows_it(rule):
    validator = Draft202012Validator(history_of(rule, allow_none=True).json_schema())
    assert validator.is_valid(plans(None, *VALID))
    assert {validator.is_valid(plans(None, each)) for each in INVALID} == {False}


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/nothing", "#/nothing", "#", "#anchor", "other.json", "https://example.com/#/$defs/plan"],
)
def test_a_reference_to_what_is_not_there_is_an_error_of_the_binding(reference):
    with pytest.raises(BindingError, match=rf"plan.* refers to .*{re.escape(reference)}, which is not in it"):
        history_of({"type": "array", "items": {"$ref": reference}})


def test_a_rule_may_refer_to_definitions_of_the_format():
    schema = Draft202012Validator(history_of({"$ref": "#/$defs/uuid"}).json_schema())
    assert [schema.is_valid(plans(tree)) for tree in (number(1), "1")] == [True, False]


def test_runs_with_such_a_field_come_in_and_go_out_again(sqlite_of):
    history = history_of(RULES["as pydantic writes it"], sqlite_of(Base.metadata))
    report = history.import_document(plans(*VALID, INVALID[2]))
    assert (report.imported, report.rejected) == (2, 1)
    assert [each.pointer for each in report.problems] == ["/plans/2/tree/children/0/children/0/slug"]
    assert history.export_document()["plans"] == plans(*VALID)["plans"]


def test_equal_rules_of_one_name_share_their_definitions_and_others_get_names_of_their_own():
    definitions: dict[str, Any] = {}
    rule = {"$id": "urn:example:tree", "$ref": "#/$defs/header", "$defs": DEFINITIONS}
    wider = rule | {"$defs": DEFINITIONS | {"slug": {"type": "string"}}}
    given = [rule, rule, wider, rule]
    references = [lift_definitions(each, name="plan.tree", definitions=definitions)["$ref"] for each in given]
    assert [each.removeprefix("#/$defs/plan.") for each in references] == ["tree", "tree", "tree_2", "tree"]
    assert list(definitions) == [
        *("plan.tree", "plan.tree.header", "plan.tree.slug"),
        *("plan.tree_2", "plan.tree.header_2", "plan.tree.slug_2"),
    ]
    assert rule["$defs"] == DEFINITIONS
