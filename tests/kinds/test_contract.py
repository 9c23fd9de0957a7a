"""The published schema, marshmallow, histio and ajv say the same of every document.

The documents are those of ``tests/documents``. No portable pattern can exclude a lone surrogate, so JSON
Schema validators take it and histio does not.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sqlalchemy.orm import Session

from histio import History, Problem, create_engine
from histio.kinds.gate import Gate
from histio.kinds.json_schema import derive, published
from histio.models import Base
from histio.schemas import BUNDLED, BUNDLED_CATALOG
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    packaging,
    production_run,
    stock,
    unit_consumption,
)
from tests.support.corpus import CASES, INVALID, VALID, Case, has_lone_surrogate
from tests.support.effort import examples
from tests.support.fragments import FRAGMENTS
from tests.support.tools import ROOT, give_up

SCHEMA_FILE = ROOT / "schemas" / "history-1.0.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text("utf-8"))
SCHEMAS = (*BUNDLED_CATALOG, *BUNDLED)
MARSHMALLOW = {cls.Meta.kind: cls(load_instance=False, transient=True) for cls in SCHEMAS}


def validator(rule: dict[str, Any]) -> Draft202012Validator:
    """A validator for one *rule* of the published schema, which may refer to the others."""
    return Draft202012Validator({**rule, "$defs": SCHEMA["$defs"]})


JSONSCHEMA = {name: validator({"$ref": f"#/$defs/{name}"}) for name in SCHEMA["$defs"]}


SURROGATES = [case for case in INVALID if has_lone_surrogate(case.text)]
OTHERS = [case for case in INVALID if case not in SURROGATES]


Check = Callable[[object], list[Problem]]


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    """`History.check` on a stocked database. It writes nothing, so one database serves all tests."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(stock())
        session.commit()
    yield History(engine).check
    engine.dispose()


def for_each(*cases: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


# The published schema as a file.


def rules(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """*schema* and every schema within it."""
    yield schema
    for keyword in ("properties", "$defs"):
        for inner in schema.get(keyword, {}).values():
            yield from () if inner is False else rules(inner)
    for inner in schema.get("anyOf", ()):
        yield from rules(inner)
    for keyword in {"items", "not"} & schema.keys():
        yield from rules(schema[keyword])


RULES = list(rules(SCHEMA))
PROPERTIES = [
    (name, rule) for outer in RULES for name, rule in outer.get("properties", {}).items() if rule is not False
]


def test_the_published_file_is_what_the_marshmallow_schemas_say():
    derived = derive(BUNDLED, BUNDLED_CATALOG, identifier="urn:histio:history:1.0")
    assert SCHEMA_FILE.read_text("utf-8") == json.dumps(derived, indent=2) + "\n"
    assert published() == derived


def test_the_published_file_is_a_schema_of_draft_2020_12():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_the_published_schema_asserts_with_plain_keywords_only():
    shape = {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "uniqueItems",
        "const",
        "enum",
    }
    bounds = {"minimum", "maximum", "minLength", "maxLength", "pattern", "not", "anyOf"}
    words = {"$schema", "$id", "$defs", "$ref", "title", "description", "examples"}
    assert set().union(*RULES) <= shape | bounds | words


def test_every_object_is_closed():
    assert [
        rule for rule in RULES if rule.get("type") == "object" and rule["additionalProperties"] is not False
    ] == []


@pytest.mark.parametrize(("name", "rule"), PROPERTIES, ids=[name for name, _ in PROPERTIES])
def test_every_property_has_a_description_and_valid_examples_or_is_what_has_them(name, rule):
    described = SCHEMA["$defs"][name] if rule == {"$ref": f"#/$defs/{name}"} else rule
    assert described["description"].endswith(".")
    assert [list(validator(rule).iter_errors(shown)) for shown in described["examples"]] == [[]]


def test_a_title_is_the_name_of_a_type():
    entitled = [SCHEMA, *(rule for rule in SCHEMA["$defs"].values() if {"properties", "anyOf"} & rule.keys())]
    assert [rule for rule in RULES if "title" in rule] == entitled
    assert {rule["title"] for rule in entitled} == {
        "History",
        *(name.replace("_", " ").capitalize() for name, rule in SCHEMA["$defs"].items() if rule in entitled),
    }


def test_only_free_text_admits_a_trailing_newline():
    texts = [(name, rule) for name, rule in PROPERTIES if isinstance(rule.get("examples", [None])[0], str)]
    admitting = {name for name, rule in texts if validator(rule).is_valid(rule["examples"][0] + "\n")}
    assert admitting == {"$schema", "notes", "unit", "name", "display_name", "product_name", "unreadable"}


# The shared documents, judged by jsonschema, by marshmallow and by histio.


@for_each(*VALID)
def test_a_valid_document_is_valid_to_jsonschema_marshmallow_and_histio(case, check):
    gate = Gate(SCHEMA)
    assert list(Draft202012Validator(SCHEMA).iter_errors(case.document)) == []
    assert [MARSHMALLOW[kind].validate(record) for kind, record in case.runs] == [{}] * len(case.runs)
    assert gate.check_envelope(case.document) == []
    assert all(gate.accepts(kind, record) for kind, record in case.runs)
    assert [each for each in check(case.document) if each.severity == "error"] == []


@for_each(*INVALID)
def test_histio_names_everything_that_is_wrong_and_nothing_else(case, check):
    problems = check(case.document)
    named = [(each.pointer, each.code) for each in problems if each.severity == "error"]
    assert sorted(named) == sorted(case.problems)


@for_each(*OTHERS)
def test_an_invalid_document_is_invalid_to_jsonschema(case):
    assert not Draft202012Validator(SCHEMA).is_valid(case.document)


@for_each(*VALID, *OTHERS)
def test_marshmallow_and_jsonschema_agree_on_every_run(case):
    marshmallow = [MARSHMALLOW[kind].validate(record) == {} for kind, record in case.runs]
    assert marshmallow == [JSONSCHEMA[kind].is_valid(record) for kind, record in case.runs]


@for_each(*SURROGATES)
def test_a_lone_surrogate_is_valid_to_jsonschema_and_invalid_to_marshmallow(case):
    [(kind, record)] = case.runs
    assert JSONSCHEMA[kind].is_valid(record)
    assert MARSHMALLOW[kind].validate(record)


# Parts of the format, judged by jsonschema.


def test_a_definition_of_the_schema_accepts_what_it_describes_and_nothing_else():
    accepted = [each for each in FRAGMENTS if JSONSCHEMA[each.root].is_valid(json.loads(each.text))]
    assert [each for each in FRAGMENTS if each.valid] == accepted


# The same documents, judged by ajv.

Ajv = Callable[[list[str]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ajv() -> Ajv:
    """What ajv says of JSON texts."""
    folder = ROOT / "tests" / "validators"
    if shutil.which("node") is None or not (folder / "node_modules").exists():
        give_up("ajv is not installed: get Node 20 or newer and run `npm ci --prefix tests/validators`")

    def judge(texts: list[str]) -> list[dict[str, Any]]:
        command = ["node", str(folder / "explain.mjs"), str(SCHEMA_FILE)]
        ran = subprocess.run(
            command, input=json.dumps(texts), capture_output=True, encoding="utf-8", check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return judge


@pytest.fixture(scope="module")
def verdicts(ajv: Ajv) -> dict[str, dict[str, Any]]:
    """ajv's verdict on each shared document, by name."""
    return dict(zip([case.name for case in CASES], ajv([case.text for case in CASES]), strict=True))


@for_each(*VALID, *SURROGATES)
def test_ajv_accepts_a_valid_document_and_sees_no_lone_surrogate(case, verdicts):
    assert verdicts[case.name] == {"valid": True, "pointers": [], "alternatives": []}


@for_each(*OTHERS)
def test_ajv_refuses_an_invalid_document_at_the_same_places(case, verdicts):
    """The very same, but for "at least one of these members".

    There ajv names the object and each of the members; histio names the object, or the first of them.
    """
    verdict = verdicts[case.name]
    places, certain = {pointer for pointer, _ in case.problems}, set(verdict["pointers"])
    assert not verdict["valid"]
    assert certain <= places <= certain.union(verdict["alternatives"])


# What no JSON parser would give, or hardly any.


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = {
    "100,000 levels": nested(100_000),
    "5,000 digits": 10**5_000,
    "1 MB with a NUL": "\x00" + "x" * 2**20,
    "1 MB of digits": "1" * 2**20 + "\x00",
    "1 MB in a list": ["x" * 2**20],
    "1 MB of bytes": b"x" * 2**20,
    "many members": {f"member-{n}": n for n in range(2**13)},
    "tuple": (),
    "set": set(),
    "iterator": iter(()),
    "NaN": float("nan"),
    "infinity": float("-inf"),
    "decimal": Decimal(2),
    "datetime": dt.datetime(2025, 12, 8, tzinfo=dt.UTC),
    "object": object(),
    "integer as name": {1: "x"},
    "null as name": {None: "x", "uuid": 1},
    "1 MB as name": {"x" * 2**20: 1},
    "names of mixed types": {1: 1, "1": 1, (1, 2): 1, None: 1, b"1": 1, 1.5: 1},
    "name of marshmallow's": {"_schema": "x"},
}
PLACES: dict[str, Callable[[Any], Any]] = {
    "the document": lambda value: value,
    "the version": lambda value: document() | {"version": value},
    "exported_at": lambda value: document() | {"exported_at": value},
    "an unknown member": lambda value: document() | {"oven": value},
    "a list": lambda value: document() | {"production_runs": value},
    "a run": lambda value: document(production_run(1), value),
    "a uuid": lambda value: document(production_run(uuid=value)),
    "a slug": lambda value: document(production_run(recipe_slug=value)),
    "an integer": lambda value: document(production_run(num_batches=value)),
    "a decimal": lambda value: document(production_run(per_unit_cost=value)),
    "a timestamp": lambda value: document(production_run(produced_at=value)),
    "a text": lambda value: document(production_run(notes=value)),
    "an unknown member of a run": lambda value: document(production_run(oven=value)),
    "a ledger": lambda value: document(production_run(consumptions=value)),
    "an entry": lambda value: document(production_run(consumptions=[consumption(), value])),
    "a member of an entry": lambda value: document(production_run(consumptions=[consumption(unit=value)])),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_value_anywhere_gets_short_problems_and_no_exception(name, place, check):
    problems = check(place(HOSTILE[name]))
    assert {each.severity for each in problems} == {"error"}
    assert max(len(each.message) for each in problems) <= 500


@pytest.mark.parametrize("name", ["integer as name", "null as name", "names of mixed types"])
def test_a_member_whose_name_is_no_string_is_unknown(name, check):
    members = HOSTILE[name]
    problems = check(document(production_run() | members))
    assert {(each.pointer, each.code) for each in problems} == {
        (f"/production_runs/0/{name}", "schema") for name in members
    }


# Near the border: valid records with a member or two changed.

NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=60),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.integers(-(2**33), 2**33).map(float),
    st.decimals(allow_nan=False, places=4).map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes(timezones=st.timezones()).map(dt.datetime.isoformat),
    st.uuids().map(str),
    st.text("0123456789.-", max_size=12),
    st.text(" \x00\n\x7f\x85\xa0\u2003\u200bab", min_size=1, max_size=6),
    st.sampled_from(["x" * length for length in (50, 51, 200, 201)]),
)
ODD_CHARACTERS = st.sampled_from("\n\r\x00\x85\xa0\u2028 0.-+_eETZ:٣３") | st.characters(codec="utf-8")
BASES = [("production_run", production_run()), ("assembly_run", assembly_run())]


@st.composite
def respelled(draw: st.DrawFn, value: object) -> str:
    """*value* as text with one character more, or another."""
    text = str(value)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(ODD_CHARACTERS) + text[at + draw(st.integers(0, 1)) :]


@st.composite
def near_valid_records(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A kind and a record of it with one or two members changed, missing or unknown."""
    kind, record = copy.deepcopy(draw(st.sampled_from(BASES)))
    ledgers = [entries for entries in record.values() if isinstance(entries, list)]
    for _ in range(draw(st.integers(1, 2))):
        part = draw(st.sampled_from([record, *(entry for entries in ledgers for entry in entries)]))
        member = draw(st.sampled_from([*part, "unknown"]))
        value = part.pop(member, "")
        part |= draw(st.just({}) | st.fixed_dictionaries({member: NASTY | respelled(value)}))
    return kind, record


@pytest.mark.slow
@settings(max_examples=examples(300))
@given(near_valid_records())
@example(("production_run", production_run(consumptions={})))
@example(("assembly_run", assembly_run(packaging_consumptions=[packaging(product_slug=None)])))
@example(("assembly_run", assembly_run(finished_unit_consumptions=[unit_consumption(quantity_consumed=2.0)])))
def test_marshmallow_and_jsonschema_agree_on_whatever_is_near_a_valid_run(near):
    kind, record = near
    assert (MARSHMALLOW[kind].validate(record) == {}) is JSONSCHEMA[kind].is_valid(record)
