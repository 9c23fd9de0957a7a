"""The tables, references and ledgers of a kind of run.

Exports and imports derive from these: which tables a run fills, in which order, which members are columns,
which resolve to related rows, and which are ledgers.

A *member* is the name of a value among those that the schema loads; `Table.names` has its name on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from marshmallow.fields import Field
from sqlalchemy.orm import InstrumentedAttribute, Mapper, RelationshipDirection, aliased

from histio.kinds.base import BaseSchema
from histio.kinds.column_types import underlying
from histio.kinds.fields import Date, RunUUID, UtcTimestamp
from histio.kinds.fields.references import Key
from histio.kinds.identity import Identity
from histio.kinds.keys import is_unique
from histio.kinds.mapping import Columns, attribute
from histio.kinds.relations import Relation
from histio.wire import WireField


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The related row that one or several slugs of a record name.

    Attributes:
        relation: From the record's model to the related one.
        slugs: Members, each with the keys in which it is looked for; the first present member resolves.
        agrees: Another reference of the record, and the columns of the two related rows that should be
            equal; None: nothing is compared.
    """

    relation: Relation
    slugs: Mapping[str, tuple[Key, ...]]
    agrees: tuple[str, Columns, Columns] | None = None

    def present_members(self, record: Mapping[str, Any]) -> list[str]:
        """The members of *record* that name the row, in the order in which they are tried."""
        return [member for member in self.slugs if record.get(member) is not None]

    def lookups(self, record: Mapping[str, Any]) -> Iterator[tuple[tuple[Key, ...], Any]]:
        """The keys to look in, and the value to find, for the row that *record* names.

        The first slug that is present decides; without one, nothing is yielded.
        """
        for member in self.present_members(record)[:1]:
            yield self.slugs[member], record[member]


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """The related rows that a list of slugs names, tied to the record's row by an association table."""

    member: str
    relation: Relation
    chain: tuple[Key, ...]

    @property
    def slugs(self) -> Mapping[str, tuple[Key, ...]]:
        """The member, with the keys in which it is looked for, like `Reference.slugs`."""
        return {self.member: self.chain}

    def lookups(self, record: Mapping[str, Any]) -> Iterator[tuple[tuple[Key, ...], Any]]:
        """The keys to look in, and the value to find, for each related row that *record* names."""
        for value in record.get(self.member) or ():
            yield self.chain, value


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A slug kept as text, whose row may have been deleted: its member, and the model that it came from."""

    member: str
    model: type[Any]
    key: Key


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """The nested records of one member, and the columns that connect their rows to the owner's row.

    Attributes:
        owner: Columns of the owner's row …
        local: … and the columns of the entry that are filled with them.
        constants: The values that further columns have in all entries.
        order: The members that order the entries; empty: the format has none of them.
        further_order: What orders entries that are equal in these members: the key that grows as they are
            recorded, their content, or columns that the format does not have.
    """

    member: str
    relation: Relation
    table: Table
    many: bool
    owner: Columns
    local: Columns
    constants: Mapping[sa.Column[Any], Any]
    order: tuple[str, ...]
    further_order: Literal["recording", "content", "hidden"]

    @property
    def keeps_sequence(self) -> bool:
        """Whether entries that are equal in `order` keep the sequence in which they are imported."""
        return self.many and self.further_order != "content"

    @property
    def owner_has_key(self) -> bool:
        """Whether the foreign key is in the owner's row, not in the entry's."""
        way = self.relation.relationship
        return way is not None and way.direction is RelationshipDirection.MANYTOONE

    def join_conditions(self, owner: Any, entity: Any) -> Iterator[sa.ColumnElement[bool]]:
        """Conditions for the rows of *entity* that belong to the rows of *owner*; both may be aliases."""
        mappers = sa.inspect(owner).mapper, self.table.mapper
        for pair in zip(self.relation.local, self.relation.remote, strict=True):
            own, theirs = (
                attribute(mapper, column).key for mapper, column in zip(mappers, pair, strict=True)
            )
            yield getattr(owner, own) == getattr(entity, theirs)

    def constant_conditions(self, entity: Any) -> Iterator[sa.ColumnElement[bool]]:
        """Conditions for the rows of *entity* that are in this ledger, not in another ledger of the table."""
        for column, value in self.constants.items():
            yield getattr(entity, attribute(self.table.mapper, column).key) == value

    def entries(self, record: Mapping[str, Any], name: str) -> list[tuple[tuple[str | int, ...], Any]]:
        """The entries of *record*, each with the steps that lead to it; the first step is *name*."""
        found = self.to_list(record.get(self.member))
        return [((name, index) if self.many else (name,), entry) for index, entry in enumerate(found)]

    def to_list(self, value: Any) -> list[Any]:
        """The entries in the *value* of the member as a list, even if it is a single entry or None."""
        return list(value or ()) if self.many else [] if value is None else [value]

    def collect(self, entries: Sequence[Any]) -> Any:
        """The value of the member for *entries*: the list, or the only entry or None."""
        return entries if self.many else next(iter(entries), None)


def join_ledgers(
    statement: sa.Select[Any], entity: Any, path: Iterable[Ledger]
) -> tuple[sa.Select[Any], Any]:
    """Join the entries of the ledgers on a *path* from *entity*, which *statement* selects from.

    Returns:
        The statement, and the entity of the last ledger; without a path, *entity* itself.
    """
    for ledger in path:
        owner, entity = entity, aliased(ledger.relation.model)
        tied = [*ledger.join_conditions(owner, entity), *ledger.constant_conditions(entity)]
        statement = statement.join(entity, sa.and_(*tied))
    return statement, entity


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The table of a schema's records: the run's own, or a ledger's.

    Attributes:
        schema: The marshmallow schema, which loads plain values.
        mapper: The mapper of its model.
        identity: What identifies a record; None: nothing does, which is possible for ledger entries.
        fields: The field of each member.
        names: The name of each member on the wire.
        columns: The column of each plain member, in the schema's order.
        computed: Plain members whose columns the database computes: read, compared and not written.
        references: The references to single rows.
        links: The references of lists of slugs.
        snapshots: Slugs that are kept as text.
        ledgers: Nested records.
    """

    schema: BaseSchema
    mapper: Mapper[Any]
    identity: Identity | None
    fields: Mapping[str, Field[Any]]
    names: Mapping[str, str]
    columns: Mapping[str, sa.Column[Any]]
    computed: frozenset[str]
    references: tuple[Reference, ...]
    links: tuple[Links, ...]
    snapshots: tuple[Snapshot, ...]
    ledgers: tuple[Ledger, ...]

    @property
    def all_references(self) -> tuple[Reference | Links, ...]:
        """The references to single rows, then those of lists."""
        return (*self.references, *self.links)

    @property
    def rows(self) -> sa.Table:
        """The Core table of the model itself, if its base classes have tables too."""
        return self.mapper.local_table  # type: ignore[return-value]

    @property
    def core_tables(self) -> list[sa.Table]:
        """All Core tables that a record fills, without those of its ledgers."""
        linking = [links.relation.remote[0].table for links in self.links]
        return [*self.mapper.tables, *linking]  # type: ignore[list-item]

    @property
    def identity_members(self) -> tuple[str, ...]:
        """The members that identify a record; empty: nothing does."""
        return () if self.identity is None else self.identity.members

    @property
    def identity_columns(self) -> Columns:
        """The columns that identify a row; empty: nothing does."""
        return () if self.identity is None else self.identity.columns

    @property
    def changed(self) -> str | None:
        """The member with the time at which a record was last written; None: there is none."""
        name = self.schema.opts.changed or ""
        return (
            name if isinstance(self.fields.get(name), UtcTimestamp | Date) and name in self.columns else None
        )

    @property
    def growing_key(self) -> sa.Column[Any] | None:
        """The primary key if the database counts it up; None: it does not."""
        column = getattr(self.rows, "autoincrement_column", None)
        return column if column is not None and column not in self.columns.values() else None

    @property
    def is_shared(self) -> bool:
        """Whether no two records may have the same identity, even in different runs."""
        own = self.identity
        return own is not None and (own.is_uuid or is_unique(*own.columns))

    @property
    def has_own_uuid(self) -> bool:
        """Whether a UUID identifies each record, and no two rows of the table have the same."""
        own = self.identity
        return own is not None and own.is_uuid and is_unique(*own.columns)

    def attribute(self, member: str) -> InstrumentedAttribute[Any]:
        """The model's attribute of a plain member."""
        return attribute(self.mapper, self.columns[member])

    def wire(self, member: str, value: Any) -> Any:
        """A loaded *value* of a plain member or slug, in its JSON form."""
        field = self.fields[member]
        return field.to_wire(value) if isinstance(field, WireField) and value is not None else value

    def entries(self, record: Mapping[str, Any]) -> Iterator[tuple[Ledger, tuple[str | int, ...], Any]]:
        """Every ledger entry of *record*, with the steps that lead to it."""
        for ledger in self.ledgers:
            for steps, entry in ledger.entries(record, self.names[ledger.member]):
                yield ledger, steps, entry

    def mappers(self) -> Iterator[Mapper[Any]]:
        """The mapper of the model, and those of the models that its records refer to."""
        yield self.mapper
        yield from (named.relation.mapper for named in self.all_references)

    def paths(self, *path: Ledger) -> Iterator[tuple[tuple[Ledger, ...], Table]]:
        """This table and those of its ledgers, each with the ledgers on the way to it."""
        yield path, self
        for ledger in self.ledgers:
            yield from ledger.table.paths(*path, ledger)

    def path_names(self, path: Iterable[Ledger]) -> Iterator[str]:
        """The names in JSON of the ledgers on a *path* from this table."""
        table = self
        for ledger in path:
            yield table.names[ledger.member]
            table = ledger.table

    def all(self) -> Iterator[Table]:
        """This table and those of its ledgers, owners first."""
        yield self
        for ledger in self.ledgers:
            yield from ledger.table.all()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of run, or of catalog row: its names in the format and its tables.

    Attributes:
        name: Singular, such as ``production_run``: the key of a stream's line.
        collection: The name of its list in a document, such as ``production_runs``.
        table: The run's table, which has the ledgers.
        timestamp: The member that orders the runs; None: they are ordered by their identity.
        is_catalog: Whether its records are rows that runs refer to, which travel before the runs.
    """

    name: str
    collection: str
    table: Table
    timestamp: str | None
    is_catalog: bool = False

    @property
    def identity(self) -> Identity:
        """What identifies a run: every kind has an identity."""
        assert self.table.identity is not None  # noqa: S101 - kind_of made sure
        return self.table.identity

    @property
    def members_of_new_rows(self) -> tuple[str, ...]:
        """The members that count only where a row is created: UUIDs that do not identify a catalog row."""
        own, identifying = self.table, self.identity.members
        return tuple(
            member
            for member in (own.columns if self.is_catalog else ())
            if isinstance(own.fields[member], RunUUID) and member not in identifying
        )

    def is_named_by(self, other: Kind) -> bool:
        """Whether records of the *other* kind name rows of this one, by references or by snapshots."""
        snapshots = (one for table in other.table.all() for one in table.snapshots)
        return any(other.refers_to(self)) or any(one.model is self.table.mapper.class_ for one in snapshots)

    @property
    def is_hooked(self) -> bool:
        """Whether hooks of the host change records before they are loaded."""
        return any(table.schema.is_hooked for table in self.table.all())

    @property
    def has_json(self) -> bool:
        """Whether a column of its tables keeps JSON."""
        columns = (column for table in self.table.all() for column in table.columns.values())
        return any(isinstance(underlying(column.type), sa.JSON) for column in columns)

    def format_identity(self, identity: Any) -> str:
        """A loaded *identity* as text for messages."""
        return self.identity.format(identity)

    def refers_to(self, other: Kind) -> Iterator[tuple[Table, Reference | Links]]:
        """The references in this kind's records that name runs of the *other* kind, each with its table."""
        for table in self.table.all():
            for named in table.all_references:
                if named.relation.mapper.common_parent(other.table.mapper):
                    yield table, named
