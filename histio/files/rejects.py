"""Write what an import rejects to a stream that can be corrected and imported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, BinaryIO

from histio.files.json_text import compact
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.files.scratch import Scratch
from histio.files.sources import FilePath
from histio.files.targets import choose_format, target
from histio.files.writing import lines
from histio.kinds.versions import Versions
from histio.report import Fault, Problem
from histio.wire import encode, is_plain

_TABLES = """
CREATE TABLE carried (number INTEGER PRIMARY KEY, file TEXT, kind TEXT, place INTEGER, line BLOB);
CREATE UNIQUE INDEX placed ON carried (file, kind, place);
"""

_PAGE = 500


class Rejects(Scratch):
    """Writes what was rejected and its problems to an unsealed stream.

    If runs are rejected, the other catalog rows of the file go there too, before the runs, because these may
    need them. Until then, they are kept on disk.

    Args:
        file: The file to write to.
        version: The format version of the runs.
        kinds: The names of the kinds of run.
        catalog: The names of the catalog kinds of the file.
        versions: Upgrades what has a version of its own; None: nothing has.
    """

    def __init__(
        self,
        file: BinaryIO,
        version: str,
        kinds: Iterable[str],
        catalog: Iterable[str] = (),
        *,
        versions: Versions | None = None,
    ) -> None:
        super().__init__(_TABLES)
        self._file = file
        self._versions = versions
        self._catalog = tuple(catalog)
        self._is_carrying = False
        header: dict[str, Any] = {"version": version, "kinds": list(kinds), "sealed": False}
        if self._catalog:
            header["catalog"] = list(catalog)
        file.write(lines("header", [encode(header)]))

    def carry(self, rows: Iterable[RawItem]) -> Iterator[RawItem]:
        """Yield the catalog *rows* of the file, and unreadable lines among them, and keep the rows."""
        self._is_carrying = True
        for item in rows:
            if isinstance(item, RawRun):
                insert = "INSERT INTO carried (file, kind, place, line) VALUES (?, ?, ?, ?)"
                line = f"{{{self._member(item)}}}\n".encode()
                self._database.execute(insert, (*_place(item), line))
            yield item
        self._is_carrying = False

    def add(self, item: RawItem, problems: Iterable[Problem]) -> None:
        """Write a rejected run, catalog row or line, and its problems."""
        listed = [
            {name: value for name, value in asdict(each).items() if value is not None} for each in problems
        ]
        if isinstance(item, RawRun) and item.kind in self._catalog:
            delete = "DELETE FROM carried WHERE file = ? AND kind = ? AND place = ?"
            self._database.execute(delete, _place(item))
        elif not self._is_carrying:
            self._write_carried()
        # The problems come first, so that people see them, however long the run is.
        self._file.write(f'{{"problems":{_encode(listed)},{self._member(item)}}}\n'.encode())

    def add_lines(self, data: bytes) -> None:
        """Write lines of runs, which another file of rejects has after its header."""
        self._write_carried()
        self._file.write(data)

    def _write_carried(self) -> None:
        """Write the catalog rows that are kept, and forget them."""
        last, rows = 0, "SELECT number, line FROM carried WHERE number > ? ORDER BY number LIMIT ?"
        while self._catalog and (page := self._database.execute(rows, (last, _PAGE)).fetchall()):
            last = page[-1][0]
            self._file.write(b"".join(line for _, line in page))
        if last:
            self._database.execute("DELETE FROM carried")

    def _member(self, item: RawItem) -> str:
        """The member of the line of *item*: its name and its value."""
        if isinstance(item, RawRun) and item.version is not None and self._versions is not None:
            item = _upgrade(item, item.version, self._versions)
        name, value = (item.kind, item.record) if isinstance(item, RawRun) else ("unreadable", item.text)
        # Values are kept as they were read: Python may write numbers differently.
        original = item.text if isinstance(item, RawRun) else None
        return f'"{name}":{_encode(value) if original is None else compact(original)}'


def _encode(value: Any) -> str:
    """Encode *value* as compact JSON; lone surrogates, which UTF-8 does not have, as escapes."""
    try:
        return encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))


def _place(row: RawRun) -> tuple[str, str, int]:
    """What identifies a catalog row among those of all files."""
    return row.file or "", row.kind, row.index


def _upgrade(run: RawRun, version: str, versions: Versions) -> RawItem:
    """The *run* in the current version; its text, as it was read, if it cannot be upgraded."""
    record, fault = versions.upgrade(run.kind, run.record, version)
    if fault is None and is_plain(record):
        return replace(run, record=record, text=None)
    return UnreadableLine(f'{{"{run.kind}":{run.text}}}', run.line or 0, fault or Fault(""))


@contextmanager
def open_rejects(
    path: FilePath | None,
    version: str,
    kinds: Iterable[str],
    catalog: Iterable[str] = (),
    *,
    versions: Versions | None = None,
) -> Iterator[Rejects | None]:
    """Open `Rejects` at *path*, or nothing for None. The file is replaced when the block has ended.

    Raises:
        ValueError: The suffix is that of a document.
    """
    if path is None:
        yield None
        return
    form = choose_format(path)
    if form.name == "json":
        raise ValueError("rejects: the file is a stream, so its name must end in .jsonl")
    with (
        target(path, compression=form.compression, overwrite=True) as file,
        Rejects(file, version, kinds, catalog, versions=versions) as rejects,
    ):
        yield rejects
