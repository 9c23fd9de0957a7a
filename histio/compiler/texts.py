"""Rows → the text of records: straight from the driver's values, by one template for each table."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection
from sqlalchemy.orm import aliased

from histio.binding import order_name
from histio.compiler.columns import Column, DeclinedError, column
from histio.compiler.obstacles import obstacles
from histio.dialects import raw
from histio.fields import Slug
from histio.kinds import Kind, Ledger, Table
from histio.mapping import attribute
from histio.wire import nested_in, wire_name

_AS_IT_IS = sa.types.NullType()

_ALL = 2**31 - 1


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

    Raises:
        NotCompiledError: Only marshmallow can dump the rows.
    """

    def __init__(self, dialect: sa.Dialect, table: Table) -> None:
        self._dialect = dialect
        self._table = table
        self._ways: dict[str, tuple[Any, Any]] = {}
        self._selected: list[Any] = []
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
        self._selected += [sa.type_coerce(below.key, _AS_IT_IS) for below in self._ledgers]

    def _place(self, name: str, field: Any) -> str:
        """The place of *field* in the template; what fills it is noted."""
        if isinstance(field, Slug) and field.relationship is not None:
            key, value = self._key(field)
        else:
            key = value = self._table.attribute(field.attribute or name)
        arriving = raw(self._dialect, key.type, value) if getattr(field, "rule", field) is field else None
        made = arriving and column(field, arriving[1], getattr(key.type, "scale", None))
        if not arriving or not made:
            schema = type(self._table.schema).__name__
            raise NotCompiledError(f"{schema}.{name}: what its column holds takes marshmallow to be dumped")
        self._selected.append(arriving[0])
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
        statement = sa.select(*self._selected).select_from(self._table.mapper.class_)
        for relationship, entity in self._ways.values():
            statement = statement.outerjoin(relationship.of_type(entity))
        return statement

    def finished(self, connection: Connection, rows: Sequence[Sequence[Any]], limit: int) -> list[str]:
        """The JSON of *rows*, whose columns begin with those selected, with their ledgers.

        Raises:
            DeclinedError: Of some row, only marshmallow can say what it is.
            TooManyError: There are more than *limit* entries in a ledger of several rows.
        """
        if not rows:
            return []
        values = list(itertools.islice(zip(*rows, strict=True), len(self._selected)))
        try:
            filled = [fill(each) for fill, each in zip(self._columns, values, strict=False)]
            owners = values[len(self._columns) :]
            filled += [
                below.texts(connection, each, limit)
                for below, each in zip(self._ledgers, owners, strict=True)
            ]
            return list(map(self.template.__mod__, zip(*filled, strict=True)))
        except (ValidationError, TypeError, ValueError, LookupError) as error:
            raise DeclinedError from error


class _Below:
    """The entries of a ledger, by their owner."""

    def __init__(self, dialect: sa.Dialect, owner: Table, ledger: Ledger) -> None:
        relation, mapper = ledger.relation, ledger.table.mapper
        name = f"{type(owner.schema).__name__}.{ledger.member}"
        if not ledger.many or relation.link is not None or len(relation.local) != 1:
            raise NotCompiledError(f"{name}: is no list of entries that one column ties to their owner")
        growing = [mapper.get_property_by_column(each).key for each in mapper.primary_key]
        if growing != [order_name(ledger.table.schema, relation)]:
            raise NotCompiledError(f"{name}: its entries are in another order than that of a growing key")
        self.key = attribute(owner.mapper, relation.local[0])
        self._texts = Texts(dialect, ledger.table)
        tie = sa.type_coerce(attribute(mapper, relation.remote[0]), _AS_IT_IS)
        further = (attribute(mapper, each) == value for each, value in ledger.constants.items())
        self._statement = (
            self._texts.select()
            .add_columns(tie.label("owner"))
            .where(tie.in_(sa.bindparam("owners", expanding=True)), *further)
            .order_by(tie, getattr(mapper.class_, growing[0]))
            .limit(sa.bindparam("at_most", type_=sa.Integer))
        )

    def texts(self, connection: Connection, owners: Sequence[Any], limit: int) -> list[str]:
        """For each of *owners*, the JSON of its entries, with commas between them."""
        at_most = limit + 1 if len(owners) > 1 else _ALL
        with connection.execute(self._statement, {"owners": list(owners), "at_most": at_most}) as result:
            rows = (
                result.cursor.fetchall()
            )  # the driver's own: no type of SQLAlchemy's makes anything of them
        if len(rows) == at_most:
            raise TooManyError
        texts: dict[Any, list[str]] = {owner: [] for owner in owners}
        for row, text in zip(rows, self._texts.finished(connection, rows, limit), strict=True):
            texts[row[-1]].append(text)
        return list(map(",".join, texts.values()))


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
