"""Write a history as flat tables, for spreadsheets and data frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from histio.bound import Bound
from histio.files import FilePath, GiB, Limits, MiB
from histio.files.new_folder import new_folder
from histio.history import History
from histio.inspecting.flat.csv_files import CsvWriter
from histio.inspecting.flat.parquet_files import ParquetWriter
from histio.inspecting.flat.records import Invalid, Records, open_database, open_file
from histio.inspecting.flat.tables import FlatTable, plan_tables
from histio.inspecting.flat.workbook import WorkbookWriter
from histio.inspecting.flat.writer import TableWriter
from histio.kinds.table import Kind
from histio.report import Problem
from histio.wire import quote

TableFormat: TypeAlias = Literal["csv", "xlsx", "parquet"]
"""The formats of flat tables."""

_WRITERS: Mapping[str, type[TableWriter]] = {
    "csv": CsvWriter,
    "xlsx": WorkbookWriter,
    "parquet": ParquetWriter,
}


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table that `flatten` has written.

    Attributes:
        name: Its name: that of a list in documents, and of the ledger, such as ``production_runs`` and
            ``production_runs.consumptions``.
        file: The name of its file in the folder.
        rows: The number of its rows.
        sheets: The sheets of the workbook that have its rows, in order; empty: the file is not a workbook.
    """

    name: str
    file: str
    rows: int
    sheets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlattenReport:
    """What `flatten` has written.

    Attributes:
        format: The format of the tables.
        tables: The tables, each before those of its ledgers.
        files: The size of each file in bytes, by its name in the folder.
        invalid: The number of lines, runs and catalog rows that were left out; always 0 unless
            ``on_invalid="skip"``.
        problems: Why they were left out; at most the first 1,000.
        problem_count: The number of all problems, including those beyond the first 1,000.
        formulas: In CSV, the number of texts that a spreadsheet program would take for formulas.
        texts: In a workbook, the number of decimals and integers that are text, because they have more than
            15 digits.
    """

    format: TableFormat
    tables: tuple[WrittenTable, ...]
    files: Mapping[str, int]
    invalid: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    formulas: int = 0
    texts: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and numbers, ready for JSON."""
        plain = asdict(self)
        tables = [{**table, "sheets": list(table["sheets"])} for table in plain["tables"]]
        return plain | {"tables": tables, "problems": list(plain["problems"])}


def flatten(
    source: FilePath | History,
    folder: str | os.PathLike[str],
    /,
    *,
    format: TableFormat = "csv",  # noqa: A002 - the word for it
    history: History | None = None,
    kinds: str | Sequence[str] | None = None,
    on_invalid: Literal["error", "skip"] = "error",
    for_excel: bool = False,
    overwrite: bool = False,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> FlattenReport:
    """Write a file or a database as flat tables, one for each kind and each ledger, in constant memory.

    A ledger's table begins with the identity of the run, such as ``production_run_uuid``, and the position of
    the entry, such as ``consumptions_position``, which begins at 1. The other columns are the members of the
    records, in their order. Values are those of an export: decimals are exact.

    Args:
        source: A file: a path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard
            input, or a folder with an export in parts. Or a history, whose database is read.
        folder: The local folder to write, which appears once it is complete. It is new or empty.
        format: ``csv``: a file for each table, as text. ``parquet``: a file for each table, with types; needs
            ``histio[tables]``. ``xlsx``: a workbook with a sheet for each table; needs ``histio[tables]``.
        history: A history with the kinds of the file; None: the bundled kinds.
        kinds: The kinds of run or of catalog row to write. None: those that the file has, or all kinds of run
            of the database.
        on_invalid: What to do with lines, runs and catalog rows that are invalid, or come twice in the file.
            ``error``: nothing is written. ``skip``: they are left out and reported.
        for_excel: Whether CSV files begin with a byte order mark, and texts that Excel would take for
            formulas with an apostrophe.
        overwrite: Whether to replace a folder that has such tables, and nothing else.
        max_bytes: The maximum size of the uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes; a longer line of a stream is invalid.
        max_depth: The maximum depth of nested objects and lists in a run; a deeper line is invalid.

    Raises:
        DocumentError: The file is not a history, is damaged, or has invalid lines, runs or catalog rows.
        ExportError: The format of histio cannot hold some rows of the database.
        FileExistsError: The folder has files, and *overwrite* is false.
        ImportError: The packages of ``histio[tables]`` are not installed.
        NotConfiguredError: The history has no database.
        OSError: The file cannot be read, or the tables cannot be written.
        ValueError: An option has an unknown value, the folder has other files, or *format* cannot hold a
            value, such as a cell of a workbook a text of more than 32,767 characters.
    """
    limits = Limits(max_bytes, max_line_bytes, max_depth)
    writer = _writer(format, for_excel=for_excel)
    if on_invalid not in ("error", "skip"):
        raise ValueError(f"on_invalid must be error or skip, not {quote(on_invalid)}")
    bound = (source if isinstance(source, History) else history or History()).bound
    chosen = None if kinds is None else bound.only(bound.all_kinds).choose(kinds)
    invalid = Invalid()
    with new_folder(folder, overwrite=overwrite, replaceable=_file_names(bound)) as place, closing(writer):
        if isinstance(source, History):
            opened = open_database(bound, chosen)
        else:
            opened = open_file(source, bound, chosen, limits, invalid, skip=on_invalid == "skip")
        with opened as (found, records):
            tables = _write(writer, place, found, records)
        files = {file.name: file.stat().st_size for file in sorted(place.iterdir())}
    written = [
        WrittenTable(
            table.name, writer.file_name(table), writer.rows[table.name], tuple(writer.sheets(table))
        )
        for table in tables
    ]
    return FlattenReport(
        format,
        tuple(written),
        files,
        invalid.count,
        tuple(invalid.problems),
        invalid.problem_count,
        writer.formulas,
        writer.texts,
    )


def _writer(format: str, *, for_excel: bool) -> TableWriter:  # noqa: A002 - the word for it
    if format not in _WRITERS:
        raise ValueError(f"format must be one of {', '.join(get_args(TableFormat))}, not {quote(format)}")
    if format == "csv":
        return CsvWriter(for_excel=for_excel)
    if for_excel:
        raise ValueError("for_excel is for csv: a workbook has no formulas, and Parquet has types")
    return _WRITERS[format]()


def _write(writer: TableWriter, folder: Path, kinds: Sequence[Kind], records: Records) -> list[FlatTable]:
    """Write the tables of *kinds* with their *records* to *folder*; return the tables."""
    roots = {kind.name: plan_tables(kind) for kind in kinds}
    tables = [table for root in roots.values() for table in root.all()]
    writer.open(folder, tables)
    for kind, record in records:
        for table, row in roots[kind.name].rows(record):
            writer.write(table, row)
    writer.finish()
    return tables


def _file_names(bound: Bound) -> set[str]:
    """The names of all files that tables of the history may have."""
    tables = [table for kind in bound.all_kinds for table in plan_tables(kind).all()]
    return {writer.file_name(table) for writer in _WRITERS.values() for table in tables}
