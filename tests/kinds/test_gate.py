"""The gate is as strict as jsonschema, and is missed by none but the clock where a platform lacks it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from histio import History
from histio.kinds.explain import Explainer
from histio.kinds.gate import Gate
from histio.kinds.json_schema import derive, published
from histio.schemas import BUNDLED
from histio.testing import documents, near_documents
from tests.support.bakery import document, production_run
from tests.support.corpus import CASES
from tests.support.streams import stream_of

KINDS = {"production_runs": "production_run", "assembly_runs": "assembly_run"}
GATE = Gate(published())
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
    return GATE.accepts(kind, run, decoded=True) == VALIDATORS[kind].is_valid(run)


def without_surrogates(run):
    """The gate refuses those, as marshmallow does; jsonschema sees none."""
    try:
        json.dumps(run, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError, ValueError):
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_gate_judges_the_corpus_as_jsonschema_does(case):
    runs = [each for each in runs_of(case.document) if without_surrogates(each[1])]
    assert [run for kind, run in runs if not judged_alike(kind, run)] == []


@pytest.mark.parametrize("drawn", [documents, near_documents], ids=["valid", "near"])
def test_the_gate_judges_what_is_made_up_as_jsonschema_does(drawn):
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
def test_a_kind_that_all_readers_read_alike_needs_no_look_at_its_texts(rule, alike):
    assert ("production_run" in gate_of(rule).text_kinds) is alike


def gate_of(rule):
    """A gate for runs with a single value."""
    schema = derive(BUNDLED)
    schema["$defs"]["again"] = {"type": "array", "items": {"$ref": "#/$defs/again"}}
    schema["$defs"]["production_run"] = {
        "type": "object",
        "properties": {"value": rule},
        "required": ["value"],
        "additionalProperties": False,
    }
    return Gate(schema)


@pytest.mark.parametrize(
    "value",
    [
        *("1234567890123456", "-0.1234567890123456", "[1e400]", '{"a": 1E2}', "[ 1.5e-7]"),
        *("NaN", "1.", '"\\ud800"', "[" * 300 + "]" * 300, '"a,1e5"'),
    ],
)
def test_any_json_that_readers_may_read_differently_is_left_to_pythons(value):
    assert gate_of({}).read("production_run", f'{{"value":{value}}}'.encode()) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@example(-0.0)
@example(-0)
@example(0.1)
@example({"a": ["\u0000", 123456789012345]})
def test_any_json_is_read_as_pythons_reader_does_or_not_at_all(value):
    text = json.dumps({"value": value}, ensure_ascii=False).encode("utf-8", "replace")
    read = gate_of({}).read("production_run", text)
    assert read is None or repr(read) == repr(json.loads(text))


WITHOUT_WHEELS = """
import json, logging, sys
sys.modules["jsonschema_rs"] = sys.modules["orjson"] = None
logging.basicConfig(format="%(message)s", stream=sys.stderr)
from histio import History
report = History(sys.argv[1]).import_file(sys.argv[2])
History(sys.argv[1])
print(json.dumps([report.imported, report.rejected, [problem.pointer for problem in report.problems]]))
"""


@pytest.mark.slow
def test_without_it_imports_are_the_same_and_it_is_said_once(sqlite, tmp_path):
    given = document(production_run(1), production_run(2, num_batches=0))
    (tmp_path / "runs.jsonl").write_bytes(stream_of(given))
    command = [sys.executable, "-c", WITHOUT_WHEELS, str(sqlite.url), str(tmp_path / "runs.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, 1, ["/production_run/num_batches"]]
    assert done.stderr.splitlines() == [
        "jsonschema-rs is not installed: imports check runs with jsonschema, which takes far longer"
    ]


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, True, "1", "true", [1], [True], {"a": 1}, {"a": True}, 1.5, "1.5", None, "None", {}, []], True),
        ([1, 1.0], False),
        ([True, True], False),
        ([[1, {"a": 2}], [1.0, {"a": 2.0}]], False),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
        (["a", "a"], False),
        ([n * (2**61 - 1) for n in range(2_000)], True),
    ],
)
def test_items_are_unique_as_jsonschema_says(items, unique):
    rule = {"uniqueItems": True}
    assert Explainer(rule).is_valid(items) == unique
    assert Draft202012Validator(rule).is_valid(items[:20]) == unique
