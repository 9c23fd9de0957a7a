"""The case that the format has all columns and ledgers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.history import History
from histio.kinds.accounting import accounts
from histio.testing.claims import FEW, skip
from histio.testing.scene import MakeRuns, all_kinds_of, scene


def whole_account(history: History, make_runs: MakeRuns) -> None:
    """Warn about columns that no model maps, and skip the case with what the schemas leave out.

    Anything else raises a BindingError when the history is created.
    """
    with scene(history, make_runs, FEW) as stage:
        for message in _unmapped(history, stage.connection):
            warnings.warn(message, stacklevel=2)
    skip(
        [
            f"{'.'.join(account.path)}: {item.name} is left out by {item.why}"
            for account in accounts(history.bound.all_kinds, values=history.bound.values)
            for item in account.items
            if item.status in ("excluded", "ignored")
        ]
    )


def _unmapped(history: History, connection: Connection) -> Iterator[str]:
    inspector = sa.inspect(connection)
    cores = dict.fromkeys(
        core for kind in all_kinds_of(history) for table in kind.table.all() for core in table.core_tables
    )
    for core in cores:
        known, schema = {column.name for column in core.columns}, connection.schema_for_object(core)
        found = [column["name"] for column in inspector.get_columns(core.name, schema)]
        unknown = [name for name in found if name not in known]
        if unknown:
            yield (
                f"the table {core.fullname} has columns that its model does not map, so exports lack them: "
                f"{', '.join(unknown)}"
            )
