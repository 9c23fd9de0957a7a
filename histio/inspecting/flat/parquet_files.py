"""Write flat tables as Parquet files, with types that keep every value."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

from histio.extras import install_command
from histio.inspecting.flat.columns import ColumnType, Convert, TypeName
from histio.inspecting.flat.tables import FlatTable
from histio.inspecting.flat.writer import TableWriter
from histio.log import log_handled

_BATCH = 1_000
"""The number of rows that are kept as Python objects."""

_BATCH_SIZE = 4 * 2**20
"""The number of characters in these rows beyond which they are fewer."""

_GROUP_SIZE = 16 * 2**20
"""The size in bytes from which the rows in memory are written, as a row group."""

_MOST_DIGITS = 38
"""The number of digits of the decimals that all programs read."""


class ParquetWriter(TableWriter):
    """Writes a Parquet file for each table.

    Raises:
        ImportError: pyarrow is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._arrow = _load("pyarrow")
        self._parquet = _load("pyarrow.parquet")
        self._stack = ExitStack()
        self._files: dict[str, _ParquetFile] = {}

    @staticmethod
    def file_name(table: FlatTable) -> str:
        return f"{table.file_stem}.parquet"

    def open(self, folder: Path, tables: Sequence[FlatTable]) -> None:
        for table in tables:
            # With a file of Python, errors of the disk are those of Python.
            file = self._stack.enter_context(folder.joinpath(self.file_name(table)).open("xb"))
            schema = self._arrow.schema(
                [(column.name, _arrow_type(self._arrow, column.type)) for column in table.columns]
            )
            writer = self._parquet.ParquetWriter(file, schema, compression="zstd")
            self._stack.callback(_abandon, writer)
            self._files[table.name] = _ParquetFile(self._arrow, writer, table)

    def write(self, table: FlatTable, row: Sequence[Any]) -> None:
        self._files[table.name].add(row)
        self.rows[table.name] += 1

    def finish(self) -> None:
        for file in self._files.values():
            file.finish()
        self.close()

    def close(self) -> None:
        self._stack.close()


class _ParquetFile:
    """Collects the rows of a table, and writes them in row groups."""

    def __init__(self, arrow: Any, writer: Any, table: FlatTable) -> None:
        self._arrow = arrow
        self._writer = writer
        self._table = table
        self._converts = [_CONVERTS.get(_stored_name(column.type)) for column in table.columns]
        self._rows: list[Sequence[Any]] = []
        self._characters = 0
        self._batches: list[Any] = []
        self._size = 0

    def add(self, row: Sequence[Any]) -> None:
        self._rows.append(row)
        self._characters += sum(len(value) for value in row if isinstance(value, str))
        if len(self._rows) >= _BATCH or self._characters >= _BATCH_SIZE:
            self._make_batch()
        if self._size >= _GROUP_SIZE:
            self._write_group()

    def _make_batch(self) -> None:
        columns = [self._array(number, values) for number, values in enumerate(zip(*self._rows, strict=True))]
        batch = self._arrow.record_batch(columns, schema=self._writer.schema)
        self._batches.append(batch)
        self._size += batch.nbytes
        self._rows, self._characters = [], 0

    def _array(self, number: int, values: Sequence[Any]) -> Any:
        convert = self._converts[number]
        if convert is not None:
            values = [None if value is None else convert(value) for value in values]
        try:
            return self._arrow.array(values, type=self._writer.schema.field(number).type)
        except (OverflowError, ValueError, TypeError) as error:  # a host's field may have anything
            name = self._table.columns[number].name
            raise ValueError(f"{self._table.name}: {name}: Parquet cannot hold a value: {error}") from error

    def _write_group(self) -> None:
        self._writer.write_table(self._arrow.Table.from_batches(self._batches, self._writer.schema))
        self._batches, self._size = [], 0

    def finish(self) -> None:
        if self._rows:
            self._make_batch()
        if self._batches:
            self._write_group()
        self._writer.close()


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"Parquet needs pyarrow: {install_command('tables')}") from error


def _abandon(writer: Any) -> None:
    """Close a *writer* that an error has left open."""
    try:
        writer.close()
    except Exception as error:  # noqa: BLE001 - the first error is raised
        log_handled("a Parquet file that an error has left open cannot be closed", error)
    writer.is_open = False  # else it tries again when it is deleted


def _stored_name(column: ColumnType) -> TypeName:
    """The type that Parquet has for a column: decimals that many programs cannot read are text."""
    return "text" if column.name == "decimal" and column.digits > _MOST_DIGITS else column.name


def _arrow_type(arrow: Any, column: ColumnType) -> Any:
    name = _stored_name(column)
    if name == "decimal":
        return arrow.decimal128(column.digits, column.scale)
    types: Mapping[TypeName, Any] = {
        "boolean": arrow.bool_(),
        "bytes": arrow.binary(),
        "date": arrow.date32(),
        "double": arrow.float64(),
        "integer": arrow.int64(),
        "json": arrow.string(),
        "text": arrow.string(),
        "time": arrow.time64("us"),
        "timestamp": arrow.timestamp("us", "UTC"),
    }
    return types[name]


_CONVERTS: Mapping[TypeName, Convert] = {
    "bytes": base64.b64decode,
    "date": dt.date.fromisoformat,
    "decimal": Decimal,
    "text": str,
    "time": dt.time.fromisoformat,
    "timestamp": dt.datetime.fromisoformat,
}
