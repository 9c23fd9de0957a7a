"""The published JSON Schema: derived from the schemas, kept in a file, and held against documents."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema
from jsonschema import Draft202012Validator
from marshmallow import Schema, ValidationError

from histio.assertions import assertions_of, or_null
from histio.binding import identity_fields, told_of
from histio.fields import UtcTimestamp
from histio.report import Code, Fault, Problem
from histio.versions import parts
from histio.wire import JsonSchema, WireField, is_list, nested_in, shown, wire_name

try:
    import orjson
except ImportError:  # as for the next one
    orjson = None  # type: ignore[assignment]
try:
    import jsonschema_rs
except ImportError:  # a platform without a wheel
    jsonschema_rs = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from histio.records import RecordSchema, RunSchema

VERSION = "1.0"
"""The newest format that this histio reads, and the one it writes."""

URN = "urn:histio:history"
PUBLISHED_ID = f"{URN}:{VERSION}"

_FILE = f"history-{VERSION}.schema.json"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"

# What a validator's keyword means in the codes of the format; every other keyword is `schema`.
_CODES: dict[str, Code] = {
    "minimum": "out-of-range",
    "maximum": "out-of-range",
    "minLength": "out-of-range",
    "maxLength": "out-of-range",
}

_EXACT = 2**53
"""Integers below it are the same to every reader of JSON (RFC 8259, section 6)."""

_log = logging.getLogger("histio")

_EXPORTED_AT = UtcTimestamp(description="When the history was exported.", example="2025-12-09T12:00:00Z")


def pointer(*steps: str | int) -> str:
    """The RFC 6901 pointer that goes down *steps*."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


@functools.cache
def published() -> JsonSchema:
    """The published schema, from the installed package or the checkout."""
    package = Path(__file__).parent
    places = (package / _FILE, package.parent / "schemas" / _FILE)
    text = next(path.read_text("utf-8") for path in places if path.exists())
    return json.loads(text)  # type: ignore[no-any-return]


def derive(
    schema_classes: Sequence[type[RunSchema]], *, identifier: str = PUBLISHED_ID, version: str = VERSION
) -> JsonSchema:
    """The JSON Schema of documents and stream lines with these kinds of run.

    Args:
        schema_classes: In the order of their lists in a document.
        identifier: The ``$id``; that of the published schema belongs to the bundled kinds.
        version: The version of the format.

    Raises:
        BindingError: A field says nothing of its JSON.
    """
    definitions: dict[str, JsonSchema] = {
        cls.Meta.kind: {} for cls in schema_classes
    }  # those names are taken
    lists = {}
    examples = {}
    for cls in schema_classes:
        meta, schema = cls.Meta, cls(load_instance=False)
        definitions[meta.kind] = _record(schema, definitions, meta.kind)
        examples[meta.kind] = example(schema)
        lists[meta.collection] = _documented(
            {"type": "array", "items": {"$ref": f"#/$defs/{meta.kind}"}},
            _title(meta.collection),
            f"Ordered by {' and '.join(filter(None, (meta.timestamp, *_identity(schema))))} when exported; "
            "any order is read.",
            examples[meta.kind] and [examples[meta.kind]],
        )
    exported_at = _member("exported_at", _EXPORTED_AT, definitions)
    definitions |= _stream(examples, exported_at, version)
    return {
        "$schema": _DRAFT,
        "$id": identifier,
        "title": "History",
        "description": "An application's history as one document, or line by line as a stream.",
        **_object({"version": _version(version), "exported_at": exported_at, **lists}, required=["version"]),
        "anyOf": [_given(name) for name in lists],
        "$defs": dict(sorted(definitions.items())),
    }


def _given(name: str, field: Any = None) -> JsonSchema:
    """A branch that requires *name*, and where *field* may be null, that it is not.

    Strict validators want to see the name among the properties.
    """
    may_be_null = field is not None and field.allow_none
    return _not_null(name) if may_be_null else {"properties": {name: True}, "required": [name]}


def _object(properties: JsonSchema, required: Iterable[str]) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _title(name: str) -> str:
    return re.sub(r"\buuid\b", "UUID", name.replace("_", " ").capitalize(), flags=re.IGNORECASE)


def _version(version: str) -> JsonSchema:
    return {
        "const": version,
        "title": "Version",
        "description": "The version of the format.",
        "examples": [version],
    }


def _identity(schema: RecordSchema) -> list[str]:
    """The names of the members that identify a run."""
    return [wire_name(name, schema.load_fields[name]) for name in identity_fields(schema)]


def _record(schema: Schema, definitions: dict[str, JsonSchema], name: str) -> JsonSchema:
    """The JSON Schema of one record, defined as *name*; what it refers to goes into *definitions*."""
    properties = {}
    members = {wire_name(each, field): field for each, field in schema.fields.items()}
    for member, field in members.items():
        nested = nested_in(field)
        if nested is None:
            with told_of(schema, member):
                properties[member] = _member(member, field, definitions)
            continue
        inner = _record(nested.schema, definitions, _name(nested.schema))
        entry = _define(definitions, _name(nested.schema), f"{name}_{member}", inner)
        rule: JsonSchema = {"$ref": f"#/$defs/{entry}"}
        if is_list(field):
            rule = {"type": "array", "items": rule}
        description = field.metadata.get("description", "")
        shown: Any = example(nested.schema)
        shown = [shown] if is_list(field) and shown is not None else shown
        properties[member] = _documented(or_null(rule, field), _title(member), description, shown)
    required = [member for member, field in members.items() if field.required]
    shape = _object(properties, required)
    groups = [
        {"anyOf": [_given(name, members[name]) for name in group]}
        for group in _groups(schema, "alternatives")
    ]
    groups += [{"oneOf": [_not_null(member) for member in group]} for group in _groups(schema, "choices")]
    described = _documented({}, _title(_name(schema)), _first_line(schema), None)
    return {**described, **shape, **({"allOf": groups} if groups else {})}


def _groups(schema: Schema, name: str) -> list[list[str]]:
    found = getattr(schema, name, None)
    return [] if found is None else found()


def _define(definitions: dict[str, JsonSchema], name: str, other: str, rule: JsonSchema) -> str:
    """The name under which *definitions* keep *rule*: the *other* one where the first is taken."""
    names = itertools.chain((name, other), (f"{other}_{n}" for n in itertools.count(2)))
    free = next(each for each in names if definitions.get(each, rule) == rule)
    definitions[free] = rule
    return free


def _not_null(member: str) -> JsonSchema:
    return {"properties": {member: {"not": {"type": "null"}}}, "required": [member]}


def _member(name: str, field: Any, definitions: dict[str, JsonSchema]) -> JsonSchema:
    metadata = {key: value for key, value in field.metadata.items() if key != "json_schema"}
    if field.dump_only:  # whatever it is, an import reads over it
        return {"readOnly": True, "title": _title(name), **metadata}
    own = field.rule if isinstance(field, WireField) else field
    rule = assertions_of(field)
    definition = getattr(own, "definition", None)
    if definition is not None:
        shared = {"title": _title(definition), "description": _first_line(own), **rule}
        # A column may narrow the rule; what differs from the shared one is spelled out.
        if definitions.setdefault(definition, shared) == shared:
            rule = {"$ref": f"#/$defs/{definition}"}
    return {**or_null(rule, field), "title": _title(name), **metadata}


def _first_line(documented: object) -> str:
    text = inspect.getdoc(type(documented)) or ""
    # What a schema without words of its own inherits speaks of histio.
    bases = (cls for cls in type(documented).__mro__ if cls.__module__ == "histio.records")
    return "" if text in map(inspect.getdoc, bases) else text.partition("\n")[0]


def _name(schema: object) -> str:
    """The name of a schema's definition: ProductionConsumptionSchema gives production_consumption."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(schema).__name__.removesuffix("Schema")).lower()


def _documented(rule: JsonSchema, title: str, description: str, example: Any) -> JsonSchema:
    told = {"description": description} if description else {}
    shown = {} if example is None else {"examples": [example]}
    return {**rule, "title": title, **told, **shown}


def example(schema: Schema) -> dict[str, Any] | None:
    """A record made of the examples that the fields of *schema* give; None: one gives none."""
    record: dict[str, Any] = {}
    for name, field in schema.load_fields.items():
        nested = nested_in(field)
        given = field.metadata.get("examples") or [None]
        shown = given[0] if nested is None else example(nested.schema)
        if shown is None:
            return None
        record[wire_name(name, field)] = [shown] if nested is not None and is_list(field) else shown
    return record


def _stream(examples: dict[str, Any], exported_at: JsonSchema, version: str) -> dict[str, JsonSchema]:
    """The definitions of a sealed stream's lines; *examples* holds one run of each kind."""
    kinds = list(examples)
    sha256: JsonSchema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64}
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    several = {"type": "array", "items": {"enum": kinds}, "uniqueItems": True}
    counts = {
        kind: _documented({"type": "integer", "minimum": 0}, _title(kind), "How many runs of this kind.", 1)
        for kind in kinds
    }
    header = {
        "version": _version(version),
        "exported_at": exported_at,
        "kinds": _documented(several, "Kinds", "The kinds of run in the stream.", kinds),
        "sealed": _documented(
            {"type": "boolean"},
            "Sealed",
            "False announces a stream without trailer; left out: true.",
            example=False,
        ),
        "follows": _documented(
            sha256, "Follows", "The sha256 of the stream that this one continues.", digest
        ),
    }
    trailer = {
        "counts": _documented(_object(counts, []), "Counts", "Runs by kind.", dict.fromkeys(kinds, 1)),
        "sha256": _documented(
            sha256, "SHA-256", "Of the bytes of all run lines, line ends included.", digest
        ),
        "header_sha256": _documented(sha256, "Header SHA-256", "Of the bytes of the header line.", digest),
    }
    ends = {
        "header": ("The first line of a stream.", _object(header, ["version"])),
        "trailer": ("The last line of a sealed stream.", _object(trailer, trailer)),
    }
    definitions = {
        name: {"title": _title(name), "description": description, **rule}
        for name, (description, rule) in ends.items()
    }
    problems = _documented({"type": "array"}, "Problems", "Why the run was rejected; not read again.", [])

    def line(name: str, description: str, shown: Any, **beside: JsonSchema) -> JsonSchema:
        member = _documented({"$ref": f"#/$defs/{name}"}, _title(name), description, shown)
        return _object({name: member, **beside}, [name])

    lines = [
        *(
            line(
                name,
                description,
                {member: part["examples"][0] for member, part in rule["properties"].items()},
            )
            for name, (description, rule) in ends.items()
        ),
        *(line(kind, "One run.", shown, problems=problems) for kind, shown in examples.items()),
    ]
    definitions["stream_line"] = {
        "title": "Stream line",
        "description": "One line of a stream: its header, one run, or its trailer.",
        "anyOf": lines,
    }
    return definitions


class Contract:
    """A JSON Schema, held against documents and records.

    Args:
        schema: As `published` or `derive` give it.
        older: Older versions that are read too.
    """

    def __init__(self, schema: JsonSchema, *, older: Iterable[str] = ()) -> None:
        self.schema = schema
        self._older = frozenset(older)
        self.version: str = schema["properties"]["version"]["const"]
        self.kinds: tuple[str, ...] = tuple(schema["$defs"]["header"]["properties"]["kinds"]["items"]["enum"])
        self._envelope = Draft202012Validator(_without_items(schema))
        self._records = {
            name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
            for name in ("header", "trailer", *self.kinds)
        }
        self._gates = {name: _gate(schema, name) for name in self.kinds}
        # How the gate is asked about records that orjson may read.
        self._read_alike: dict[str, Callable[[Any], bool]] = {}
        if orjson is not None:
            for name, gate in self._gates.items():
                if gate is not None and _reads_alike({"$ref": f"#/$defs/{name}"}, schema["$defs"]):
                    self._read_alike[name] = gate.is_valid

    def envelope(self, document: object) -> list[Problem]:
        """What is wrong with *document*, its runs aside."""
        return self._explained(self._envelope, document, ())

    def header(self, members: object) -> list[Problem]:
        """What is wrong with the *members* of a stream's header, which is its first line."""
        problems = self._explained(self._records["header"], members, ("header",))
        return [replace(problem, line=1) for problem in problems]

    def trailer(self, line: object, number: int) -> list[Problem]:
        """What is wrong with a stream's trailer, the *line* of this *number*."""
        members = line.get("trailer") if isinstance(line, dict) else None
        problems = _explain(self._records["trailer"], members, ("trailer",))
        if isinstance(line, dict):
            problems += [
                Problem("error", "schema", "Unknown field.", pointer(name))
                for name in line
                if name != "trailer"
            ]
        return [replace(problem, code="corrupt", line=number) for problem in problems]

    def _explained(self, validator: Any, members: object, at: tuple[str, ...]) -> list[Problem]:
        """What is wrong with *members* that say a version and when they were exported."""
        if isinstance(members, dict) and any(members.get("version") == older for older in self._older):
            members = {**members, "version": self.version}
        problems = [self._with_older(problem) for problem in _explain(validator, members, at)]
        where = pointer(*at, "exported_at")
        if not any(problem.pointer == where for problem in problems):
            return problems
        others = [problem for problem in problems if problem.pointer != where]
        return [*others, _exported_at_problem(members, where)]

    def _with_older(self, problem: Problem) -> Problem:
        """*problem*; of a version, also with those that are read beside the newest."""
        if problem.code != "version" or not self._older:
            return problem
        older = ", ".join(sorted(self._older))
        return replace(problem, message=f"{problem.message} Older ones that are read: {older}.")

    def accepts(self, kind: str, record: object, *, decoded: bool = False) -> bool:
        """Whether *record* has the form of a run of *kind*; *decoded*: it was JSON text just now."""
        # The gate speaks of JSON alone: what else Python might call a list, only jsonschema can tell.
        if decoded and self.takes(kind, record):
            return True
        try:
            return self._records[kind].is_valid(record)
        except _UNSPEAKABLE:
            return False

    def takes(self, kind: str, record: object) -> bool:
        """Whether the gate, which is fast, takes *record*, which was JSON text, for a run of *kind*.

        What it takes, marshmallow takes too. Of what it does not take, it says nothing.
        """
        gate = self._gates[kind]
        try:
            return gate is not None and bool(gate.is_valid(record))
        except _UNSPEAKABLE:
            return False

    def read(self, kind: str, text: bytes) -> Any:
        """The run of *kind* that is JSON *text*; None where the gate is not sure that it is one."""
        is_valid = self._read_alike.get(kind)
        if is_valid is None:
            return None
        try:
            record = orjson.loads(text)
            return record if is_valid(record) else None
        except _UNSPEAKABLE:
            return None

    def explain(self, kind: str, record: object, at: tuple[str | int, ...]) -> list[Problem]:
        """What is wrong with the form of *record*, which stands at the steps *at* of its document."""
        return _explain(self._records[kind], record, at)


def _gate(schema: JsonSchema, kind: str) -> Any:
    """What accepts runs of *kind* a hundred times faster than jsonschema; None where it cannot.

    jsonschema has the last word on what the gate refuses: patterns of hosts may not be portable.
    """
    if jsonschema_rs is None:
        _tell_of_no_gate()
        return None
    try:
        return jsonschema_rs.validator_for(
            {"$schema": _DRAFT, "$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]}
        )
    except ValueError:
        return None


@functools.cache
def _tell_of_no_gate() -> None:
    _log.warning("jsonschema-rs is not installed: imports check runs with jsonschema, which takes far longer")


def _reads_alike(rule: Any, definitions: JsonSchema, *within: str) -> bool:
    """Whether all readers of JSON give the same for what has the form of *rule*, a part of those *within*.

    Not where integers may be of any size, or values of any form and depth.
    """
    if "$ref" in rule:
        name = rule["$ref"].removeprefix("#/$defs/")
        return name not in within and _reads_alike(definitions[name], definitions, *within, name)
    if "properties" in rule:
        inner = list(rule["properties"].values())
    else:
        inner = [rule["items"]] if "items" in rule else rule.get("anyOf", [])
    if inner:
        return all(_reads_alike(each, definitions, *within) for each in inner)
    kinds = rule.get("type", [])
    if "integer" in kinds:
        return bool(rule.get("minimum", -_EXACT) > -_EXACT and rule.get("maximum", _EXACT) < _EXACT)
    return "enum" in rule or bool(
        kinds and not {"object", "array"}.intersection([kinds] if isinstance(kinds, str) else kinds)
    )


def _without_items(schema: JsonSchema) -> JsonSchema:
    properties = {
        name: {key: value for key, value in rule.items() if key != "items"}
        for name, rule in schema["properties"].items()
    }
    return {**schema, "properties": properties}


# jsonschema puts every instance that it refuses into words: one nested too deeply, or an integer of
# thousands of digits, then raises.
_UNSPEAKABLE = (RecursionError, ValueError)


def _explain(validator: Any, instance: object, at: tuple[str | int, ...]) -> list[Problem]:
    problems = []
    try:
        for error in validator.iter_errors(instance):
            for steps, message in _faults(error):
                where = pointer(*at, *error.absolute_path, *steps)
                code = (
                    "version"
                    if where == pointer(*at, "version")
                    else _CODES.get(str(error.validator), "schema")
                )
                problems.append(Problem("error", code, message, where))
    except _UNSPEAKABLE as error:
        problems.append(Problem("error", "schema", f"Cannot be checked: {error}.", pointer(*at)))
    return problems


def _exported_at_problem(members: Any, where: str) -> Problem:
    """What the field says of an ``exported_at`` that the JSON Schema refuses."""
    try:
        _EXPORTED_AT.check(members["exported_at"])
    except ValidationError as error:
        [fault] = cast("list[Fault]", error.messages)
        return Problem("error", fault.code, str(fault), where)
    raise AssertionError("the field and its JSON Schema disagree")


def _faults(error: jsonschema.ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """The steps below the error's own place, and a sentence, for each fault of one validation error."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        # One error is raised for each missing member; its text begins with the name.
        missing = [name for name in rule if name not in instance and error.message.startswith(repr(name))]
        yield from (((name,), "Missing data for required field.") for name in missing)
    elif error.validator == "additionalProperties":
        unknown = [name for name in instance if name not in error.schema["properties"]]  # type: ignore[index]
        yield from (((name,), "Unknown field.") for name in unknown)
    elif error.validator == "const":
        yield (), _version_message(instance, rule)
    elif error.validator == "type":
        kinds = " or ".join([rule] if isinstance(rule, str) else rule)
        yield (), f"Must be {kinds}, not {shown(instance)}."
    elif error.validator == "anyOf" and all("required" in branch for branch in rule):
        yield (), f"Must have {' or '.join(name for branch in rule for name in branch['required'])}."
    elif error.validator == "enum":
        yield (), f"Must be {' or '.join(map(shown, rule))}, not {shown(instance)}."
    else:
        yield (), f"Breaks the rule {error.validator}: {shown(rule)}."


def _version_message(version: object, newest: str) -> str:
    given, known = parts(version), parts(newest)
    if given and known and given > known:
        return f"Format {version} is newer than {newest}, the newest that this histio reads."
    if given and known and given < known:
        upgrades = f'upgrades={{"{version}": function}}'
        return f'Must be "{newest}", not {shown(version)}, which a History with {upgrades} reads.'
    return f'Must be "{newest}", not {shown(version)}.'
