"""Load records that the gate has accepted, without checking their form again.

Hooks of a host's schemas are called by marshmallow, as always, but in two steps: first ``pre_load``, whose
results the gate has to accept too, then the others.
"""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from marshmallow import RAISE, missing
from marshmallow.fields import Field, List, Nested
from marshmallow_sqlalchemy.fields import Nested as SQLAlchemyNested

from histio.exporting.fast.obstacles import own_hooks, own_methods
from histio.kinds.canonical import dump
from histio.kinds.table import Table
from histio.records import RecordSchema
from histio.wire import WireField, nested_in, wire_name

_FIRST = ("pre_load",)
_SECOND = ("validates", "validates_schema", "post_load")


class NoRecordError(Exception):
    """No record has the values that hooks return."""


class RecordLoader:
    """Loads accepted records of one schema, with their ledgers.

    Args:
        schema: A schema that `find_loader` accepts.
        hooked: Whether to call hooks with loaded values.

    Attributes:
        prepares: Whether hooks change records before they are loaded.
        calls_hooks: Whether hooks are called with loaded values.
        unhooked: A loader of the same records that does not call these.
    """

    def __init__(self, schema: Any, *, hooked: bool = True) -> None:
        self._plain: list[tuple[str, str, Callable[[Any], Any] | None]] = []
        self._others: list[tuple[str, str, Field[Any]]] = []
        self._ledgers: list[tuple[str, str, bool, RecordLoader]] = []
        for name, field in schema.load_fields.items():
            key, on_wire, nested = field.attribute or name, wire_name(name, field), nested_in(field)
            if nested is not None and _is_ledger(field, nested):
                self._ledgers.append(
                    (key, on_wire, isinstance(field, List), RecordLoader(nested.schema, hooked=hooked))
                )
            elif isinstance(field, WireField) and _is_of_histio(field):
                same = type(field).from_wire is WireField.from_wire
                self._plain.append((key, on_wire, None if same else field.from_wire))
            else:
                self._others.append((key, on_wire, field))
        below = [loader for *_, loader in self._ledgers]
        self.prepares: bool = any(own_hooks(schema, _FIRST)) or any(loader.prepares for loader in below)
        own = _SECOND if hooked else ()
        self.calls_hooks: bool = any(own_hooks(schema, own)) or any(loader.calls_hooks for loader in below)
        self._without_dump_only = schema._without_dump_only  # noqa: SLF001 - histio's own
        self._first = _calling(schema, _FIRST, self._prepare)
        self._second = _calling(schema, own, self._load)
        alone = not any(each.calls_hooks for each in below) and not any(
            options.get("pass_original") for *_, options in own_hooks(schema, own)
        )
        self._over_values = _calling(schema, own, lambda values, **_: values) if alone else None
        self.unhooked: RecordLoader = RecordLoader(schema, hooked=False) if self.calls_hooks else self

    def prepare(self, record: Any) -> Any:
        """*record* as ``pre_load`` hooks return it, and its ledgers; the hooks may change *record* itself.

        Raises:
            Exception: What a hook raises.
        """
        return self._first(self._without_dump_only(record)) if self.prepares else record

    def load(self, record: Any) -> Any:
        """The loaded values of *record*, which the gate has accepted after `prepare`.

        Raises:
            Exception: What a hook of the host raises, or a field.
        """
        return self._second(record)

    def call_hooks(self, table: Table, record: Any) -> Any:
        """*record* as hooks that are called with its loaded values change it.

        Raises:
            Exception: What a hook of the host raises, or a field.
            NoRecordError: No record has the values that the hooks return.
        """
        if not self.calls_hooks:
            return record
        before = self.unhooked.load(record)
        if self._over_values is None:
            values = self.load(record)
            is_same = _are_alike(before, values)
        else:
            copied = _copy(before)
            values = self._over_values(before)
            is_same = _are_same(copied, values)
        if not is_same:
            record = dump(table, values)
            if not _are_alike(self.unhooked.load(record), values):
                raise NoRecordError
        return record

    def _prepare(self, record: Any, *, many: bool = False, **_: Any) -> Any:
        if many:
            return [self._prepare(each) for each in record]
        changed: dict[str, Any] = {}
        for _key, name, each_alone, loader in self._ledgers:
            if loader.prepares and record.get(name) is not None:
                value, prepare = record[name], loader.prepare
                changed[name] = [prepare(each) for each in value] if each_alone else prepare(value)
        return {**record, **changed} if changed else record

    def _load(self, record: Any, *, many: bool = False, **_: Any) -> Any:
        if many:
            return [self._load(each) for each in record]
        values: dict[str, Any] = {}
        for key, name, convert in self._plain:
            if name in record:
                value = record[name]
                values[key] = value if convert is None or value is None else convert(value)
        for key, name, field in self._others:
            value = field.deserialize(record.get(name, missing), name, record)
            if value is not missing:
                values[key] = value
        for key, name, each_alone, loader in self._ledgers:
            if name in record:
                value, load = record[name], loader.load
                values[key] = (
                    None if value is None else [load(each) for each in value] if each_alone else load(value)
                )
        return values


@functools.lru_cache(maxsize=512)
def find_loader(schema: Any) -> RecordLoader | None:
    """What loads accepted records as *schema* does; None: only marshmallow does."""
    return RecordLoader(schema) if _can_load(schema) else None


def _can_load(schema: Any) -> bool:
    """Whether a `RecordLoader` loads accepted records as *schema* does."""
    hooks = list(own_hooks(schema, (*_FIRST, *_SECOND)))
    prepared = any(tag in _FIRST for tag, _, _ in hooks)
    return (
        isinstance(schema, RecordSchema)
        and not any(own_methods(schema, "load"))
        and not (prepared and any(options.get("pass_original") for _, _, options in hooks))
        and schema.unknown == RAISE
        and schema.dict_class is dict
        and not any("." in (field.attribute or "") for field in schema.load_fields.values())
    )


def _is_ledger(field: Field[Any], nested: Nested) -> bool:
    """Whether *field*, with *nested* in it, is loaded by its schema alone."""
    return (
        (field is nested or type(field) is List)
        and type(nested) in (Nested, SQLAlchemyNested)
        and nested.unknown in (None, RAISE)
        and _is_simple(field)
        and (field is nested or _is_simple(nested))
        and not (field is not nested and nested.schema.many)
        and _can_load(nested.schema)
    )


def _is_of_histio(field: WireField) -> bool:
    return type(field).__module__.startswith("histio.kinds.fields") and _is_simple(field)


def _is_simple(field: Field[Any]) -> bool:
    """Whether *field* has neither validators, a default nor functions of the host."""
    own = field.validators or getattr(field, "pre_load", None) or getattr(field, "post_load", None)
    return not own and field.load_default is missing


def _copy(value: Any) -> Any:
    """A copy of loaded records: of their dicts and of the lists of these."""
    if isinstance(value, dict):
        return {key: _copy(each) if isinstance(each, dict | list) else each for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _are_same(one: Any, other: Any) -> bool:
    """Whether two loaded records have the same objects as values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            value is other[key] or _are_same(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_same, one, other))
    return one is other


def _are_alike(one: Any, other: Any) -> bool:
    """Whether two loaded values are equal, and of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_are_alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_are_alike, one, other))
    return bool(one == other)


def _calling(schema: Any, tags: Collection[str], deserialize: Callable[..., Any]) -> Callable[[Any], Any]:
    """A function that calls the host's hooks with *tags* around *deserialize*, as marshmallow does."""
    hooks = defaultdict(list)
    for tag, hook, _ in own_hooks(schema, tags):
        hooks[tag].append(hook)
    if not hooks:
        return functools.partial(deserialize, many=True) if schema.many else deserialize
    calling: Any = copy.copy(schema)
    vars(calling).update(_hooks=hooks, _deserialize=deserialize)
    return calling._do_load  # type: ignore[no-any-return]  # noqa: SLF001 - `load` with these two
