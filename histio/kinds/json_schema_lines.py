"""The JSON Schema of what is written line by line: streams, and the receipts of imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from histio.kinds.json_schema_parts import (
    DIGEST,
    SHA256,
    closed_object,
    describe,
    list_of,
    to_title,
    version_rule,
)
from histio.wire import JsonSchema

_MOST = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""

_ANY_LIST: JsonSchema = {"type": "array", "items": {}}


def define_stream(
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
    counts = {
        name: describe(
            {"type": "integer", "minimum": 0, "maximum": _MOST},
            to_title(name),
            f"How many {'rows' if name in catalog else 'runs'} of this kind.",
            1,
        )
        for name in examples
    }
    header = {
        "version": version_rule(version),
        "exported_at": exported_at,
        "kinds": describe(list_of(kinds), "Kinds", "The kinds of run in the stream.", kinds),
        "sealed": describe(
            {"type": "boolean"},
            "Sealed",
            "False announces a stream without trailer; left out: true.",
            example=False,
        ),
        "follows": describe(SHA256, "Follows", "The sha256 of the stream that this one continues.", DIGEST),
        "follows_header": describe(
            SHA256,
            "Follows header",
            "The header_sha256 of that stream, which tells streams without runs apart.",
            DIGEST,
        ),
    }
    trailer = {
        "counts": describe(
            closed_object(counts, []),
            "Counts",
            "Runs by kind, and catalog rows by kind." if catalog else "Runs by kind.",
            dict.fromkeys(examples, 1),
        ),
        "sha256": describe(SHA256, "SHA-256", "Of the bytes of all run lines, line ends included.", DIGEST),
        "header_sha256": describe(SHA256, "Header SHA-256", "Of the bytes of the header line.", DIGEST),
    }
    required = list(trailer)
    if catalog:
        described = "The kinds of catalog rows in the stream, which come before the runs."
        header["catalog"] = describe(list_of(catalog), "Catalog", described, list(catalog))
        described = "Of the bytes of all catalog lines, line ends included; only where there are any."
        trailer["catalog_sha256"] = describe(SHA256, "Catalog SHA-256", described, DIGEST)
    ends = {
        "header": ("The first line of a stream.", closed_object(header, ["version"])),
        "trailer": ("The last line of a sealed stream.", closed_object(trailer, required)),
    }
    definitions = {
        name: {"title": to_title(name), "description": description, **rule}
        for name, (description, rule) in ends.items()
    }
    problems = describe(_ANY_LIST, "Problems", "Why the line was rejected; not read again.", [])
    text = describe({"type": "string"}, "Unreadable", "A line that was not JSON.", "{")

    def line(name: str, description: str, value: Any, **beside: JsonSchema) -> JsonSchema:
        member = describe({"$ref": f"#/$defs/{name}"}, to_title(name), description, value)
        return closed_object({name: member, **beside}, [name])

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
        closed_object({"unreadable": text, "problems": problems}, ["unreadable"]),
    ]
    definitions["stream_line"] = {
        "title": "Stream line",
        "description": "One line of a stream: its header, "
        f"{'one catalog row, ' if catalog else ''}one run, its trailer, "
        "or the text of a line that is not JSON.",
        "anyOf": lines,
    }
    return definitions


def define_receipt_line(
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
        rule = _ANY_LIST if others or rule.get("type") == "object" else rule
        unique += [] if rule in unique else [rule]
    sha256_or_null = SHA256 | {"type": ["string", "null"]}
    example = examples[kinds[-1]]
    values = [example[name] for name in identities[kinds[-1]]] if example else [None]
    identity = values[0] if len(values) == 1 else values
    header = {
        "version": version_rule(version),
        "kinds": describe(list_of(kinds), "Kinds", "The kinds that may follow.", kinds),
        "database": describe(sha256_or_null, "Database", "Which database it is; null: any.", DIGEST),
    }
    run = {
        "kind": describe({"enum": kinds}, "Kind", "The kind of the run or row.", kinds[-1]),
        "identity": describe(
            {"anyOf": unique},
            "Identity",
            "What identifies it; a list if there are several members.",
            identity,
        ),
        "sha256": describe(
            sha256_or_null,
            "SHA-256",
            "Of its JSON as an export writes it, after the import; null: none can.",
            DIGEST,
        ),
    }
    records = {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]}
    before = describe(records, "Before", "The record as it was before the import.", example)
    members = {
        "receipt": ("The first line of a receipt.", header),
        "created": ("A run or row that an import has created.", run),
        "updated": ("A run or row that an import has updated.", {**run, "before": before}),
    }
    lines = [
        closed_object(
            {
                name: describe(
                    closed_object(own, own),
                    to_title(name),
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
