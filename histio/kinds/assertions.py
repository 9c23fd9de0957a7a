"""The rules of marshmallow fields, as JSON Schema keywords."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from histio.errors import BindingError
from histio.kinds.fields import Date, Json, RunUUID, UtcTimestamp
from histio.kinds.fields.patterns import NO_NUL, Pattern
from histio.wire import JsonSchema, WireField

# marshmallow's own fields accept more than these rules; a record has to pass both.
_RULES: tuple[tuple[type[Any], JsonSchema], ...] = (
    (fields.UUID, RunUUID().assertions()),
    (fields.Boolean, {"type": "boolean"}),
    (fields.Integer, {"type": "integer"}),
    (fields.Float, {"type": "number"}),
    (fields.DateTime, UtcTimestamp().assertions()),
    (fields.Date, Date().assertions()),
    (
        fields.Time,
        Pattern(r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{6})?$", "0-9:.").assertions(),
    ),
    (fields.String, {"type": "string", **NO_NUL}),
    (fields.Dict, {"type": "object"}),
)


def assertions_of(field: Any) -> JsonSchema:
    """The rule of *field*, null aside.

    A field of another library can declare its rule: ``metadata={"json_schema": {…}}``.

    Raises:
        BindingError: The rule of the field is not known.
    """
    declared = field.metadata.get("json_schema")
    if declared is not None:
        # Its references lead to its own definitions, wherever the rule is.
        rule: JsonSchema = {"$id": "urn:histio:rule", **declared} if "$defs" in declared else {**declared}
    elif isinstance(field, WireField):
        rule = field.assertions()
    elif isinstance(field, fields.List):
        rule = {"type": "array", "items": or_null(assertions_of(field.inner), field.inner)}
    elif isinstance(field, fields.Enum) and not field.by_value:
        rule = {"enum": [member.name for member in field.enum]}
    else:
        rule = next((dict(rule) for kind, rule in _RULES if isinstance(field, kind)), {})
        if not rule:
            raise BindingError(
                f"nothing is known of the JSON of a {type(field).__name__}",
                advice='use a field of histio\'s, or describe it by metadata={"json_schema": {…}}',
            )
    for validator in field.validators:
        rule = _merge(rule, _from_validator(validator, rule))
    return rule


def or_null(rule: JsonSchema, field: Any) -> JsonSchema:
    """*rule* with null added if the *field* may be null, and excluded otherwise."""
    if not field.allow_none:
        return {**rule, "not": {"type": "null"}} if isinstance(field, Json) else rule
    refused = rule.get("not", {})
    if not isinstance(rule.get("type"), str) or "enum" in rule or refused.keys() - {"pattern"}:
        return {"anyOf": [rule, {"type": "null"}]} if rule else rule
    # A pattern only applies to texts, so it does not exclude null, but the refusal of a pattern does.
    nullable = {**rule, "type": [rule["type"], "null"]}
    return {**nullable, "not": {"type": "string", **refused}} if refused else nullable


def _merge(rule: JsonSchema, other: JsonSchema) -> JsonSchema:
    """Both rules in one; of two bounds, the narrower one."""
    merged = rule | other
    for keyword in rule.keys() & other.keys():
        if keyword.startswith(("min", "exclusiveMin")):
            merged[keyword] = max(rule[keyword], other[keyword])
        elif keyword.startswith(("max", "exclusiveMax")):
            merged[keyword] = min(rule[keyword], other[keyword])
    return merged


def _from_validator(validator: Any, rule: JsonSchema) -> JsonSchema:
    """The keywords that a marshmallow validator adds to *rule*; empty if JSON Schema has none for it."""
    if isinstance(validator, validate.OneOf):
        return {"enum": list(validator.choices)}
    if isinstance(validator, validate.Equal):
        return {"const": validator.comparable}
    if isinstance(validator, validate.Range) and rule.get("type") in ("integer", "number"):
        low = "minimum" if validator.min_inclusive else "exclusiveMinimum"
        high = "maximum" if validator.max_inclusive else "exclusiveMaximum"
        return _drop_none({low: validator.min, high: validator.max})
    if isinstance(validator, validate.Length):
        noun = "Items" if rule.get("type") == "array" else "Length"
        exact = validator.equal
        least, most = (validator.min, validator.max) if exact is None else (exact, exact)
        return _drop_none({f"min{noun}": least, f"max{noun}": most})
    return {}


def _drop_none(keywords: JsonSchema) -> JsonSchema:
    return {name: value for name, value in keywords.items() if value is not None}
