"""The gate is as strict as jsonschema, and is missed by none but the clock where a platform lacks it."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from histio import History
from histio.kinds import gate as contract
from histio.kinds.gate import Contract
from histio.kinds.json_schema import derive, published
from histio.schemas import BUNDLED
from histio.testing import documents, near_documents
from tests.support.bakery import document, production_run
from tests.support.streams import stream_of

KINDS = {"production_runs": "production_run", "assembly_runs": "assembly_run"}
CORPUS = sorted((Path(__file__).parents[1] / "documents").rglob("*.json"))
GATE = Contract(published())
VALIDATORS = {
    kind: Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": published()["$defs"]})
    for kind in KINDS.values()
}


def runs_of(given):
    """Whatever stands in the lists of a document, each with its kind."""
    lists = given if isinstance(given, dict) else {}
    found = [(kind, lists.get(name)) for name, kind in KINDS.items()]
    return [(kind, run) for kind, runs in found if isinstance(runs, list) for run in runs]


def judged_alike(kind, run):
    return GATE.takes(kind, run) == VALIDATORS[kind].is_valid(run)


def without_surrogates(run):
    """The gate refuses those, as marshmallow does; jsonschema sees none."""
    try:
        json.dumps(run, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError, ValueError):
        return False
    return True


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_gate_judges_the_corpus_as_jsonschema_does(path):
    runs = [each for each in runs_of(json.loads(path.read_text())) if without_surrogates(each[1])]
    assert [run for kind, run in runs if not judged_alike(kind, run)] == []


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [documents, near_documents], ids=["valid", "near"])
def test_the_gate_judges_what_is_made_up_as_jsonschema_does(drawn):
    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(drawn(History(), slugs={}))
    def alike(made_up):
        runs = [each for each in runs_of(made_up) if without_surrogates(each[1])]
        assert [run for kind, run in runs if not judged_alike(kind, run)] == []

    alike()


@pytest.mark.parametrize(
    ("rule", "alike"),
    [
        ({"type": "integer"}, False),
        ({"type": "integer", "minimum": 0, "maximum": 2**31}, True),
        ({"type": ["integer", "null"], "minimum": 0, "maximum": 2**63}, False),
        ({"type": "object"}, False),
        ({"$ref": "#/$defs/again"}, False),
        ({}, False),
        ({"type": ["string", "null"]}, True),
        ({"enum": ["a"]}, True),
        ({"type": "array", "items": {"type": "boolean"}}, True),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, True),
    ],
    ids=str,
)
def test_only_what_all_readers_read_alike_is_read_by_the_fast_one(rule, alike):
    schema = derive(BUNDLED)
    schema["$defs"]["again"] = {"type": "array", "items": {"$ref": "#/$defs/again"}}
    schema["$defs"]["production_run"] = {
        "type": "object",
        "properties": {"value": rule},
        "required": ["value"],
        "additionalProperties": False,
    }
    read = Contract(schema).read("production_run", b'{"value":1}')
    assert ("production_run" in Contract(schema)._read_alike) is alike
    assert read is None or alike


@pytest.fixture
def without_wheels(monkeypatch):
    """The contract as it is on a platform for which neither wheel was made."""
    for name in ("jsonschema_rs", "orjson"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr(contract, name, None)
    contract._tell_of_no_gate.cache_clear()
    yield
    contract._tell_of_no_gate.cache_clear()


def test_without_it_imports_are_the_same_and_it_is_said_once(sqlite, without_wheels, tmp_path, caplog):
    given = document(production_run(1), production_run(2, num_batches=0))
    (tmp_path / "runs.jsonl").write_bytes(stream_of(given))
    with caplog.at_level(logging.WARNING, "histio"):
        report = History(sqlite).import_file(tmp_path / "runs.jsonl")
        History(sqlite)
    assert (report.imported, report.rejected) == (1, 1)
    assert [problem.pointer for problem in report.problems] == ["/production_run/num_batches"]
    assert [record.message for record in caplog.records if "jsonschema-rs" in record.message] == [
        "jsonschema-rs is not installed: imports check runs with jsonschema, which takes far longer"
    ]


def test_the_contract_can_be_imported_without_it(monkeypatch):
    for name in ("jsonschema_rs", "orjson"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.find_spec("histio.kinds.gate")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert (made.jsonschema_rs, made.orjson) == (None, None)
