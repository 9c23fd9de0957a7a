"""The types of records have the members of the published schema, required and nullable alike."""

import inspect
import types
import typing

import pytest

import histio
from histio import typing as records
from histio.kinds.json_schema import published

SCHEMA = published()
TYPES = {
    "ingredient": records.IngredientRecord,
    "recipe": records.RecipeRecord,
    "finished_unit": records.FinishedUnitRecord,
    "finished_good": records.FinishedGoodRecord,
    "product": records.ProductRecord,
    "production_run": records.ProductionRunRecord,
    "production_consumption": records.ProductionConsumptionRecord,
    "assembly_run": records.AssemblyRunRecord,
    "assembly_finished_unit_consumption": records.AssemblyFinishedUnitConsumptionRecord,
    "assembly_packaging_consumption": records.AssemblyPackagingConsumptionRecord,
}
PYTHON = {"string": str, "integer": int, "null": types.NoneType}


def python_type(rule):
    """The type of the values that a JSON Schema accepts."""
    rule = resolved(rule)
    if "const" in rule:
        return str
    if rule["type"] == "array":
        name = rule["items"]["$ref"].removeprefix("#/$defs/")
        return list[TYPES[name]]
    names = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    return typing.Union[*(PYTHON[name] for name in names)]


def resolved(rule):
    name = rule.get("$ref", "").removeprefix("#/$defs/")
    return resolved(SCHEMA["$defs"][name]) if name else rule


CASES = [(records.HistoryDocument, SCHEMA), *((each, SCHEMA["$defs"][name]) for name, each in TYPES.items())]


@pytest.mark.parametrize(("record", "rule"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_record_has_the_members_of_the_published_schema_in_their_order(record, rule):
    hints = typing.get_type_hints(record)
    assert list(hints.items()) == [(name, python_type(each)) for name, each in rule["properties"].items()]


@pytest.mark.parametrize(("record", "rule"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_record_requires_what_the_published_schema_requires(record, rule):
    assert required_of(record) == set(rule["required"])


def required_of(record):
    return {
        name
        for name, hint in typing.get_type_hints(record, include_extras=True).items()
        if typing.get_origin(hint) is not typing.NotRequired
    }


def test_every_record_type_is_public():
    names = {record.__name__ for record, _ in CASES}
    assert names <= set(histio.__all__)


@pytest.mark.parametrize(
    ("record", "lists"),
    [
        (records.CompleteHistory, {"production_runs", "assembly_runs"}),
        (records.ProductionHistory, {"production_runs"}),
        (records.AssemblyHistory, {"assembly_runs"}),
    ],
)
def test_an_exported_document_has_the_members_of_documents_and_always_its_lists_of_runs(record, lists):
    members = typing.get_type_hints(records.HistoryDocument)
    assert typing.get_type_hints(record).items() <= members.items()
    assert required_of(record) == {"version", "exported_at", *lists}


OPTIONS = [
    (records.DocumentOptions, histio.History.export_document, {"kinds"}),
    (records.IterationOptions, histio.History.iter_runs, {"kind"}),
]


@pytest.mark.parametrize(("options", "method", "others"), OPTIONS, ids=["export_document", "iter_runs"])
def test_the_overloads_of_a_method_have_its_options(options, method, others):
    assert list(options.__annotations__) == [
        name for name in inspect.signature(method).parameters if name not in {"self", *others}
    ]


MANIFESTS = [
    (records.ManifestRecord, SCHEMA["$defs"]["manifest"]),
    (records.ManifestPartRecord, SCHEMA["$defs"]["manifest"]["properties"]["parts"]["items"]),
    (
        records.ManifestPlace,
        SCHEMA["$defs"]["manifest"]["properties"]["parts"]["items"]["properties"]["first"],
    ),
]


@pytest.mark.parametrize(("record", "rule"), MANIFESTS, ids=[record.__name__ for record, _ in MANIFESTS])
def test_the_types_of_a_manifest_have_its_members(record, rule):
    members = typing.get_type_hints(record, include_extras=True)
    required = [name for name, hint in members.items() if typing.get_origin(hint) is not typing.NotRequired]
    assert members.keys() == rule["properties"].keys()
    assert sorted(required) == sorted(rule["required"])
