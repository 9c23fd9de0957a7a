"""Cases of what the models and the tables have: all of it is moved, or left out by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.history import History
from histio.testing.claims import FEW, skip
from histio.testing.scene import MakeRuns, kinds_of, scene


def left_out(history: History, _make_runs: MakeRuns) -> None:
    """Name what the schemas leave out; making the history has refused what nobody has named."""
    skip(
        [
            f"{'.'.join(account.path)}: {item.name} is left out by {item.why}"
            for account in history._accounts()  # noqa: SLF001 - the kit is histio's own
            for item in account.items
            if item.status in ("excluded", "ignored")
        ]
    )


def unmapped_columns(history: History, make_runs: MakeRuns) -> None:
    """Warn of columns of the database's tables that the models do not map: no export has them."""
    with scene(history, make_runs, FEW) as stage:
        for told in _unmapped(history, stage.connection):
            warnings.warn(told, stacklevel=2)


def _unmapped(history: History, connection: Connection) -> Iterator[str]:
    inspector = sa.inspect(connection)
    cores = dict.fromkeys(
        core for kind in kinds_of(history) for table in kind.table.all() for core in table.core_tables
    )
    for core in cores:
        known = {column.name for column in core.columns}
        found = [column["name"] for column in inspector.get_columns(core.name, core.schema)]
        unknown = [name for name in found if name not in known]
        if unknown:
            yield (
                f"the table {core.fullname} has columns that its model does not map, so no export has them: "
                f"{', '.join(unknown)}"
            )
