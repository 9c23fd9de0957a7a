"""Write flat tables as CSV files (RFC 4180), whose values have the form that they have in JSON."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from histio.inspecting.flat.columns import TypeName
from histio.inspecting.flat.tables import FlatTable
from histio.inspecting.flat.writer import TableWriter

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a text begins that a spreadsheet program may take for a formula (CWE-1236)."""

_SPECIAL = re.compile('[",\r\n]|^ | $')

_MAY_BE_FORMULAS: frozenset[TypeName] = frozenset({"json", "text"})


class CsvWriter(TableWriter):
    """Writes a CSV file for each table, in UTF-8.

    Null is an empty field, and an empty text is ``""``, which the `csv` module cannot write in Python 3.11.

    Args:
        for_excel: Whether to begin files with a byte order mark, and texts that are taken for formulas with
            an apostrophe.
    """

    def __init__(self, *, for_excel: bool = False) -> None:
        super().__init__()
        self._for_excel = for_excel
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}

    @staticmethod
    def file_name(table: FlatTable) -> str:
        return f"{table.file_stem}.csv"

    def open(self, folder: Path, tables: Sequence[FlatTable]) -> None:
        for table in tables:
            file = self._files[table.name] = self._stack.enter_context(
                folder.joinpath(self.file_name(table)).open("xb")
            )
            file.write(codecs.BOM_UTF8 if self._for_excel else b"")
            file.write(_encode([column.name for column in table.columns]))

    def write(self, table: FlatTable, row: Sequence[Any]) -> None:
        cells = [
            self._format(column.type.name, value) for column, value in zip(table.columns, row, strict=True)
        ]
        self._files[table.name].write(_encode(cells))
        self.rows[table.name] += 1

    def _format(self, name: TypeName, value: Any) -> str | None:
        if value is None:
            return None
        text = value if isinstance(value, str) else json.dumps(value)
        if name in _MAY_BE_FORMULAS and text.startswith(_FORMULA):
            self.formulas += 1
            return f"'{text}" if self._for_excel else text
        return text

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()


def _encode(cells: Sequence[str | None]) -> bytes:
    return (",".join(map(_quote, cells)) + "\r\n").encode()


def _quote(cell: str | None) -> str:
    if cell is None:
        return ""
    return '"' + cell.replace('"', '""') + '"' if not cell or _SPECIAL.search(cell) else cell
