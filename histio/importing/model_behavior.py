"""Find what a host's models do by themselves when objects are created and flushed.

Bulk inserts would skip it, so the unit of work writes the runs of such models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Mapper

from histio.database.sessions import Habits
from histio.importing.owner_keys import owner_columns
from histio.kinds.listeners import composite_listeners
from histio.kinds.table import Kind, Table
from histio.resolving.construct import custom_constructors, has_dataclass_init

_OWN_LISTENERS = ("sqlalchemy.orm.unitofwork", "sqlalchemy.orm.attributes")
"""Modules whose listeners SQLAlchemy registers for every relationship."""


def unit_of_work_reasons(kinds: Iterable[Kind], habits: Habits) -> dict[str, tuple[str, ...]]:
    """By name, the *kinds* whose runs the unit of work has to write, with the reasons."""
    return {kind.name: reasons for kind in kinds if (reasons := find_reasons(kind, habits))}


def find_reasons(kind: Kind, habits: Habits) -> tuple[str, ...]:
    """Why the unit of work has to write runs of *kind*; empty: they are written in bulk."""
    found = [f"the session has {_with_article(event)} listener" for event in habits.listeners]
    return tuple(dict.fromkeys([*found, *_tree_reasons(kind.table, frozenset())]))


def customized_tables(kinds: Iterable[Kind]) -> list[Table]:
    """The tables of *kinds* whose models have constructors or listeners of their own."""
    return [table for kind in kinds for table in kind.table.all() if any(_table_reasons(table))]


def _tree_reasons(table: Table, filled: frozenset[Any]) -> Iterator[str]:
    """Yield the reasons of *table* and its ledgers; the owner fills the columns in *filled*."""
    name = table.mapper.class_.__name__
    yield from (f"{name} {reason}" for reason in _table_reasons(table))
    unknown = set(owner_columns(table)) - set(table.columns.values()) - filled
    if table.identity is None and unknown and table.growing_key is None:
        yield f"{name} has ledgers, and neither an identity nor a key that grows"
    for ledger in table.ledgers:
        yield from _tree_reasons(ledger.table, frozenset(ledger.local))


def _table_reasons(table: Table) -> Iterator[str]:
    mapper = table.mapper
    yield from _listeners(mapper)
    yield from _attribute_listeners(mapper)
    yield from _construction_reasons(table)
    if len(mapper.tables) > 1:
        yield "is mapped to several tables"
    for ledger in table.ledgers:
        if ledger.owner_has_key:
            yield f"keeps the key of {ledger.relation.name}"


def _listeners(mapper: Mapper[Any]) -> Iterator[str]:
    for event in ("before_insert", "after_insert"):
        if len(list(getattr(mapper.dispatch, event))) > composite_listeners(mapper, event):
            yield f"has {_with_article(event)} listener"
    if any(
        not listener.__module__.startswith("sqlalchemy.orm.mapper")
        for listener in mapper.class_manager.dispatch.init
    ):
        yield "has an init listener"


def _attribute_listeners(mapper: Mapper[Any]) -> Iterator[str]:
    yield from (f"validates {name}" for name in mapper.validators)
    for prop in mapper.column_attrs:
        if prop.key not in mapper.validators and _has_set_listener(mapper.class_, prop.key):
            yield f"has a set listener on {prop.key}"
    for name in mapper.relationships.keys():  # noqa: SIM118 - not a dict
        if name not in mapper.validators and _has_collection_listener(mapper.class_, name):
            yield f"has a listener on {name}"


def _has_set_listener(model: type[Any], key: str) -> bool:
    attribute = getattr(model, key, None)  # a column that inheritance uses may have none
    return attribute is not None and bool(list(attribute.dispatch.set))


def _has_collection_listener(model: type[Any], name: str) -> bool:
    """Whether the host listens to a relationship; SQLAlchemy itself does in any case."""
    dispatch = getattr(model, name).dispatch
    found = (listener for event in ("append", "set", "bulk_replace") for listener in getattr(dispatch, event))
    return any(listener.__module__ not in _OWN_LISTENERS for listener in found)


def _construction_reasons(table: Table) -> Iterator[str]:
    """Yield what creating an object does, but inserting its row would not do."""
    mapper, model = table.mapper, table.mapper.class_
    yield from custom_constructors(model)
    for field in dataclasses.fields(model) if has_dataclass_init(model) else ():
        column = mapper.columns.get(field.name)
        has_default = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if has_default and column is not None and _is_filled_only_there(table, column):
            yield f"has a dataclass default for {field.name}"


def _is_filled_only_there(table: Table, column: Any) -> bool:
    """Whether only the dataclass fills *column*."""
    return column.default is None and column.server_default is None and column not in table.columns.values()


def _with_article(event: str) -> str:
    return f"an {event}" if event[0] in "aeiou" else f"a {event}"
