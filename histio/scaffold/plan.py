"""Plan a binding of models: fields, references, ledgers, and the identity of each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import List
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipDirection, RelationshipProperty

from histio.errors import BindingError
from histio.kinds.associations import association_model, data_columns
from histio.kinds.catalog import concrete_mappers
from histio.kinds.column_types import underlying
from histio.kinds.converter import Converter
from histio.kinds.fields import FixedDecimal, RunUUID
from histio.kinds.keys import is_surrogate_key, is_unique, natural_keys
from histio.kinds.machinery import column_machinery
from histio.kinds.relations import Relation, relation
from histio.records import RecordSchema
from histio.scaffold.keys import (
    COUNTER,
    identity_of,
    is_free_text,
    is_generated_uuid,
    is_unique_key,
    is_uuid,
    key_column,
    unique_paths,
    way_of,
)
from histio.scaffold.options import add_entry_options, add_kind_options
from histio.scaffold.outline import Line, Plan, quoted


class Planner:
    """Plans the schemas of kinds, so that no row belongs to two of them.

    Args:
        mappers: The mappers of the runs.

    Attributes:
        undescribed: Models that runs or catalog rows refer to and that get no catalog kind, with the reasons.
    """

    def __init__(self, mappers: Sequence[Mapper[Any]]) -> None:
        self._runs = list(mappers)
        self._planned: list[Mapper[Any]] = list(mappers)
        self._identities = {mapper: identity_of(mapper) for mapper in mappers}
        self._linked: set[Any] = set()
        self._ledgers: dict[Mapper[Any], Plan] = {}
        self._referred: list[Mapper[Any]] = []
        self.undescribed: dict[str, str] = {}

    def plan_runs(self) -> list[Plan]:
        """Plan each kind of run."""
        plans = [self._plan(Plan(mapper, "RunSchema")) for mapper in self._runs]
        for plan in dict.fromkeys(each for run_plan in plans for each in run_plan.all()):
            plan.referrers += self._find_referrers(plan.mapper)
        return plans

    def plan_catalog(self) -> list[Plan]:
        """Plan a catalog kind for each model that runs or catalog rows refer to; call it after `plan_runs`.

        Columns come first, so that rows that anything refers to are not taken for ledgers.
        """
        plans: list[Plan] = []
        unfinished: list[Plan] = []
        while self._referred or unfinished:
            if self._referred:
                mapper = self._referred.pop(0)
                why = self._why_undescribed(mapper)
                if why is not None:
                    self.undescribed[mapper.class_.__name__] = why
                    continue
                self._planned.append(mapper)
                self._identities[mapper] = self._keys(mapper)[0]
                unfinished.append(Plan(mapper, "CatalogSchema"))
                self._add_columns(unfinished[-1])
            else:
                plans.append(unfinished.pop(0))
                self._finish(plans[-1])
        return plans

    def _refer(self, target: Mapper[Any]) -> None:
        """Note a model that needs a catalog kind, or each of its subclasses."""
        if any(each.common_parent(target) for each in self._runs):
            return
        for mapper in concrete_mappers(target):
            named = mapper.class_.__name__ in self.undescribed
            if not named and mapper not in (*self._referred, *self._identities):
                self._referred.append(mapper)

    def _why_undescribed(self, mapper: Mapper[Any]) -> str | None:
        """Why there can be no catalog kind for a model; None: there can be one."""
        if mapper in self._ledgers:
            return "its rows are entries of a ledger"
        if len(list(mapper.self_and_descendants)) > 1 or any(mapper.isa(each) for each in self._planned):
            return "it has subclasses, or is one"
        key = self._keys(mapper)[0]
        if all(name in mapper.column_attrs and is_surrogate_key(key_column(mapper, name)) for name in key):
            return "it has no natural key"
        for prop in mapper.column_attrs:
            way = way_of(mapper, prop)
            if way is None or prop.columns[0].nullable:
                continue
            target = relation(mapper, way).mapper
            if any(each.common_parent(target) for each in self._runs):
                return f"its rows need a {target.class_.__name__}"
        return None

    def _find_referrers(self, mapper: Mapper[Any]) -> Iterator[str]:
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
        self._finish(plan)
        return plan

    def _finish(self, plan: Plan) -> None:
        """Add what does not depend on columns only: ledgers, lists of slugs, and options."""
        for rel in plan.mapper.relationships:
            if rel.direction is not RelationshipDirection.MANYTOONE:
                self._add_relationship(plan, rel)
        if plan.base == "RecordSchema":
            add_entry_options(plan)
        else:
            add_kind_options(plan, self._identities[plan.mapper])

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
        """Whether a referenced row has no key of its own, and is deleted with the row that refers to it."""
        rel = mapper.relationships.get(way)
        if rel is None or not rel.cascade.delete_orphan:
            return False
        is_run = any(rel.mapper.common_parent(each) for each in self._runs)
        return not is_run and not natural_keys(rel.mapper)

    def _add_reference(self, plan: Plan, way: str, *, nullable: bool) -> None:
        target = relation(plan.mapper, way).mapper
        self._refer(target)
        [first, *others] = self._keys(target)
        null = "allow_none=True" if nullable else "required=True"
        name = _reference_name(plan.mapper, way, first)
        alternatives = [" and ".join(each) for each in others]
        comment = f"or key= {', '.join(alternatives)}" if alternatives else ""
        if not is_unique_key(target, first):
            comment = "; ".join(filter(None, [comment, "not unique in the database"]))
        if all(name in target.column_attrs and is_surrogate_key(key_column(target, name)) for name in first):
            comment = "; ".join([COUNTER, *filter(None, [comment])])
        is_run = any(each.common_parent(target) for each in self._runs)
        names_uuid = first[0] in target.column_attrs and is_uuid(target.column_attrs[first[0]])
        kind = "RunRef" if is_run and (names_uuid or len(first) > 1) else "Slug"
        text = ", text=True" if is_free_text(target, first) else ""
        plan.lines.append(Line(name, f'{kind}("{way}", key={quoted(first)}{text}, {null})', comment))

    def _keys(self, target: Mapper[Any]) -> list[tuple[str, ...]]:
        """The keys by which rows of *target* can be named, the likeliest first."""
        run = next((each for each in self._runs if each.common_parent(target)), None)
        keys = [] if run is None else [self._identities[run]]
        natural = [(name,) for name in natural_keys(target)]
        unique = [key for key in natural if is_unique_key(target, key)]
        # A generated UUID is different in another database.
        keys += [key for key in unique if not is_generated_uuid(target, key[0])]
        keys += [*unique_paths(target), *(key for key in natural if key not in unique), *unique]
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
        elif plan.base == "CatalogSchema" and not _is_part(way):
            plan.excluded[rel.key] = "rows of their own: perhaps a catalog kind, or a ledger"
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
        self._refer(rel.mapper)
        key = self._keys(rel.mapper)[0]
        text = ", text=True" if is_free_text(rel.mapper, key) else ""
        plan.lines.append(Line(rel.key, f'SlugList("{rel.key}", key={quoted(key)}{text})'))
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
            ledger = self._ledgers[target] = Plan(target, "RecordSchema", frozenset(remote))
            self._plan(ledger)
        plan.ledgers.append(ledger)
        plan.lines.append(Line(name, f"Nested({ledger.name}, {options})"))


def _is_part(way: Relation) -> bool:
    """Whether the rows of a relationship are deleted with their owner, or have its key in theirs."""
    rel = way.relationship
    deleted = rel is not None and rel.cascade.delete_orphan
    return deleted or set(way.remote) <= set(way.mapper.primary_key)


def _reference_name(mapper: Mapper[Any], way: str, key: tuple[str, ...]) -> str:
    """The name of a reference: the relationship and the key, without a repeated word."""
    owner, last = way.removesuffix("_id"), key[0].replace(".", "_")
    if len(key) > 1 or last in ("id", f"{owner}_id") or f"_{owner}".endswith(f"_{last}"):
        return owner
    name = last if last.startswith(f"{owner}_") else f"{owner}_{last}"
    return owner if name in mapper.attrs else name  # another column may be a copy of the key


def _add_column(plan: Plan, prop: ColumnProperty[Any], *, required: bool) -> None:
    try:
        source = _field_source(prop, required=required)
    except BindingError as error:
        plan.excluded[prop.key] = str(error)
    else:
        plan.lines.append(Line(prop.key, source, _joining(plan.mapper, prop.columns[0])))


def _joining(mapper: Mapper[Any], column: Any) -> str:
    """A comment on a number that refers to other rows without a foreign key; empty: it does not."""
    if not isinstance(underlying(column.type), sa.Integer) or column.foreign_keys:
        return ""
    names = sorted(
        rel.key if parent is mapper else f"{parent.class_.__name__}.{rel.key}"
        for parent in mapper.registry.mappers
        for rel in parent.relationships
        if any(theirs is column for _, theirs in rel.synchronize_pairs)
    )
    several = "s" if names[1:] else ""
    return f"joins other rows by number: see the relationship{several} {', '.join(names)}" if names else ""


def _field_source(prop: ColumnProperty[Any], *, required: bool) -> str:
    """The expression that creates the field for a column.

    Raises:
        BindingError: There is no field for it.
    """
    column: Any = prop.columns[0]
    field = Converter(schema_cls=RecordSchema).property2field(prop)
    if isinstance(field, List):
        return "auto_field()"  # of an array: the column decides the field of its items
    kind = RunUUID if is_uuid(prop) else type(field)
    identifies = kind is RunUUID and is_unique(column) and not column.nullable
    options = []
    if required or field.required or identifies:
        options.append("required=True")
    elif field.allow_none:
        options.append("allow_none=True")
    if kind is FixedDecimal:
        options.append("signed=True")
    if prop.key != column.key and not prop.key.isidentifier():
        options.append(f'attribute="{prop.key}"')
    return f"{kind.__name__}({', '.join(options)})"
