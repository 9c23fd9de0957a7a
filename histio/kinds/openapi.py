"""The JSON Schema of a history as an OpenAPI document, with a component for each of its definitions."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin

from histio.pointer import pointer
from histio.wire import JsonSchema

ROOT = "History"
"""The name of the component that validates documents."""

_COMPONENTS = "#/components/schemas"

# The keywords whose values are a schema, a list of schemas, or schemas by name. What other keywords hold are
# values, such as examples, which may have members of the same names.
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


def to_openapi(schema: JsonSchema) -> JsonSchema:
    """An OpenAPI 3.1 document without paths, which accepts and rejects what *schema* does.

    The component ``History`` is the root of *schema*. The other components have the names of its definitions;
    a name that OpenAPI does not allow, or that is taken, gets another one.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": schema["title"],
            "version": schema["properties"]["version"]["const"],
            "description": schema["description"],
        },
        "servers": [{"url": "/"}],  # the default; linters want it to be said
        "paths": {},
        "components": {"schemas": _Components(schema).schemas},
    }


class _Components:
    """Moves definitions out of a schema, and lets references lead to their new places.

    Attributes:
        schemas: The schemas, by name.
    """

    def __init__(self, schema: JsonSchema) -> None:
        self.schemas: dict[str, Any] = {}
        self._places: dict[str, str] = {}  # by URI, where the schema is now
        self._references: list[tuple[JsonSchema, str]] = []  # with the URI to which they lead
        self._add(ROOT, schema, "", ())
        for rule, uri in self._references:
            rule["$ref"] = self._find(uri)

    def _add(self, name: str, schema: Any, base: str, uris: tuple[str, ...]) -> None:
        allowed = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        names = itertools.chain((allowed,), (f"{allowed}_{n}" for n in itertools.count(2)))
        free = next(each for each in names if each not in self.schemas)
        self.schemas[free] = {}  # reserve the name, and its place before those of inner definitions
        self.schemas[free] = self._move(schema, f"{_COMPONENTS}/{free}", base, uris)

    def _move(self, schema: Any, place: str, base: str, uris: tuple[str, ...]) -> Any:
        """A copy of *schema* for a new *place*, without its definitions, which become components.

        Args:
            schema: An object, or a boolean.
            place: The pointer to its new place.
            base: The URI to which its references are relative.
            uris: Its own URIs; a part of several nested resources has one in each.
        """
        is_object = isinstance(schema, dict)
        if is_object and ("$id" in schema or not uris):
            base = _resolve(base, schema.get("$id", "")).rstrip("#")
            uris = (*uris, f"{base}#")
        anchors = [f"{base}#{schema[name]}" for name in _ANCHORS & schema.keys()] if is_object else []
        self._places |= dict.fromkeys((*uris, *anchors), place)
        if not is_object:
            return schema

        def move(inner: Any, *steps: str | int) -> Any:
            path = pointer(*steps)
            return self._move(inner, place + path, base, tuple(uri + path for uri in uris))

        moved: JsonSchema = {}
        for keyword, value in schema.items():
            if keyword in _REFERENCES:
                moved["$ref"] = value
                self._references.append((moved, _resolve(base, value)))
            elif keyword in _DEFINITIONS:
                for name, inner in value.items():
                    path = pointer(keyword, name)
                    self._add(name, inner, base, tuple(uri + path for uri in uris))
            elif keyword in _ONE:
                moved[keyword] = move(value, keyword)
            elif keyword in _SEVERAL:
                moved[keyword] = [move(inner, keyword, index) for index, inner in enumerate(value)]
            elif keyword in _BY_NAME:
                moved[keyword] = {name: move(inner, keyword, name) for name, inner in value.items()}
            elif keyword not in _OF_RESOURCES | _ANCHORS:
                moved[keyword] = value
        if moved.get("type") == "array" and not {"items", "unevaluatedItems"} & moved.keys():
            moved["items"] = {}  # the same to validators, and linters want it to be said
        return moved

    def _find(self, uri: str) -> str:
        """The reference to what *uri* names; to another document, *uri* itself."""
        known, rest = unquote(uri), ""
        while known not in self._places and "/" in known:  # a part of a schema that is no schema itself
            known, _, step = known.rpartition("/")
            rest = f"/{step}{rest}"
        place = self._places.get(known)
        return uri if place is None else quote(place + rest, safe="#/~!$&'()*+,;=:@?")


def _resolve(base: str, reference: str) -> str:
    """The URI of a *reference* in a resource with the URI *base*; it always has a fragment."""
    # urljoin does not join fragments to a URN.
    uri, fragment = urldefrag(base + reference if reference.startswith("#") else urljoin(base, reference))
    return f"{uri}#{fragment}"
