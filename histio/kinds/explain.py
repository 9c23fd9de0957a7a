"""Describe the errors of a JSON Schema validator in the terms of the format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import jsonschema
import jsonschema.validators
from marshmallow import ValidationError

from histio.kinds.json_schema import EXPORTED_AT
from histio.kinds.versions import parts
from histio.pointer import pointer
from histio.report import Code, Fault, Problem, ProblemList
from histio.wire import find_foreign, quote

# The problem codes of keywords; all other keywords have the code `schema`.
_CODES: dict[str, Code] = {
    "minimum": "out-of-range",
    "maximum": "out-of-range",
    "minLength": "out-of-range",
    "maxLength": "out-of-range",
}

TOO_LARGE = (RecursionError, ValueError)
"""The exceptions for values that are nested too deeply and for integers with too many digits."""


def _check_unique(
    validator: Any, wanted: Any, instance: Any, _schema: object
) -> Iterator[jsonschema.ValidationError]:
    """The keyword ``uniqueItems``, in linear time: that of jsonschema takes quadratic time."""
    if wanted and validator.is_type(instance, "array") and len(set(map(_key, instance))) < len(instance):
        yield jsonschema.ValidationError("has items that are equal")


def _key(value: Any) -> Any:
    """A key that is equal for equal JSON values; in Python, 1 equals true.

    Numbers are texts, because it is easy to find many integers with the same hash.
    """
    if isinstance(value, dict):
        return dict, frozenset((name, _key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return list, tuple(map(_key, value))
    if isinstance(value, bool | int | float):
        whole = isinstance(value, float) and value.is_integer()
        return type(value) is bool, str(int(value) if whole else value)
    return value


def _check_not(
    validator: Any, rule: Any, instance: Any, _schema: object
) -> Iterator[jsonschema.ValidationError]:
    """The keyword ``not``, without a text of members that must be there: jsonschema makes one of all runs."""
    absent = rule["properties"] if _lacking(rule) else {}
    if absent and isinstance(instance, dict):
        present = (name for name in absent if name in instance)
        holds = any(absent[name] is False or instance[name] is not None for name in present)
    else:
        holds = not validator.evolve(schema=rule).is_valid(instance)
    if not holds:
        yield jsonschema.ValidationError("is what it must not be")


_extend: Any = jsonschema.validators.extend
Explainer: Any = _extend(jsonschema.Draft202012Validator, {"uniqueItems": _check_unique, "not": _check_not})
"""Finds all errors of a value, as jsonschema does."""


def explain(validator: Any, instance: object, at: tuple[str | int, ...]) -> list[Problem]:
    """The problems that *validator* finds in *instance*, the first 100; *at*: the steps to it."""
    try:
        return [] if validator.is_valid(instance) else list(_list_problems(validator, instance, at))
    except TOO_LARGE as error:
        return [Problem("error", "schema", f"Cannot be checked: {error}.", pointer(*at))]


def _list_problems(validator: Any, instance: object, at: tuple[str | int, ...]) -> ProblemList:
    problems = ProblemList()
    for error in validator.iter_errors(instance):
        if problems.is_full:
            problems.add_unlisted(sum(1 for _ in _faults(error)))
            continue
        for steps, message in _faults(error):
            where = pointer(*at, *error.absolute_path, *steps)
            code = (
                "version" if where == pointer(*at, "version") else _CODES.get(str(error.validator), "schema")
            )
            problems.add(Problem("error", code, message, where))
    return problems


def explain_foreign(record: object, at: tuple[str | int, ...]) -> list[Problem]:
    """The problems of what JSON does not have in *record*, such as a set in a member of any form."""
    try:
        found = (
            Problem("error", "schema", f"Must be JSON, not {quote(value)}.", pointer(*at, *steps))
            for steps, value in find_foreign(record)
        )
        return list(ProblemList(found))
    except RecursionError as error:
        return [Problem("error", "schema", f"Cannot be checked: {error}.", pointer(*at))]


def explain_exported_at(members: Any, where: str) -> Problem:
    """The problem of an ``exported_at`` that the JSON Schema rejects, with the message of the field."""
    try:
        EXPORTED_AT.check(members["exported_at"])
    except ValidationError as error:
        [fault] = cast("list[Fault]", error.messages)
        return Problem("error", fault.code, str(fault), where)
    raise AssertionError("the field and its JSON Schema disagree")


def _faults(error: jsonschema.ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """For each fault in a validation error, the steps below the error's own place, and a sentence."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        # There is one error for each missing member; its text begins with the name.
        missing = [name for name in rule if name not in instance and error.message.startswith(repr(name))]
        yield from (((name,), "Missing data for required field.") for name in missing)
    elif error.validator == "additionalProperties":
        unknown = [name for name in instance if name not in error.schema["properties"]]  # type: ignore[index]
        yield from (((name,), "Unknown field.") for name in unknown)
    elif error.validator == "const":
        yield (), _version_message(instance, rule)
    elif error.validator == "type":
        kinds = " or ".join([rule] if isinstance(rule, str) else rule)
        yield (), f"Must be {kinds}, not {quote(instance)}."
    elif error.validator == "not" and (lacking := _lacking(rule)):
        if isinstance(instance, dict):  # any other value has a fault of its type
            yield (), f"Must have {' or '.join(lacking)}."
    elif error.validator == "enum":
        yield (), f"Must be {' or '.join(map(quote, rule))}, not {quote(instance)}."
    else:
        yield (), f"Breaks the rule {error.validator}: {quote(rule)}."


def _lacking(rule: Any) -> list[str]:
    """The members that an object must not lack all of, if that is what ``not`` with this *rule* says."""
    absent = rule.get("properties", {}) if isinstance(rule, dict) else {}
    says_so = all(each in (False, {"type": "null"}) for each in absent.values()) and len(rule) == 1
    return list(absent) if absent and says_so else []


def _version_message(version: object, newest: str) -> str:
    given, known = parts(version), parts(newest)
    if given and known and given > known:
        return f"Format {version} is newer than {newest}, the newest that this histio reads."
    if given and known and given < known:
        upgrades = f'upgrades={{"{version}": function}}'
        return f'Must be "{newest}", not {quote(version)}. A History with {upgrades} reads it.'
    return f'Must be "{newest}", not {quote(version)}.'
