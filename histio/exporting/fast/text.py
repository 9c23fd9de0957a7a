"""Rows → the text of records: straight from the driver's values, by one template for each table."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection
from sqlalchemy.orm import RelationshipDirection, aliased

from histio.database.dialects import (
    BETWEEN,
    BETWEEN_ROWS,
    as_it_is,
    as_one,
    as_one_row,
    compares_exactly,
    decimal_digits,
    is_one_of,
    raw,
)
from histio.exporting.fast.columns import Column, DeclinedError, Member, column
from histio.exporting.fast.obstacles import obstacles
from histio.kinds.entry_order import order_names
from histio.kinds.fields import Slug
from histio.kinds.joins import constants_of
from histio.kinds.mapping import attribute, column_of
from histio.kinds.table import Kind, Ledger, Table
from histio.wire import nested_in, wire_name

_ALL = 2**31 - 2


class NotCompiledError(Exception):
    """Only marshmallow can do it; the message says why."""


class TooManyError(Exception):
    """More ledger entries than a page may have."""


class Finished(NamedTuple):
    """The JSON of some rows.

    Attributes:
        texts: One text for each row.
        altered: The index of the row, for each value that SQLAlchemy reads as another than is stored.
    """

    texts: list[str]
    altered: list[int]


class Texts:
    """A SELECT of the rows of one table, and what makes JSON of them and of their ledgers.

    Args:
        dialect: The database's.
        table: The table.

    Attributes:
        template: The JSON of a record, with a place for each value.
        dialect: The database's.

    Raises:
        NotCompiledError: Only marshmallow can dump the rows.
    """

    def __init__(self, dialect: sa.Dialect, table: Table) -> None:
        self.dialect = dialect
        self._table = table
        self._ways: dict[str, tuple[Any, Any]] = {}
        self._selected: list[tuple[Any, bool]] = []
        self._members: list[Member] = []
        self._ledgers: list[_Below] = []
        self._spare: dict[str | None, list[int]] = {}
        template = _Template()
        for name, field in table.schema.dump_fields.items():
            if nested_in(field) is None:
                self._add(name, field, template)
        for ledger in table.ledgers:
            self._ledgers.append(_Below(dialect, table, ledger))
            template.add(f"{_quoted(table.names[ledger.member])}:[%s]")
        self.template = template.finished()
        self._one = as_one(dialect, self._selected)
        values = [value for value, _ in self._selected] if self._one is None else [self._one]
        keys = [as_it_is(below.key) for below in self._ledgers]
        self._statement = self._of_rows(*values, *keys)

    def _of_rows(self, *columns: Any) -> sa.Select[Any]:
        """A SELECT of *columns* of the table and of the related rows."""
        statement = sa.select(*columns).select_from(self._table.mapper.class_)
        for relationship, entity in self._ways.values():
            statement = statement.outerjoin(relationship.of_type(entity))
        return statement

    def _add(self, name: str, field: Any, template: _Template) -> None:
        """Select the values of *field*, and add it to the *template*."""
        if isinstance(field, Slug) and field.relationship is not None:
            source = self._key(field)
        else:
            source = _Source(self._table.attribute(field.attribute or name))
        column_type = source.column.type
        plain = field.is_plain_text if isinstance(field, Slug) else getattr(field, "rule", field) is field
        arriving = raw(self.dialect, column_type, source.value) if plain else None
        made = arriving and column(field, arriving[1], decimal_digits(self.dialect, column_type))
        if not arriving or not made:
            schema = type(self._table.schema).__name__
            raise NotCompiledError(f"{schema}.{name}: what its column holds takes marshmallow to be dumped")
        own = self._table.columns.get(field.attribute or name)
        self._selected.append((arriving[0], own is None or bool(own.nullable)))
        member = f"{_quoted(wire_name(name, field))}:{made.place}"
        fill: Column = made.fill
        if source.is_spare:
            self._spare.setdefault(field.relationship, []).append(len(self._members))
            fill = functools.partial(_where_named, template.add_spare(member), fill)
        else:
            template.add(member)
            fill = fill if source.marked is None else functools.partial(_unmarked, fill)
        self._members.append(made._replace(fill=fill))

    def _key(self, slug: Slug) -> _Source:
        """The source of the key of a related row."""
        ways = [each.relation for each in self._table.references if each.relation.name == slug.relationship]
        if len(slug.key) > 1 or not ways or ways[0].relationship is None:
            several = "has a key of several columns" if len(slug.key) > 1 else "leads over no relationship"
            raise NotCompiledError(f"{slug.relationship} {'is a list' if slug.many else several}")
        [way] = ways
        owner: Any = self._table.mapper.class_
        path = ""
        may_lack = False
        for step in (way.name, *slug.key[0].split(".")[:-1]):
            may_lack = may_lack or (path != "" and _may_lead_nowhere(getattr(owner, step).property))
            path = f"{path}.{step}"
            relationship = getattr(owner, step)
            owner = self._ways.setdefault(path, (relationship, aliased(relationship.property.mapper.class_)))[
                1
            ]
        key = getattr(owner, slug.key[0].rpartition(".")[2])
        may_lack = may_lack or bool(column_of(way.mapper, slug.key[0]).nullable)
        is_spare = bool(slug.alternatives) and may_lack and not slug.required
        if not (slug.allow_none or is_spare):
            return _Source(key)
        if isinstance(key.type, sa.Enum):
            raise NotCompiledError(f"{slug.relationship}: may be null, and its key is an enum")
        nothing = sa.or_(*(attribute(self._table.mapper, each).is_(None) for each in way.local))
        marked = sa.func.coalesce(sa.literal_column("'='", sa.String).concat(key), "")
        return _Source(key, sa.case((nothing, key), else_=marked), is_spare=is_spare)

    def select(self) -> sa.Select[Any]:
        """A SELECT of what `finished` takes."""
        return self._statement

    def explained(self) -> Iterator[str]:
        """The template and the SELECT of the table, and of each of its ledgers."""
        yield self.template
        yield str(self._statement.compile(dialect=self.dialect))
        for below in self._ledgers:
            yield from below.explained()

    def together(self, order: Any) -> sa.Select[Any] | None:
        """A SELECT of what `finished` takes of all rows of a group; None: they arrive apart."""
        is_one = self._one is not None and not self._ledgers
        row = as_one_row(self.dialect, self._one, order) if is_one else None
        return None if row is None else self._of_rows(row)

    def finished(self, connection: Connection, rows: Sequence[Sequence[Any]], limit: int) -> Finished:
        """The JSON of *rows*, whose columns begin with those selected, with their ledgers.

        Raises:
            DeclinedError: Of some row, only marshmallow can say what it is.
            TooManyError: There are more than *limit* entries in a ledger of several rows.
        """
        if not rows:
            return Finished([], [])
        try:
            values = list(zip(*rows, strict=True))
            columns = values[: len(self._members)] if self._one is None else self._apart(values[0])
            self._check_named(columns)
            keys = values[len(self._members) if self._one is None else 1 :]
            pairs = list(zip(self._members, columns, strict=True))
            filled = [member.fill(each) for member, each in pairs]
            altered = [at for member, each in pairs if member.altered for at in member.altered(each)]
            for below, owners in zip(self._ledgers, keys, strict=False):
                entries = below.texts(connection, owners, limit)
                filled.append(entries.texts)
                altered += entries.altered
            return Finished(list(map(self.template.__mod__, zip(*filled, strict=True))), altered)
        except (ValidationError, TypeError, ValueError, LookupError) as error:
            raise DeclinedError from error

    def _check_named(self, columns: Sequence[Sequence[Any]]) -> None:
        """Raise DeclinedError where all keys of a related row are null."""
        slugs = (each for each in self._table.fields.values() if isinstance(each, Slug))
        ways = Counter(slug.relationship for slug in slugs)
        for relationship, places in self._spare.items():
            nameless, keys = ("",) * len(places), zip(*(columns[each] for each in places), strict=True)
            if len(places) == ways[relationship] and nameless in keys:
                raise DeclinedError

    def _apart(self, together: Sequence[str]) -> list[Sequence[Any]]:
        """The columns of values that have arrived as one."""
        *columns, ends = zip(*(each.split(BETWEEN) for each in together), strict=True)
        if any(ends):
            raise DeclinedError
        return [
            [value[1:] if value else None for value in column] if nullable else column
            for column, (_, nullable) in zip(columns, self._selected, strict=True)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """The source of a field's values.

    Attributes:
        column: Their column.
        marked: For the key of a related row, an expression that is null if there is no foreign key, empty if
            the related row is missing or its key is null, otherwise an equals sign and the key. None: the
            column itself is selected.
        is_spare: Whether the field is left out if the related row has no such key.
    """

    column: Any
    marked: Any = None
    is_spare: bool = False

    @property
    def value(self) -> Any:
        return self.column if self.marked is None else self.marked


class _Template:
    """A ``%`` template for the JSON of an object."""

    def __init__(self) -> None:
        self._text = ""
        self._has_member = False

    def add(self, member: str) -> None:
        """Add a *member* that every object has."""
        self._text += f",{member}" if self._has_member else member
        self._has_member = True

    def add_spare(self, member: str) -> str:
        """Add a place for a *member* that may be left out, and return the member with its comma."""
        self._text += "%s"
        return f",{member}" if self._has_member else f"{member},"

    def finished(self) -> str:
        """The template.

        Raises:
            NotCompiledError: Every member may be left out, so the commas are not known.
        """
        if not self._has_member:
            raise NotCompiledError("every member may be left out")
        return f"{{{self._text}}}"


def _quoted(name: str) -> str:
    """*name* as JSON, escaped for a ``%`` template."""
    return json.dumps(name, ensure_ascii=False).replace("%", "%%")


def _may_lead_nowhere(relationship: Any) -> bool:
    """Whether a row may have no related row, apart from broken foreign keys."""
    way_out = relationship.direction is RelationshipDirection.MANYTOONE
    return not way_out or any(column.nullable for column in relationship.local_columns)


def _unmarked(fill: Column, values: Sequence[Any]) -> Iterable[str]:
    """JSON of marked keys; see `_Source`.

    Raises:
        DeclinedError: A related row is missing, or its key is null.
    """
    if "" in values:
        raise DeclinedError
    return fill([None if value is None else value[1:] for value in values])


def _where_named(member: str, fill: Column, values: Sequence[Any]) -> list[str]:
    """The members with marked keys; see `_Source`. Empty where the related row has no key."""
    done = iter(fill([None if value is None else value[1:] for value in values if value != ""]))
    return ["" if value == "" else member % next(done) for value in values]


class _Below:
    """The entries of a ledger, by their owner."""

    def __init__(self, dialect: sa.Dialect, owner: Table, ledger: Ledger) -> None:
        relation, mapper = ledger.relation, ledger.table.mapper
        name = f"{type(owner.schema).__name__}.{ledger.member}"
        if not ledger.many or relation.link is not None or len(relation.local) != 1:
            raise NotCompiledError(f"{name}: is no list of entries that one column ties to their owner")
        growing = [mapper.get_property_by_column(each).key for each in mapper.primary_key]
        grows = isinstance(mapper.primary_key[0].type, sa.Integer)
        if growing != [*order_names(ledger.table.schema, relation)] or not grows:
            raise NotCompiledError(f"{name}: its entries are in another order than that of a growing key")
        if len(dict(constants_of(relation))) != len(ledger.constants):
            raise NotCompiledError(f"{name}: its relationship leaves out entries by one of their members")
        if not compares_exactly(dialect, relation.remote[0].type):
            raise NotCompiledError(f"{name}: keys of text are not compared exactly")
        self.key = attribute(owner.mapper, relation.local[0])
        self._texts = Texts(dialect, ledger.table)
        tie = as_it_is(attribute(mapper, relation.remote[0]))
        further = (attribute(mapper, each) == value for each, value in ledger.constants.items())
        among = (is_one_of(dialect, tie, "owners"), *further)
        order = getattr(mapper.class_, growing[0])
        together = self._texts.together(order)
        if together is None:
            ordered = self._texts.select().add_columns(tie.label("owner")).where(*among).order_by(tie, order)
            self._statement = ordered.limit(sa.bindparam("at_most", type_=sa.Integer))
            self._rows = self._rows_apart
        else:
            counted = sa.func.count().label("entries")
            self._count = sa.select(counted).select_from(mapper.class_).where(*among)
            self._statement = together.add_columns(counted, tie.label("owner")).where(*among).group_by(tie)
            self._rows = self._rows_together

    def texts(self, connection: Connection, owners: Sequence[Any], limit: int) -> Finished:
        """For each of *owners*, the JSON of its entries, with commas between them."""
        limit = limit if len(owners) > 1 else _ALL
        rows = self._rows(connection, list(owners), limit)
        texts: dict[Any, list[str]] = {owner: [] for owner in owners}
        made = self._texts.finished(connection, rows, limit)
        for row, text in zip(rows, made.texts, strict=True):
            texts[row[-1]].append(text)
        places = {owner: place for place, owner in enumerate(owners)} if made.altered else {}
        altered = [places[rows[place][-1]] for place in made.altered]
        return Finished(list(map(",".join, texts.values())), altered)

    def explained(self) -> Iterator[str]:
        """As that of `Texts`, with the SELECT that is sent."""
        template, _, *below = self._texts.explained()
        return iter([template, str(self._statement.compile(dialect=self._texts.dialect)), *below])

    def _rows_apart(self, connection: Connection, owners: list[Any], limit: int) -> Sequence[Any]:
        """The rows of entries, each with its owner at the end."""
        with connection.execute(self._statement, {"owners": owners, "at_most": limit + 1}) as result:
            # The driver's own: no type of SQLAlchemy's makes anything of their values.
            rows: Sequence[Any] = result.cursor.fetchall()
        if len(rows) > limit:
            raise TooManyError
        return rows

    def _rows_together(self, connection: Connection, owners: list[Any], limit: int) -> Sequence[Any]:
        if connection.execute(self._count, {"owners": owners}).scalar_one() > limit:
            raise TooManyError
        rows = []
        with connection.execute(self._statement, {"owners": owners}) as result:
            for together, count, owner in result.cursor.fetchall():
                entries = together.split(BETWEEN_ROWS)
                if len(entries) != count:  # it was cut off, or has the sign in itself
                    raise DeclinedError
                rows += [(entry, owner) for entry in entries]
        return rows


def compiled_texts(kind: Kind, dialect: sa.Dialect) -> Texts | str:
    """What makes JSON of rows of *kind* in a database of *dialect*; a text: why marshmallow has to."""
    # Listeners come and go, so those are looked for each time.
    return next(obstacles(kind.table, "dump"), None) or _texts(kind, dialect)


@functools.lru_cache(maxsize=64)
def _texts(kind: Kind, dialect: sa.Dialect) -> Texts | str:
    try:
        return Texts(dialect, kind.table)
    except NotCompiledError as error:
        return str(error)
