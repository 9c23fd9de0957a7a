"""Move the definitions of a JSON Schema to one place, and update the references to them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin

from referencing.jsonschema import DRAFT202012

from histio.errors import BindingError
from histio.pointer import pointer
from histio.wire import JsonSchema

# Keywords by their values: one schema, a list of schemas, or schemas by name. The values of other keywords,
# such as examples, are not schemas, even if their members have these names.
_ONE = {
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
}
_SEVERAL = {"allOf", "anyOf", "oneOf", "prefixItems"}
_BY_NAME = {"dependentSchemas", "patternProperties", "properties"}
_DEFINITIONS = {"$defs", "definitions"}
_REFERENCES = {"$dynamicRef", "$ref"}
_ANCHORS = {"$anchor", "$dynamicAnchor"}
_OF_RESOURCES = {"$id", "$schema"}

_AS_OBJECT: dict[bool, JsonSchema] = {True: {}, False: {"not": {}}}
"""Schemas that are booleans, as objects: linters take nothing else for a component."""


def move_definitions(schema: JsonSchema, *, name: str, folder: str) -> dict[str, Any]:
    """Split *schema* into schemas without definitions: itself as *name*, and each of its definitions.

    None of them has an ``$id``. A definition keeps its name, unless OpenAPI does not allow it or it is taken.

    Args:
        schema: A JSON Schema; not changed.
        name: Its new name.
        folder: The pointer to where the schemas are to be.
    """
    moved = _Moved(folder)
    moved.move(name, schema)
    return moved.schemas


def lift_definitions(rule: JsonSchema, *, name: str, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """Move *rule* to *definitions* if a part of it has an ``$id``; return a reference to it, or *rule*.

    Its own definitions are moved, too. All new names begin with *name*.
    """
    if not _has_resource(rule):
        return rule
    for taken in ((), definitions):  # another record may have the same rule
        moved = _Moved("#/$defs", taken, prefix=f"{name}.")
        moved.move(name, rule)
        if all(definitions.get(each, schema) == schema for each, schema in moved.schemas.items()):
            break
    definitions |= moved.schemas
    return {"$ref": f"#/$defs/{next(iter(moved.schemas))}"}


def check_references(definitions: dict[str, JsonSchema]) -> None:
    """Check that all references in *definitions* lead to one of them.

    Raises:
        BindingError: One does not.
    """
    for name, definition in definitions.items():
        for reference in (str(each["$ref"]) for each in _objects_in(definition) if "$ref" in each):
            folder, _, known = reference.rpartition("#/$defs/")
            if folder or known.partition("/")[0] not in definitions:
                text = f"the JSON Schema of {name} refers to {reference}, which is not in it"
                raise BindingError(text, advice="give the field's JSON Schema $defs of its own")


def _has_resource(rule: JsonSchema) -> bool:
    return any("$id" in each for each in _objects_in(rule))


def _objects_in(schema: Any) -> Iterator[JsonSchema]:
    """*schema* and every schema in it, without booleans."""
    if isinstance(schema, dict):
        yield schema
        for inner in DRAFT202012.subresources_of(schema):
            yield from _objects_in(inner)


@dataclass(frozen=True, slots=True)
class _Location:
    """Where a schema is.

    Attributes:
        place: The pointer to its new place.
        base: The URI to which its references are relative.
        uris: What references to it can resolve to; a part of nested resources has a URI in each.
    """

    place: str
    base: str = ""
    uris: tuple[str, ...] = ("#",)

    def resource(self, identifier: str) -> _Location:
        """The same location, of a schema with this ``$id``."""
        base = _resolve(self.base, identifier).rstrip("#")
        return replace(self, base=base, uris=(*self.uris, f"{base}#"))

    def inner(self, *steps: str | int) -> _Location:
        """The location of a part of the schema."""
        path = pointer(*steps)
        return _Location(self.place + path, self.base, tuple(uri + path for uri in self.uris))


class _Moved:
    """Moves the definitions of a schema, and updates the references to them.

    Args:
        folder: The pointer to where the schemas are to be.
        taken: Names that they cannot have.
        prefix: What the names of definitions begin with.

    Attributes:
        schemas: The schemas, by name.
    """

    def __init__(self, folder: str, taken: Container[str] = (), prefix: str = "") -> None:
        self.schemas: dict[str, Any] = {}
        self._folder = folder
        self._taken = taken
        self._prefix = prefix
        self._places: dict[str, str] = {}  # by URI
        self._references: list[tuple[JsonSchema, str]] = []  # schemas, and the URIs that they refer to

    def move(self, name: str, schema: JsonSchema) -> None:
        """Move *schema* to *name*, and its definitions."""
        self._add(self._reserve(name), schema, _Location(""))
        for rule, uri in self._references:
            rule["$ref"] = self._find(uri)

    def _reserve(self, name: str) -> str:
        """A free name that is *name* or like it, now taken."""
        allowed = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        names = itertools.chain((allowed,), (f"{allowed}_{n}" for n in itertools.count(2)))
        free = next(each for each in names if each not in self.schemas and each not in self._taken)
        self.schemas[free] = {}
        return free

    def _add(self, name: str, schema: Any, at: _Location) -> None:
        moved = self._move(schema, replace(at, place=f"{self._folder}/{name}"))
        self.schemas[name] = _AS_OBJECT[moved] if isinstance(moved, bool) else moved

    def _move(self, schema: Any, at: _Location) -> Any:
        """A copy of *schema*, an object or a boolean, without its definitions, which become components."""
        if not isinstance(schema, dict):
            self._places |= dict.fromkeys(at.uris, at.place)
            return schema
        at = at.resource(schema["$id"]) if "$id" in schema else at
        anchors = [f"{at.base}#{schema[name]}" for name in _ANCHORS & schema.keys()]
        self._places |= dict.fromkeys((*at.uris, *anchors), at.place)
        moved: JsonSchema = {}
        for keyword, value in schema.items():
            if keyword in _REFERENCES:
                moved["$ref"] = value
                self._references.append((moved, _resolve(at.base, value)))
            elif keyword in _DEFINITIONS:
                names = {name: self._reserve(self._prefix + name) for name in value}  # before those in them
                for name, inner in value.items():
                    self._add(names[name], inner, at.inner(keyword, name))
            elif keyword not in _OF_RESOURCES | _ANCHORS:
                moved[keyword] = self._move_value(keyword, value, at)
        if "array" in moved.get("type", ()) and not {"items", "unevaluatedItems"} & moved.keys():
            moved["items"] = {}  # the same to validators, and linters want it to be said
        return moved

    def _move_value(self, keyword: str, value: Any, at: _Location) -> Any:
        """A copy of the *value* of a *keyword* of a schema; *at*: where the schema is."""
        if keyword in _ONE:
            return self._move(value, at.inner(keyword))
        if keyword in _SEVERAL:
            return [self._move(inner, at.inner(keyword, index)) for index, inner in enumerate(value)]
        if keyword in _BY_NAME:
            return {name: self._move(inner, at.inner(keyword, name)) for name, inner in value.items()}
        return value

    def _find(self, uri: str) -> str:
        """The reference to what *uri* names; to another document, *uri* itself."""
        known, rest = unquote(uri), ""
        while known not in self._places and "/" in known:  # what is named is within a value
            known, _, step = known.rpartition("/")
            rest = f"/{step}{rest}"
        place = self._places.get(known)
        return uri if place is None else quote(place + rest, safe="#/~!$&'()*+,;=:@?")


def _resolve(base: str, reference: str) -> str:
    """The URI of a *reference* in a resource with the URI *base*; it always has a fragment."""
    # urljoin does not join fragments to a URN.
    uri, fragment = urldefrag(base + reference if reference.startswith("#") else urljoin(base, reference))
    return f"{uri}#{fragment}"
