"""Fields that name related rows, by their natural keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError, missing
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from histio.errors import BindingError
from histio.kinds.fields.key_rules import key_rule
from histio.kinds.fields.slug_text import LONGEST_SLUG, SlugText, is_free_text
from histio.kinds.fields.texts import RunUUID, Text, UuidForm
from histio.kinds.mapping import column_of
from histio.kinds.relations import Relation, relation
from histio.report import Fault
from histio.wire import JsonSchema, WireField

Key = tuple[str, ...]
"""What identifies a related row: paths of columns, several for a key of several columns."""


class Slug(SlugText):
    """The natural key of a related row, or a snapshot of one.

    Several slugs of one relationship are alternatives. An export writes those whose key is not null. On
    import, the first that is present and not null names the row; a later one that names another row is a
    warning. At least one must be present and not null, unless all have ``allow_none``, so a slug without
    alternatives is required. With ``allow_none``, null means that there is no related row.

    Args:
        relationship: The model's relationship that leads to the row, or the column of its foreign key. None:
            the slug is kept as text.
        key: The related model's attribute that has the key; a dotted path follows relationships. A tuple is a
            key of several columns, which is an object in JSON, with a member for each. A key that is not text
            has the JSON form of its column.
        fallback: Further keys, in which an import looks if no row has the value in *key*. Exports always
            write *key*.
        text: Whether keys may be any text, with tabs, newlines and white space at the ends, of any length.
            False: they are slugs, of at most 200 characters.
        agrees: A relationship of the run and of the related row that should lead to the same row; if it does
            not, the import warns of a ``mismatched-reference``. None: nothing is compared.
        choice: A name that several references share; exactly one of them is not null in a record. None: this
            one is none of several.
        snapshot_of: For a slug kept as text: the name of the model that it was copied from. The import warns
            if no such row exists any more; None: it does not look.
        kwargs: For the JSON Schema, ``description``, the meaning of the member, and ``example``, a value
            in its JSON form. The options of any marshmallow field, such as ``required``, ``allow_none`` and
            ``data_key``.

    Attributes:
        alternatives: The other slugs of the same relationship that exports write; the schema sets them.
        rules: By path, the field whose rule the values of that column have; empty until the model is known.
        own_rule: The field whose rule a key of one column has; None: it has the rule of slugs.
    """

    default_error_messages: dict[str, Any] = {
        "dangling": "No row has the key that is stored.",
        "keyless": "The related row has no {path}.",
        "parts": "Not an object with the members {names}.",
    }
    many = False
    _advice = "name the key with key="

    def __init__(
        self,
        relationship: str | None = None,
        *,
        key: str | Key = "slug",
        fallback: str | Sequence[str] = (),
        text: bool = False,
        agrees: str | None = None,
        choice: str | None = None,
        snapshot_of: str | None = None,
        **kwargs: Any,
    ) -> None:
        if choice is not None:
            kwargs.setdefault("allow_none", True)
        if relationship is None and (key != "slug" or fallback or agrees or choice):
            raise BindingError("a key needs a relationship", advice='write Slug("recipe", key=…)')
        super().__init__(max_length=LONGEST_SLUG, **kwargs)
        self.relationship = relationship
        self.key: Key = (key,) if isinstance(key, str) else tuple(key)
        self.fallback: tuple[Key, ...] = tuple(
            (path,) for path in ((fallback,) if isinstance(fallback, str) else fallback)
        )
        self.text = text
        self.agrees = agrees
        self.choice = choice
        self.snapshot_of = snapshot_of
        self.alternatives: tuple[Slug, ...] = ()
        self._relation: Relation | None = None
        self.rules: Mapping[str, WireField] = {}
        self.own_rule: WireField | None = Text() if text else None

    @property
    def rule(self) -> WireField:
        """The field with the rule for a key of one column."""
        return self if self.own_rule is None else self.own_rule

    @property
    def relation(self) -> Relation | None:
        """The relation to the related row; None: the slug is a snapshot, or is not bound to a model yet."""
        return self._relation

    @property
    def is_plain_text(self) -> bool:
        """Whether the key is one text, with the same form in JSON, in Python and in the column."""
        return len(self.key) == 1 and isinstance(self.rule, Text) and not self.rule.padded

    @property
    def chain(self) -> tuple[Key, ...]:
        """The keys in which the slug is looked for, in that order."""
        return (self.key, *self.fallback)

    def fit(self, column_type: TypeEngine[Any]) -> None:
        """Take the length of the column that stores a slug as text."""
        super().fit(column_type)
        if self.own_rule is not None:
            self.own_rule.fit(column_type)

    def fit_key(self, mapper: Mapper[Any]) -> None:
        """Take the relation from *mapper*'s model, and the wire form of the key from its columns.

        Raises:
            BindingError: There is no such relation or key.
        """
        assert self.relationship is not None  # noqa: S101 - others have no key
        found = relation(mapper, self.relationship)
        if found.many is not self.many or (self.many and not (found.link and found.writable)):
            wanted = (
                "is not a relationship over an association table" if self.many else "leads to several rows"
            )
            raise BindingError(f"{mapper.class_.__name__}.{found.name} {wanted}")
        try:
            rules = {path: self._rule(column_of(found.mapper, path)) for key in self.chain for path in key}
        except BindingError as error:
            error.advice = error.advice or self._advice
            raise
        if self.fallback and len({type(rule) for rule in rules.values()}) > 1:
            raise BindingError(f"the keys {', '.join(rules)} are of different types")
        if self.text and not any(isinstance(rule, Text) for rule in rules.values()):
            raise BindingError(f"text=True: {' and '.join(rules)} is not text, so it already has a form")
        self._relation, self.rules = found, rules
        if len(self.key) > 1:
            self.definition: str | None = None
        elif rules[self.key[0]].assertions() != super().assertions() or rules[self.key[0]].padded:
            self.own_rule = rules[self.key[0]]

    def _rule(self, column: sa.Column[Any]) -> WireField:
        """The field with the rule for the values of a key's *column*."""
        return key_rule(column, text=self.text, unlimited=bool(self.fallback))

    def assertions(self) -> JsonSchema:
        if len(self.key) > 1:
            return {
                "type": "object",
                "properties": {path: self.rules[path].assertions() for path in self.key},
                "required": list(self.key),
                "additionalProperties": False,
            }
        return super().assertions() if self.own_rule is None else self.own_rule.assertions()

    def check(self, value: Any) -> None:
        if len(self.key) == 1:
            if self.own_rule is None:
                super().check(value)
            else:
                self.own_rule.check(value)
            return
        if not isinstance(value, dict) or set(value) != set(self.key):
            raise self.make_error("parts", names=", ".join(self.key))
        for path in self.key:
            try:
                self.rules[path].check(value[path])
            except ValidationError as error:
                raise ValidationError({path: error.messages}) from None

    def to_wire(self, value: Any) -> Any:
        if len(self.key) == 1:
            return value if self.own_rule is None else self.own_rule.to_wire(value)
        return {path: self.rules[path].to_wire(each) for path, each in zip(self.key, value, strict=True)}

    def from_wire(self, value: Any) -> Any:
        if len(self.key) == 1:
            return value if self.own_rule is None else self.own_rule.from_wire(value)
        return tuple(self.rules[path].from_wire(value[path]) for path in self.key)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        """Dump the key. If it is free text, the error names the option that allows it."""
        try:
            return super()._serialize(value, attr, obj, **kwargs)
        except ValidationError as error:
            if self.text or not any(map(is_free_text, _texts_of(value))):
                raise
            [fault] = error.messages
            text = f"{fault} With text=True, {type(self).__name__} takes keys that are free text."
            raise ValidationError([Fault(text, fault.code)]) from None  # type: ignore[union-attr]

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
        """The key of the related row; None: there is no related row.

        `marshmallow.missing`: the row has no such key, but an alternative has one.
        """
        if self._relation is None:
            return super().get_value(obj, attr, accessor, default)
        row = self._relation.follow(obj)
        if row is not None:
            return self._key_of(row)
        if None not in self._relation.key(obj):
            raise self.make_error("dangling")
        return None

    def _key_of(self, row: Any) -> Any:
        key = self.find_key(row)
        if key is not None:
            return key
        named = any(other.find_key(row) is not None for other in self.alternatives)
        if not named or (self.required and not self.allow_none):
            raise self.make_error("keyless", path=" and ".join(self.key))
        return None if self.required else missing

    def find_key(self, row: Any) -> Any:
        """The key of a related *row*; None: a part of it is null."""
        parts = [value_at(row, path) for path in self.key]
        return None if None in parts else tuple(parts) if len(parts) > 1 else parts[0]

    def sortable(self, wire: Any) -> Any:
        """A sort key for a key in *wire* form: for an object, the values of its members."""
        return tuple(wire[path] for path in self.key) if isinstance(wire, dict) else wire


def _texts_of(value: Any) -> Iterator[str]:
    """The texts of a key, or of a list of keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts_of(each)


def value_at(row: Any, path: str) -> Any:
    """The value at a dotted *path* from *row*; None if a row on the way is missing."""
    *steps, last = path.split(".")
    for step in steps:
        row = None if row is None else relation(sa.inspect(row).mapper, step).follow(row)
    return getattr(row, last, None)


class RunRef(Slug):
    """The UUID of another run, of the same kind or another, which may be in the same document.

    Runs are imported after those that they refer to.

    Args:
        relationship: The model's relationship that leads to the run, or the column of its foreign key.
        key: The attribute of the other model that has the UUID; the attributes of all members, if several
            members identify the run.
        form: How a text column stores the UUID: ``"hyphenated"``, or ``"hex"``, which is 32 digits without
            hyphens. None: ``"hex"`` in a column of 32 characters, otherwise ``"hyphenated"``.
        kwargs: ``agrees`` and ``choice`` as `Slug` takes them, and the options of any marshmallow field, such
            as ``required``, ``allow_none`` and ``data_key``.
    """

    _advice = "name the UUID with key=, or write Slug(…, key=…) for a run with another identity"

    def __init__(
        self, relationship: str, *, key: str | Key = "uuid", form: UuidForm | None = None, **kwargs: Any
    ) -> None:
        super().__init__(relationship, key=key, **kwargs)
        self.form = form

    def _rule(self, column: sa.Column[Any]) -> WireField:
        if len(self.key) > 1:
            return super()._rule(column)
        rule = RunUUID(form=self.form)
        rule.fit(column.type)
        return rule
