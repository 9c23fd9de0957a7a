"""The JSON Schema of a history as an OpenAPI document, with a component for each of its definitions."""

from __future__ import annotations

from histio.kinds.definitions import move_definitions
from histio.wire import JsonSchema

ROOT = "History"
"""The name of the component that validates documents."""


def to_openapi(schema: JsonSchema) -> JsonSchema:
    """An OpenAPI 3.1 document without paths, which accepts and rejects what *schema* does.

    The component ``History`` is the root of *schema*. The other components have the names of its definitions;
    a name that OpenAPI does not allow, or that is taken, becomes another one.
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
        "components": {"schemas": move_definitions(schema, name=ROOT, folder="#/components/schemas")},
    }
