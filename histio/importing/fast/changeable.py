"""Find out which columns and entries of stored rows the fast path can change."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from histio.exporting.fast.obstacles import FullPathError
from histio.importing.owner_keys import owner_columns
from histio.importing.update.plan import may_change_key
from histio.kinds.keys import unique_rules
from histio.kinds.listeners import composite_listeners
from histio.kinds.mapping import Columns
from histio.kinds.table import Ledger, Table


def check_table(table: Table) -> None:
    """Check that the rows of *table* can be updated without the unit of work.

    Raises:
        FullPathError: They cannot.
    """
    mapper, model = table.mapper, table.mapper.class_.__name__
    if not table.has_own_uuid:
        raise FullPathError(f"{model}: no UUID, unique by itself, identifies its rows")
    if mapper.version_id_col is not None:
        raise FullPathError(f"{model} has a version counter")
    for event in ("before_update", "after_update"):
        if len(list(getattr(mapper.dispatch, event))) > composite_listeners(mapper, event):
            raise FullPathError(f"{model} has a listener for {event}")
    members = {column for member, column in table.columns.items() if member not in table.computed}
    if any(column.onupdate is not None and column not in members for column in table.rows.columns):
        raise FullPathError(f"{model} has a column that every update sets, and that is not a member")


def find_fixed_columns(table: Table, ledger: Ledger | None) -> set[sa.Column[Any]]:
    """The columns of *table* that the fast path does not change: they are unique, or tie or order rows.

    *ledger*: the ledger that the rows belong to; None: they are runs.
    """
    rules = (table.rows.primary_key, *unique_rules(table.rows))
    fixed = {column for rule in rules for column in rule.columns} | {*owner_columns(table)}
    if ledger is not None:
        fixed |= {
            *ledger.local,
            *(table.columns[member] for member in ledger.order if member in table.columns),
        }
    return fixed | {column for column in table.columns.values() if column.table is not table.rows}


def find_single_slugs(table: Table) -> dict[str, Columns]:
    """By name, the members that alone name a row, by one key, with the columns that the row fills."""
    uses = [column for reference in table.references for column in reference.relation.local]
    return {
        table.names[member]: reference.relation.local
        for reference in table.references
        for member, keys in reference.slugs.items()
        if len(reference.slugs) == len(keys) == 1
        and all(uses.count(column) == 1 for column in reference.relation.local)
        and not set(reference.relation.local) & set(table.columns.values())
    }


def may_gain_and_lose(ledger: Ledger) -> bool:
    """Whether rows can be inserted into *ledger* and deleted from it, with nothing else to be done."""
    table, mapper = ledger.table, ledger.table.mapper
    own = [set(table.identity_columns), set(table.rows.primary_key)]
    events = (mapper.dispatch.before_delete, mapper.dispatch.after_delete)
    return (
        ledger.many
        and not ledger.order
        and ledger.further_order == "recording"
        and not ledger.owner_has_key
        and not (table.ledgers or table.links)
        and len(find_single_slugs(table)) == len(table.references)
        and all(set(rule.columns) in own for rule in unique_rules(table.rows))
        and may_change_key(table)
        and not any(list(each) for each in events)
    )
