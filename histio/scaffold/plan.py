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
from histio.binding import TAKEN_KINDS
from histio.column_types import underlying
from histio.converter import Converter
from histio.errors import BindingError
from histio.fields import FixedDecimal, RunUUID, UtcTimestamp
from histio.fields.times import Date
from histio.mapping import is_surrogate_key, is_unique, natural_keys, relation, unique_rules
from histio.records import RecordSchema

_UUID_LENGTHS = (32, 36)
_LATE_NAMES = re.compile("update|modif|change|delete|expire|end|finish|complete|heartbeat|last")


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
    """

    mapper: Mapper[Any]
    is_run: bool
    owner: frozenset[Any] = frozenset()
    lines: list[Line] = field(default_factory=list)
    meta: list[tuple[str, str, str]] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    machinery: dict[str, str] = field(default_factory=dict)
    ledgers: list[Plan] = field(default_factory=list)

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

    def plans(self) -> list[Plan]:
        """A plan for each kind of run."""
        return [self._plan(Plan(mapper, is_run=True)) for mapper in self._runs]

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
        for prop in plan.mapper.column_attrs:
            columns = set(prop.columns)
            way = _way(plan.mapper, prop)
            why = None if prop.key in identity else column_machinery(plan.mapper, prop)
            if not columns.isdisjoint(plan.owner):
                plan.machinery[prop.key] = "filled from the owner's row"
            elif why is not None:
                plan.machinery[prop.key] = why
            elif way is not None:
                plan.machinery[prop.key] = f"carried by the reference {way}"
                if way not in referred:
                    self._add_reference(plan, way, nullable=bool(prop.columns[0].nullable))
                referred[way] = None
            else:
                _add_column(plan, prop, required=prop.key in identity)

    def _add_reference(self, plan: Plan, way: str, *, nullable: bool) -> None:
        target = relation(plan.mapper, way).mapper
        keys = self._keys(target)
        [first, *others] = keys
        null = "allow_none=True" if nullable else "required=True"
        name = _reference_name(way, first)
        told = [" and ".join(each) for each in others]
        comment = f"or key= {', '.join(told)}" if told else ""
        if not _is_unique_key(target, first):
            comment = "; ".join(filter(None, [comment, "not unique in the database"]))
        is_run = any(each.common_parent(target) for each in self._runs)
        is_uuid = first[0] in target.column_attrs and _is_uuid(target.column_attrs[first[0]])
        kind = "RunRef" if is_run and (is_uuid or len(first) > 1) else "Slug"
        plan.lines.append(Line(name, f'{kind}("{way}", key={_quoted(first)}, {null})', comment))

    def _keys(self, target: Mapper[Any]) -> list[tuple[str, ...]]:
        """What rows of *target* may be named by, the likeliest first."""
        run = next((each for each in self._runs if each.common_parent(target)), None)
        keys = [] if run is None else [self._identities[run]]
        named = [(name,) for name in natural_keys(target)]
        unique = [key for key in named if _is_unique_key(target, key)]
        # A UUID that is made for each row is not the same in another database.
        keys += [key for key in unique if not _is_made_up(target, key[0])]
        keys += [*_unique_paths(target), *(key for key in named if key not in unique), *unique]
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
            self._planned.append(target)
            ledger = Plan(target, is_run=False, owner=frozenset(way.remote))
            plan.ledgers.append(self._plan(ledger))
            many = "many=True" if way.many else "allow_none=True"
            plan.lines.append(Line(rel.key, f"Nested({ledger.name}, {many})"))

    def _add_links(self, plan: Plan, rel: RelationshipProperty[Any]) -> None:
        between = rel.secondary
        mapped = [mapper for mapper in plan.mapper.registry.mappers if mapper.local_table is between]
        if between in self._linked or any(mapper in self._planned for mapper in mapped):
            plan.machinery[rel.key] = "the other side of a reference"
            return
        self._linked.add(between)
        key = _quoted(self._keys(rel.mapper)[0])
        plan.lines.append(Line(rel.key, f'SlugList("{rel.key}", key={key})'))


def _reference_name(way: str, key: tuple[str, ...]) -> str:
    """The member of a reference: the relationship and its key, without saying a word twice."""
    owner = way.removesuffix("_id")
    if len(key) > 1 or key[0] in ("id", f"{owner}_id"):
        return owner
    return key[0] if key[0].startswith(f"{owner}_") else f"{owner}_{key[0].replace('.', '_')}"


def _way(mapper: Mapper[Any], prop: ColumnProperty[Any]) -> str | None:
    """The relationship, or else the attribute, by which the column refers to another row; None: none."""
    column = prop.columns[0]
    if not isinstance(column, sa.Column) or not column.foreign_keys:
        return None
    for rel in mapper.relationships:
        if rel.direction is RelationshipDirection.MANYTOONE and column in set(rel.local_columns):
            return rel.key
    try:
        relation(mapper, prop.key)
    except (BindingError, sa.exc.NoReferencedTableError):  # no model is mapped to the other table
        return None
    return prop.key


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
    kind = RunUUID if _is_uuid(prop) else type(made)
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


def _is_uuid(prop: ColumnProperty[Any]) -> bool:
    stored = underlying(prop.columns[0].type)
    is_text = isinstance(stored, sa.String) and stored.length in _UUID_LENGTHS
    return isinstance(stored, sa.Uuid) or (is_text and prop.key in ("uuid", "guid", "uid"))


def _is_made_up(mapper: Mapper[Any], name: str) -> bool:
    """Whether the attribute is a primary key of UUIDs."""
    return bool(_column(mapper, name).primary_key) and _is_uuid(mapper.column_attrs[name])


def identity_of(mapper: Mapper[Any]) -> tuple[str, ...]:
    """What identifies a run: attributes, and natural keys of rows that it refers to.

    A UUID; else a unique column; else several that are unique together; else a unique one that takes nulls;
    else the primary key.
    """
    alone = [key for key in natural_keys(mapper) if is_unique(_column(mapper, key))]
    given = [key for key in alone if not _column(mapper, key).nullable]
    uuids = [key for key in given if _is_uuid(mapper.column_attrs[key])]
    groups = list(_unique_groups(mapper))
    key = tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
    singles = [(name,) for name in (*uuids, *given)]
    return next(iter([*singles, *groups, *((name,) for name in alone), key]))


def _unique_groups(mapper: Mapper[Any]) -> Iterator[tuple[str, ...]]:
    """What is unique together: groups without foreign keys first."""
    return iter(sorted(_unique_paths(mapper), key=lambda paths: any("." in path for path in paths)))


def _unique_paths(mapper: Mapper[Any]) -> Iterator[tuple[str, ...]]:
    """What is unique together: attributes, and natural keys of rows that foreign keys lead to."""
    for rule in unique_rules(mapper.local_table):
        paths = [_path(mapper, column) for column in rule.columns]
        if len(paths) > 1 and None not in paths:
            yield tuple(path for path in paths if path is not None)


def _path(mapper: Mapper[Any], column: Any) -> str | None:
    """The attribute of *column*, or over its foreign key, the natural key of the other row; None: none."""
    if column.nullable or column not in mapper.columns.values():
        return None
    prop: Any = mapper.get_property_by_column(column)
    if not column.foreign_keys:
        return str(prop.key)
    way = _way(mapper, prop)
    rel = None if way is None else mapper.relationships.get(way)
    keys = (
        []
        if rel is None
        else [
            key
            for key in natural_keys(rel.mapper)
            if is_unique(_column(rel.mapper, key)) and not _is_made_up(rel.mapper, key)
        ]
    )
    return f"{way}.{keys[0]}" if keys else None


def _is_unique_key(mapper: Mapper[Any], key: tuple[str, ...]) -> bool:
    table: Any = mapper.local_table
    if any("." in name for name in key):
        return key in set(_unique_paths(mapper))
    columns = {_column(mapper, name) for name in key}
    return any(set(rule.columns) == columns for rule in (table.primary_key, *unique_rules(table)))


def _column(mapper: Mapper[Any], name: str) -> Any:
    return mapper.column_attrs[name].columns[0]


def _quoted(names: Sequence[str]) -> str:
    """*names* as source: one text, or a tuple of several."""
    texts = ", ".join(f'"{name}"' for name in names)
    return f"({texts})" if len(names) > 1 else texts


def _add_run_options(plan: Plan, identity: tuple[str, ...]) -> None:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plan.model.__name__).lower().strip("_")
    kind = f"{name}_run" if name in TAKEN_KINDS else name
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
    plan.meta += [("kind", f'"{kind}"', ""), ("collection", f'"{plural}"', "")]
    timestamps = list(_timestamps(plan))
    others = f"or {', '.join(timestamps[1:])}" if timestamps[1:] else ""
    plan.meta.append(("timestamp", f'"{timestamps[0]}"' if timestamps else "None", others))
    own = [line for line in plan.lines if line.name == identity[0]]
    if len(identity) > 1 or not (own and own[0].source.startswith("RunUUID") and own[0].name == "uuid"):
        columns = [_column(plan.mapper, path) for path in identity if "." not in path]
        counts = any(is_surrogate_key(column) for column in columns)
        nullable = any(column.nullable for column in columns)
        warning = "a counter: other databases give its numbers to other rows" if counts else ""
        warning = "takes nulls: a run without it cannot be exported" if nullable else warning
        members = [_member_of(plan, path) for path in identity]
        plan.meta.append(("identity", _quoted(members), warning))


def _member_of(plan: Plan, path: str) -> str:
    """The member that is what *path* leads to: of one over a relationship, the reference."""
    way, dot, _ = path.partition(".")
    return next((line.name for line in plan.lines if f'("{way}", key=' in line.source), way) if dot else path


def _timestamps(plan: Plan) -> list[str]:
    """The members that may order runs: those without nulls first, those of late events last."""
    kinds = (UtcTimestamp.__name__, Date.__name__)
    found = [line for line in plan.lines if line.source.partition("(")[0] in kinds]
    return [
        line.name
        for line in sorted(
            found, key=lambda line: ("allow_none" in line.source, bool(_LATE_NAMES.search(line.name)))
        )
    ]


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
