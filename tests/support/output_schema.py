"""The JSON Schema of what the commands print, derived from `histio.cli.outputs`.

``python -m tests.support.output_schema`` writes the published file anew.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from histio.cli.outputs import LINES, OUTPUTS
from histio.kinds.json_schema import DRAFT
from histio.kinds.json_schema_parts import SHA256, closed_object, entitle

FILE = Path(__file__).parents[2] / "schemas" / "output-1.0.schema.json"

_LARGEST = 2**53 - 1
_DESCRIPTION = (
    "What the commands of histio print with --json: one object, defined by the name of the command. With "
    "--jsonl, each line is an object, defined by that name and _line."
)


def derive() -> dict[str, Any]:
    """The JSON Schema of the output of all commands."""
    definitions: dict[str, Any] = {}
    for suffix, outputs in (("", OUTPUTS), ("_line", LINES)):
        for command, classes in outputs.items():
            own = [_refer(each, definitions) for each in classes]
            rule = own[0] if len(own) == 1 else {"anyOf": own}
            name = command + suffix
            what = "line" if suffix else "object"
            described = {"description": f"The {what} that histio {command} prints.", **rule}
            definitions[name] = entitle(name, described)
    return {
        "$schema": DRAFT,
        "$id": "urn:histio:output:1.0",
        "title": "Output",
        "description": _DESCRIPTION,
        "$defs": dict(sorted(definitions.items())),
    }


def _refer(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to the definition of a dataclass, which is added to *definitions*."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()
    if name not in definitions:
        definitions[name] = {}
        types_of, texts = get_type_hints(cls), _describe(cls)
        members = [field.name for field in fields(cls)]
        properties = {
            member: {"description": texts[member], **_rule(types_of[member], member, definitions)}
            for member in members
        }
        text = inspect.getdoc(cls).partition("\n")[0]
        definitions[name] = entitle(name, {"description": text, **closed_object(properties, members)})
    return {"$ref": f"#/$defs/{name}"}


def _rule(hint: Any, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of values of a type, for the member *name*."""
    if is_dataclass(hint):
        return _refer(hint, definitions)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        present, null = arguments  # always `X | None`
        assert null is type(None)
        return {"anyOf": [_rule(present, name, definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _rule(arguments[0], name, definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _rule(arguments[1], name, definitions)}
    return _SIMPLE[hint] if not name.endswith("sha256") else SHA256


_SIMPLE = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": 0, "maximum": _LARGEST},
    bool: {"type": "boolean"},
    Any: {},
}


def _describe(cls: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of its bases say about each attribute."""
    texts: dict[str, str] = {}
    for each in reversed([base for base in cls.__mro__ if is_dataclass(base)]):
        listed = inspect.getdoc(each).partition("Attributes:\n")[2]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
            plain = re.sub(r"[`*]|:\w+:", "", re.sub(r"\s+", " ", text))
            texts[name] = re.sub(r"\bNone\b", "null", re.sub(r"(^|[.] )None\b", r"\1Null", plain))
    return texts


if __name__ == "__main__":
    FILE.write_text(json.dumps(derive(), indent=2) + "\n", "utf-8")
