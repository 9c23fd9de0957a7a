"""What the writers of all formats have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from histio.inspecting.flat.tables import FlatTable


class TableWriter(ABC):
    """Writes flat tables to the files of a folder, row by row.

    Attributes:
        rows: The number of rows of each table so far, by its name.
        formulas: The number of texts so far that a spreadsheet program would take for formulas.
        texts: The number of numbers so far that are written as text, because a number would lose digits.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.formulas = 0
        self.texts = 0

    @staticmethod
    @abstractmethod
    def file_name(table: FlatTable) -> str:
        """The name of the file that has *table*."""

    @abstractmethod
    def open(self, folder: Path, tables: Sequence[FlatTable]) -> None:
        """Begin all *tables* in *folder*, which is empty."""

    @abstractmethod
    def write(self, table: FlatTable, row: Sequence[Any]) -> None:
        """Write a *row* of *table*: for each column, a value in JSON form or None."""

    @abstractmethod
    def finish(self) -> None:
        """Write the rest, and close the files."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open, after an error too."""

    def sheets(self, table: FlatTable) -> Sequence[str]:  # noqa: ARG002 - only workbooks have sheets
        """The names of the sheets that *table* has in its file; empty: the file has no sheets."""
        return ()
