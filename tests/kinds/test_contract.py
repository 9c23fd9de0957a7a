"""The published schema, marshmallow, histio and ajv say the same of every document.

The documents are those of ``tests/documents``. No portable pattern can exclude a lone surrogate, so JSON
Schema validators take it and histio does not.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
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

HERE = Path(__file__).parents[1]
SCHEMA_FILE = HERE.parent / "schemas" / "history-1.0.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text("utf-8"))
SCHEMAS = (*BUNDLED_CATALOG, *BUNDLED)
MARSHMALLOW = {cls.Meta.kind: cls(load_instance=False, transient=True) for cls in SCHEMAS}


def validator(rule: dict[str, Any]) -> Draft202012Validator:
    """A validator for one *rule* of the published schema, which may refer to the others."""
    return Draft202012Validator({**rule, "$defs": SCHEMA["$defs"]})


JSONSCHEMA = {name: validator({"$ref": f"#/$defs/{name}"}) for name in (*MARSHMALLOW, "stream_line")}


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
            yield from () if inner is True else rules(inner)
    for keyword in ("anyOf", "allOf"):
        for inner in schema.get(keyword, ()):
            yield from rules(inner)
    for keyword in {"items", "not"} & schema.keys():
        yield from rules(schema[keyword])


RULES = list(rules(SCHEMA))
PROPERTIES = [
    (name, rule) for outer in RULES for name, rule in outer.get("properties", {}).items() if rule is not True
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
    bounds = {"minimum", "maximum", "minLength", "maxLength", "pattern", "not", "anyOf", "allOf"}
    words = {"$schema", "$id", "$defs", "$ref", "title", "description", "examples"}
    assert set().union(*RULES) <= shape | bounds | words


def test_every_object_is_closed():
    assert [
        rule for rule in RULES if rule.get("type") == "object" and rule["additionalProperties"] is not False
    ] == []


@pytest.mark.parametrize(("name", "rule"), PROPERTIES, ids=[name for name, _ in PROPERTIES])
def test_every_property_has_a_title_a_description_and_valid_examples(name, rule):
    assert rule["title"]
    assert rule["description"].endswith(".")
    assert [list(validator(rule).iter_errors(shown)) for shown in rule["examples"]] == [[]]


def test_only_free_text_admits_a_trailing_newline():
    texts = [(name, rule) for name, rule in PROPERTIES if isinstance(rule["examples"][0], str)]
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


# The lines of a stream.

SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
TIME = "2025-12-09T12:00:00Z"
HEADER = {"version": "1.0", "exported_at": TIME, "kinds": ["production_run", "assembly_run"]}
TRAILER = {"counts": {"production_run": 1, "assembly_run": 0}, "sha256": SHA256, "header_sha256": SHA256}
CATALOG = [cls.Meta.kind for cls in BUNDLED_CATALOG]
RECIPE = {"slug": "cookies", "name": "Cookies"}
UNIT = {"slug": "cookie", "display_name": "Cookie", "recipe_slug": "cookies"}
PROBLEM = {"code": "schema", "message": "Missing.", "pointer": "/production_run/uuid"}

VALID_LINES = {
    "header": {"header": HEADER},
    "shortest header": {"header": {"version": "1.0"}},
    "header of a stream without trailer": {"header": HEADER | {"sealed": False}},
    "header with a predecessor": {"header": HEADER | {"follows": SHA256}},
    "header of one kind": {"header": HEADER | {"kinds": ["assembly_run"]}},
    "trailer": {"trailer": TRAILER},
    "trailer of one kind": {"trailer": TRAILER | {"counts": {"assembly_run": 5_000_000_000}}},
    "trailer of an empty stream": {"trailer": TRAILER | {"counts": {"production_run": 0}}},
    "trailer of no kind": {"trailer": TRAILER | {"counts": {}}},
    "production run": {"production_run": production_run()},
    "assembly run": {"assembly_run": assembly_run()},
    "rejected run with its problems": {"production_run": production_run(), "problems": [PROBLEM]},
    "header of a stream with a catalog": {"header": HEADER | {"catalog": CATALOG}},
    "header of a stream with a catalog of one kind": {"header": {"version": "1.0", "catalog": ["product"]}},
    "header of an empty catalog": {"header": HEADER | {"catalog": []}},
    "trailer of a stream with a catalog": {
        "trailer": TRAILER | {"counts": dict.fromkeys(CATALOG, 3), "catalog_sha256": SHA256}
    },
    "catalog row": {"recipe": RECIPE},
    "catalog row with a reference": {"finished_unit": UNIT},
    "rejected catalog row with its problems": {"recipe": RECIPE, "problems": [PROBLEM]},
    "rejected run without problems": {"problems": [], "assembly_run": assembly_run()},
    "unreadable line kept among rejects": {"unreadable": '{"production_run": ', "problems": [PROBLEM]},
    "unreadable line without problems": {"unreadable": ""},
    "header with a predecessor without runs": {
        "header": HEADER | {"follows": SHA256, "follows_header": SHA256}
    },
    "trailer with the largest count": {"trailer": TRAILER | {"counts": {"assembly_run": 2**53 - 1}}},
    "trailer with a count as double": {"trailer": TRAILER | {"counts": {"assembly_run": 1.0}}},
}
INVALID_LINES = {
    "nothing": {},
    "no object": [production_run()],
    "bare run": production_run(),
    "document": document(production_run()),
    "two kinds": {"production_run": production_run(), "assembly_run": assembly_run()},
    "header and trailer": {"header": HEADER, "trailer": TRAILER},
    "header with problems": {"header": HEADER, "problems": []},
    "problems alone": {"problems": [PROBLEM]},
    "problems as text": {"assembly_run": assembly_run(), "problems": "Missing."},
    "problems as object": {"production_run": production_run(), "problems": PROBLEM},
    "unknown kind": {"sale": {"uuid": SHA256}},
    "unknown member beside a run": {"production_run": production_run(), "comment": ""},
    "unreadable line as null": {"unreadable": None},
    "unreadable line beside a run": {"unreadable": "{", "production_run": production_run()},
    "run as null": {"production_run": None},
    "run as list": {"assembly_run": [assembly_run()]},
    "header as null": {"header": None},
    "trailer as text": {"trailer": SHA256},
    "run that is invalid": {"production_run": production_run(num_batches="2")},
    "run of the other kind": {"assembly_run": production_run()},
    "header without version": {"header": {"exported_at": TIME}},
    "header of a newer version": {"header": HEADER | {"version": "1.1"}},
    "header with an unknown member": {"header": HEADER | {"count": 2}},
    "header with a malformed time": {"header": HEADER | {"exported_at": "2025-12-09"}},
    "header with an unknown kind": {"header": HEADER | {"kinds": ["sale"]}},
    "header with a kind twice": {"header": HEADER | {"kinds": ["assembly_run", "assembly_run"]}},
    "header with kinds as text": {"header": HEADER | {"kinds": "assembly_run"}},
    "header with sealed as text": {"header": HEADER | {"sealed": "false"}},
    "header with sealed as number": {"header": HEADER | {"sealed": 0}},
    "header with a run's kind in its catalog": {"header": HEADER | {"catalog": ["production_run"]}},
    "header with a catalog kind among the runs": {"header": HEADER | {"kinds": ["recipe"]}},
    "header with a catalog kind twice": {"header": HEADER | {"catalog": ["recipe", "recipe"]}},
    "header with the catalog as text": {"header": HEADER | {"catalog": "recipe"}},
    "header with the catalog as null": {"header": HEADER | {"catalog": None}},
    "header with the names of lists": {"header": HEADER | {"catalog": ["recipes"]}},
    "catalog row that is invalid": {"recipe": {"slug": "cookies"}},
    "catalog row of another kind": {"recipe": UNIT},
    "catalog row and run": {"recipe": RECIPE, "production_run": production_run()},
    "two catalog rows": {"recipe": RECIPE, "finished_unit": UNIT},
    "catalog rows as list": {"recipe": [RECIPE]},
    "trailer without counts": {"trailer": {"sha256": SHA256, "header_sha256": SHA256}},
    "trailer without digest": {"trailer": {"counts": {}, "header_sha256": SHA256}},
    "trailer without the header's digest": {"trailer": {"counts": {}, "sha256": SHA256}},
    "trailer with an unknown member": {"trailer": TRAILER | {"md5": ""}},
    "trailer with counts as list": {"trailer": TRAILER | {"counts": [1, 1]}},
    "trailer with the count of an unknown kind": {"trailer": TRAILER | {"counts": {"sale": 1}}},
    **{
        f"{kind} counted as {count!r}": {"trailer": TRAILER | {"counts": {kind: count}}}
        for kind in MARSHMALLOW
        for count in (-1, 0.5, 2**53, True, "1", None)
    },
    **{
        f"{name} with {fault}": {part: members | {name: digest}}
        for part, name, members in [
            ("header", "follows", HEADER),
            ("header", "follows_header", HEADER),
            ("trailer", "sha256", TRAILER),
            ("trailer", "header_sha256", TRAILER),
            ("trailer", "catalog_sha256", TRAILER),
        ]
        for fault, digest in [
            ("capitals", SHA256.upper()),
            ("63 digits", SHA256[1:]),
            ("65 digits", SHA256 + "0"),
            ("a trailing newline", SHA256 + "\n"),
            ("a newline as its last digit", SHA256[1:] + "\n"),
            ("unicode digits", SHA256.replace("2", "\u0662")),
            ("null", None),
            ("a number", 0),
        ]
    },
}


@pytest.mark.parametrize("line", VALID_LINES.values(), ids=VALID_LINES)
def test_a_line_of_a_stream_is_a_header_a_catalog_row_a_run_or_a_trailer(line):
    assert list(JSONSCHEMA["stream_line"].iter_errors(line)) == []


@pytest.mark.parametrize("line", INVALID_LINES.values(), ids=INVALID_LINES)
def test_any_other_line_is_refused(line):
    assert not JSONSCHEMA["stream_line"].is_valid(line)


# The same documents and lines, judged by ajv.

Ajv = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ajv() -> Ajv:
    """What ajv says of JSON texts, by the published schema or by one of its definitions."""
    folder = HERE / "ajv"
    if shutil.which("node") is None or not (folder / "node_modules").exists():
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("ajv is not installed: get Node 20 or newer and run `npm ci --prefix tests/ajv`")

    def judge(texts: list[str], definition: str = "") -> list[dict[str, Any]]:
        command = ["node", str(folder / "validate.mjs"), str(SCHEMA_FILE), definition]
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("definition", "valid", "invalid"),
    [
        ("stream_line", [*VALID_LINES.values()], [*INVALID_LINES.values()]),
        ("production_run", [production_run()], [assembly_run(), production_run(oven=1), document()]),
        ("assembly_run", [assembly_run()], [production_run(), assembly_run(oven=1), document()]),
        ("recipe", [RECIPE], [UNIT, RECIPE | {"oven": 1}, {"slug": "cookies"}, {"recipes": [RECIPE]}]),
        ("finished_unit", [UNIT], [RECIPE, UNIT | {"recipe_slug": None}]),
    ],
)
def test_ajv_takes_a_definition_as_root(definition, valid, invalid, ajv):
    verdicts = ajv([json.dumps(each) for each in (*valid, *invalid)], f"#/$defs/{definition}")
    assert [verdict["valid"] for verdict in verdicts] == [True] * len(valid) + [False] * len(invalid)


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
