"""Find out what is in a file without importing it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from histio.bound import Bound
from histio.comparing.positions import Locator
from histio.files import FilePath, GiB, Limits, MiB, open_source, reading
from histio.files.documents import Document
from histio.files.folders import Folder
from histio.files.raw_runs import RawRun
from histio.files.streams import Seal, Stream
from histio.files.writing import lines
from histio.history import History
from histio.inspecting.records import read_records
from histio.inspecting.slug_counts import SlugCounts
from histio.kinds.walk import walk_record
from histio.report import Problem
from histio.wire import encode

_log = logging.getLogger("histio")


@dataclass(frozen=True, slots=True)
class KindInspection:
    """What a file contains of one kind of run.

    Attributes:
        runs: The number of runs.
        first: The earliest time of a run, in UTC; None: the runs have no time.
        last: The latest time of a run, in UTC; None: the runs have no time.
        entries: The number of entries of each ledger, by the path to it, such as ``consumptions``.
    """

    runs: int = 0
    first: str | None = None
    last: str | None = None
    entries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file contains.

    Attributes:
        version: The version of its format.
        exported_at: The time of the export, as the file states it; None: it does not.
        form: ``stream`` or ``document``; ``folder``: it is an export in parts.
        sealed: Whether a seal shows that all runs are there and unchanged.
        kinds: What it contains of each kind of run, by name.
        sha256: The digest of its runs: if it is sealed, the one in its trailer, or in the manifest of a
            folder; otherwise the one that an export of them has. None: some runs or catalog rows have text
            that is not Unicode.
        follows: The digest of the file that it continues, as it states it; None: it does not.
        unreadable: The number of lines or runs that cannot be read.
        most_used: By member, at most ten slugs that most records have, with the number of records.
        problems: How it breaks off, or disagrees with its seal.
        catalog: The number of catalog rows of each kind, by name; empty: it has no catalog.
        catalog_sha256: The digest of its catalog rows; None: there are none, or some have text that is not
            Unicode.
        header_sha256: The digest of its header, which tells files without runs apart; None: it is a document.
        follows_header: The ``header_sha256`` of the file that it continues, if it states it. None: the header
            has none.
    """

    version: str
    exported_at: str | None
    form: str
    sealed: bool
    kinds: Mapping[str, KindInspection]
    sha256: str | None
    follows: str | None
    unreadable: int
    most_used: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...] = ()
    catalog: Mapping[str, int] = field(default_factory=dict)
    catalog_sha256: str | None = None
    header_sha256: str | None = None
    follows_header: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The inspection as plain dicts, lists, strings and numbers, ready for JSON."""
        return asdict(self) | {"problems": [asdict(problem) for problem in self.problems]}


def inspect_file(
    path: FilePath,
    /,
    *,
    history: History | None = None,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> Inspection:
    """Find out what is in a file: versions, kinds, counts, times, slugs, and whether it is complete.

    The file is read once, in constant memory. Runs and catalog rows are counted without being checked;
    `check_file` finds their problems.

    Args:
        path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard input. It may
            lead to a folder with an export in parts.
        history: Defines what the file may contain; None: the bundled kinds.
        max_bytes: The maximum size of the uncompressed file, in bytes; a larger file is refused.
        max_line_bytes: The maximum size of a run in bytes; a longer line of a stream is unreadable.
        max_depth: The maximum depth of nested objects and lists in a run; a deeper line is unreadable.

    Raises:
        DocumentError: The file is not a history.
        OSError: The file cannot be read.
        ValueError: A limit is not a positive integer.
    """
    bound = (history or History()).bound
    limits = Limits(max_bytes, max_line_bytes, max_depth)
    source = open_source(path, max_bytes=max_bytes)
    with reading(source, bound.gate, bound.all_kinds, limits) as file, SlugCounts(bound) as slugs:
        counts = _RunCounts(bound)
        for found in read_records(file, bound):
            if found is None:
                counts.unreadable += 1
            elif found[0].kind in file.catalog:
                counts.add_row(found[0])
            else:
                counts.add(*found)
                slugs.add(*found)
        sealed = isinstance(file, Stream | Folder) and file.is_sealed and not file.damage
        digests = file if isinstance(file, Stream | Folder) and sealed else counts
        return Inspection(
            version=file.version,
            exported_at=file.header.get("exported_at"),
            form=_FORMS[type(file)],
            sealed=sealed,
            kinds={kind: counts.inspection(kind) for kind in counts.runs},
            sha256=digests.sha256,
            follows=file.header.get("follows"),
            unreadable=counts.unreadable,
            most_used=slugs.most_used(),
            problems=file.damage,
            catalog={kind: counts.rows[kind] for kind in file.catalog},
            catalog_sha256=digests.catalog_sha256,
            header_sha256=file.header_sha256 if isinstance(file, Stream | Folder) else None,
            follows_header=file.header.get("follows_header"),
        )


_FORMS: dict[type, str] = {Stream: "stream", Document: "document", Folder: "folder"}


class _RunCounts:
    """Counts the catalog rows, runs and ledger entries of a file, and computes their digests.

    Attributes:
        rows: The number of catalog rows of each kind.
        runs: The number of runs of each kind.
        unreadable: The number of lines or runs that cannot be read.
    """

    def __init__(self, bound: Bound) -> None:
        self._locators = {kind.name: Locator(kind, index) for index, kind in enumerate(bound.kinds)}
        self._seal: Seal | None = Seal(bound.gate.catalog)
        self._spans: dict[str, tuple[str, str]] = {}
        self._entries: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.unreadable = 0

    @property
    def sha256(self) -> str | None:
        """The digest of the runs; None: some runs or rows have text that is not Unicode."""
        return None if self._seal is None else self._seal.sha256

    @property
    def catalog_sha256(self) -> str | None:
        """The digest of the catalog rows; None: there are none, or `sha256` is None."""
        return None if self._seal is None else self._seal.catalog_sha256

    def inspection(self, kind: str) -> KindInspection:
        """What was counted of *kind*."""
        first, last = map(_wire_time, self._spans.get(kind, ("", "")))
        entries = {path: count for (name, path), count in self._entries.items() if name == kind}
        return KindInspection(self.runs[kind], first, last, entries)

    def add_row(self, raw: RawRun) -> None:
        """Count a catalog row."""
        self.rows[raw.kind] += 1
        self._add_to_seal(raw)

    def add(self, raw: RawRun, record: dict[str, Any]) -> None:
        """Count a run, and its ledger entries."""
        self.runs[raw.kind] += 1
        self._add_to_seal(raw)
        locator = self._locators[raw.kind]
        self._add_to_span(raw.kind, locator, record)
        for _, _, steps in walk_record(locator.kind.table, record):
            path = ".".join(step for step in steps if isinstance(step, str))
            if path:
                self._entries[raw.kind, path] += 1

    def _add_to_seal(self, raw: RawRun) -> None:
        if self._seal is not None:
            try:
                self._seal.add(lines(raw.kind, [encode(raw.record)]))
            except ValueError:  # text that is not Unicode
                self._seal = None

    def _add_to_span(self, kind: str, locator: Locator, record: dict[str, Any]) -> None:
        try:
            time = locator.locate(record).time
        except Exception:  # noqa: BLE001 - the form may be wrong, and hooks of the host may raise anything
            _log.debug("no time can be read of a %s", kind, exc_info=True)
            return
        if time:
            first, last = self._spans.get(kind, (time, time))
            self._spans[kind] = min(first, time), max(last, time)


def _wire_time(time: str) -> str | None:
    """The *time* of a `Place` in the form that records have."""
    return f"{time.removesuffix('.000000')}Z" if "T" in time else time or None
