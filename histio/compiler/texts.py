"""Rows → the text of records: straight from the driver's values, by one template for each table."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.binding import constants_of, order_names
from histio.compiler.columns import Column, DeclinedError, column
from histio.compiler.obstacles import obstacles
from histio.dialects import (
    BETWEEN,
    BETWEEN_ROWS,
    as_it_is,
    as_one,
    as_one_row,
    compares_exactly,
    is_one_of,
    raw,
)
from histio.fields import Slug
from histio.kinds import Kind, Ledger, Table
from histio.mapping import attribute
from histio.wire import nested_in, wire_name

_ALL = 2**31 - 2


class NotCompiledError(Exception):
    """Only marshmallow can do it; the message says why."""


class TooManyError(Exception):
    """More ledger entries than a page may have."""


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
        self._columns: list[Column] = []
        self._ledgers: list[_Below] = []
        places = []
        for name, field in table.schema.dump_fields.items():
            wire = json.dumps(wire_name(name, field), ensure_ascii=False).replace("%", "%%")
            if nested_in(field) is None:
                places.append(f"{wire}:{self._place(name, field)}")
        for ledger in table.ledgers:
            self._ledgers.append(_Below(dialect, table, ledger))
            wire = json.dumps(table.names[ledger.member], ensure_ascii=False).replace("%", "%%")
            places.append(f"{wire}:[%s]")
        self.template = f"{{{','.join(places)}}}"
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

    def _place(self, name: str, field: Any) -> str:
        """The place of *field* in the template; what fills it is noted."""
        if isinstance(field, Slug) and field.relationship is not None:
            key, value = self._key(field)
        else:
            key = value = self._table.attribute(field.attribute or name)
        arriving = raw(self.dialect, key.type, value) if getattr(field, "rule", field) is field else None
        made = arriving and column(field, arriving[1], getattr(key.type, "scale", None))
        if not arriving or not made:
            schema = type(self._table.schema).__name__
            raise NotCompiledError(f"{schema}.{name}: what its column holds takes marshmallow to be dumped")
        own = self._table.columns.get(field.attribute or name)
        self._selected.append((arriving[0], own is None or bool(own.nullable)))
        self._columns.append(made[1])
        return made[0]

    def _key(self, slug: Slug) -> tuple[Any, Any]:
        """The column of a related row's key, and an expression for it: null only where no row is related."""
        ways = [each.relation for each in self._table.references if each.relation.name == slug.relationship]
        if len(slug.key) > 1 or not ways or ways[0].relationship is None:
            raise NotCompiledError(f"{slug.relationship}: is no relationship to a key of one column")
        [way] = ways
        owner: Any = self._table.mapper.class_
        path = ""
        for step in (way.name, *slug.key[0].split(".")[:-1]):
            path = f"{path}.{step}"
            relationship = getattr(owner, step)
            owner = self._ways.setdefault(path, (relationship, aliased(relationship.property.mapper.class_)))[
                1
            ]
        key = getattr(owner, slug.key[0].rpartition(".")[2])
        if not slug.allow_none:
            return key, key
        nothing = sa.or_(*(attribute(self._table.mapper, each).is_(None) for each in way.local))
        # What a row refers to must be there: no key is empty.
        return key, sa.case((nothing, key), else_=sa.func.coalesce(key, ""))

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

    def finished(self, connection: Connection, rows: Sequence[Sequence[Any]], limit: int) -> list[str]:
        """The JSON of *rows*, whose columns begin with those selected, with their ledgers.

        Raises:
            DeclinedError: Of some row, only marshmallow can say what it is.
            TooManyError: There are more than *limit* entries in a ledger of several rows.
        """
        if not rows:
            return []
        try:
            values = list(zip(*rows, strict=True))
            columns = values[: len(self._columns)] if self._one is None else self._apart(values[0])
            keys = values[len(self._columns) if self._one is None else 1 :]
            filled = [fill(each) for fill, each in zip(self._columns, columns, strict=True)]
            for below, owners in zip(self._ledgers, keys, strict=False):
                filled.append(below.texts(connection, owners, limit))
            return list(map(self.template.__mod__, zip(*filled, strict=True)))
        except (ValidationError, TypeError, ValueError, LookupError) as error:
            raise DeclinedError from error

    def _apart(self, together: Sequence[str]) -> list[Sequence[Any]]:
        """The columns of values that have arrived as one."""
        *columns, ends = zip(*(each.split(BETWEEN) for each in together), strict=True)
        if any(ends):
            raise DeclinedError
        return [
            [value[1:] if value else None for value in column] if nullable else column
            for column, (_, nullable) in zip(columns, self._selected, strict=True)
        ]


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

    def texts(self, connection: Connection, owners: Sequence[Any], limit: int) -> list[str]:
        """For each of *owners*, the JSON of its entries, with commas between them."""
        limit = limit if len(owners) > 1 else _ALL
        rows = self._rows(connection, list(owners), limit)
        texts: dict[Any, list[str]] = {owner: [] for owner in owners}
        for row, text in zip(rows, self._texts.finished(connection, rows, limit), strict=True):
            texts[row[-1]].append(text)
        return list(map(",".join, texts.values()))

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
