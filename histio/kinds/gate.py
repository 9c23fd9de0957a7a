"""The gate: hold documents and records against a JSON Schema."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

import jsonschema
from jsonschema import Draft202012Validator
from marshmallow import ValidationError

from histio.kinds.versions import parts
from histio.report import Code, Fault, Problem
from histio.wire import JsonSchema, shown

try:
    import orjson
except ImportError:  # as for the next one
    orjson = None  # type: ignore[assignment]
try:
    import jsonschema_rs
except ImportError:  # a platform without a wheel
    jsonschema_rs = None  # type: ignore[assignment]

from histio.kinds.json_schema import DRAFT, EXPORTED_AT
from histio.pointer import pointer

# What a validator's keyword means in the codes of the format; every other keyword is `schema`.
_CODES: dict[str, Code] = {
    "minimum": "out-of-range",
    "maximum": "out-of-range",
    "minLength": "out-of-range",
    "maxLength": "out-of-range",
}

_EXACT = 2**53
"""Integers below it are the same to every reader of JSON (RFC 8259, section 6)."""

_log = logging.getLogger("histio")


class Contract:
    """A JSON Schema, held against documents and records.

    Args:
        schema: As `published` or `derive` give it.
        older: Older versions that are read too.
    """

    def __init__(self, schema: JsonSchema, *, older: Iterable[str] = ()) -> None:
        self.schema = schema
        self._older = frozenset(older)
        self.version: str = schema["properties"]["version"]["const"]
        self.kinds: tuple[str, ...] = tuple(schema["$defs"]["header"]["properties"]["kinds"]["items"]["enum"])
        self._envelope = Draft202012Validator(_without_items(schema))
        self._records = {
            name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
            for name in ("header", "trailer", *self.kinds)
        }
        self._gates = {name: _gate(schema, name) for name in self.kinds}
        # How the gate is asked about records that orjson may read.
        self._read_alike: dict[str, Callable[[Any], bool]] = {}
        if orjson is not None:
            for name, gate in self._gates.items():
                if gate is not None and _reads_alike({"$ref": f"#/$defs/{name}"}, schema["$defs"]):
                    self._read_alike[name] = gate.is_valid

    def envelope(self, document: object) -> list[Problem]:
        """What is wrong with *document*, its runs aside."""
        return self._explained(self._envelope, document, ())

    def header(self, members: object) -> list[Problem]:
        """What is wrong with the *members* of a stream's header, which is its first line."""
        problems = self._explained(self._records["header"], members, ("header",))
        return [replace(problem, line=1) for problem in problems]

    def trailer(self, line: object, number: int) -> list[Problem]:
        """What is wrong with a stream's trailer, the *line* of this *number*."""
        members = line.get("trailer") if isinstance(line, dict) else None
        problems = _explain(self._records["trailer"], members, ("trailer",))
        if isinstance(line, dict):
            problems += [
                Problem("error", "schema", "Unknown field.", pointer(name))
                for name in line
                if name != "trailer"
            ]
        return [replace(problem, code="corrupt", line=number) for problem in problems]

    def _explained(self, validator: Any, members: object, at: tuple[str, ...]) -> list[Problem]:
        """What is wrong with *members* that say a version and when they were exported."""
        if isinstance(members, dict) and any(members.get("version") == older for older in self._older):
            members = {**members, "version": self.version}
        problems = [self._with_older(problem) for problem in _explain(validator, members, at)]
        where = pointer(*at, "exported_at")
        if not any(problem.pointer == where for problem in problems):
            return problems
        others = [problem for problem in problems if problem.pointer != where]
        return [*others, _exported_at_problem(members, where)]

    def _with_older(self, problem: Problem) -> Problem:
        """*problem*; of a version, also with those that are read beside the newest."""
        if problem.code != "version" or not self._older:
            return problem
        older = ", ".join(sorted(self._older))
        return replace(problem, message=f"{problem.message} Older ones that are read: {older}.")

    def accepts(self, kind: str, record: object, *, decoded: bool = False) -> bool:
        """Whether *record* has the form of a run of *kind*; *decoded*: it was JSON text just now."""
        # The gate speaks of JSON alone: what else Python might call a list, only jsonschema can tell.
        if decoded and self.takes(kind, record):
            return True
        try:
            return self._records[kind].is_valid(record)
        except _UNSPEAKABLE:
            return False

    def takes(self, kind: str, record: object) -> bool:
        """Whether the gate, which is fast, takes *record*, which was JSON text, for a run of *kind*.

        What it takes, marshmallow takes too. Of what it does not take, it says nothing.
        """
        gate = self._gates[kind]
        try:
            return gate is not None and bool(gate.is_valid(record))
        except _UNSPEAKABLE:
            return False

    def read(self, kind: str, text: bytes) -> Any:
        """The run of *kind* that is JSON *text*; None where the gate is not sure that it is one."""
        is_valid = self._read_alike.get(kind)
        if is_valid is None:
            return None
        try:
            record = orjson.loads(text)
            return record if is_valid(record) else None
        except _UNSPEAKABLE:
            return None

    def explain(self, kind: str, record: object, at: tuple[str | int, ...]) -> list[Problem]:
        """What is wrong with the form of *record*, which stands at the steps *at* of its document."""
        return _explain(self._records[kind], record, at)


def _gate(schema: JsonSchema, kind: str) -> Any:
    """What accepts runs of *kind* a hundred times faster than jsonschema; None where it cannot.

    jsonschema has the last word on what the gate refuses: patterns of hosts may not be portable.
    """
    if jsonschema_rs is None:
        _tell_of_no_gate()
        return None
    try:
        return jsonschema_rs.validator_for(
            {"$schema": DRAFT, "$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]}
        )
    except ValueError:
        return None


@functools.cache
def _tell_of_no_gate() -> None:
    _log.warning("jsonschema-rs is not installed: imports check runs with jsonschema, which takes far longer")


def _reads_alike(rule: Any, definitions: JsonSchema, *within: str) -> bool:
    """Whether all readers of JSON give the same for what has the form of *rule*, a part of those *within*.

    Not where integers may be of any size, or values of any form and depth.
    """
    if "$ref" in rule:
        name = rule["$ref"].removeprefix("#/$defs/")
        return name not in within and _reads_alike(definitions[name], definitions, *within, name)
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


def _without_items(schema: JsonSchema) -> JsonSchema:
    properties = {
        name: {key: value for key, value in rule.items() if key != "items"}
        for name, rule in schema["properties"].items()
    }
    return {**schema, "properties": properties}


# jsonschema puts every instance that it refuses into words: one nested too deeply, or an integer of
# thousands of digits, then raises.
_UNSPEAKABLE = (RecursionError, ValueError)


def _explain(validator: Any, instance: object, at: tuple[str | int, ...]) -> list[Problem]:
    problems = []
    try:
        for error in validator.iter_errors(instance):
            for steps, message in _faults(error):
                where = pointer(*at, *error.absolute_path, *steps)
                code = (
                    "version"
                    if where == pointer(*at, "version")
                    else _CODES.get(str(error.validator), "schema")
                )
                problems.append(Problem("error", code, message, where))
    except _UNSPEAKABLE as error:
        problems.append(Problem("error", "schema", f"Cannot be checked: {error}.", pointer(*at)))
    return problems


def _exported_at_problem(members: Any, where: str) -> Problem:
    """What the field says of an ``exported_at`` that the JSON Schema refuses."""
    try:
        EXPORTED_AT.check(members["exported_at"])
    except ValidationError as error:
        [fault] = cast("list[Fault]", error.messages)
        return Problem("error", fault.code, str(fault), where)
    raise AssertionError("the field and its JSON Schema disagree")


def _faults(error: jsonschema.ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """The steps below the error's own place, and a sentence, for each fault of one validation error."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        # One error is raised for each missing member; its text begins with the name.
        missing = [name for name in rule if name not in instance and error.message.startswith(repr(name))]
        yield from (((name,), "Missing data for required field.") for name in missing)
    elif error.validator == "additionalProperties":
        unknown = [name for name in instance if name not in error.schema["properties"]]  # type: ignore[index]
        yield from (((name,), "Unknown field.") for name in unknown)
    elif error.validator == "const":
        yield (), _version_message(instance, rule)
    elif error.validator == "type":
        kinds = " or ".join([rule] if isinstance(rule, str) else rule)
        yield (), f"Must be {kinds}, not {shown(instance)}."
    elif error.validator == "anyOf" and all("required" in branch for branch in rule):
        yield (), f"Must have {' or '.join(name for branch in rule for name in branch['required'])}."
    elif error.validator == "enum":
        yield (), f"Must be {' or '.join(map(shown, rule))}, not {shown(instance)}."
    else:
        yield (), f"Breaks the rule {error.validator}: {shown(rule)}."


def _version_message(version: object, newest: str) -> str:
    given, known = parts(version), parts(newest)
    if given and known and given > known:
        return f"Format {version} is newer than {newest}, the newest that this histio reads."
    if given and known and given < known:
        upgrades = f'upgrades={{"{version}": function}}'
        return f'Must be "{newest}", not {shown(version)}, which a History with {upgrades} reads.'
    return f'Must be "{newest}", not {shown(version)}.'
