"""A marshmallow schema, read as the description of a kind of run.

Everything else derives from what stands here: which tables a run fills, in which order, which members are
columns, which resolve to related rows, and which are ledgers.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper, RelationshipProperty

from histio.errors import BindingError
from histio.fields import RunUUID, Slug, UtcTimestamp

if TYPE_CHECKING:
    from histio.schemas import RecordSchema, RunSchema

Columns = tuple[sa.Column[Any], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The related row that one or several slugs of a record name.

    Attributes:
        relationship: From the record's model to the related one.
        slugs: Member names and the related model's key paths; the first present one resolves.
        local: The columns that are filled …
        remote: … with these columns of the related row.
        agrees: The reference of the same record whose row the related row should belong to, and the
            columns of the two rows that should then be equal.
    """

    relationship: RelationshipProperty[Any]
    slugs: Mapping[str, str]
    local: Columns
    remote: Columns
    agrees: tuple[str, Columns, Columns] | None = None

    @property
    def model(self) -> type[Any]:
        """The related model."""
        return self.relationship.mapper.class_

    def named_by(self, record: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Member and key path of each slug that *record* has, in the order they are tried."""
        return [(member, path) for member, path in self.slugs.items() if record.get(member) is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A slug kept as text, whose row may be gone: its member's name and the model it came from."""

    member: str
    model: type[Any]
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """The nested records of one member, and the columns that tie their rows to the owner's row."""

    member: str
    relationship: RelationshipProperty[Any]
    table: Table
    owner: Columns
    local: Columns


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One table that records of a schema are rows of: the run's own, or a ledger's.

    Attributes:
        schema: The marshmallow schema, which loads plain values.
        mapper: The mapper of its model.
        uuid: The name of the member that identifies a record.
        columns: The column of each plain member, in the schema's order.
        references: What slugs resolve to.
        snapshots: Slugs kept as text, to be looked after.
        ledgers: Nested records.
    """

    schema: RecordSchema
    mapper: Mapper[Any]
    uuid: str
    columns: Mapping[str, sa.Column[Any]]
    references: tuple[Reference, ...]
    snapshots: tuple[Snapshot, ...]
    ledgers: tuple[Ledger, ...]

    @property
    def rows(self) -> sa.Table:
        """The Core table."""
        return self.columns[self.uuid].table

    @property
    def uuid_column(self) -> sa.Column[Any]:
        """The column that identifies a record."""
        return self.columns[self.uuid]

    def attribute(self, member: str) -> InstrumentedAttribute[Any]:
        """The model's attribute of a plain member."""
        key = self.mapper.get_property_by_column(self.columns[member]).key
        return getattr(self.mapper.class_, key)  # type: ignore[no-any-return]

    def all(self) -> Iterator[Table]:
        """This table and those of its ledgers, owners first."""
        yield self
        for ledger in self.ledgers:
            yield from ledger.table.all()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of run: its names in the format and its tables.

    Attributes:
        name: Singular, such as ``production_run``: the key of a stream's line.
        collection: The name of its list in a document, such as ``production_runs``.
        table: The run's table; ledgers hang below it.
        timestamp: The name of the member that orders the runs.
    """

    name: str
    collection: str
    table: Table
    timestamp: str

    @property
    def timestamp_field(self) -> UtcTimestamp:
        """The field of the member that orders the runs."""
        field = self.table.schema.fields[self.timestamp]
        assert isinstance(field, UtcTimestamp)  # noqa: S101 - kind_of made sure
        return field


@functools.cache
def kind_of(schema_class: type[RunSchema]) -> Kind:
    """The kind that *schema_class* describes.

    Raises:
        BindingError: The schema and its model do not fit.
    """
    meta = schema_class.Meta
    missing = [name for name in ("model", "kind", "collection", "timestamp") if not hasattr(meta, name)]
    if missing:
        raise BindingError(f"{schema_class.__name__}.Meta lacks {', '.join(missing)}")
    table = table_of(schema_class)
    if not isinstance(table.schema.fields.get(meta.timestamp), UtcTimestamp):
        raise BindingError(
            f"{schema_class.__name__}.Meta.timestamp: {meta.timestamp!r} is no UtcTimestamp of the schema"
        )
    return Kind(meta.kind, meta.collection, table, meta.timestamp)


@functools.cache
def table_of(schema_class: type[RecordSchema]) -> Table:
    """The table that *schema_class* describes, with its ledgers.

    Raises:
        BindingError: The schema and its model do not fit.
    """
    schema = schema_class(load_instance=False)
    mapper: Mapper[Any] = sa.inspect(schema.opts.model)
    columns: dict[str, sa.Column[Any]] = {}
    slugs: dict[str, dict[str, Slug]] = {}
    snapshots, ledgers, uuids = [], [], []
    for name, field in schema.fields.items():
        if isinstance(field, Nested):
            ledgers.append(_ledger(mapper, name, type(field.schema)))
        elif isinstance(field, Slug) and field.relationship is not None:
            slugs.setdefault(field.relationship, {})[name] = field
        else:
            columns[name] = _column(mapper, field.attribute or name)
            if isinstance(field, RunUUID):
                uuids.append(name)
            if isinstance(field, Slug) and field.snapshot_of is not None:
                snapshots += _snapshots(mapper, name, field)
    if len(uuids) != 1:
        raise BindingError(f"{schema_class.__name__} must have one RunUUID field; it has {len(uuids)}")
    references = tuple(_reference(mapper, relationship, fields) for relationship, fields in slugs.items())
    return Table(schema, mapper, uuids[0], columns, references, tuple(snapshots), tuple(ledgers))


def _relationship(mapper: Mapper[Any], name: str) -> RelationshipProperty[Any]:
    found = mapper.relationships.get(name)
    if found is None:
        raise BindingError(_no_such(mapper, "relationship", name, mapper.relationships.keys()))
    return found


def _column(mapper: Mapper[Any], name: str) -> sa.Column[Any]:
    found = mapper.attrs.get(name)
    if not isinstance(found, ColumnProperty):
        raise BindingError(_no_such(mapper, "column", name, mapper.column_attrs.keys()))
    return found.columns[0]  # type: ignore[return-value]


def _no_such(mapper: Mapper[Any], what: str, name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names)
    meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{mapper.class_.__name__} has no {what} {name!r}{meant}"


def _pairs(relationship: RelationshipProperty[Any]) -> tuple[Columns, Columns]:
    """The local and the remote columns of a relationship without an association table."""
    local, remote = zip(*(relationship.local_remote_pairs or ()), strict=True)
    return local, remote


def _ledger(mapper: Mapper[Any], name: str, schema_class: Hashable) -> Ledger:
    relationship = _relationship(mapper, name)
    owner, local = _pairs(relationship)
    return Ledger(name, relationship, table_of(schema_class), owner, local)


def _reference(mapper: Mapper[Any], name: str, fields: Mapping[str, Slug]) -> Reference:
    relationship = _relationship(mapper, name)
    local, remote = _pairs(relationship)
    for field in fields.values():
        _key_column(relationship.mapper, field.key)
    other = next((field.agrees for field in fields.values() if field.agrees is not None), None)
    agrees = None
    if other is not None:
        _, own = _pairs(_relationship(mapper, other))
        theirs, _ = _pairs(_relationship(relationship.mapper, other))
        agrees = (other, theirs, own)
    return Reference(relationship, {name: field.key for name, field in fields.items()}, local, remote, agrees)


def _key_column(mapper: Mapper[Any], path: str) -> sa.Column[Any]:
    *steps, last = path.split(".")
    for step in steps:
        mapper = _relationship(mapper, step).mapper
    return _column(mapper, last)


def _snapshots(mapper: Mapper[Any], name: str, field: Slug) -> list[Snapshot]:
    models = [m.class_ for m in mapper.registry.mappers if m.class_.__name__ == field.snapshot_of]
    for model in models:
        _key_column(sa.inspect(model), field.key)
    return [Snapshot(name, model, field.key) for model in models]
