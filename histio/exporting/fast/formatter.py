"""Format the driver's values of rows as JSON records, by one template for each table."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from marshmallow import ValidationError
from marshmallow.fields import Field
from sqlalchemy.engine import Connection

from histio.database.dialects import (
    END,
    as_group,
    as_it_is,
    as_one,
    between,
    compares_exactly,
    decimal_digits,
    is_one_of,
    latest,
    loaded,
    other_spelling,
    raw,
)
from histio.exporting.fast.by_value import by_value
from histio.exporting.fast.columns import Column, DeclinedError, Member, column
from histio.exporting.fast.obstacles import (
    FullPathError,
    describe_calls,
    find_obstacles,
    is_plain,
    other_classes,
)
from histio.exporting.fast.sources import Source, Sources, spare_members, unmarked
from histio.exporting.fast.template import PLACE, Template, quoted
from histio.kinds.entry_order import order_names
from histio.kinds.fields import Json, Slug
from histio.kinds.joins import constants_of
from histio.kinds.mapping import attribute
from histio.kinds.table import Kind, Ledger, Table
from histio.wire import wire_name

_SHORT = 100
"""The most entries of a run that arrive as one text, unless they are counted: it bounds the memory."""

_ALL = 2**31 - 2
"""No limit: one more is the largest number that every database takes for LIMIT."""


class TooManyError(Exception):
    """A page has more ledger entries than it may have."""


class Formatted(NamedTuple):
    """The JSON of some rows.

    Attributes:
        texts: One text for each row.
        altered: The index of the row, for each value that SQLAlchemy reads as another than is stored.
    """

    texts: list[str]
    altered: list[int]


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the entries of ledgers are read.

    Attributes:
        connection: Only read from.
        limit: The most entries, unless all belong to the same row.
        most: The most entries of a row that arrive as one text.
        now: Whether to read what is committed now, even in an older snapshot.
    """

    connection: Connection
    limit: int
    most: int
    now: bool

    def fetch(self, statement: sa.Select[Any], parameters: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of the driver's cursor, with its own values: no type of SQLAlchemy converts them."""
        selected = latest(self.connection, statement) if self.now else statement
        with self.connection.execute(selected, parameters) as result:
            rows: Sequence[Any] = result.cursor.fetchall()
            return rows


class _Selected(NamedTuple):
    """A column of the SELECT.

    Attributes:
        value: The expression that is selected.
        member: How its values are formatted.
        is_nullable: Whether it may be null.
        spares: The relationship of a key that may be left out; None: the member is always there.
        is_text: Whether it can be joined with other columns as text.
        odd: A condition for rows that only the full path can report; None: there are none.
    """

    value: Any
    member: Member
    is_nullable: bool = True
    spares: str | None = None
    is_text: bool = True
    odd: Any = None


class RowFormatter:
    """Selects the rows of one table, and formats them with their ledgers as JSON.

    Args:
        dialect: The database's.
        table: The table.

    Raises:
        FullPathError: Only marshmallow can dump the rows.
    """

    def __init__(self, dialect: sa.Dialect, table: Table) -> None:
        self._dialect = dialect
        self._table = table
        self._sources = Sources(table)
        template = Template()
        self._calls: list[str] = []
        ledgers = {ledger.member for ledger in table.ledgers}
        self._selected = [
            self._select(name, field, template)
            for name, field in table.schema.dump_fields.items()
            if (field.attribute or name) not in ledgers
        ]
        self._joined = [each for each in self._selected if each.is_text]
        self._alternatives = list(_alternatives(table, self._selected))
        self._ledgers = []
        for ledger in table.ledgers:
            self._ledgers.append(_LedgerFormatter(dialect, table, ledger))
            template.add(f"{quoted(table.names[ledger.member])}:[{PLACE}]")
        self._template = template.finish()
        self._fill = _filler(self._template)
        all_in_one = as_one(dialect, self._values())
        self._is_one = all_in_one is not None
        values = [each.value for each in self._selected if not (self._is_one and each.is_text)]
        values = [all_in_one, *values] if self._is_one else values
        found = [*(each.odd for each in self._selected), other_classes(table.mapper)]
        odd = [each for each in found if each is not None]
        self._has_odd = bool(odd)
        values += [sa.case((sa.or_(*odd), 1), else_=0)] if odd else []
        self._width = len(values)
        self._statement = self._sources.select(*values, *(as_it_is(below.key) for below in self._ledgers))

    def _select(self, name: str, field: Field[Any], template: Template) -> _Selected:
        """Select the values of *field*, and add it to the *template*."""
        source = self._sources.find(name, field)
        selected = self._in_columns(field, source) or self._by_value(name, field, source)
        member = selected.member
        text = f"{quoted(wire_name(name, field))}:{member.place}"
        fill: Column = member.fill
        if source.is_spare:
            fill = functools.partial(spare_members, template.add_spare(text), fill)
        else:
            template.add(text)
        own = self._table.columns.get(field.attribute or name)
        return selected._replace(
            is_nullable=own is None or bool(own.nullable),
            member=member._replace(fill=fill),
            spares=field.relationship if isinstance(field, Slug) and source.is_spare else None,
        )

    def _in_columns(self, field: Field[Any], source: Source) -> _Selected | None:
        """Select values that whole columns are formatted of; None: no such way is known for them."""
        if not is_plain(field) or (isinstance(field, Slug) and not field.is_plain_text):
            return None
        column_type = source.column.type
        arriving = raw(self._dialect, column_type, source.value)
        member = arriving and column(field, arriving[1], decimal_digits(self._dialect, column_type))
        if not arriving or not member or (source.marked is None and source.dangling is not None):
            return None
        is_marked = source.marked is not None and not source.is_spare
        fill = functools.partial(unmarked, member.fill) if is_marked else member.fill
        return _Selected(arriving[0], member._replace(fill=fill))

    def _by_value(self, name: str, field: Field[Any], source: Source) -> _Selected:
        """Select values that *field* dumps one by one."""
        if source.is_spare:
            schema = type(self._table.schema).__name__
            raise FullPathError(f"{schema}.{name}: may be left out, and its key is not plain text")
        found = loaded(self._dialect, source.column, may_be_json=isinstance(field, Json))
        member = field.attribute or name
        self._calls.append(describe_calls(self._table, member, source.column.type))
        is_identity = member in self._table.identity_members and member in self._table.columns
        spelled = other_spelling(self._dialect, source.column, field) if is_identity else None
        odd = [each for each in (found.odd, source.dangling, spelled) if each is not None]
        dumped = by_value(field, name, found)
        return _Selected(found.value, dumped, is_text=found.is_text, odd=sa.or_(*odd) if odd else None)

    def select(self) -> sa.Select[Any]:
        """A SELECT of the columns that `format` takes."""
        return self._statement

    def describe(self, statement: sa.Select[Any] | None = None) -> Iterator[str]:
        """The template, the SELECT and the fields that are called, for the table and each of its ledgers."""
        yield from self._calls
        yield self._template.replace(PLACE, "…")
        yield str((self._statement if statement is None else statement).compile(dialect=self._dialect))
        for below in self._ledgers:
            yield from below.describe()

    def select_groups(self, order: Any) -> sa.Select[Any] | None:
        """A SELECT of all rows of a group as one text, in this *order*; None: rows have to be read.

        The text is null if there are more rows than the parameter ``most``.
        """
        if self._ledgers or self._has_odd or len(self._joined) < len(self._selected):
            return None
        group = as_group(self._dialect, self._values(), order, sa.bindparam("most", type_=sa.Integer))
        return None if group is None else self._sources.select(group)

    def format(
        self,
        connection: Connection,
        rows: Sequence[Sequence[Any]],
        limit: int,
        *,
        is_counted: bool = False,
        now: bool = False,
    ) -> Formatted:
        """The JSON of *rows* with their ledgers. The columns of `select` come first in each row.

        Args:
            connection: Only read from.
            rows: The rows.
            limit: The most entries that are read.
            is_counted: Whether it is known that there are no more.
            now: Whether to read the entries that are committed now, even in an older snapshot.

        Raises:
            DeclinedError: A row needs the full path.
            TooManyError: There are several rows, and more than *limit* entries in a ledger.
        """
        if not rows:
            return Formatted([], [])
        try:
            most = limit if is_counted else _SHORT
            reading = _Reading(connection, limit if len(rows) > 1 else _ALL, most, now)
            return self.format_columns(reading, self.arrange(rows))
        except (ValidationError, TypeError, ValueError, LookupError) as error:
            raise DeclinedError from error

    def format_columns(self, reading: _Reading, columns: Sequence[Sequence[Any]]) -> Formatted:
        """The JSON of rows whose *columns* are those of `arrange`; see `format`."""
        self._check_alternatives(columns)
        pairs = list(zip((each.member for each in self._selected), columns, strict=False))
        filled = [member.fill(values) for member, values in pairs]
        altered = [row for member, values in pairs if member.altered for row in member.altered(values)]
        for below, owners in zip(self._ledgers, columns[len(self._selected) :], strict=True):
            entries = below.format(reading, owners)
            filled.append(entries.texts)
            altered += entries.altered
        return Formatted(self._fill(filled), altered)

    def arrange(self, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """The values of *rows* by column, then the keys to which the entries of each ledger refer."""
        arrived: list[Sequence[Any]] = list(zip(*rows, strict=True))
        values = self._columns(arrived[: self._width], len(rows))
        return [*values, *arrived[self._width : self._width + len(self._ledgers)]]

    def _check_alternatives(self, columns: Sequence[Sequence[Any]]) -> None:
        """Raise DeclinedError if all alternative keys of a related row are null."""
        for places in self._alternatives:
            nameless = ("",) * len(places)
            if nameless in zip(*(columns[place] for place in places), strict=True):
                raise DeclinedError

    def _columns(self, arrived: Sequence[Sequence[Any]], count: int) -> Sequence[Sequence[Any]]:
        """The columns of the members in *count* rows, from those of the SELECT.

        Raises:
            DeclinedError: A row is odd; see `_Selected.odd`.
        """
        if self._has_odd and any(arrived[-1]):
            raise DeclinedError
        arrived = arrived[: self._width - self._has_odd]
        if not self._is_one:
            return arrived
        texts, others = iter(self.split(arrived[0], count)), iter(arrived[1:])
        return [next(texts if each.is_text else others) for each in self._selected]

    def split(self, texts: Sequence[str], count: int) -> list[Sequence[Any]]:
        """The columns of *count* rows that arrive joined in *texts*; see `as_one` and `as_group`."""
        separator, width = between(self._dialect), self.joined_width
        values = separator.join(texts).split(separator)
        *columns, ends = (values[place::width] for place in range(width))
        if len(values) != count * width or set(ends) != {END}:
            raise DeclinedError
        return [
            [value[1:] if value else None for value in values] if selected.is_nullable else values
            for values, selected in zip(columns, self._joined, strict=True)
        ]

    @property
    def joined_width(self) -> int:
        """How many values a row has where they are joined."""
        return len(self._joined) + 1

    def _values(self) -> list[tuple[Any, bool]]:
        return [(each.value, each.is_nullable) for each in self._joined]


def _filler(template: str) -> Callable[[Sequence[Iterable[str]]], list[str]]:
    """A function that fills a *template* with columns of values: one text for each row.

    Joining is three times as fast as the ``%`` operator. The columns must have the same length.
    """
    first, *others = map(repeat, template.split(PLACE))

    def fill(columns: Sequence[Iterable[str]]) -> list[str]:
        pairs = (each for pair in zip(columns, others, strict=True) for each in pair)
        return list(map("".join, zip(first, *pairs, strict=False)))

    return fill


def _alternatives(table: Table, selected: Sequence[_Selected]) -> Iterator[list[int]]:
    """The places of the keys of each related row all of whose keys may be left out."""
    keys = Counter(field.relationship for field in table.fields.values() if isinstance(field, Slug))
    for relationship, count in keys.items():
        places = [place for place, each in enumerate(selected) if each.spares == relationship]
        if relationship is not None and len(places) == count:
            yield places


class _LedgerFormatter:
    """Formats the entries of one ledger.

    Attributes:
        key: The column of the owner that its entries refer to.
    """

    def __init__(self, dialect: sa.Dialect, owner: Table, ledger: Ledger) -> None:
        _check_ledger(dialect, owner, ledger)
        self.key = attribute(owner.mapper, ledger.relation.local[0])
        self._dialect = dialect
        self._formatter = RowFormatter(dialect, ledger.table)
        self._rows, self._groups = _select_entries(dialect, self._formatter, ledger)

    def format(self, reading: _Reading, owners: Sequence[Any]) -> Formatted:
        """For each of *owners*, the JSON of its entries, with commas between them."""
        texts = dict.fromkeys(owners, "")
        altered: list[Any] = []
        for counts, columns in self._read(reading, list(owners)):
            formatted = self._formatter.format_columns(reading, columns)
            start = 0
            for owner, count in counts.items():
                texts[owner] = ",".join(formatted.texts[start : start + count])
                start += count
            if formatted.altered:
                named = list(counts.elements())
                altered += [named[place] for place in formatted.altered]
        places = {owner: place for place, owner in enumerate(owners)} if altered else {}
        return Formatted(list(texts.values()), [places[owner] for owner in altered])

    def _read(
        self, reading: _Reading, owners: list[Any]
    ) -> Iterator[tuple[Counter[Any], Sequence[Sequence[Any]]]]:
        """Counts of entries by owner, and the columns of these entries: neighbours have the same owner.

        Raises:
            TooManyError: There are more entries than may be read.
        """
        limit = reading.limit
        if len(owners) == 1:
            limit = _ALL
        elif self._groups is not None:
            groups = reading.fetch(self._groups, {"owners": owners, "most": reading.most})
            whole, owners = self._find_whole(groups)
            if whole:
                texts, numbers, named = zip(*whole, strict=True)
                counts = Counter(dict(zip(named, numbers, strict=True)))
                yield counts, self._formatter.split(texts, counts.total())
        rows = reading.fetch(self._rows, {"owners": owners, "at_most": limit + 1}) if owners else ()
        if len(rows) > limit:
            raise TooManyError
        if rows:
            yield Counter(map(itemgetter(-1), rows)), self._formatter.arrange(rows)

    def _find_whole(self, groups: Sequence[tuple[str | None, int, Any]]) -> tuple[list[Any], list[Any]]:
        """The groups whose entries can be told apart, and the owners of the others.

        In others, a part is lacking, or contains the separator.
        """
        separator, width = between(self._dialect), self._formatter.joined_width
        whole, others = [], []
        for group in groups:
            text, count, owner = group
            if text and text.count(separator) == count * width - 1 and text.endswith(END):
                whole.append(group)
            else:
                others.append(owner)
        return whole, others

    def describe(self) -> Iterator[str]:
        """Like `RowFormatter.describe`, with the SELECT that reads the entries."""
        yield from self._formatter.describe(self._rows if self._groups is None else self._groups)


def _check_ledger(dialect: sa.Dialect, owner: Table, ledger: Ledger) -> None:
    """Raise FullPathError unless one column ties the entries to their owner, and their key sorts them."""
    relation, mapper = ledger.relation, ledger.table.mapper
    name = f"{type(owner.schema).__name__}.{ledger.member}"
    if not ledger.many or relation.link is not None or len(relation.local) != 1:
        raise FullPathError(f"{name}: is not a list of entries that one column ties to their owner")
    keys = [mapper.get_property_by_column(each).key for each in mapper.primary_key]
    grows = isinstance(mapper.primary_key[0].type, sa.Integer)
    if keys != [*order_names(ledger.table.schema, relation)] or not grows:
        raise FullPathError(f"{name}: its entries are in another order than that of a growing key")
    if len(dict(constants_of(relation))) != len(ledger.constants):
        raise FullPathError(f"{name}: its relationship leaves out entries by one of their members")
    if not compares_exactly(dialect, relation.remote[0].type):
        raise FullPathError(f"{name}: keys of text are not compared exactly")


def _select_entries(
    dialect: sa.Dialect, formatter: RowFormatter, ledger: Ledger
) -> tuple[sa.Select[Any], sa.Select[Any] | None]:
    """SELECTs of the entries of the parameter ``owners``, each with the owner at the end.

    The first is of rows, for the parameter ``at_most``. The second is of the entries of an owner as one text,
    and their number, because drivers take time for each row; None: rows are as fast. The text is null if
    there are more entries than the parameter ``most``.
    """
    mapper = ledger.table.mapper
    tie = as_it_is(attribute(mapper, ledger.relation.remote[0]))
    constants = (attribute(mapper, each) == value for each, value in ledger.constants.items())
    conditions = (is_one_of(dialect, tie, "owners"), *constants)
    order = getattr(mapper.class_, mapper.get_property_by_column(mapper.primary_key[0]).key)
    rows = formatter.select().add_columns(tie.label("owner")).where(*conditions).order_by(tie, order)
    groups = formatter.select_groups(order)
    if groups is not None:
        counted = (sa.func.count().label("entries"), tie.label("owner"))
        groups = groups.add_columns(*counted).where(*conditions).group_by(tie)
    return rows.limit(sa.bindparam("at_most", type_=sa.Integer)), groups


def find_formatter(kind: Kind, dialect: sa.Dialect) -> RowFormatter | str:
    """The formatter for runs of *kind* in a database of *dialect*; a text: why they take the full path."""
    reason = next(find_obstacles(kind.table, "dump"), None)
    if reason is not None:
        return reason
    try:
        return RowFormatter(dialect, kind.table)
    except FullPathError as error:
        return str(error)
