"""The gate: check records against a JSON Schema, fast."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from histio.kinds.explain import TOO_LARGE, Explainer, explain, explain_exported_at, explain_foreign
from histio.kinds.fields import Json
from histio.kinds.json_schema import DRAFT
from histio.pointer import pointer
from histio.report import Problem
from histio.wire import JsonSchema, is_plain

try:
    import orjson
except ImportError:  # a platform without a wheel
    orjson = None  # type: ignore[assignment]
try:
    import jsonschema_rs
except ImportError:  # a platform without a wheel
    jsonschema_rs = None  # type: ignore[assignment]

_EXACT = 2**53
"""All JSON parsers agree on integers below it (RFC 8259, section 6)."""

_log = logging.getLogger("histio")


class Gate:
    """Checks documents and records against a JSON Schema.

    jsonschema-rs accepts records. jsonschema explains what is wrong with other records, and with documents,
    headers and trailers.

    Args:
        schema: The JSON Schema, from `published` or `derive`.
        older: Older versions that can also be read.
        has_json: Whether the models of the kinds have columns of JSON.

    Attributes:
        schema: The JSON Schema.
        version: The version of the format that it describes.
        kinds: The names of the kinds of run.
        catalog: The names of the catalog kinds.
        collections: The names of the lists in a document, by kind; those of the catalog come first.
        text_kinds: The kinds whose JSON text `read` can decode.
        has_json: Whether a kind has members with any JSON value, of `Json` or of a field of the host.
    """

    def __init__(self, schema: JsonSchema, *, older: Iterable[str] = (), has_json: bool = False) -> None:
        self.schema = schema
        self.version: str = schema["properties"]["version"]["const"]
        header = schema["$defs"]["header"]["properties"]
        self.kinds: tuple[str, ...] = tuple(header["kinds"]["items"]["enum"])
        self.catalog: tuple[str, ...] = tuple(
            header["catalog"]["items"]["enum"] if "catalog" in header else ()
        )
        names = *self.catalog, *self.kinds
        self.collections: dict[str, str] = {
            rule["items"]["$ref"].removeprefix("#/$defs/"): name
            for name, rule in schema["properties"].items()
            if "items" in rule
        }
        self.has_json: bool = has_json or Json.definition in schema["$defs"]
        self._older = frozenset(older)
        self._envelope = Explainer(_without_items(schema))
        self._explaining = {
            name: Explainer({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
            for name in ("header", "trailer", "manifest", *names)
        }
        self._accepting = _FastValidators(schema)
        self.text_kinds: frozenset[str] = frozenset(
            name for name in names if _reads_alike({"$ref": f"#/$defs/{name}"}, schema["$defs"])
        )
        self._decodes = True
        if orjson is None:
            self._decodes, self.text_kinds = False, frozenset()

    def accepts(self, kind: str, record: object, *, decoded: bool = False) -> bool:
        """Whether *record* has the form of a run of *kind*; an accepted record need not be checked again.

        A record that is not accepted may still be valid: `explain` decides.

        Args:
            kind: The name of a kind.
            record: Any value.
            decoded: Whether it was decoded from JSON text. Otherwise its types are checked first, as
                jsonschema-rs takes more types for lists, texts and numbers than JSON has. So are those of
                kinds with values of any form, as Python decodes 1e400 as an infinity.
        """
        validator = self._accepting[kind]
        decoded = decoded and kind in self.text_kinds
        try:
            return validator is not None and (decoded or is_plain(record)) and validator.is_valid(record)
        except TOO_LARGE:
            return False

    def read(self, kind: str, text: bytes) -> Any:
        """The run of *kind* in JSON *text*, if the gate accepts it; None otherwise."""
        validator = self._accepting[kind] if self._decodes else None
        if validator is None or not (kind in self.text_kinds or _reads_alike_in(text)):
            return None
        try:
            record = orjson.loads(text)
            return record if validator.is_valid(record) else None
        except TOO_LARGE:
            return None

    def explain(self, kind: str, record: object, at: tuple[str | int, ...]) -> list[Problem]:
        """The problems of the form of *record*; empty: it is valid. *at*: the steps to it."""
        return explain(self._explaining[kind], record, at) or explain_foreign(record, at)

    def check_envelope(self, document: object) -> list[Problem]:
        """The problems of *document*, without those of its runs."""
        return self._check_versioned(self._envelope, document, ())

    def check_header(self, members: object) -> list[Problem]:
        """The problems of the *members* of a stream's header, which is its first line."""
        problems = self._check_versioned(self._explaining["header"], members, ("header",))
        hints = (
            {} if self.catalog else {"/header/catalog": "this history has no catalog kinds: pass catalog="}
        )
        return [replace(problem, line=1, hint=hints.get(problem.pointer)) for problem in problems]

    def check_trailer(self, line: object, number: int) -> list[Problem]:
        """The problems of a stream's trailer: the decoded *line* with this 1-based *number*."""
        members = line.get("trailer") if isinstance(line, dict) else None
        problems = explain(self._explaining["trailer"], members, ("trailer",))
        if isinstance(line, dict):
            problems += [
                Problem("error", "schema", "Unknown field.", pointer(name))
                for name in line
                if name != "trailer"
            ]
        return [replace(problem, code="corrupt", line=number) for problem in problems]

    def check_manifest(self, members: object) -> list[Problem]:
        """The problems of the manifest of an export in parts."""
        if self.accepts("manifest", members):
            return []
        problems = self._check_versioned(self._explaining["manifest"], members, ())
        return [replace(each, code="corrupt") if each.code == "schema" else each for each in problems]

    def _check_versioned(self, validator: Any, members: object, at: tuple[str, ...]) -> list[Problem]:
        """The problems of *members* that have a version and the time of an export."""
        if isinstance(members, dict) and any(members.get("version") == older for older in self._older):
            members = {**members, "version": self.version}
        problems = [self._with_older(problem) for problem in explain(validator, members, at)]
        where = pointer(*at, "exported_at")
        if not any(problem.pointer == where for problem in problems):
            return problems
        others = [problem for problem in problems if problem.pointer != where]
        return [*others, explain_exported_at(members, where)]

    def _with_older(self, problem: Problem) -> Problem:
        """*problem*; if it is about the version, with the older versions that can also be read."""
        if problem.code != "version" or not self._older:
            return problem
        older = ", ".join(sorted(self._older))
        return replace(problem, message=f"{problem.message} Older ones that are read: {older}.")


class _FastValidators(dict[str, Any]):
    """By kind, a validator a hundred times faster than jsonschema, built on first use; None: there is none.

    What it rejects is checked again by jsonschema, because the patterns of hosts may not be portable.
    """

    def __init__(self, schema: JsonSchema) -> None:
        super().__init__()
        self._definitions = schema["$defs"]

    def __missing__(self, kind: str) -> Any:
        self[kind] = self._build(kind)
        return self[kind]

    def _build(self, kind: str) -> Any:
        if jsonschema_rs is None:
            _warn_once_without_wheel()
            return None
        try:
            own = {"$ref": f"#/$defs/{kind}"}
            # It takes several times as long with definitions that the kind does not use.
            used = {name: self._definitions[name] for name in _find_used(own, self._definitions)}
            return jsonschema_rs.validator_for({"$schema": DRAFT, **own, "$defs": used})
        except ValueError:
            return None


def _find_used(rule: Any, definitions: JsonSchema) -> set[str]:
    """The names of the *definitions* to which a *rule*, or one of these definitions, refers."""
    used: set[str] = set()
    left = [rule]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            left += part.values()
            name = str(part.get("$ref", "")).removeprefix("#/$defs/").partition("/")[0]
            if name in definitions and name not in used:
                used.add(name)
                left.append(definitions[name])
        elif isinstance(part, list):
            left += part
    return used


@functools.cache
def _warn_once_without_wheel() -> None:
    _log.warning("jsonschema-rs is not installed: imports check runs with jsonschema, which takes far longer")


def _reads_alike(rule: Any, definitions: JsonSchema, *within: str) -> bool:
    """Whether all JSON parsers return the same value for text that matches *rule*.

    They do not if integers may have any size, or values any form and depth.

    Args:
        rule: A JSON Schema.
        definitions: The ``$defs`` to which it refers.
        within: The names of the definitions that it is a part of.
    """
    if "$ref" in rule:
        name = rule["$ref"].removeprefix("#/$defs/")
        is_whole = name in definitions  # a host may refer to a part of a definition
        return is_whole and name not in within and _reads_alike(definitions[name], definitions, *within, name)
    if "properties" in rule:
        inner = list(rule["properties"].values())
    else:
        inner = [rule["items"]] if "items" in rule else rule.get("anyOf", [])
    if inner:
        return all(_reads_alike(each, definitions, *within) for each in inner)
    kinds = rule.get("type", [])
    if "integer" in kinds:
        return bool(rule.get("minimum", -_EXACT) > -_EXACT and rule.get("maximum", _EXACT) < _EXACT)
    return "enum" in rule or bool(
        kinds and not {"object", "array"}.intersection([kinds] if isinstance(kinds, str) else kinds)
    )


_UNLIKE = re.compile(rb"[:,[][ \t\n\r]*-?(?:[0-9.]{16}|[0-9]+(?:\.[0-9]+)?[eE])")
"""A number that parsers may read differently, or what looks like one in a string."""

_MOST_VALUES = 200
"""Objects and lists are not nested too deeply for any parser if there are fewer."""


def _reads_alike_in(text: bytes) -> bool:
    """Whether all parsers read *text*, a JSON object, alike: no long numbers, and no deep nesting."""
    values = text.count(b"{") + text.count(b"[")
    return values < _MOST_VALUES and _UNLIKE.search(text) is None


def _without_items(schema: JsonSchema) -> JsonSchema:
    properties = {
        name: {key: value for key, value in rule.items() if key != "items"}
        for name, rule in schema["properties"].items()
    }
    return {**schema, "properties": properties}
