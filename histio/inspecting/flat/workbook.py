"""Write flat tables as the sheets of a workbook (XLSX)."""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from histio.extras import install_command
from histio.inspecting.flat.columns import ColumnType, TypeName
from histio.inspecting.flat.tables import FlatTable
from histio.inspecting.flat.writer import TableWriter

FILE = "history.xlsx"
"""The name of the workbook."""

_MOST_ROWS = 2**20
"""The number of rows of a sheet, with the heading."""

_MOST_CHARACTERS = 32_767
"""The number of UTF-16 code units of a cell."""

_LONGEST_NAME = 31
_EXACT_DIGITS = 15
_TEMPORARY = ".sheets"
_WIDTHS: Mapping[TypeName, int] = {"timestamp": 20, "text": 20, "json": 20}
_WIDTH = 12

_FIRST_DAY = dt.date(1900, 3, 1)
"""The first day that all spreadsheet programs count alike."""


class WorkbookWriter(TableWriter):
    """Writes a workbook with a sheet for each table, and further sheets for rows that one cannot hold.

    Raises:
        ImportError: XlsxWriter is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            self._library = importlib.import_module("xlsxwriter")
        except ImportError as error:
            raise ImportError(f"XLSX needs XlsxWriter: {install_command('tables')}") from error
        self._file: BinaryIO | None = None
        self._book: Any = None
        self._names: set[str] = {"history"}  # a name that Excel keeps for itself
        self._sheets: dict[str, list[Any]] = {}
        self._formats: dict[str, Any] = {}

    @staticmethod
    def file_name(table: FlatTable) -> str:  # noqa: ARG004 - all tables are in one file
        return FILE

    def open(self, folder: Path, tables: Sequence[FlatTable]) -> None:
        self._temporary = folder / _TEMPORARY
        self._temporary.mkdir()
        self._file = folder.joinpath(FILE).open("wb")
        options = {"constant_memory": True, "tmpdir": str(self._temporary), "use_zip64": True}
        self._book = self._library.Workbook(self._file, options)
        self._heading = self._book.add_format({"bold": True})
        for table in tables:
            self._sheets[table.name] = []
            self._add_sheet(table)

    def _add_sheet(self, table: FlatTable) -> None:
        number = len(self._sheets[table.name]) + 1
        sheet = self._book.add_worksheet(self._name_sheet(table.file_stem, number))
        self._sheets[table.name].append(sheet)
        sheet.freeze_panes(1, 0)
        for place, column in enumerate(table.columns):
            width = max(_WIDTHS.get(column.type.name, _WIDTH), len(column.name) + 2)
            sheet.set_column(place, place, width)
            sheet.write_string(0, place, column.name, self._heading)

    def _name_sheet(self, table: str, number: int) -> str:
        """A name of at most 31 characters that no other sheet has: that of the table, or its last part."""
        short = table if len(table) <= _LONGEST_NAME else table.rpartition(".")[2]
        name, more = (short, 1) if number == 1 else (f"{short} ({number})", number)
        while len(name) > _LONGEST_NAME or name.casefold() in self._names:
            more += 1
            end = f" ({more})"
            name = short[: _LONGEST_NAME - len(end)] + end
        self._names.add(name.casefold())
        return name

    def write(self, table: FlatTable, row: Sequence[Any]) -> None:
        filled = self.rows[table.name] % (_MOST_ROWS - 1)
        if filled == 0 and self.rows[table.name]:
            self._add_sheet(table)
        sheet = self._sheets[table.name][-1]
        for place, (column, value) in enumerate(zip(table.columns, row, strict=True)):
            if value is not None:
                try:
                    _CELLS[column.type.name](self, sheet, (filled + 1, place), value, column.type)
                except TooLongError as error:
                    found = f"{table.name}, row {self.rows[table.name] + 1}: {column.name}"
                    raise ValueError(f"{found}: {error}: choose csv or parquet") from None
        self.rows[table.name] += 1

    def _write_text(self, sheet: Any, cell: tuple[int, int], value: Any, _type: ColumnType) -> None:
        text = value if isinstance(value, str) else str(value)
        units = len(text.encode("utf-16-le")) // 2 if len(text) > _MOST_CHARACTERS // 2 else 0
        if units > _MOST_CHARACTERS:
            raise TooLongError(f"{units:,} characters, and a cell holds {_MOST_CHARACTERS:,}")
        sheet.write_string(*cell, text)

    def _write_number(self, sheet: Any, cell: tuple[int, int], value: Any, column: ColumnType) -> None:
        text = str(value)
        digits = text.lstrip("-").replace(".", "").strip("0")
        number = float(text)
        if len(digits) > _EXACT_DIGITS or not math.isfinite(number):
            self.texts += 1
            sheet.write_string(*cell, text)
        else:
            shown = self._format("0." + "0" * column.scale if column.scale else "0")
            sheet.write_number(*cell, number, shown)

    def _write_double(self, sheet: Any, cell: tuple[int, int], value: Any, _type: ColumnType) -> None:
        sheet.write_number(*cell, float(value))

    def _write_boolean(self, sheet: Any, cell: tuple[int, int], value: Any, _type: ColumnType) -> None:
        sheet.write_boolean(*cell, value)

    def _write_date(self, sheet: Any, cell: tuple[int, int], value: str, column: ColumnType) -> None:
        shown = "yyyy-mm-dd" if column.name == "date" else "yyyy-mm-dd hh:mm:ss"
        moment = dt.datetime.fromisoformat(value).replace(tzinfo=None)
        if moment.date() < _FIRST_DAY:
            sheet.write_string(*cell, value)
        else:
            sheet.write_datetime(*cell, moment, self._format(shown))

    def _format(self, code: str) -> Any:
        if code not in self._formats:
            self._formats[code] = self._book.add_format({"num_format": code})
        return self._formats[code]

    def finish(self) -> None:
        try:
            self._book.close()
        except self._library.exceptions.FileCreateError as error:
            raise error.args[0] from None  # the OSError that it wraps
        self.close()

    def close(self) -> None:
        if self._file is None:
            return
        for sheet in itertools.chain(*self._sheets.values()):
            with suppress(OSError):  # the disk may be full
                sheet._opt_close()  # noqa: SLF001 - closes the temporary file that an error has left open
        file, self._file = self._file, None
        file.close()
        shutil.rmtree(self._temporary)

    def sheets(self, table: FlatTable) -> Sequence[str]:
        return tuple(sheet.get_name() for sheet in self._sheets[table.name])


class TooLongError(ValueError):
    """A text does not fit into a cell."""


_CELLS: Mapping[TypeName, Callable[[WorkbookWriter, Any, tuple[int, int], Any, ColumnType], None]] = {
    "boolean": WorkbookWriter._write_boolean,  # noqa: SLF001 - the methods of this module
    "bytes": WorkbookWriter._write_text,  # noqa: SLF001
    "date": WorkbookWriter._write_date,  # noqa: SLF001
    "decimal": WorkbookWriter._write_number,  # noqa: SLF001
    "double": WorkbookWriter._write_double,  # noqa: SLF001
    "integer": WorkbookWriter._write_number,  # noqa: SLF001
    "json": WorkbookWriter._write_text,  # noqa: SLF001
    "text": WorkbookWriter._write_text,  # noqa: SLF001
    "time": WorkbookWriter._write_text,  # noqa: SLF001
    "timestamp": WorkbookWriter._write_date,  # noqa: SLF001
}
