"""Parts of JSON Schemas: objects, lists of names, digests, and what describes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from histio.wire import JsonSchema

SHA256: JsonSchema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64}
DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
"""An example of a SHA-256."""


def closed_object(properties: JsonSchema, required: Iterable[str]) -> JsonSchema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def list_of(names: Sequence[str]) -> JsonSchema:
    """A list of some of the *names*, each at most once."""
    return {"type": "array", "items": {"enum": list(names)}, "uniqueItems": True}


def describe(rule: JsonSchema, description: str, example: Any) -> JsonSchema:
    """*rule* with what describes it; an empty *description* and an *example* of None are left out."""
    described = {"description": description} if description else {}
    examples = {} if example is None else {"examples": [example]}
    return {**rule, **described, **examples}


def entitle(name: str, rule: JsonSchema) -> JsonSchema:
    """The definition of an object or a choice of objects, as *name*.

    Programs that generate types make one of all that has a title, and give it the title as its name. So
    members have none: assembly_run gives "Assembly run".
    """
    return {"title": name.replace("_", " ").capitalize(), **rule}


def version_rule(version: str) -> JsonSchema:
    """The member that has the *version* of the format."""
    return describe({"const": version}, "The version of the format.", version)
