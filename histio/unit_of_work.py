"""Runs → rows through the ORM, where bulk inserts would pass over what a host's models do by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper, RelationshipDirection, Session

from histio.kinds import Kind, Table
from histio.mapping import Relation, attribute, construct, is_among
from histio.resolver import CHUNK
from histio.writer import Insert, Row, owner_columns

Listeners: TypeAlias = Mapping[str, Sequence[Callable[..., Any]]]
"""By event, listeners of a session."""

_EVENTS = (
    "before_flush",
    "after_flush",
    "after_flush_postexec",
    "before_attach",
    "after_attach",
    "transient_to_pending",
    "pending_to_persistent",
)


def listeners_of(session: Session | None) -> Listeners:
    """The listeners of *session* that writing by the unit of work calls; None: those of all sessions."""
    dispatch = (session or Session()).dispatch
    return {event: found for event in _EVENTS if (found := tuple(getattr(dispatch, event)))}


def reasons(kind: Kind, listeners: Listeners) -> tuple[str, ...]:
    """Why runs of *kind* have to be written by the unit of work; none: they are written in bulk."""
    found = [f"the session has {_a(event)} listener" for event in listeners]
    return tuple(dict.fromkeys([*found, *_of_tree(kind.table, frozenset())]))


def _of_tree(table: Table, given: frozenset[Any]) -> Iterator[str]:
    """Reasons of *table* and its ledgers; *given* are the columns that its owner fills."""
    name = table.mapper.class_.__name__
    yield from (f"{name} {reason}" for reason in _of_table(table))
    unknown = set(owner_columns(table)) - set(table.columns.values()) - given
    if table.identity is None and unknown:
        yield f"{name} has ledgers, and nothing that identifies a row in the format"
    for ledger in table.ledgers:
        yield from _of_tree(ledger.table, frozenset(ledger.local))


def _a(event: str) -> str:
    return f"an {event}" if event[0] in "aeiou" else f"a {event}"


def _of_table(table: Table) -> Iterator[str]:
    mapper = table.mapper
    for event in ("before_insert", "after_insert"):
        if list(getattr(mapper.dispatch, event)):
            yield f"has {_a(event)} listener"
    if any(
        not listener.__module__.startswith("sqlalchemy.orm.mapper")
        for listener in mapper.class_manager.dispatch.init
    ):
        yield "has an init listener"
    yield from (f"validates {name}" for name in mapper.validators)
    yield from (
        f"has a set listener on {prop.key}"
        for prop in mapper.column_attrs
        if prop.key not in mapper.validators and list(getattr(mapper.class_, prop.key).dispatch.set)
    )
    yield from _of_construction(table)
    if len(mapper.tables) > 1:
        yield "is mapped to several tables"
    for ledger in table.ledgers:
        way = ledger.relation.relationship
        if way is not None and way.direction is RelationshipDirection.MANYTOONE:
            yield f"keeps the key of {ledger.relation.name}"


def _of_construction(table: Table) -> Iterator[str]:
    """What making an object does and inserting its row would not."""
    mapper, model = table.mapper, table.mapper.class_
    made = mapper.class_manager.original_init
    if dataclasses.is_dataclass(model):
        if hasattr(model, "__post_init__"):
            yield "has a __post_init__"
        for field in dataclasses.fields(model):
            column = mapper.columns.get(field.name)
            given = (
                field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            )
            if given and column is not None and _only_there(table, column):
                yield f"has a dataclass default for {field.name}"
    elif made is not object.__init__ and not made.__module__.startswith("sqlalchemy."):
        yield "has an __init__ of its own"


def _only_there(table: Table, column: Any) -> bool:
    """Whether nothing but the dataclass fills *column*."""
    return column.default is None and column.server_default is None and column not in table.columns.values()


def insert_by_unit_of_work(listeners: Listeners) -> Insert:
    """A way to write rows: as ORM objects, in a session of histio's own on the same connection.

    Listeners of the models fire, and those *listeners* of the caller's session; what the caller has pending
    stays as it is.
    """

    def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
            for event, functions in listeners.items():
                own = tuple(getattr(session.dispatch, event))
                for function in functions:
                    if function not in own:
                        sa.event.listen(session, event, function)
            related = _Related(session)
            related.load(table, rows)
            _add(session, related, table, rows, [{} for _ in rows])

    return insert


class _Related:
    """Rows that are referred to, as objects of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: dict[tuple[Relation, tuple[Any, ...]], Any] = {}

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """Fetch what *rows* and their ledgers refer to, a set at a time."""
        rows = list(rows)
        for reference in table.references:
            self._fetch(
                reference.relation, reference.relation.remote, (_key(reference.relation, row) for row in rows)
            )
        for place, links in enumerate(table.links):
            _, remote = links.relation.link or ((), ())
            self._fetch(links.relation, remote, (key for row in rows for key in row.links[place]))
        for place, ledger in enumerate(table.ledgers):
            self.load(ledger.table, (entry for row in rows for entry in row.ledgers[place]))

    def _fetch(self, relation: Relation, remote: Any, keys: Iterable[tuple[Any, ...]]) -> None:
        wanted = list({key for key in keys if None not in key})
        columns = [attribute(relation.mapper, column) for column in remote]
        for start in range(0, len(wanted), CHUNK):
            among = is_among(columns, wanted[start : start + CHUNK])
            for row, *key in self._session.execute(sa.select(relation.model, *columns).where(among)):
                self._rows[relation, tuple(key)] = row

    def get(self, relation: Relation, key: tuple[Any, ...]) -> Any:
        """The object at *key*."""
        return self._rows.get((relation, key))


def _key(relation: Relation, row: Row) -> tuple[Any, ...]:
    return tuple(row.parameters.get(column.key) for column in relation.local)


def _add(
    session: Session, related: _Related, table: Table, rows: Sequence[Row], extra: Sequence[Mapping[str, Any]]
) -> None:
    """Write *rows*, each with *extra* values by attribute; ledgers without relationship follow."""
    made = [_object(related, table, row, more) for row, more in zip(rows, extra, strict=True)]
    session.add_all(made)
    session.flush()
    _add_apart(session, related, table, rows, made)


def _add_apart(
    session: Session, related: _Related, table: Table, rows: Sequence[Row], made: Sequence[Any]
) -> None:
    for place, ledger in enumerate(table.ledgers):
        entries = [entry for row in rows for entry in row.ledgers[place]]
        if not entries:
            continue
        if ledger.relation.relationship is None:
            filled = [
                {
                    attribute(ledger.table.mapper, local).key: getattr(
                        owner, attribute(table.mapper, column).key
                    )
                    for local, column in zip(ledger.local, ledger.owner, strict=True)
                }
                for owner, row in zip(made, rows, strict=True)
                for _ in row.ledgers[place]
            ]
            _add(session, related, ledger.table, entries, filled)
        else:
            below = [
                getattr(owner, ledger.relation.name)
                for owner, row in zip(made, rows, strict=True)
                if row.ledgers[place]
            ]
            objects = [each for entry in below for each in (entry if ledger.many else [entry])]
            _add_apart(session, related, ledger.table, entries, objects)


def _object(related: _Related, table: Table, row: Row, extra: Mapping[str, Any]) -> Any:
    mapper = table.mapper
    values = {**_by_attribute(mapper, row.parameters), **extra}
    for reference in table.references:
        way = reference.relation.relationship
        if way is not None and not way.viewonly:
            values[way.key] = related.get(reference.relation, _key(reference.relation, row))
    for place, links in enumerate(table.links):
        values[links.relation.name] = [related.get(links.relation, key) for key in row.links[place]]
    for place, ledger in enumerate(table.ledgers):
        if ledger.relation.relationship is None:
            continue
        entries = [
            _object(related, ledger.table, entry, _from_owner(table, ledger, values))
            for entry in row.ledgers[place]
        ]
        values[ledger.relation.name] = entries if ledger.many else next(iter(entries), None)
    return construct(mapper.class_, values)


def _from_owner(table: Table, ledger: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry is filled with from its owner beyond the relationship's own columns."""
    pairs = list(zip(ledger.local, ledger.owner, strict=True))[len(ledger.relation.local) :]
    return {
        attribute(ledger.table.mapper, local).key: values.get(attribute(table.mapper, owner).key)
        for local, owner in pairs
    }


def _by_attribute(mapper: Mapper[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    keys = {
        column.key: prop.key
        for prop in mapper.column_attrs
        for column in prop.columns
        if isinstance(column, sa.Column)
    }
    return {keys[name]: value for name, value in parameters.items() if name in keys}
