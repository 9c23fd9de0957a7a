"""What a binding of some models could say: fields, references, ledgers, and what each run is known by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import List
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipDirection, RelationshipProperty

from histio.accounting import column_machinery
from histio.associations import association_model, data_columns
from histio.binding import TAKEN_KINDS
from histio.converter import Converter
from histio.errors import BindingError
from histio.fields import FixedDecimal, RunUUID, UtcTimestamp
from histio.fields.times import Date
from histio.mapping import (
    is_surrogate_key,
    is_unique,
    natural_keys,
    relation,
)
from histio.records import RecordSchema
from histio.scaffold.keys import (
    identity_of,
    is_free_text,
    is_made_up,
    is_unique_key,
    is_uuid,
    key_column,
    unique_paths,
    way_of,
)

_LATE_NAMES = re.compile("update|modif|change|delete|expire|end|finish|complete|heartbeat|last")
_COUNTER = "a counter: other databases give its numbers to other rows"


@dataclass(slots=True)
class Line:
    """One field of a schema.

    Attributes:
        name: The field's name.
        source: What makes the field.
        comment: What to know of it, such as other keys that could be named; empty: nothing.
    """

    name: str
    source: str
    comment: str = ""


@dataclass(slots=True, eq=False)
class Plan:
    """The schema of one model.

    Attributes:
        mapper: The model's mapper.
        is_run: Whether it is a kind of run; otherwise it is a ledger's entry.
        owner: Of a ledger's entry, the columns that its owner fills.
        lines: The fields, in the mapper's order, ledgers last.
        meta: The options of ``Meta``, as source, each with a comment.
        excluded: Attributes that are left out, each with the reason.
        machinery: Attributes that are not moved, each with the reason.
        ledgers: The schemas of the ledgers.
        strangers: The models whose rows refer to those of this one, though no relationship leads to them.
    """

    mapper: Mapper[Any]
    is_run: bool
    owner: frozenset[Any] = frozenset()
    lines: list[Line] = field(default_factory=list)
    meta: list[tuple[str, str, str]] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    machinery: dict[str, str] = field(default_factory=dict)
    ledgers: list[Plan] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    @property
    def model(self) -> type[Any]:
        """The mapped class."""
        return self.mapper.class_

    @property
    def name(self) -> str:
        """The name of the schema."""
        return f"{self.model.__name__}Schema"

    def all(self) -> Iterator[Plan]:
        """This plan and those of its ledgers, ledgers first."""
        for ledger in self.ledgers:
            yield from ledger.all()
        yield self


class Planner:
    """Plans the schemas of some kinds of run, so that no row is in two of them.

    Args:
        mappers: Those of the runs.
    """

    def __init__(self, mappers: Sequence[Mapper[Any]]) -> None:
        self._runs = list(mappers)
        self._planned: list[Mapper[Any]] = list(mappers)
        self._identities = {mapper: identity_of(mapper) for mapper in mappers}
        self._linked: set[Any] = set()
        self._ledgers: dict[Mapper[Any], Plan] = {}

    def plans(self) -> list[Plan]:
        """A plan for each kind of run."""
        made = [self._plan(Plan(mapper, is_run=True)) for mapper in self._runs]
        for plan in dict.fromkeys(each for whole in made for each in whole.all()):
            plan.strangers += self._strangers(plan.mapper)
        return made

    def _strangers(self, mapper: Mapper[Any]) -> Iterator[str]:
        led = {rel.mapper for rel in mapper.relationships}
        for other in sorted(mapper.registry.mappers, key=lambda each: each.class_.__name__):
            table = other.local_table
            refers = isinstance(table, sa.Table) and any(
                key.column.table is mapper.local_table for key in table.foreign_keys
            )
            if refers and other not in led and not any(each.common_parent(other) for each in self._planned):
                yield other.class_.__name__

    def _plan(self, plan: Plan) -> Plan:
        self._add_columns(plan)
        for rel in plan.mapper.relationships:
            if rel.direction is not RelationshipDirection.MANYTOONE:
                self._add_relationship(plan, rel)
        if plan.is_run:
            _add_run_options(plan, self._identities[plan.mapper])
        else:
            _add_entry_options(plan)
        return plan

    def _add_columns(self, plan: Plan) -> None:
        identity = self._identities.get(plan.mapper, ())
        referred: dict[str, None] = {}
        owned: list[str] = []
        for prop in plan.mapper.column_attrs:
            columns = set(prop.columns)
            way = way_of(plan.mapper, prop)
            why = None if prop.key in identity else column_machinery(plan.mapper, prop)
            if not columns.isdisjoint(plan.owner):
                plan.machinery[prop.key] = "filled from the owner's row"
            elif why is not None:
                plan.machinery[prop.key] = why
            elif way is not None:
                plan.machinery[prop.key] = f"carried by {way}"
                if way not in referred and self._is_owned(plan.mapper, way):
                    owned.append(way)
                elif way not in referred:
                    self._add_reference(plan, way, nullable=bool(prop.columns[0].nullable))
                referred[way] = None
            else:
                _add_column(plan, prop, required=prop.key in identity)
        for way in owned:
            self._add_ledger(plan, way, relation(plan.mapper, way).mapper, (), "allow_none=True")

    def _is_owned(self, mapper: Mapper[Any], way: str) -> bool:
        """Whether the row to which a reference leads has no key, and goes with the row that refers to it."""
        rel = mapper.relationships.get(way)
        if rel is None or not rel.cascade.delete_orphan:
            return False
        is_run = any(rel.mapper.common_parent(each) for each in self._runs)
        return not is_run and not natural_keys(rel.mapper)

    def _add_reference(self, plan: Plan, way: str, *, nullable: bool) -> None:
        target = relation(plan.mapper, way).mapper
        keys = self._keys(target)
        [first, *others] = keys
        null = "allow_none=True" if nullable else "required=True"
        name = _reference_name(way, first)
        told = [" and ".join(each) for each in others]
        comment = f"or key= {', '.join(told)}" if told else ""
        if not is_unique_key(target, first):
            comment = "; ".join(filter(None, [comment, "not unique in the database"]))
        if all(name in target.column_attrs and is_surrogate_key(key_column(target, name)) for name in first):
            comment = "; ".join([_COUNTER, *filter(None, [comment])])
        is_run = any(each.common_parent(target) for each in self._runs)
        names_uuid = first[0] in target.column_attrs and is_uuid(target.column_attrs[first[0]])
        kind = "RunRef" if is_run and (names_uuid or len(first) > 1) else "Slug"
        text = ", text=True" if is_free_text(target, first) else ""
        plan.lines.append(Line(name, f'{kind}("{way}", key={_quoted(first)}{text}, {null})', comment))

    def _keys(self, target: Mapper[Any]) -> list[tuple[str, ...]]:
        """What rows of *target* may be named by, the likeliest first."""
        run = next((each for each in self._runs if each.common_parent(target)), None)
        keys = [] if run is None else [self._identities[run]]
        named = [(name,) for name in natural_keys(target)]
        unique = [key for key in named if is_unique_key(target, key)]
        # A UUID that is made for each row is not the same in another database.
        keys += [key for key in unique if not is_made_up(target, key[0])]
        keys += [*unique_paths(target), *(key for key in named if key not in unique), *unique]
        keys.append(tuple(target.get_property_by_column(column).key for column in target.primary_key))
        return list(dict.fromkeys(keys))

    def _add_relationship(self, plan: Plan, rel: RelationshipProperty[Any]) -> None:
        way = relation(plan.mapper, rel.key)
        target = way.mapper
        if rel.viewonly:
            plan.machinery[rel.key] = "viewonly"
        elif any(target.common_parent(each) for each in self._planned) and way.link is None:
            plan.machinery[rel.key] = "the other side of a reference"
        elif way.link is not None:
            self._add_links(plan, rel)
        else:
            options = "many=True" if way.many else "allow_none=True"
            self._add_ledger(plan, rel.key, target, way.remote, options)

    def _add_links(self, plan: Plan, rel: RelationshipProperty[Any]) -> None:
        between: Any = rel.secondary
        model, data = association_model(rel), data_columns(rel)
        if between in self._linked or model in self._planned:
            plan.machinery[rel.key] = "the other side of a reference"
            return
        self._linked.add(between)
        if model is not None and data:
            plan.machinery[rel.key] = f"the rows of {between.name}"
            self._add_ledger(plan, between.name, model, relation(plan.mapper, rel.key).remote, "many=True")
            return
        key = self._keys(rel.mapper)[0]
        text = ", text=True" if is_free_text(rel.mapper, key) else ""
        plan.lines.append(Line(rel.key, f'SlugList("{rel.key}", key={_quoted(key)}{text})'))
        for column in data:
            plan.excluded[f"{rel.key}.{column.name}"] = (
                "a column of the association table, which has no model"
            )

    def _add_ledger(
        self, plan: Plan, name: str, target: Mapper[Any], remote: Sequence[Any], options: str
    ) -> None:
        ledger = self._ledgers.get(target)
        if ledger is None:
            self._planned.append(target)
            ledger = self._ledgers[target] = Plan(target, is_run=False, owner=frozenset(remote))
            self._plan(ledger)
        plan.ledgers.append(ledger)
        plan.lines.append(Line(name, f"Nested({ledger.name}, {options})"))


def _reference_name(way: str, key: tuple[str, ...]) -> str:
    """The member of a reference: the relationship and its key, without saying a word twice."""
    owner = way.removesuffix("_id")
    if len(key) > 1 or key[0] in ("id", f"{owner}_id"):
        return owner
    return key[0] if key[0].startswith(f"{owner}_") else f"{owner}_{key[0].replace('.', '_')}"


def _add_column(plan: Plan, prop: ColumnProperty[Any], *, required: bool) -> None:
    try:
        source = _field_source(prop, required=required)
    except BindingError as error:
        plan.excluded[prop.key] = str(error)
    else:
        plan.lines.append(Line(prop.key, source))


def _field_source(prop: ColumnProperty[Any], *, required: bool) -> str:
    """What makes the field that fits the column.

    Raises:
        BindingError: No field does.
    """
    column: Any = prop.columns[0]
    made = Converter(schema_cls=RecordSchema).property2field(prop)
    if isinstance(made, List):
        return "auto_field()"  # of an array: the field of its items is the column's matter
    kind = RunUUID if is_uuid(prop) else type(made)
    identifies = kind is RunUUID and is_unique(column) and not column.nullable
    options = []
    if required or made.required or identifies:
        options.append("required=True")
    elif made.allow_none:
        options.append("allow_none=True")
    if kind is FixedDecimal:
        options.append("signed=True")
    if prop.key != column.key and not prop.key.isidentifier():
        options.append(f'attribute="{prop.key}"')
    return f"{kind.__name__}({', '.join(options)})"


def _quoted(names: Sequence[str]) -> str:
    """*names* as source: one text, or a tuple of several."""
    texts = ", ".join(f'"{name}"' for name in names)
    return f"({texts})" if len(names) > 1 else texts


def _add_run_options(plan: Plan, identity: tuple[str, ...]) -> None:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plan.model.__name__).lower().strip("_")
    kind = f"{name}_run" if name in TAKEN_KINDS else name
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
    plan.meta += [("kind", f'"{kind}"', ""), ("collection", f'"{plural}"', "")]
    plan.meta.append(("timestamp", *_timestamp(plan)))
    own = [line for line in plan.lines if line.name == identity[0]]
    if len(identity) > 1 or not (own and own[0].source.startswith("RunUUID") and own[0].name == "uuid"):
        columns = [key_column(plan.mapper, path) for path in identity if "." not in path]
        counts = any(is_surrogate_key(column) for column in columns)
        nullable = any(column.nullable for column in columns)
        warning = f"{_COUNTER}{_hint(plan)}" if counts else ""
        warning = "takes nulls: a run without it cannot be exported" if nullable else warning
        members = [_member_of(plan, path) for path in identity]
        plan.meta.append(("identity", _quoted(members), warning))


def _hint(plan: Plan) -> str:
    """What may identify a run, though the database does not say so; empty: nothing."""
    owners = [line.name for line in plan.lines if line.source.startswith(("Slug(", "RunRef("))]
    named = [line.name for line in plan.lines if line.name in natural_keys(plan.mapper)]
    return f'; perhaps ("{owners[0]}", "{named[0]}")' if owners and named else ""


def _member_of(plan: Plan, path: str) -> str:
    """The member that is what *path* leads to: of one over a relationship or foreign key, the reference."""
    way, dot, _ = path.partition(".")
    if not dot:
        way = way_of(plan.mapper, plan.mapper.column_attrs[path]) or path
    return next((line.name for line in plan.lines if f'("{way}", key=' in line.source), path)


def _timestamp(plan: Plan) -> tuple[str, str]:
    """The member that orders runs, as source, with a comment on others.

    It takes no null: a run without it could not be exported. Times of late events come last.
    """
    kinds = (UtcTimestamp.__name__, Date.__name__)
    found = [line for line in plan.lines if line.source.partition("(")[0] in kinds]
    found.sort(key=lambda line: bool(_LATE_NAMES.search(line.name)))
    given = [line.name for line in found if "allow_none" not in line.source]
    nullable = [line.name for line in found if "allow_none" in line.source]
    others = [f"or {', '.join(given[1:])}"] if given[1:] else []
    others += [f"or {', '.join(nullable)}, where no row lacks it"] if nullable else []
    return f'"{given[0]}"' if given else "None", "; ".join(others)


def _add_entry_options(plan: Plan) -> None:
    """What orders the entries of a ledger, where no growing key does."""
    beside: list[Any] = [column for column in plan.mapper.primary_key if column not in plan.owner]
    if len(beside) == 1 and is_surrogate_key(beside[0]):
        return
    keys = [plan.mapper.get_property_by_column(column).key for column in beside]
    members = [line.name for line in plan.lines if not line.source.startswith(("Nested", "SlugList"))]
    named = [key for key in keys if key in members] or members[:1]
    if named:
        plan.meta.append(("order", _quoted(named), "what orders the entries"))
