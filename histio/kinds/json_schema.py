"""The JSON Schema of a history, derived from its schemas; that of the bundled kinds is a published file."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from marshmallow import Schema

from histio.kinds.assertions import assertions_of, or_null
from histio.kinds.base import BaseSchema, locate_errors
from histio.kinds.fields import UtcTimestamp
from histio.kinds.identify import identity_fields
from histio.wire import JsonSchema, WireField, is_list, nested_in, wire_name

VERSION = "1.0"
"""The newest version of the format, which this histio writes."""

URN = "urn:histio:history"
PUBLISHED_ID = f"{URN}:{VERSION}"

_FILE = f"history-{VERSION}.schema.json"
DRAFT = "https://json-schema.org/draft/2020-12/schema"

EXPORTED_AT = UtcTimestamp(description="When the history was exported.", example="2025-12-09T12:00:00Z")


@functools.cache
def published() -> JsonSchema:
    """The published schema, from the installed package or the checkout."""
    package = Path(__file__).parents[1]
    places = (package / _FILE, package.parent / "schemas" / _FILE)
    text = next(path.read_text("utf-8") for path in places if path.exists())
    return json.loads(text)  # type: ignore[no-any-return]


def derive(
    schema_classes: Sequence[type[BaseSchema]],
    catalog: Sequence[type[BaseSchema]] = (),
    *,
    identifier: str = PUBLISHED_ID,
    version: str = VERSION,
) -> JsonSchema:
    """The JSON Schema of documents and stream lines with these kinds of run.

    Args:
        schema_classes: The schemas of runs, in the order of their lists in a document.
        catalog: The schemas of catalog rows, whose lists come before those of the runs.
        identifier: The ``$id``; the default is that of the published schema.
        version: The version of the format.

    Raises:
        BindingError: The JSON form of a field is not known.
    """
    every = (*catalog, *schema_classes)
    definitions: dict[str, JsonSchema] = {cls.opts.kind: {} for cls in every}  # reserve these names
    lists = {}
    examples = {}
    for cls in every:
        opts, schema = cls.opts, cls(load_instance=False)
        definitions[opts.kind] = _record(schema, definitions, opts.kind)
        examples[opts.kind] = example(schema)
        lists[opts.collection] = _describe(
            {"type": "array", "items": {"$ref": f"#/$defs/{opts.kind}"}},
            _title(opts.collection),
            f"Ordered by {' and '.join(filter(None, (opts.timestamp, *_identity(schema))))} when exported; "
            "any order is read.",
            examples[opts.kind] and [examples[opts.kind]],
        )
    exported_at = _member("exported_at", EXPORTED_AT, definitions)
    identities = {cls.opts.kind: _identity(cls(load_instance=False)) for cls in every}
    definitions["receipt_line"] = _receipt_line(identities, definitions, examples, version)
    definitions |= _stream(examples, [cls.opts.kind for cls in catalog], exported_at, version)
    return {
        "$schema": DRAFT,
        "$id": identifier,
        "title": "History",
        "description": "An application's history as one document, or line by line as a stream.",
        **_object({"version": _version(version), "exported_at": exported_at, **lists}, required=["version"]),
        "anyOf": [_require(name) for name in lists],
        "$defs": dict(sorted(definitions.items())),
    }


def _require(name: str, field: Any = None) -> JsonSchema:
    """A branch that requires *name*, and a value other than null if *field* may be null.

    Strict validators require the name among the properties.
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


def _identity(schema: BaseSchema) -> list[str]:
    """The names of the members that identify a run."""
    return [wire_name(name, schema.load_fields[name]) for name in identity_fields(schema)]


def _record(schema: Schema, definitions: dict[str, JsonSchema], name: str) -> JsonSchema:
    """The JSON Schema of a record, to be defined as *name*; adds what it refers to to *definitions*."""
    properties = {}
    members = {wire_name(each, field): field for each, field in schema.fields.items()}
    for member, field in members.items():
        nested = nested_in(field)
        if nested is None:
            with locate_errors(schema, member):
                properties[member] = _member(member, field, definitions)
            continue
        inner = _record(nested.schema, definitions, _name(nested.schema))
        entry = _define(definitions, _name(nested.schema), f"{name}_{member}", inner)
        rule: JsonSchema = {"$ref": f"#/$defs/{entry}"}
        if is_list(field):
            rule = {"type": "array", "items": rule}
        description = field.metadata.get("description", "")
        value: Any = example(nested.schema)
        value = [value] if is_list(field) and value is not None else value
        properties[member] = _describe(or_null(rule, field), _title(member), description, value)
    required = [member for member, field in members.items() if field.required]
    shape = _object(properties, required)
    groups = [
        {"anyOf": [_require(name, members[name]) for name in group]}
        for group in _groups(schema, "alternatives")
    ]
    groups += [{"oneOf": [_not_null(member) for member in group]} for group in _groups(schema, "choices")]
    described = _describe({}, _title(_name(schema)), _first_line(schema), None)
    return {**described, **shape, **({"allOf": groups} if groups else {})}


def _groups(schema: Schema, name: str) -> list[list[str]]:
    found = getattr(schema, name, None)
    return [] if found is None else found()


def _define(definitions: dict[str, JsonSchema], name: str, other: str, rule: JsonSchema) -> str:
    """Add *rule* to *definitions* as *name*, or as *other* if the name is taken; return the name used."""
    names = itertools.chain((name, other), (f"{other}_{n}" for n in itertools.count(2)))
    free = next(each for each in names if definitions.get(each, rule) == rule)
    definitions[free] = rule
    return free


def _not_null(member: str) -> JsonSchema:
    return {"properties": {member: {"not": {"type": "null"}}}, "required": [member]}


def _member(name: str, field: Any, definitions: dict[str, JsonSchema]) -> JsonSchema:
    metadata = {key: value for key, value in field.metadata.items() if key != "json_schema"}
    if field.dump_only:  # imports ignore it
        return {"readOnly": True, "title": _title(name), **metadata}
    own = field.rule if isinstance(field, WireField) else field
    rule = assertions_of(field)
    definition = getattr(own, "definition", None)
    if definition is not None:
        shared = {"title": _title(definition), "description": _first_line(own), **rule}
        # A column may narrow the rule; then it is not shared.
        if definitions.setdefault(definition, shared) == shared:
            rule = {"$ref": f"#/$defs/{definition}"}
    return {**or_null(rule, field), "title": _title(name), **metadata}


_BASES = {"histio.kinds.base", "histio.records"}
"""The modules of the base classes for hosts, whose docstrings do not describe a host's schema."""


def _first_line(documented: object) -> str:
    text = inspect.getdoc(type(documented)) or ""
    bases = (cls for cls in type(documented).__mro__ if cls.__module__ in _BASES)
    return "" if text in map(inspect.getdoc, bases) else text.partition("\n")[0]


def _name(schema: object) -> str:
    """The name of a schema's definition: ProductionConsumptionSchema gives production_consumption."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(schema).__name__.removesuffix("Schema")).lower()


def _describe(rule: JsonSchema, title: str, description: str, example: Any) -> JsonSchema:
    described = {"description": description} if description else {}
    examples = {} if example is None else {"examples": [example]}
    return {**rule, "title": title, **described, **examples}


def example(schema: Schema) -> dict[str, Any] | None:
    """A record with the examples of all fields of *schema*; None: a field lacks an example."""
    record: dict[str, Any] = {}
    for name, field in schema.load_fields.items():
        nested = nested_in(field)
        examples = field.metadata.get("examples") or [None]
        value = examples[0] if nested is None else example(nested.schema)
        if value is None:
            return None
        record[wire_name(name, field)] = [value] if nested is not None and is_list(field) else value
    return record


def _stream(
    examples: dict[str, Any], catalog: Sequence[str], exported_at: JsonSchema, version: str
) -> dict[str, JsonSchema]:
    """The definitions of a sealed stream's lines.

    Args:
        examples: By kind, one catalog row or one run.
        catalog: The names of the catalog kinds.
        exported_at: The definition of the time of the export.
        version: The version of the format.
    """
    kinds = [name for name in examples if name not in catalog]
    sha256: JsonSchema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64}
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    counts = {
        name: _describe(
            {"type": "integer", "minimum": 0},
            _title(name),
            f"How many {'rows' if name in catalog else 'runs'} of this kind.",
            1,
        )
        for name in examples
    }
    header = {
        "version": _version(version),
        "exported_at": exported_at,
        "kinds": _describe(_several(kinds), "Kinds", "The kinds of run in the stream.", kinds),
        "sealed": _describe(
            {"type": "boolean"},
            "Sealed",
            "False announces a stream without trailer; left out: true.",
            example=False,
        ),
        "follows": _describe(sha256, "Follows", "The sha256 of the stream that this one continues.", digest),
    }
    trailer = {
        "counts": _describe(
            _object(counts, []),
            "Counts",
            "Runs by kind, and catalog rows by kind." if catalog else "Runs by kind.",
            dict.fromkeys(examples, 1),
        ),
        "sha256": _describe(sha256, "SHA-256", "Of the bytes of all run lines, line ends included.", digest),
        "header_sha256": _describe(sha256, "Header SHA-256", "Of the bytes of the header line.", digest),
    }
    required = list(trailer)
    if catalog:
        described = "The kinds of catalog rows in the stream, which come before the runs."
        header["catalog"] = _describe(_several(catalog), "Catalog", described, list(catalog))
        described = "Of the bytes of all catalog lines, line ends included; only where there are any."
        trailer["catalog_sha256"] = _describe(sha256, "Catalog SHA-256", described, digest)
    ends = {
        "header": ("The first line of a stream.", _object(header, ["version"])),
        "trailer": ("The last line of a sealed stream.", _object(trailer, required)),
    }
    definitions = {
        name: {"title": _title(name), "description": description, **rule}
        for name, (description, rule) in ends.items()
    }
    problems = _describe({"type": "array"}, "Problems", "Why the run was rejected; not read again.", [])

    def line(name: str, description: str, value: Any, **beside: JsonSchema) -> JsonSchema:
        member = _describe({"$ref": f"#/$defs/{name}"}, _title(name), description, value)
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
        *(
            line(name, "One row." if name in catalog else "One run.", value, problems=problems)
            for name, value in examples.items()
        ),
    ]
    definitions["stream_line"] = {
        "title": "Stream line",
        "description": "One line of a stream: its header, "
        f"{'one catalog row, ' if catalog else ''}one run, or its trailer.",
        "anyOf": lines,
    }
    return definitions


def _receipt_line(
    identities: Mapping[str, Sequence[str]],
    definitions: JsonSchema,
    examples: Mapping[str, Any],
    version: str,
) -> JsonSchema:
    """The definition of a receipt's lines; *identities* has the members that identify a record, by kind."""
    kinds = list(identities)
    unique: list[JsonSchema] = []
    for kind, (name, *others) in identities.items():
        own = definitions[kind]["properties"][name]
        rule = {key: value for key, value in own.items() if key not in ("title", "description", "examples")}
        rule = {"type": "array"} if others or rule.get("type") == "object" else rule
        unique += [] if rule in unique else [rule]
    sha256: JsonSchema = {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$", "maxLength": 64}
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    example = examples[kinds[-1]]
    values = [example[name] for name in identities[kinds[-1]]] if example else [None]
    identity = values[0] if len(values) == 1 else values
    header = {
        "version": _version(version),
        "kinds": _describe(_several(kinds), "Kinds", "The kinds that may follow.", kinds),
        "database": _describe(sha256, "Database", "Which database it is; null: any.", digest),
    }
    run = {
        "kind": _describe({"enum": kinds}, "Kind", "The kind of the run or row.", kinds[-1]),
        "identity": _describe(
            {"anyOf": unique},
            "Identity",
            "What identifies it; a list if there are several members.",
            identity,
        ),
        "sha256": _describe(
            sha256, "SHA-256", "Of its JSON as an export writes it, after the import; null: none can.", digest
        ),
    }
    records = {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]}
    before = _describe(records, "Before", "The record as it was before the import.", example)
    members = {
        "receipt": ("The first line of a receipt.", header),
        "created": ("A run or row that an import has created.", run),
        "updated": ("A run or row that an import has updated.", {**run, "before": before}),
    }
    lines = [
        _object(
            {
                name: _describe(
                    _object(own, own),
                    _title(name),
                    description,
                    {each: rule["examples"][0] for each, rule in own.items() if rule.get("examples")},
                )
            },
            [name],
        )
        for name, (description, own) in members.items()
    ]
    return {
        "title": "Receipt line",
        "description": "One line of the receipt of imports: its header, or what was done to one run or row.",
        "anyOf": lines,
    }


def _several(names: Sequence[str]) -> JsonSchema:
    return {"type": "array", "items": {"enum": list(names)}, "uniqueItems": True}


@functools.cache
def published_or_derived(
    schema_classes: tuple[type[BaseSchema], ...], catalog: tuple[type[BaseSchema], ...], version: str
) -> JsonSchema:
    """The published schema if it is that of these kinds and of this catalog, otherwise a derived one."""
    own = derive(schema_classes, catalog, version=version)
    if version == VERSION and own == published():
        return published()
    return own | {"$id": f"{URN}:{version}:{'+'.join(cls.opts.kind for cls in schema_classes)}"}
