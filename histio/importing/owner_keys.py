"""The values of written rows that their ledgers and links are filled with.

They are in the rows that were written, or the rows are found again: by their identity, and where nothing
identifies them, by their order. `find_owner_keys` does this for rows of any table; on the fast path,
`find_keys` reads the driver's own values of rows that a UUID identifies.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import Convert, RowFaultError, as_it_is, is_one_of, loaded, raw
from histio.kinds.fields import RunUUID
from histio.kinds.fields.texts import UUID_LENGTHS
from histio.kinds.mapping import Columns
from histio.kinds.selects import KEYS_PER_STATEMENT, is_among
from histio.kinds.table import Table

OwnerKeys: TypeAlias = Mapping[sa.Column[Any], Any]
"""The values of one row, by column."""

_NOT_KEPT = "the database did not keep every row as it was"


def owner_columns(table: Table) -> Columns:
    """The columns of a row whose values its ledgers and links are filled with."""
    ledgers = (column for ledger in table.ledgers for column in ledger.owner)
    links = (column for links in table.links for column in links.relation.local)
    return tuple(dict.fromkeys((*ledgers, *links)))


def find_owner_keys(
    connection: Connection,
    table: Table,
    parameters: Sequence[Mapping[str, Any]],
    columns: Columns,
    within: Columns,
) -> list[OwnerKeys]:
    """For each row that was written, the values of *columns*.

    Args:
        connection: In the transaction that has written the rows.
        table: The table of the rows.
        parameters: What was written, by column key.
        columns: Columns of a table that has the identity of the rows.
        within: Columns that identify a row together with its identity, if the identity alone is not unique.

    Raises:
        RowFaultError: The database did not keep every row as it was.
    """
    if all(column.key in each for column in columns for each in parameters):
        return [{column: each[column.key] for column in columns} for each in parameters]
    # Without an identity, only the owner's key is known. The owner is new, so it has no other rows, and
    # their own key grows in the order in which they were written.
    known = (*table.identity_columns, *within)
    written = [tuple(each[column.key] for column in known) for each in parameters]
    found = _read_owner_keys(connection, table, known, columns, list(dict.fromkeys(written)))
    if Counter({key: len(rows) for key, rows in found.items()}) != Counter(written):
        raise RowFaultError(_NOT_KEPT)
    return [found[key].popleft() for key in written]


def _read_owner_keys(
    connection: Connection,
    table: Table,
    known: Columns,
    columns: Columns,
    keys: Sequence[tuple[Any, ...]],
) -> dict[tuple[Any, ...], deque[OwnerKeys]]:
    """By the values of the *known* columns, the values of *columns* of all rows with one of the *keys*."""
    identity, growing = table.identity, table.growing_key
    order = () if growing is None else (growing,)
    width, size = len(known), KEYS_PER_STATEMENT // len(known)
    found: dict[tuple[Any, ...], deque[OwnerKeys]] = defaultdict(deque)
    for start in range(0, len(keys), size):
        among = is_among(known, keys[start : start + size])
        for row in connection.execute(sa.select(*known, *columns).where(among).order_by(*order)):
            key = tuple(row[:width])
            key = key if identity is None else identity.normalize_columns(key)
            found[key].append(dict(zip(columns, row[width:], strict=True)))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class KeyPlan:
    """How written rows are found again by their identity, for the columns that their ledgers refer to.

    Attributes:
        name: The name of the identity, a UUID, on the wire.
        from_wire: Converts it to the value of the column.
        read: Converts identities, as the database returns them, to text.
        has_hyphens: Whether that text has hyphens.
        select: A SELECT of identity and columns, for the parameter ``identities``.
    """

    name: str
    from_wire: Callable[[Any], Any]
    read: Callable[[Sequence[Any]], Iterable[str]]
    has_hyphens: bool
    select: sa.Select[Any]


def plan_keys(dialect: sa.Dialect, table: Table) -> KeyPlan | None:
    """How to find written rows of *table*; None: no UUID, unique by itself, identifies them."""
    [part] = table.identity.parts if table.identity is not None and table.has_own_uuid else [None]
    if part is None or _is_padded(part.column.type):
        return None
    field: Any = part.field
    arriving = raw(dialect, part.column.type, part.column)
    read: Callable[[Sequence[Any]], Iterable[str]]
    if arriving is not None and arriving[1] in ("uuid", "hex", "text"):
        value, read, has_hyphens = arriving[0], _same, arriving[1] != "hex" and not field.is_hex
        among = is_one_of(dialect, part.column, "identities")
    else:
        source = loaded(dialect, part.column, may_be_json=False)
        value, read, has_hyphens = source.value, functools.partial(_read_uuids, field, source.convert), True
        among = part.column.in_(sa.bindparam("identities", expanding=True))
    select = sa.select(value, *map(as_it_is, owner_columns(table))).where(among)
    return KeyPlan(part.name, field.from_wire, read, has_hyphens, select)


def _is_padded(column_type: Any) -> bool:
    """Whether the database pads UUIDs in a column of this type with spaces."""
    return isinstance(column_type, sa.CHAR) and column_type.length not in UUID_LENGTHS


def _same(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _read_uuids(field: RunUUID, convert: Convert, values: Sequence[Any]) -> Iterable[str]:
    return map(field.to_wire, convert(values))


def find_keys(
    connection: Connection, plan: KeyPlan, records: Sequence[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    """For each of *records*, the values of its row that its ledgers are filled with.

    Raises:
        RowFaultError: The database did not keep every row as it was.
    """
    identities = [record[plan.name].lower() for record in records]
    found: dict[str, tuple[Any, ...]] = {}
    for start in range(0, len(identities), KEYS_PER_STATEMENT):
        chunk = list(map(plan.from_wire, identities[start : start + KEYS_PER_STATEMENT]))
        with connection.execute(plan.select, {"identities": chunk}) as result:
            rows = result.cursor.fetchall()
        own = plan.read([row[0] for row in rows])
        found.update((uuid, tuple(row[1:])) for uuid, row in zip(own, rows, strict=True))
    if not plan.has_hyphens:
        identities = [identity.replace("-", "") for identity in identities]
    if not found.keys() >= set(identities):
        raise RowFaultError(_NOT_KEPT)
    return [found[identity] for identity in identities]
