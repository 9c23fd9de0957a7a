"""Delete ledger entries and insert them again, for another order, or because they exchange values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.importing.bulk import insert_in_bulk
from histio.importing.row import Row
from histio.importing.update.plan import RowUpdate, may_change_key
from histio.kinds.mapping import Columns, attribute
from histio.kinds.selects import KEYS_PER_STATEMENT, is_among
from histio.kinds.table import Ledger, Links, Table

_Key: TypeAlias = tuple[Any, ...]


def reinsert_entries(connection: Connection, table: Table, updates: Iterable[RowUpdate]) -> None:
    """Insert the entries again that *updates* of runs in *table* rewrite; nothing but their keys changes."""
    keys: dict[Ledger, list[_Key]] = defaultdict(list)
    for _, each in (each for update in updates for each in update.all_ledgers()):
        growing = each.ledger.table.growing_key
        if each.rewritten and growing is not None:
            name = attribute(each.ledger.table.mapper, growing).key
            keys[each.ledger] += [(getattr(each.objects[place], name),) for place in each.rewritten]
    for ledger in _deepest_first(table):
        if ledger in keys:
            _reinsert(connection, ledger, keys[ledger])


def exchange_values(connection: Connection, updates: Sequence[RowUpdate]) -> bool:
    """Delete the entries of *updates* and insert them again with their new values.

    All of them are in one table.

    Returns:
        Whether this was possible: no rows of other tables refer to them, and each column is known.
    """
    table, core = updates[0].table, updates[0].table.rows
    if len(table.mapper.tables) > 1 or not may_change_key(table) or not _is_known(connection, core):
        return False
    key = tuple(core.primary_key)
    changes = {
        tuple(each.stored_value(column) for column in key): dict(each.new_values()) for each in updates
    }
    rows: list[Any] = []
    for start in range(0, len(changes), KEYS_PER_STATEMENT):
        among = is_among(key, list(changes)[start : start + KEYS_PER_STATEMENT])
        rows += connection.execute(sa.select(core).where(among)).mappings().all()
        connection.execute(sa.delete(core).where(among))
    written = [column for column in core.columns if column.computed is None]
    parameters = [
        {
            column.key: _parameter(column, changes[_values(row, key)].get(column, row[column]))
            for column in written
        }
        for row in rows
    ]
    connection.execute(sa.insert(core), parameters)
    return True


def _is_known(connection: Connection, core: sa.Table) -> bool:
    """Whether each column of *core* in the database is in the model, and takes a value."""
    stored = sa.inspect(connection).get_columns(core.name, connection.schema_for_object(core))
    is_given = any(column.identity is not None and column.identity.always for column in core.columns)
    return {each["name"] for each in stored} <= {column.name for column in core.columns} and not is_given


def _deepest_first(table: Table) -> Iterator[Ledger]:
    for ledger in table.ledgers:
        yield from _deepest_first(ledger.table)
        yield ledger


def _reinsert(connection: Connection, ledger: Ledger, keys: Sequence[_Key]) -> None:
    """Give the entries with these growing *keys* new ones, in this order."""
    growing: Any = ledger.table.growing_key
    deleted = _delete(connection, ledger.table, (growing,), keys)
    owner_columns = () if ledger.table.is_shared else ledger.relation.remote
    rows = [row for key in keys for row in deleted[key]]
    insert_in_bulk(connection, ledger.table, rows, within=owner_columns, ordered=True)


def _delete(
    connection: Connection, table: Table, columns: Columns, keys: Sequence[_Key]
) -> Mapping[_Key, list[Row]]:
    """Delete the rows whose *columns* have one of the *keys*, with all rows below them.

    Returns:
        The deleted rows, by the values of *columns*.
    """
    deleted: dict[_Key, list[Row]] = defaultdict(list)
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        among = is_among(columns, keys[start : start + KEYS_PER_STATEMENT])
        stored = connection.execute(sa.select(table.rows).where(among).order_by(*table.rows.primary_key))
        rows = stored.mappings().all()
        below = [
            _delete(connection, each.table, each.relation.remote, _owner_keys(rows, each))
            for each in table.ledgers
        ]
        links = [_delete_links(connection, each, rows) for each in table.links]
        connection.execute(sa.delete(table.rows).where(among))
        for row in rows:
            entries = tuple(
                some[_values(row, ledger.relation.local)]
                for ledger, some in zip(table.ledgers, below, strict=True)
            )
            keys_of_links = tuple(
                some[_values(row, each.relation.local)] for each, some in zip(table.links, links, strict=True)
            )
            deleted[_values(row, columns)].append(Row(_parameters(table, row), entries, keys_of_links))
    return deleted


def _delete_links(connection: Connection, links: Links, rows: Sequence[Any]) -> Mapping[_Key, list[_Key]]:
    """Delete the links of *rows*.

    Returns:
        The keys of the related rows, by those of the rows.
    """
    deleted: dict[_Key, list[_Key]] = defaultdict(list)
    own, (related, _) = links.relation.remote, links.relation.link or ((), ())
    among = is_among(own, [_values(row, links.relation.local) for row in rows])
    for row in connection.execute(sa.select(*own, *related).where(among)).mappings():
        deleted[_values(row, own)].append(_values(row, related))
    connection.execute(sa.delete(own[0].table).where(among))
    return deleted


def _owner_keys(rows: Sequence[Any], ledger: Ledger) -> list[_Key]:
    """The keys of *rows* that their entries hold; none if the rows hold the keys of their entries."""
    return [] if ledger.owner_has_key else [_values(row, ledger.relation.local) for row in rows]


def _values(row: Any, columns: Columns) -> _Key:
    return tuple(row[column] for column in columns)


def _parameters(table: Table, row: Any) -> dict[str, Any]:
    """The values of a deleted *row*, to insert it again with a new key."""
    kept = (each for each in table.rows.columns if each is not table.growing_key and each.computed is None)
    return {column.key: _parameter(column, row[column]) for column in kept}


def _parameter(column: sa.Column[Any], value: Any) -> Any:
    return sa.null() if value is None and isinstance(column.type, sa.JSON) else value  # None: JSON's null
