"""Find the rows that refer to runs, by the foreign keys of the models and of the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import foreign_keys_to, latest, stored_columns
from histio.kinds.mapping import attribute
from histio.kinds.selects import KEYS_PER_STATEMENT, is_among
from histio.kinds.table import Kind, Ledger, Links, Table, join_ledgers

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A table with rows of the runs of a kind: their own, those of a ledger, or those of links.

    Attributes:
        kind: The kind.
        path: The ledgers on the way to the records.
        table: The table of the records.
        links: Their links; None: the place has the records themselves.
    """

    kind: Kind
    path: tuple[Ledger, ...]
    table: Table
    links: Links | None = None

    @property
    def core_tables(self) -> Sequence[sa.Table]:
        """The Core tables that have the rows."""
        return (
            self.table.mapper.tables  # type: ignore[return-value]
            if self.links is None
            else [self.links.relation.remote[0].table]
        )

    def lock(self, connection: Connection, runs: Collection[Key]) -> None:
        """Lock the entries of *runs*, so that nobody changes them or refers to them meanwhile."""
        statement, entity = self.join()
        statement = statement.where(is_among(run_key(self.kind), runs))
        connection.execute(statement.with_for_update(of=entity)).close()

    def join(self) -> tuple[sa.Select[Any], Any]:
        """A SELECT of the primary keys of the runs, joined to their records here; and the entity of these."""
        run = self.kind.table.mapper.class_
        own = sa.select(*run_key(self.kind)).select_from(run)
        return join_ledgers(own, run, self.path)

    def select(self, core: sa.Table, names: Sequence[str]) -> tuple[sa.Select[Any], list[Any]]:
        """A SELECT of the primary keys of the runs, joined to the rows of *core*.

        Returns:
            The SELECT, and the columns of *core* with these *names* in it.
        """
        statement, entity = self.join()
        mapper = self.table.mapper
        mapped = (
            {}
            if self.links
            else {each.name: each for each in core.columns if each in mapper.columns.values()}
        )
        if self.links is None and mapped.keys() >= set(names):
            columns = [getattr(entity, attribute(mapper, mapped[name]).key) for name in names]
            return statement, columns
        rows = sa.table(core.name, *map(sa.column, _names(core, names)), schema=core.schema).alias()
        pairs = (
            zip(mapper.primary_key, core.primary_key, strict=True)
            if self.links is None
            else zip(self.links.relation.local, self.links.relation.remote, strict=True)
        )
        tied = [getattr(entity, attribute(mapper, own).key) == rows.c[other.name] for own, other in pairs]  # type: ignore[arg-type]
        return statement.join(rows, sa.and_(*tied)), [rows.c[name] for name in names]

    def ties(self) -> Iterator[tuple[Collection[sa.Column[Any]], bool]]:
        """The columns that tie rows of a ledger or of links to their run, and whether all rows are of it."""
        for ledger in self.table.ledgers:
            if ledger.owner_has_key:
                yield ledger.relation.local, False
            else:
                yield ledger.relation.remote, not ledger.constants and ledger.table.mapper.inherits is None
        for links in self.table.links:
            yield links.relation.remote, True
        for table in self.table.mapper.tables[1:]:
            yield tuple(table.primary_key), True  # type: ignore[arg-type]


def _names(core: sa.Table, names: Sequence[str]) -> dict[str, None]:
    return dict.fromkeys([*(column.name for column in core.columns), *names])


def run_key(kind: Kind) -> list[Any]:
    """The attributes with the primary key of the runs of *kind*."""
    keys: Any = kind.table.mapper.primary_key
    return [attribute(kind.table.mapper, column) for column in keys]


def places_of(kind: Kind) -> Iterator[Place]:
    """The places that have rows of the runs of *kind*, owners first."""
    for path, table in kind.table.paths():
        yield Place(kind, path, table)
        for links in table.links:
            yield Place(kind, path, table, links)


@dataclass(frozen=True, slots=True, eq=False)
class ForeignKey:
    """A foreign key to a table of runs.

    Attributes:
        source: The table that has it.
        names: The names of its columns …
        target: … the table that they refer to …
        target_names: … and the names of the columns there.
    """

    source: sa.TableClause
    names: tuple[str, ...]
    target: sa.Table
    target_names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.source.name} ({', '.join(self.names)})"

    @property
    def columns(self) -> list[sa.Column[Any]]:
        """Its columns, if the model has them; otherwise none."""
        known = {column.name.lower(): column for column in self.source.columns}
        found = [known.get(name.lower()) for name in self.names]
        return [] if any(each is None for each in found) else found  # type: ignore[return-value]


def find_foreign_keys(connection: Connection, kinds: Collection[Kind]) -> list[ForeignKey]:
    """The foreign keys to tables of *kinds*, of the models and of the database."""
    tables = list(
        dict.fromkeys(core for kind in kinds for place in places_of(kind) for core in place.core_tables)
    )
    every = {other for table in tables for other in table.metadata.tables.values()}
    known = {_name(connection, other.schema, other.name): other for other in every}
    keys: dict[Any, ForeignKey] = {}

    def add(source: sa.TableClause, names: Sequence[str], target: sa.Table, targets: Sequence[str]) -> None:
        pairs = sorted(zip(map(str.lower, names), map(str.lower, targets), strict=True))
        place = _name(connection, source.schema, source.name), target.fullname, *pairs
        keys.setdefault(place, ForeignKey(source, tuple(names), target, tuple(targets)))

    for stored in foreign_keys_to(connection, tables):
        source = known.get(_name(connection, stored.schema, stored.table))
        if source is None:
            names: Any = map(sa.column, stored.columns)
            source = sa.table(stored.table, *names, schema=stored.schema)  # type: ignore[assignment]
        assert source is not None  # noqa: S101 - one of the two
        add(source, stored.columns, stored.target, stored.target_columns)
    modelled = list(_of_models(every, tables))
    there = stored_columns(connection, [column for key in modelled for column in key.columns])
    for key in modelled:
        if not there or all(column in there for column in key.columns):
            add(key.source, key.names, key.target, key.target_names)
    return list(keys.values())


def _of_models(every: Collection[sa.Table], tables: Collection[sa.Table]) -> Iterator[ForeignKey]:
    targets = {table.fullname: table for table in tables}
    for other in every:
        for constraint in other.foreign_key_constraints:
            # Compared by name, because other tables that keys refer to may be missing in the metadata.
            name = constraint.elements[0].target_fullname.rpartition(".")[0]
            if targets.get(name) is not None and targets[name].metadata is other.metadata:
                own = tuple(column.name for column in constraint.columns)
                yield ForeignKey(
                    other, own, targets[name], tuple(each.column.name for each in constraint.elements)
                )


def _name(connection: Connection, schema: str | None, name: str) -> tuple[str | None, str]:
    default = connection.dialect.default_schema_name
    return None if schema == default else schema, name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Referring:
    """A row that refers to a run.

    Attributes:
        target: The primary key of the run.
        key: The key of the row, if it belongs to a run of the same group; otherwise empty.
        count: How many such rows there are.
    """

    target: Key
    key: Key
    count: int = 1


class References:
    """The foreign keys to the runs of some kinds that refer to each other, directly or in a circle.

    Args:
        connection: In a transaction.
        kinds: The kinds.
        keys: The foreign keys to their tables.

    Attributes:
        keys: Those of the foreign keys by which other rows may refer than those of the same run.
        tables: All Core tables of the kinds.
    """

    def __init__(self, connection: Connection, kinds: Sequence[Kind], keys: Sequence[ForeignKey]) -> None:
        self._connection = connection
        self._places = [place for kind in kinds for place in places_of(kind)]
        self.tables: set[sa.Table] = {core for place in self._places for core in place.core_tables}
        ties = [tie for place in self._places for tie in place.ties()]
        self._tying = {column for columns, _ in ties for column in columns}
        own = [set(columns) for columns, is_only in ties if is_only]
        self.keys: list[ForeignKey] = [
            key for key in keys if key.target in self.tables and set(key.columns) not in own
        ]

    def is_inside(self, key: ForeignKey) -> bool:
        """Whether rows with *key* belong to runs of the same kinds."""
        return key.source in self.tables

    def is_tie(self, key: ForeignKey) -> bool:
        """Whether *key* ties rows of a run to each other."""
        return bool(self._tying.intersection(key.columns))

    def is_of_runs(self, key: ForeignKey) -> bool:
        """Whether *key* is one of the runs' own rows, not of their entries or links."""
        return any(
            not place.path and not place.links and key.source in place.core_tables for place in self._places
        )

    def is_of_links(self, key: ForeignKey) -> bool:
        """Whether *key* is that of links, whose rows have nothing else."""
        return any(place.links is not None and key.source in place.core_tables for place in self._places)

    def find(self, key: ForeignKey, kind: Kind, runs: Collection[Key]) -> Iterator[Referring]:
        """The rows that refer to *runs* of a kind by *key*; rows of no run of these kinds are counted."""
        for place in (each for each in self._places if each.kind is kind and key.target in each.core_tables):
            statement, targets = place.select(key.target, key.target_names)
            statement = statement.where(is_among(run_key(kind), runs))
            source = key.source.alias()
            tied = [
                source.c[_named(source, name)] == other
                for name, other in zip(key.names, targets, strict=True)
            ]
            statement = statement.join(source, sa.and_(*tied))
            own = [source.c[column.key] for column in source_key(key.source)] if self.is_inside(key) else []
            if not own:
                statement = statement.add_columns(sa.func.count()).group_by(*run_key(kind))
            width = len(run_key(kind))
            for row in self._connection.execute(latest(self._connection, statement.add_columns(*own))):
                target = tuple(row[:width])
                yield Referring(target, tuple(row[width:])) if own else Referring(target, (), row[width])

    def find_owners(self, key: ForeignKey, rows: Sequence[Key]) -> dict[Key, list[tuple[Kind, Key]]]:
        """The runs that rows with *key* belong to, by the key of the row: their kind and primary key."""
        owners: dict[Key, list[tuple[Kind, Key]]] = {}
        names = [column.name for column in source_key(key.source)]
        for place in (each for each in self._places if key.source in each.core_tables):
            statement, own = place.select(key.source, names)  # type: ignore[arg-type]
            found = latest(self._connection, statement.add_columns(*own))
            width = len(run_key(place.kind))
            for start in range(0, len(rows), KEYS_PER_STATEMENT):
                some = is_among(own, rows[start : start + KEYS_PER_STATEMENT])
                for row in self._connection.execute(found.where(some)):
                    owners.setdefault(tuple(row[width:]), []).append((place.kind, tuple(row[:width])))
        return owners


def source_key(table: Any) -> list[sa.Column[Any]]:
    """The columns that identify a row of *table*: its primary key, or all of its columns without one."""
    return list(table.primary_key) or list(table.columns)


def _named(table: Any, name: str) -> str:
    """The key of the column of *table* with this *name*, in whatever case."""
    found: str = next(column.key for column in table.c if column.name.lower() == name.lower())
    return found
