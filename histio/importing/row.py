"""A row to write, with its ledgers and links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.engine import Connection

from histio.kinds.table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row to write.

    Attributes:
        parameters: Values by column key.
        ledgers: For each ledger of the table, its rows.
        links: For each `Links` of the table, the keys of the related rows.
    """

    parameters: dict[str, Any]
    ledgers: tuple[list[Row], ...]
    links: tuple[list[tuple[Any, ...]], ...] = ()


Insert: TypeAlias = Callable[[Connection, Table, Sequence[Row]], None]
"""Writes rows of a table with their ledgers, all or none."""
