"""The JSON Schema of what is written line by line: streams, and the receipts of imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from histio.kinds.json_schema_parts import (
    DIGEST,
    SHA256,
    closed_object,
    describe,
    entitle,
    list_of,
    version_rule,
)
from histio.wire import JsonSchema

_MOST = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""

_ANY_LIST: JsonSchema = {"type": "array", "items": {}}


def define_stream(
    kinds: Sequence[str], catalog: Sequence[str], exported_at: JsonSchema, version: str
) -> dict[str, JsonSchema]:
    """The definitions of a sealed stream's lines.

    Args:
        kinds: The names of the kinds of run.
        catalog: The names of the catalog kinds.
        exported_at: The definition of the time of the export.
        version: The version of the format.
    """
    every = (*catalog, *kinds)
    counts = {
        name: describe(
            {"type": "integer", "minimum": 0, "maximum": _MOST},
            f"How many {'rows' if name in catalog else 'runs'} of this kind.",
            1,
        )
        for name in every
    }
    header = {
        "version": version_rule(version),
        "exported_at": exported_at,
        "kinds": describe(list_of(kinds), "The kinds of run in the stream.", list(kinds)),
        "sealed": describe(
            {"type": "boolean"}, "False announces a stream without trailer; left out: true.", example=False
        ),
        "follows": describe(SHA256, "The sha256 of the stream that this one continues.", DIGEST),
        "follows_header": describe(
            SHA256, "The header_sha256 of that stream, which tells streams without runs apart.", DIGEST
        ),
    }
    trailer = {
        "counts": describe(
            closed_object(counts, []),
            "Runs by kind, and catalog rows by kind." if catalog else "Runs by kind.",
            dict.fromkeys(every, 1),
        ),
        "sha256": describe(SHA256, "Of the bytes of all run lines, line ends included.", DIGEST),
        "header_sha256": describe(SHA256, "Of the bytes of the header line.", DIGEST),
    }
    required = list(trailer)
    if catalog:
        described = "The kinds of catalog rows in the stream, which come before the runs."
        header["catalog"] = describe(list_of(catalog), described, list(catalog))
        described = "Of the bytes of all catalog lines, line ends included; only where there are any."
        trailer["catalog_sha256"] = describe(SHA256, described, DIGEST)
    problems = describe(_ANY_LIST, "Why the line was rejected; not read again.", [])
    text = describe({"type": "string"}, "A line that was not JSON.", "{")
    lines = [
        *(_line(name) for name in ("header", "trailer")),
        *(_line(name, problems=problems) for name in every),
        closed_object({"unreadable": text, "problems": problems}, ["unreadable"]),
    ]
    described = (
        f"One line of a stream: its header, {'one catalog row, ' if catalog else ''}one run, its trailer, "
        "or the text of a line that is not JSON."
    )
    return {
        "header": _define("header", "The first line of a stream.", header, ["version"]),
        "trailer": _define("trailer", "The last line of a sealed stream.", trailer, required),
        "stream_line": entitle("stream_line", {"description": described, "anyOf": lines}),
    }


def _define(name: str, description: str, members: JsonSchema, required: Sequence[str]) -> JsonSchema:
    rule = {"description": description, **closed_object(members, required)}
    return entitle(name, describe(rule, "", _example_of(members, required)))


def _example_of(members: JsonSchema, required: Iterable[str]) -> JsonSchema | None:
    """An object with the examples of *members*, as far as there are any; None: a *required* one has none."""
    examples = {name: rule["examples"][0] for name, rule in members.items() if rule.get("examples")}
    return examples if examples.keys() >= set(required) else None


def _line(name: str, **beside: JsonSchema) -> JsonSchema:
    """A line with what is defined as *name*, and the members *beside* it.

    The reference stands alone: programs that generate types copy what is referred to if it does not.
    """
    return closed_object({name: {"$ref": f"#/$defs/{name}"}, **beside}, [name])


def define_receipt_line(
    identities: Mapping[str, Sequence[str]], definitions: JsonSchema, version: str
) -> JsonSchema:
    """The definition of a receipt's lines; *identities* has the members that identify a record, by kind."""
    kinds = list(identities)
    unique: list[JsonSchema] = []
    for kind, (name, *others) in identities.items():
        own = definitions[kind]["properties"][name]
        rule = {key: value for key, value in own.items() if key not in ("description", "examples")}
        rule = _ANY_LIST if others or rule.get("type") == "object" else rule
        unique += [] if rule in unique else [rule]
    sha256_or_null = SHA256 | {"type": ["string", "null"]}
    [example] = definitions[kinds[-1]].get("examples", [None])
    values = [example[name] for name in identities[kinds[-1]]] if example else [None]
    identity = values[0] if len(values) == 1 else values
    header = {
        "version": version_rule(version),
        "kinds": describe(list_of(kinds), "The kinds that may follow.", kinds),
        "database": describe(sha256_or_null, "Which database it is; null: any.", DIGEST),
    }
    run = {
        "kind": describe({"enum": kinds}, "The kind of the run or row.", kinds[-1]),
        "identity": describe(
            {"anyOf": unique}, "What identifies it; a list if there are several members.", identity
        ),
        "sha256": describe(
            sha256_or_null, "Of its JSON as an export writes it, after the import; null: none can.", DIGEST
        ),
    }
    records = {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]}
    before = describe(records, "The record as it was before the import.", example)
    members = {
        "receipt": ("The first line of a receipt.", header),
        "created": ("A run or row that an import has created.", run),
        "updated": ("A run or row that an import has updated.", {**run, "before": before}),
    }
    lines = [
        closed_object({name: describe(closed_object(own, own), description, _example_of(own, own))}, [name])
        for name, (description, own) in members.items()
    ]
    described = "One line of the receipt of imports: its header, or what was done to one run or row."
    return entitle("receipt_line", {"description": described, "anyOf": lines})
