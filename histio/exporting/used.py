"""Select the catalog rows that runs name, directly or through other catalog rows.

Everything is done by the database: the criterion for the rows of a catalog kind has a subquery with their
keys. It begins with the selected runs, and is recursive only where catalog rows refer to each other in a
circle, or to rows of their own kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper, aliased

from histio.database.dialects import order_key, stored_columns
from histio.kinds.fields.references import Key
from histio.kinds.keys import is_indexed
from histio.kinds.mapping import attribute, column_of
from histio.kinds.relations import Relation, relation
from histio.kinds.table import Kind, Ledger, Snapshot, Table
from histio.resolving.circles import find_reachable

_Joins: TypeAlias = list[tuple[Any, sa.ColumnElement[bool]]]
"""What a SELECT joins, each with the condition."""


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A way from the records of a kind to rows that they name.

    Attributes:
        source: The kind.
        path: The ledgers on the way from a record to the entry that names the row.
        table: The table of the record or entry.
        steps: The relations that lead from there to the row; empty for a snapshot.
        snapshot: The slug that was copied from the row; None: the steps lead to it.
        owners: If the row is a ledger entry: the ledgers that it is in, with the tables of their owners, from
            the entry on.
    """

    source: Kind
    path: tuple[Ledger, ...]
    table: Table
    steps: tuple[Relation, ...]
    snapshot: Snapshot | None = None
    owners: tuple[tuple[Ledger, Table], ...] = ()

    @property
    def target(self) -> Mapper[Any]:
        """The mapper of the model of the rows."""
        return self.steps[-1].mapper if self.snapshot is None else sa.inspect(self.snapshot.model)

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the entries that name a row."""
        if self.snapshot is not None:
            return is_indexed(self.table.columns[self.snapshot.member])
        [step, *further] = self.steps
        return not further and is_indexed(*(step.local if step.link is None else step.link[0]))

    def follow(self, record: Any, *, exactly: sa.Dialect | None) -> tuple[_Joins, list[Any]]:
        """What to join to *record*, an entity of the kind, and the primary key of the rows or their owners.

        *exactly*: compare a snapshot by code points, in this dialect; None: as its column compares texts.
        """
        joins: _Joins = []
        entity, mapper = record, self.table.mapper
        for ledger in self.path:
            below = _alias(ledger.relation.model)
            tied = (*ledger.join_conditions(entity, below), *ledger.constant_conditions(below))
            joins.append((below, sa.and_(*tied)))
            entity = below
        if self.snapshot is not None:
            row: Any = _alias(self.snapshot.model)
            copied = getattr(entity, self.table.attribute(self.snapshot.member).key)
            [key] = (getattr(row, path) for path in self.snapshot.key)
            if exactly is not None:
                copied, key = (order_key(exactly, each, of_uuids=False) for each in (copied, key))
            joins.append((row, copied == key))
            return joins, self._key_of(row, joins)
        for step in self.steps[:-1]:
            entity, mapper = _join_row(step, _refer(step, mapper, entity, joins), joins), step.mapper
        [*_, last] = self.steps
        referring = _refer(last, mapper, entity, joins)
        if not self.owners and set(last.mapper.primary_key) <= referring.keys():
            return joins, [referring[column] for column in last.mapper.primary_key]
        return joins, self._key_of(_join_row(last, referring, joins), joins)

    def _key_of(self, row: Any, joins: _Joins) -> list[Any]:
        """The primary key of *row*, or of the row whose ledgers it is in."""
        for ledger, table in self.owners:
            entry, row = row, _alias(table.mapper.class_)
            joins.append((row, sa.and_(*ledger.join_conditions(row, entry))))
        return _primary_key(row)


def _refer(step: Relation, mapper: Mapper[Any], entity: Any, joins: _Joins) -> dict[Any, Any]:
    """By column of the related row, what is equal to it: columns of *entity*, or of an association table."""
    own = [getattr(entity, attribute(mapper, column).key) for column in step.local]
    if step.link is None:
        return dict(zip(step.remote, own, strict=True))
    between = step.remote[0].table.alias()
    tied = (value == between.c[column.key] for value, column in zip(own, step.remote, strict=True))
    joins.append((between, sa.and_(*tied)))
    linking, related = step.link
    return {theirs: between.c[column.key] for theirs, column in zip(related, linking, strict=True)}


def _join_row(step: Relation, referring: Mapping[Any, Any], joins: _Joins) -> Any:
    """The related row, which is joined."""
    row: Any = _alias(step.model)
    tied = (getattr(row, attribute(step.mapper, column).key) == value for column, value in referring.items())
    joins.append((row, sa.and_(*tied)))
    return row


def _joined(statement: sa.Select[Any], joins: _Joins, *, isouter: bool) -> sa.Select[Any]:
    for entity, condition in joins:
        statement = statement.join(entity, condition, isouter=isouter)
    return statement


def _alias(model: type[Any]) -> Any:
    return aliased(model, flat=True)


def _primary_key(entity: Any) -> list[Any]:
    mapper = sa.inspect(entity).mapper
    return [getattr(entity, attribute(mapper, column).key) for column in mapper.primary_key]


def _ways_from(kind: Kind) -> Iterator[_Way]:
    """All ways from records of *kind* to rows that they name.

    The rows on the path of a key are named too.
    """
    for path, table in kind.table.paths():
        for named in table.all_references:
            mapper = named.relation.mapper
            for names in {(), *itertools.chain(*map(_prefixes, named.slugs.values()))}:
                yield _Way(kind, path, table, (named.relation, *_relations(mapper, names)))
        for snapshot in table.snapshots:
            yield _Way(kind, path, table, (), snapshot)


def _without_detours(ways: Sequence[_Way]) -> Iterator[_Way]:
    """The *ways* but those through a catalog row that itself names the row at their end."""
    onward = {(way.table.mapper, way.steps) for way in ways if way.source.is_catalog and not way.path}
    for way in ways:
        if not way.steps[1:] or (way.steps[-2].mapper, way.steps[-1:]) not in onward:
            yield way


def _prefixes(chain: Iterable[Key]) -> Iterator[tuple[str, ...]]:
    """The relationships that lead to the rows on the paths of the keys in a *chain*."""
    for path in itertools.chain(*chain):
        names = path.split(".")[:-1]
        yield from (tuple(names[: depth + 1]) for depth in range(len(names)))


def _owners(kind: Kind, path: Sequence[Ledger]) -> tuple[tuple[Ledger, Table], ...]:
    """The ledgers on a *path* from records of *kind*, the last first, each with the table of its owner."""
    tables = [kind.table, *(ledger.table for ledger in path)]
    return tuple(zip(path, tables, strict=False))[::-1]


def _relations(mapper: Mapper[Any], names: Iterable[str]) -> Iterator[Relation]:
    """The relations with these *names*, each from the model that the one before leads to."""
    for name in names:
        step = relation(mapper, name)
        yield step
        mapper = step.mapper


class UsedRows:
    """The catalog rows that some runs name.

    Args:
        connection: In a transaction; only read from.
        runs: By kind, the conditions for the runs.
        catalog: The catalog kinds.
    """

    def __init__(
        self, connection: Connection, runs: Mapping[Kind, Sequence[Any]], catalog: Sequence[Kind]
    ) -> None:
        self._dialect = connection.dialect
        self._runs = runs
        ways = list(_without_detours([way for kind in (*runs, *catalog) for way in _ways_from(kind)]))
        self._other_collations = _find_other_collations(connection, ways)
        self._ways = {
            kind: [
                replace(way, owners=_owners(kind, path))
                for path, table in kind.table.paths()
                for way in ways
                if way.target.common_parent(table.mapper)
            ]
            for kind in catalog
        }
        reachable = find_reachable(catalog, self._refers)
        self._circles = {
            kind: tuple(other for other in catalog if other in reachable[kind] and kind in reachable[other])
            for kind in catalog
        }
        self._found: dict[Any, Any] = {}

    @property
    def is_recursive(self) -> bool:
        """Whether the criteria of some kinds are recursive."""
        return any(self._circles.values())

    def criterion(self, kind: Kind) -> sa.ColumnElement[bool]:
        """The criterion for the rows of a catalog *kind*."""
        return self._is_used(kind, kind.table.mapper.class_)

    def _refers(self, kind: Kind, other: Kind) -> bool:
        return any(way.source is kind for way in self._ways[other])

    def _is_used(self, kind: Kind, entity: Any) -> sa.ColumnElement[bool]:
        """Whether *entity*, a row of a catalog *kind*, is used."""
        if kind not in self._found:
            circle = self._circles[kind]
            self._found |= self._recur(circle) if circle else {kind: self._union(kind)}
        keys, own = self._found[kind], _primary_key(entity)
        if keys is None:
            return sa.false()
        return own[0].in_(keys) if len(own) == 1 else sa.tuple_(*own).in_(keys)

    def _union(self, kind: Kind) -> sa.Select[Any] | None:
        """A SELECT of the primary keys of rows of *kind* that other kinds name; None: none of them does."""
        circle = self._circles[kind]
        selects = [self._select(kind, way) for way in self._ways[kind] if way.source not in circle]
        if not selects:
            return None
        if len(selects) == 1:
            return selects[0]
        # A derived table: MariaDB would run IN (… UNION …) again for each row.
        return sa.select(*sa.union(*selects).subquery().columns)

    def _select(self, kind: Kind, way: _Way) -> sa.Select[Any]:
        """A SELECT of the primary keys of the rows of *kind* that *way* leads to.

        If all runs are exported, an index can find the first that names a row; otherwise, the SELECT begins
        with the selected runs: outer joins keep databases from beginning elsewhere.
        """
        record: Any = way.source.table.mapper.class_
        conditions = self._runs.get(way.source)
        if conditions == [] and way.is_indexed:
            row = _alias(kind.table.mapper.class_)
            joins, keys = self._follow(way, record)
            own = _primary_key(row)
            tied = (key == mine for key, mine in zip(keys, own, strict=True))
            naming = _joined(sa.select(sa.literal(1)).select_from(record), joins, isouter=False)
            return sa.select(*own).where(naming.where(*tied).correlate(row).exists())
        if conditions is None:
            record = _alias(record)
            conditions = [self._is_used(way.source, record)]
        joins, keys = self._follow(way, record)
        statement = _joined(sa.select(*keys).select_from(record), joins, isouter=True)
        return statement.where(*conditions).correlate(None)

    def _follow(self, way: _Way, record: Any) -> tuple[_Joins, list[Any]]:
        is_exact = way.snapshot in self._other_collations
        return way.follow(record, exactly=self._dialect if is_exact else None)

    def _recur(self, circle: Sequence[Kind]) -> dict[Kind, sa.Select[Any] | None]:
        """By kind in a *circle*, a SELECT of the primary keys of the used rows, found by recursion."""
        named = {kind: keys for kind in circle if (keys := self._union(kind)) is not None}
        if not named:
            return dict.fromkeys(circle)
        models = [_alias(kind.table.mapper.class_) for kind in circle]
        own = [_primary_key(model) for kind, model in zip(circle, models, strict=True)]
        row = _Row({kind: len(keys) for kind, keys in zip(circle, own, strict=True)})
        # The first SELECT only says the types of the columns, and the second that texts vary in length.
        typed = sa.select(*row.columns(dict(zip(circle, own, strict=True)))).select_from(models[0])
        for model in models[1:]:
            typed = typed.join(model, sa.true())
        varying = sa.select(*row.columns({}))
        begun = [sa.select(*row.columns({kind: keys.subquery().columns})) for kind, keys in named.items()]
        start = sa.union(typed.where(sa.false()), varying.where(sa.false()), *begun).subquery()
        found = sa.select(*start.columns).cte(recursive=True)
        every = found.union(self._select_next(row, circle, found))
        return {
            kind: sa.select(*columns).where(columns[0].is_not(None))
            for kind in circle
            for columns in [row.of(kind, every)]
        }

    def _select_next(self, row: _Row, circle: Sequence[Kind], found: sa.CTE) -> sa.Select[Any]:
        """The rows that those *found* name: for each of them, one row for each way."""
        ways = [(kind, way) for kind in circle for way in self._ways[kind] if way.source in circle]
        numbers = sa.union_all(
            *(sa.select(sa.literal_column(str(number)).label("way")) for number, _ in enumerate(ways))
        ).subquery()
        statement = sa.select(sa.null()).select_from(found).join(numbers, sa.true())
        keys: dict[Kind, list[list[Any]]] = {kind: [] for kind in circle}
        for number, (kind, way) in enumerate(ways):
            record: Any = _alias(way.source.table.mapper.class_)
            own = zip(_primary_key(record), row.of(way.source, found), strict=True)
            tied = sa.and_(numbers.columns.way == number, *(mine == theirs for mine, theirs in own))
            joins, named = self._follow(way, record)
            statement = _joined(statement, [(record, tied), *joins], isouter=True)
            keys[kind].append(named)
        first = {
            kind: [sa.func.coalesce(*each, sa.null()) for each in zip(*keys[kind], strict=True)]
            for kind in circle
        }
        named_any = sa.or_(*(columns[0].is_not(None) for columns in first.values()))
        return statement.with_only_columns(*row.columns(first), maintain_column_froms=True).where(named_any)


class _Row:
    """The columns of a common table expression with the primary keys of several kinds.

    A row has the key of one of them, and NULL in the columns of the others.

    Args:
        sizes: The number of columns of each key.
    """

    def __init__(self, sizes: Mapping[Kind, int]) -> None:
        numbers = itertools.count()
        self._labels = {
            kind: [f"key_{number}" for number in itertools.islice(numbers, size)]
            for kind, size in sizes.items()
        }

    def of(self, kind: Kind, rows: sa.CTE) -> list[sa.ColumnElement[Any]]:
        """The columns with the keys of *kind*."""
        return [rows.columns[label] for label in self._labels[kind]]

    def columns(self, keys: Mapping[Kind, Iterable[Any]]) -> list[sa.ColumnElement[Any]]:
        """All columns, with these *keys* and otherwise NULL."""
        return [
            key.label(label)
            for kind, labels in self._labels.items()
            for label, key in zip(labels, keys.get(kind) or itertools.repeat(sa.null()), strict=False)
        ]


def _find_other_collations(connection: Connection, ways: Iterable[_Way]) -> set[Snapshot]:
    """The snapshots whose column has another collation than the key that they were copied from.

    Some databases refuse to compare such columns.
    """
    compared = {
        way.snapshot: (way.table.columns[way.snapshot.member], column_of(way.target, way.snapshot.key[0]))
        for way in ways
        if way.snapshot is not None
    }
    stored = stored_columns(connection, list(itertools.chain(*compared.values())))
    collations = {column: kept.collation for column, kept in stored.items()}
    return {
        snapshot for snapshot, (own, key) in compared.items() if collations.get(own) != collations.get(key)
    }
