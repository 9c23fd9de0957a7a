"""Cases about the JSON Schema: it is valid, and agrees with the marshmallow schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
from jsonschema import Draft202012Validator
from marshmallow import ValidationError, fields, validate

from histio.history import History
from histio.kinds.table import Kind, Table
from histio.kinds.walk import Steps
from histio.pointer import pointer
from histio.records import RecordSchema
from histio.testing.claims import FEW, demand, field_at, need_hypothesis
from histio.testing.scene import Document, MakeRuns, all_kinds_of, scene
from histio.wire import JsonSchema, WireField, faults_in, quote

# Validators that go into the JSON Schema.
_PUBLISHED = (validate.OneOf, validate.Equal, validate.Range, validate.Length)


def published_schema(history: History, make_runs: MakeRuns) -> None:
    """Check that the JSON Schema is valid and closed, and that it accepts an export."""
    schema = history.json_schema()
    try:
        Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise AssertionError(
            f"The JSON Schema is invalid at {pointer(*error.absolute_path)}: {error.message}. "
            "Check metadata={'json_schema': …} of the fields."
        ) from error
    unsealed = list(open_objects(history, schema))
    demand(
        not unsealed,
        "Objects of the JSON Schema accept unknown members, which an import would drop silently. Write "
        '"additionalProperties": False in metadata={"json_schema": …}.',
        tuple(unsealed),
    )
    with scene(history, make_runs, FEW) as stage:
        _demand_valid(schema, stage.export(catalog="all" if history.catalog else None))


def _demand_valid(schema: JsonSchema, document: Document) -> None:
    errors = list(Draft202012Validator(schema).iter_errors(document))
    demand(
        not errors,
        "The export is not valid under the JSON Schema. Check how these fields dump:",
        tuple(f"{pointer(*error.absolute_path)}: {error.message}" for error in errors),
    )


def open_objects(history: History, schema: JsonSchema) -> Iterator[str]:
    """Pointers to the rules of *schema* that accept any member, other than those of Dict fields."""
    free = {
        table.names[member]
        for kind in all_kinds_of(history)
        for table in kind.table.all()
        for member, field in table.fields.items()
        if isinstance(getattr(field, "inner", field), fields.Dict) and "json_schema" not in field.metadata
    }
    yield from _open(schema, (), free)


def _open(rule: Any, steps: Steps, free: set[str]) -> Iterator[str]:
    if isinstance(rule, list):
        for place, each in enumerate(rule):
            yield from _open(each, (*steps, place), free)
    if not isinstance(rule, dict):
        return
    # Other members may have a rule of their own.
    if "object" in rule.get("type", ()) and rule.get("additionalProperties", True) in (True, {}):
        yield pointer(*steps)
    for keyword in ("properties", "$defs"):
        for name, each in rule.get(keyword, {}).items():
            if keyword == "$defs" or name not in free:
                yield from _open(each, (*steps, keyword, name), free)
    for keyword in ("items", "prefixItems", "additionalProperties", "not", "anyOf", "allOf", "oneOf"):
        yield from _open(rule.get(keyword), (*steps, keyword), free)


def same_verdict(history: History, make_runs: MakeRuns) -> None:
    """Check that the JSON Schema accepts and rejects what an import accepts and rejects."""
    need_hypothesis()
    from histio.testing.near import first_near_document  # noqa: PLC0415 - it needs Hypothesis

    with scene(history, make_runs, FEW) as stage:
        exported = stage.export(catalog="used" if history.catalog else None)
    definitions = history.json_schema()["$defs"]
    validators = {
        kind: Draft202012Validator({"$ref": f"#/$defs/{kind.name}", "$defs": definitions})
        for kind in all_kinds_of(history)
    }

    def fault(document: Document) -> str | None:
        for kind, validator in validators.items():
            runs = document.get(kind.collection)
            for record in runs if isinstance(runs, list) else ():
                for text in _disagreement(kind, validator, record):
                    return f"{kind.name} {text}"
        return None

    found = first_near_document(history, exported, fault)
    demand(found is None, f"The two verdicts on a record differ. {found}.")


def _disagreement(kind: Kind, validator: Any, record: Any) -> Iterator[str]:
    """The faults that only one of the two finds in *record*."""
    is_valid = validator.is_valid(record)
    try:
        kind.table.schema.load(record)
    except ValidationError as error:
        refusals = list(faults_in(error.messages))
    else:
        refusals = []
    if (
        refusals
        and is_valid
        and not any(_may_come_from_validator(kind.table, steps) for steps, _ in refusals)
    ):
        for steps, message in refusals:
            yield (
                f"{pointer(*steps)}: marshmallow says {message!r} of {quote(_value(record, steps))}, which "
                "the JSON Schema accepts: add the rule to assertions, or to metadata={'json_schema': …}"
            )
    if not is_valid and not refusals:
        for breach in validator.iter_errors(record):
            table, name = _place(kind.table, tuple(breach.absolute_path))
            # Fields of marshmallow accept more than the JSON Schema, which an import rejects.
            if isinstance(_field(table, name), WireField):
                yield (
                    f"{pointer(*breach.absolute_path)}: the JSON Schema rejects {quote(breach.instance)}, "
                    f"which {field_at(table, str(name))} accepts: its check must agree with its assertions"
                )


def _value(record: Any, steps: Steps) -> Any:
    """Return the value at *steps*, or the innermost value on the way."""
    for step in steps:
        try:
            record = record[step]
        except (KeyError, IndexError, TypeError):
            break
    return record


def _may_come_from_validator(table: Table, steps: Steps) -> bool:
    """Whether a fault may come from a validator of the host, which the JSON Schema cannot express."""
    table, name = _place(table, steps)
    own, common = (getattr(each, "_hooks", {}) for each in (table.schema, RecordSchema))
    if any(own.get(hook, []) != common.get(hook, []) for hook in ("validates", "validates_schema")):
        return True
    field = _field(table, name)
    return any(not isinstance(each, _PUBLISHED) for each in getattr(field, "validators", ()))


def _place(table: Table, steps: Steps) -> tuple[Table, str | int | None]:
    """The table of the record that *steps* lead into, and the name of the member there."""
    name: str | int | None = None
    for step in steps:
        ledger = next((each for each in table.ledgers if table.names[each.member] == step), None)
        if ledger is not None:
            table, name = ledger.table, None
        elif isinstance(step, str) and name is None:
            name = step
    return table, name


def _field(table: Table, name: str | int | None) -> Any:
    return next((table.fields[member] for member, wire in table.names.items() if wire == name), None)
