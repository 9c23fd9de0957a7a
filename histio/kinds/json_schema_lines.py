"""The JSON Schema of streams, of the manifest of streams in parts, and of the receipts of imports."""

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
        "counts": _define_counts(kinds, catalog),
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


def _define_counts(kinds: Sequence[str], catalog: Sequence[str]) -> JsonSchema:
    """The member with the number of runs, and of catalog rows, by kind."""
    every = (*catalog, *kinds)
    counts = {
        name: describe(
            {"type": "integer", "minimum": 0, "maximum": _MOST},
            f"How many {'rows' if name in catalog else 'runs'} of this kind.",
            1,
        )
        for name in every
    }
    described = "Runs by kind, and catalog rows by kind." if catalog else "Runs by kind."
    return describe(closed_object(counts, []), described, dict.fromkeys(every, 1))


_PART_NAME = "^[A-Za-z0-9_\\-][A-Za-z0-9_.\\-]*$"
"""The names that a part may have: they lead to no other folder, and to no hidden file."""

_LONGEST_NAME = 200


def define_manifest(
    kinds: Sequence[str],
    catalog: Sequence[str],
    places: Mapping[str, tuple[str | None, Sequence[str]]],
    definitions: JsonSchema,
    exported_at: JsonSchema,
    version: str,
) -> JsonSchema:
    """The definition of the manifest of a folder with the parts of an export.

    Args:
        kinds: The names of the kinds of run.
        catalog: The names of the catalog kinds.
        places: By kind of run, the members with the time of a run, if it has one, and with its identity.
        definitions: Those of the kinds.
        exported_at: The definition of the time of the export.
        version: The version of the format.
    """
    times = [_rule_of(definitions[kind], [name]) for kind, (name, _) in places.items() if name is not None]
    identities = [_rule_of(definitions[kind], names) for kind, (_, names) in places.items()]
    [example] = definitions[kinds[0]].get("examples", [None])
    time, names = places[kinds[0]]
    shown = None if example is None or time is None else example[time]
    place = {"at": describe(_any_of(times), "The time of the run.", shown)} if times else {}
    shown = example and _identity_of(example, names)
    place["uuid"] = describe(_any_of(identities), "What identifies it, as in a receipt.", shown)
    shown = _example_of(place, place)
    run = closed_object(place, ["uuid"])
    plain = {"pattern": _PART_NAME, "maxLength": _LONGEST_NAME, "not": {"pattern": "[^A-Za-z0-9_.\\-]"}}
    described = "The name of its file, in the folder of the manifest."
    part = {
        "name": describe({"type": "string", **plain}, described, "part-00000.jsonl.zst"),
        "counts": _define_counts(kinds, catalog) | {"examples": [{kinds[0]: 1}]},
        "sha256": describe(SHA256, "The sha256 in its trailer.", DIGEST),
        "header_sha256": describe(SHA256, "The header_sha256 in its trailer.", DIGEST),
    }
    required = ["name", "counts", "sha256", "header_sha256"]
    members = {
        "version": version_rule(version),
        "exported_at": exported_at,
        "kinds": describe(list_of(kinds), "The kinds of run in the parts.", list(kinds)),
    }
    if catalog:
        described = "The catalog_sha256 in its trailer; only where it has catalog rows."
        part["catalog_sha256"] = describe(SHA256, described, DIGEST)
        described = "The kinds of catalog rows, which are in the first parts."
        members["catalog"] = describe(list_of(catalog), described, list(catalog))
    part["first"] = describe(run, "Its first run; left out if it has none.", shown)
    part["last"] = describe(run, "Its last run; left out if it has none.", shown)
    parts = {"type": "array", "items": closed_object(part, required)}
    example = _example_of(part, required)
    members["parts"] = describe(parts, "The parts, in the order of the export.", example and [example])
    members["sha256"] = describe(SHA256, "Of the digests and names of all parts, in their order.", DIGEST)
    needed = [name for name in members if name != "catalog"]
    return _define("manifest", "The parts of an export, which are in the same folder.", members, needed)


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
    unique = _any_of([_rule_of(definitions[kind], names) for kind, names in identities.items()])
    sha256_or_null = SHA256 | {"type": ["string", "null"]}
    [example] = definitions[kinds[-1]].get("examples", [None])
    identity = example and _identity_of(example, identities[kinds[-1]])
    header = {
        "version": version_rule(version),
        "kinds": describe(list_of(kinds), "The kinds that may follow.", kinds),
        "database": describe(sha256_or_null, "Which database it is; null: any.", DIGEST),
    }
    run = {
        "kind": describe({"enum": kinds}, "The kind of the run or row.", kinds[-1]),
        "identity": describe(unique, "What identifies it; a list if there are several members.", identity),
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


def _rule_of(record: JsonSchema, names: Sequence[str]) -> JsonSchema:
    """The rule of the members of a *record* with these *names*; if there are several, they are a list."""
    own = record["properties"][names[0]]
    rule = {key: value for key, value in own.items() if key not in ("description", "examples")}
    return _ANY_LIST if len(names) > 1 or rule.get("type") == "object" else rule


def _any_of(rules: Sequence[JsonSchema]) -> JsonSchema:
    """What one of the *rules* accepts."""
    unique: list[JsonSchema] = []
    for rule in rules:
        unique += [] if rule in unique else [rule]
    return {"anyOf": unique}


def _identity_of(record: JsonSchema, names: Sequence[str]) -> object:
    """What identifies an example *record*: a list if there are several members."""
    values = [record[name] for name in names]
    return values[0] if len(values) == 1 else values
