"""The JSON Schema of a history, derived from its schemas; that of the bundled kinds is a published file."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marshmallow import Schema

from histio.kinds.assertions import assertions_of, or_null
from histio.kinds.base import BaseSchema, locate_errors
from histio.kinds.definitions import check_references, lift_definitions
from histio.kinds.fields import UtcTimestamp
from histio.kinds.identify import identity_fields
from histio.kinds.json_schema_lines import define_manifest, define_receipt_line, define_stream
from histio.kinds.json_schema_parts import closed_object, describe, entitle, version_rule
from histio.wire import JsonSchema, WireField, is_list, nested_in, wire_name

VERSION = "1.0"
"""The newest version of the format, which this histio writes."""

URN = "urn:histio:history"
PUBLISHED_ID = f"{URN}:{VERSION}"

_FILE = f"history-{VERSION}.schema.json"
DRAFT = "https://json-schema.org/draft/2020-12/schema"

_EDITORS: JsonSchema = describe({"type": "string"}, "Where editors find this schema; not read.", PUBLISHED_ID)

EXPORTED_AT = UtcTimestamp(description="When the history was exported.", example="2025-12-09T12:00:00Z")


def published_file() -> Path:
    """The file of the published schema, in the installed package or in the checkout."""
    return find_schema_file(_FILE)


def find_schema_file(name: str) -> Path:
    """The published file *name*, in the installed package or in the checkout."""
    package = Path(__file__).absolute().parents[1]
    places = (package / name, package.parent / "schemas" / name)
    return next(path for path in places if path.exists())


@functools.cache
def published() -> JsonSchema:
    """The published schema."""
    return json.loads(published_file().read_text("utf-8"))  # type: ignore[no-any-return]


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
        BindingError: The JSON form of a field is not known, or refers to what is not in the JSON Schema.
    """
    every = (*catalog, *schema_classes)
    definitions: dict[str, JsonSchema] = {cls.opts.kind: {} for cls in every}  # reserve these names
    lists = {}
    for cls in every:
        opts, schema = cls.opts, cls(load_instance=False)
        definitions[opts.kind] = entitle(opts.kind, _record(schema, definitions, opts.kind))
        shown = example(schema)
        lists[opts.collection] = describe(
            {"type": "array", "items": {"$ref": f"#/$defs/{opts.kind}"}},
            f"Ordered by {' and '.join(filter(None, (opts.timestamp, *_identity(schema))))} when exported; "
            "any order is read.",
            shown and [shown],
        )
    exported_at = _member(EXPORTED_AT, definitions)
    identities = {cls.opts.kind: _identity(cls(load_instance=False)) for cls in every}
    definitions["receipt_line"] = define_receipt_line(identities, definitions, version)
    kinds, rows = ([cls.opts.kind for cls in classes] for classes in (schema_classes, catalog))
    definitions |= define_stream(kinds, rows, exported_at, version)
    places = {cls.opts.kind: (_timestamp(cls), identities[cls.opts.kind]) for cls in schema_classes}
    definitions["manifest"] = define_manifest(kinds, rows, places, definitions, exported_at, version)
    check_references(definitions)
    return {
        "$schema": DRAFT,
        "$id": identifier,
        "title": "History",
        "description": "An application's history as one document, or line by line as a stream.",
        **closed_object(
            {"$schema": _EDITORS, "version": version_rule(version), "exported_at": exported_at, **lists},
            required=["version"],
        ),
        "not": {"properties": dict.fromkeys(lists, False)},
        "$defs": dict(sorted(definitions.items())),
    }


def _identity(schema: BaseSchema) -> list[str]:
    """The names of the members that identify a run."""
    return [wire_name(name, schema.load_fields[name]) for name in identity_fields(schema)]


def _timestamp(schema_class: type[BaseSchema]) -> str | None:
    """The name of the member that orders the runs; None: there is none."""
    name, schema = schema_class.opts.timestamp, schema_class(load_instance=False)
    member = None if name is None else schema.member(name)
    return wire_name(member, schema.fields[member]) if member in schema.fields else None


def _record(schema: Schema, definitions: dict[str, JsonSchema], name: str) -> JsonSchema:
    """The JSON Schema of a record, to be defined as *name*; adds what it refers to to *definitions*."""
    properties = {}
    members = {wire_name(each, field): field for each, field in schema.fields.items()}
    for member, field in members.items():
        nested = nested_in(field)
        if nested is None:
            with locate_errors(schema, member):
                own = _member(field, definitions)
                properties[member] = lift_definitions(own, name=f"{name}.{member}", definitions=definitions)
            continue
        inner = _record(nested.schema, definitions, _name(nested.schema))
        entry = _define(definitions, _name(nested.schema), f"{name}_{member}", inner)
        rule: JsonSchema = {"$ref": f"#/$defs/{entry}"}
        shown: Any = example(nested.schema)
        if is_list(field):
            rule = {"type": "array", "items": rule}
            shown = shown and [shown]
        elif not field.allow_none:  # the definition has the example
            shown = None
        properties[member] = describe(or_null(rule, field), field.metadata.get("description", ""), shown)
    required = [member for member, field in members.items() if field.required]
    rule = closed_object(properties, required) | _exclude(_incomplete(schema, members))
    return describe(describe({}, _first_line(schema), None) | rule, "", example(schema))


def _exclude(forms: list[JsonSchema]) -> JsonSchema:
    """The keywords that no value with one of these *forms* matches.

    Programs that generate types ignore ``not``; of choices of required members, they make choices of types.
    """
    if not forms:
        return {}
    return {"not": forms[0] if len(forms) == 1 else {"anyOf": forms}}


def _incomplete(schema: Schema, members: dict[str, Any]) -> list[JsonSchema]:
    """The forms of records that have none of a group of alternatives or choices, or two of a choice."""
    choices = _groups(schema, "choices")
    absent = {name: {"type": "null"} if field.allow_none else False for name, field in members.items()}
    none = [
        {"properties": {name: absent[name] for name in group}}
        for group in (*_groups(schema, "alternatives"), *choices)
    ]
    two = [
        {"properties": {name: {"not": {"type": "null"}} for name in pair}, "required": list(pair)}
        for group in choices
        for pair in itertools.combinations(group, 2)
    ]
    return none + two


def _groups(schema: Schema, name: str) -> list[list[str]]:
    found = getattr(schema, name, None)
    return [] if found is None else found()


def _define(definitions: dict[str, JsonSchema], name: str, other: str, rule: JsonSchema) -> str:
    """Add *rule* to *definitions* as *name*, or as *other* if the name is taken; return the name used."""
    names = itertools.chain((name, other), (f"{other}_{n}" for n in itertools.count(2)))
    entitled = ((each, entitle(each, rule)) for each in names)
    free, definition = next((each, new) for each, new in entitled if definitions.get(each, new) == new)
    definitions[free] = definition
    return free


def _member(field: Any, definitions: dict[str, JsonSchema]) -> JsonSchema:
    metadata = {key: value for key, value in field.metadata.items() if key != "json_schema"}
    if field.dump_only:  # imports ignore it
        return {"readOnly": True, **metadata}
    own = field.rule if isinstance(field, WireField) else field
    rule = assertions_of(field)
    definition = getattr(own, "definition", None)
    if definition is not None:
        shared = {"description": _first_line(own), **rule}
        # A column may narrow the rule; then it is not shared.
        if definitions.setdefault(definition, shared) == shared:
            rule = {"$ref": f"#/$defs/{definition}"}
    return {**or_null(rule, field), **metadata}


_BASES = {"histio.kinds.base", "histio.records"}
"""The modules of the base classes for hosts, whose docstrings do not describe a host's schema."""


def _first_line(documented: object) -> str:
    text = inspect.getdoc(type(documented)) or ""
    bases = (cls for cls in type(documented).__mro__ if cls.__module__ in _BASES)
    return "" if text in map(inspect.getdoc, bases) else text.partition("\n")[0]


def _name(schema: object) -> str:
    """The name of a schema's definition: ProductionConsumptionSchema gives production_consumption."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(schema).__name__.removesuffix("Schema")).lower()


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


@functools.cache
def published_or_derived(
    schema_classes: tuple[type[BaseSchema], ...], catalog: tuple[type[BaseSchema], ...], version: str
) -> JsonSchema:
    """The published schema if it is that of these kinds and of this catalog, otherwise a derived one."""
    own = derive(schema_classes, catalog, version=version)
    if version == VERSION and own == published():
        return published()
    return own | {"$id": f"{URN}:{version}:{'+'.join(cls.opts.kind for cls in schema_classes)}"}
