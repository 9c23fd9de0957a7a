"""Find what a host's models do by themselves when objects are created and flushed.

Bulk inserts would skip it. Constructors, validators and set listeners are called when objects are created,
whose values are then written in bulk. Other listeners need a flush, by the unit of work.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.orm import Mapper

from histio.database.sessions import Habits
from histio.importing.layers import can_be_split
from histio.importing.owner_keys import owner_columns
from histio.kinds.listeners import composite_listeners
from histio.kinds.table import Kind, Ledger, Table
from histio.resolving.construct import custom_constructors, has_dataclass_init, has_own_init

_OWN_LISTENERS = ("sqlalchemy.orm.unitofwork", "sqlalchemy.orm.attributes")
"""Modules whose listeners SQLAlchemy registers for every relationship."""


class Need(enum.IntEnum):
    """What the models of a kind need when its rows are created; a greater need has precedence.

    Attributes:
        ROWS: Nothing: the rows are written in bulk.
        COLUMNS: Objects that have their columns; their values are written in bulk.
        OBJECTS: Objects that have their relationships too; their values are written in bulk.
        FLUSH: The unit of work writes the objects.
    """

    ROWS = enum.auto()
    COLUMNS = enum.auto()
    OBJECTS = enum.auto()
    FLUSH = enum.auto()


class Reason(NamedTuple):
    """What a model does when an object is created, in words, and what creating its rows needs."""

    text: str
    need: Need


@dataclass(frozen=True, slots=True)
class Creation:
    """How the rows of a kind are created.

    Attributes:
        need: What its models need.
        tables: The tables whose models have constructors, validators or listeners.
        silent: The tables whose objects are created without calling code of the host.
        reasons: Why, in words; empty: the rows are written in bulk.
    """

    need: Need
    tables: frozenset[Table]
    silent: frozenset[Table]
    reasons: tuple[str, ...]


def find_creation(kind: Kind, habits: Habits) -> Creation:
    """How the rows of *kind* have to be created in a session with these *habits*."""
    found = [
        Reason(f"the session has {_with_article(event)} listener", Need.FLUSH) for event in habits.listeners
    ]
    tables: set[Table] = set()
    for table, reason in _tree_reasons(kind.table, frozenset()):
        found.append(reason)
        tables.add(table)
    need = max((reason.need for reason in found), default=Need.ROWS)
    if need is not Need.ROWS and _has_loose_entries(kind.table, tables, need):
        need = Need.FLUSH
    others = (table for table in kind.table.all() if table not in tables)
    silent = (table for table in others if not has_own_init(table.mapper.class_))
    # Listeners for a flush may ask for the history of attributes.
    none = need in (Need.ROWS, Need.FLUSH)
    return Creation(
        need,
        frozenset(tables),
        frozenset(() if none else silent),
        tuple(dict.fromkeys(reason.text for reason in found)),
    )


def customized_tables(kinds: Iterable[Kind]) -> list[Table]:
    """The tables of *kinds* whose models have constructors or listeners of their own."""
    return [table for kind in kinds for table in kind.table.all() if any(_table_reasons(table))]


def _has_loose_entries(table: Table, tables: set[Table], need: Need) -> bool:
    """Whether objects of ledger entries are needed that can only be created after their owner is written."""
    return any(
        (not keeps_order(ledger) and (need is Need.OBJECTS or not tables.isdisjoint(ledger.table.all())))
        or _has_loose_entries(ledger.table, tables, need)
        for ledger in table.ledgers
    )


def keeps_order(ledger: Ledger) -> bool:
    """Whether entries are written in the order in which the relationship gets them; a set has no order."""
    way = ledger.relation.writable
    collection: Any = None if way is None or way.collection_class is None else way.collection_class()
    return way is not None and not isinstance(collection, set)


def _tree_reasons(table: Table, filled: frozenset[Any]) -> Iterator[tuple[Table, Reason]]:
    """Yield the reasons of *table* and its ledgers; the owner fills the columns in *filled*."""
    name = table.mapper.class_.__name__
    for reason in _table_reasons(table):
        yield table, Reason(f"{name} {reason.text}", reason.need)
    unknown = set(owner_columns(table)) - set(table.columns.values()) - filled
    if table.identity is None and unknown and table.growing_key is None:
        yield table, Reason(f"{name} has ledgers, and neither an identity nor a key that grows", Need.FLUSH)
    for ledger in table.ledgers:
        yield from _tree_reasons(ledger.table, frozenset(ledger.local))


def _table_reasons(table: Table) -> Iterator[Reason]:
    mapper = table.mapper
    yield from _listeners(mapper)
    for reason in _attribute_listeners(mapper):
        # A constructor may set relationships before columns.
        yield reason._replace(need=Need.OBJECTS) if has_own_init(mapper.class_) else reason
    yield from (Reason(text, Need.OBJECTS) for text in _construction_reasons(table))
    if len(mapper.tables) > 1 and not can_be_split(table):
        yield Reason("is mapped to several tables", Need.FLUSH)
    for ledger in table.ledgers:
        if ledger.owner_has_key:
            yield Reason(f"keeps the key of {ledger.relation.name}", Need.FLUSH)


def _listeners(mapper: Mapper[Any]) -> Iterator[Reason]:
    for event in ("before_insert", "after_insert"):
        if len(list(getattr(mapper.dispatch, event))) > composite_listeners(mapper, event):
            yield Reason(f"has {_with_article(event)} listener", Need.FLUSH)
    if any(
        not listener.__module__.startswith("sqlalchemy.orm.mapper")
        for listener in mapper.class_manager.dispatch.init
    ):
        yield Reason("has an init listener", Need.OBJECTS)


def _attribute_listeners(mapper: Mapper[Any]) -> Iterator[Reason]:
    columns = set(mapper.column_attrs.keys())
    for name in mapper.validators:
        yield Reason(f"validates {name}", Need.COLUMNS if name in columns else Need.OBJECTS)
    for prop in mapper.column_attrs:
        if prop.key not in mapper.validators and has_set_listener(mapper.class_, prop.key):
            yield Reason(f"has a set listener on {prop.key}", Need.COLUMNS)
    for name in mapper.relationships.keys():  # noqa: SIM118 - not a dict
        if name not in mapper.validators and _has_collection_listener(mapper.class_, name):
            yield Reason(f"has a listener on {name}", Need.OBJECTS)


def has_set_listener(model: type[Any], key: str) -> bool:
    """Whether the host listens to the attribute *key* of a column, or validates it."""
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
