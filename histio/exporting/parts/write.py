"""Write parts of an export, in a process of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.ext import serializer

from histio.bound import Bound, Opening
from histio.database.dialects import Moment, TooLateError, Visit
from histio.exporting.catalog import ExportedCatalog
from histio.exporting.execute import export_pages, with_catalog
from histio.exporting.selection import Part, Selection, select_kinds
from histio.exporting.tally import ExportTally, OnUnreadable
from histio.files import target, write_runs
from histio.files.manifest import ManifestPart
from histio.files.part_files import PartFiles
from histio.kinds.table import Kind
from histio.typing import ManifestPlace


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part to write.

    Attributes:
        name: The name of its file.
        kind: The name of its kind; None: it has the catalog rows.
        part: The part of the runs of the kind.
    """

    name: str
    kind: str | None = None
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is written.

    Attributes:
        number: Its place among all parts.
        entry: What the manifest says about it.
        bytes: The size of its file.
        tally: The problems and warnings.
    """

    number: int
    entry: ManifestPart
    bytes: int
    tally: ExportTally


@dataclass(frozen=True, slots=True)
class PickledSelection:
    """The runs to export, as they are described to another process.

    Attributes:
        kinds: The names of the kinds.
        where: By kind, the pickled criterion.
        times: The bounds of the runs' times.
    """

    kinds: tuple[str, ...]
    where: Mapping[str, bytes]
    times: Mapping[str, Any]

    @classmethod
    def of(cls, selection: Selection) -> PickledSelection:
        """Describe a *selection*.

        Raises:
            ValueError: A criterion cannot be sent to another process.
        """
        where = {}
        times: dict[str, Any] = {}
        for kind, filters in selection.items():
            times = {name: getattr(filters, name) for name in ("since", "until", "changed_since")}
            if filters.where is not None:
                try:
                    where[kind.name] = serializer.dumps(filters.where)  # type: ignore[no-untyped-call]
                    _unpickle(kind, where[kind.name])
                except Exception as error:  # whatever SQLAlchemy or a type of a host raises
                    raise ValueError(f"where cannot be sent to another process: {error}") from error
        return cls(tuple(kind.name for kind in selection), where, times)

    def select(self, bound: Bound) -> Selection:
        """The selection in this process."""
        kinds = {kind.name: kind for kind in bound.kinds}
        where = {name: _unpickle(kinds[name], data) for name, data in self.where.items()}
        return select_kinds(bound, self.kinds, where, may_be_empty=True, **self.times)


def _unpickle(kind: Kind, criterion: bytes) -> Any:
    return serializer.loads(criterion, kind.table.rows.metadata)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class PartsTask:
    """What a process needs to write parts. It can be pickled.

    Attributes:
        history: Opens the history.
        selection: The runs of all parts.
        moment: The moment that all processes see.
        files: The files to write.
        header: The header of all parts.
        parts: The parts to write by number.
        catalog: Which catalog rows are exported; None: none.
        exact: Whether a value that is read differently from how it is stored is a problem.
        on_unreadable: What to do with runs that the format cannot hold.
    """

    history: Opening
    selection: PickledSelection
    moment: Moment
    files: PartFiles
    header: Mapping[str, Any]
    parts: Mapping[int, PlannedPart]
    catalog: ExportedCatalog | None
    exact: bool
    on_unreadable: OnUnreadable

    def only(self, number: int) -> PartsTask:
        """The same with one part."""
        return replace(self, parts={number: self.parts[number]})


def write_parts(task: PartsTask, worker: int) -> list[WrittenPart] | None:
    """Write parts, as one of several processes.

    Args:
        task: What to write.
        worker: The number of the process.

    Returns:
        The parts that it has written; None: it has started too late to see the moment.
    """
    bound = task.history.open()
    visits: list[Visit] = []

    def begin(connection: Connection) -> None:
        visits.append(task.moment.join(connection, worker))

    try:
        with bound.database.reading(None, begin=begin) as connection:
            [visit] = visits
            selection = task.selection.select(bound)
            written = [
                _write(connection, bound, selection, task, number) for number in visit.share(list(task.parts))
            ]
            visit.leave()
            return written
    except TooLateError:
        return None
    finally:
        bound.database.close()


def _write(
    connection: Connection, bound: Bound, selection: Selection, task: PartsTask, number: int
) -> WrittenPart:
    planned = task.parts[number]
    tally = ExportTally(exact=task.exact, on_unreadable=task.on_unreadable)
    kinds = {kind.name: kind for kind in bound.all_kinds}
    collections = {name: kind.collection for name, kind in kinds.items()}
    place = task.files.temporary(planned.name)
    ends = _Ends(kinds)
    with (
        target(place, compression="zst", overwrite=True, is_last=False) as file,
        _choose(connection, bound, selection, task, planned) as chosen,
    ):
        pages = ends.watch(export_pages(connection, chosen, tally))
        seal = write_runs("jsonl", file, task.header, collections, pages)
    entry = ManifestPart(
        name=planned.name,
        counts=dict(seal.counts),
        sha256=seal.sha256,
        header_sha256=seal.header_sha256 or "",
        catalog_sha256=seal.catalog_sha256,
        first=ends.find(0),
        last=ends.find(-1),
    )
    return WrittenPart(number, entry, file.stored, tally)


@contextmanager
def _choose(
    connection: Connection, bound: Bound, selection: Selection, task: PartsTask, planned: PlannedPart
) -> Iterator[Selection]:
    """In this block: the rows or runs of a part."""
    if planned.kind is None:
        with with_catalog(connection, bound, selection, task.catalog) as everything:
            yield {kind: filters for kind, filters in everything.items() if kind.is_catalog}
    else:
        yield {
            kind: replace(filters, part=planned.part)
            for kind, filters in selection.items()
            if kind.name == planned.kind
        }


class _Ends:
    """Remembers the first and the last run of pages of one of the *kinds*."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._ends: list[tuple[Kind, str]] = []

    def watch(self, pages: Iterable[tuple[str, list[str]]]) -> Iterator[tuple[str, list[str]]]:
        """Yield the *pages*."""
        for name, texts in pages:
            kind = self._kinds[name]
            if texts and not kind.is_catalog:
                self._ends = [(self._ends or [(kind, texts[0])])[0], (kind, texts[-1])]
            yield name, texts

    def find(self, end: int) -> ManifestPlace | None:
        """The place of the first run (0) or the last one (-1); None: there are no runs."""
        if not self._ends:
            return None
        kind, text = self._ends[end]
        record = json.loads(text)
        place: ManifestPlace = {"uuid": kind.identity.format_record(record)}
        at = None if kind.timestamp is None else record.get(kind.table.names[kind.timestamp])
        return place if at is None else {"at": at, **place}
