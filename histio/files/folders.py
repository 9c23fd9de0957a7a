"""Read an export in parts, which are in one folder, as one file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from histio.errors import DocumentError
from histio.files.limits import MAX_BYTES, Limits
from histio.files.manifest import MANIFEST, Manifest, ManifestPart
from histio.files.raw_runs import RawItem, RawRun
from histio.files.sources import DamageError, FilePath, Source
from histio.files.streams import Stream, warn_of_repeated_names
from histio.files.urls import is_url, join, list_folder, parent_of, strip_file_scheme
from histio.kinds.gate import Gate
from histio.kinds.table import Kind
from histio.redact import strip_secrets
from histio.report import Code, Problem, ProblemList

_PART = re.compile(r"(catalog|part-[0-9]+)\.jsonl(\.gz|\.zst)?", re.IGNORECASE)
"""The names of files that no folder has by chance: parts, of this export or of another one."""


class FolderSource:
    """A folder with an export in parts; the counterpart of `Source` for a file.

    Args:
        path: The path or URL of the folder.
        max_bytes: The limit for each uncompressed part.
        is_listed: Whether to list its files.

    Attributes:
        path: The path or URL; the path is absolute.
        name: The name for messages; a URL without user, password and query.
        files: The names of its files, with their sizes in bytes as far as they are known; None: the folder
            cannot be listed.
        size: The size of all parts in bytes, as stored; None: not known.
    """

    def __init__(self, path: str, *, max_bytes: int = MAX_BYTES, is_listed: bool = True) -> None:
        self.path: str = path if is_url(path) else os.path.abspath(path)  # noqa: PTH100 - links stay
        self._max_bytes = max_bytes
        self.name: str = strip_secrets(path).rstrip("/") if is_url(path) else path.rstrip("/")
        self.files: dict[str, int | None] | None = None
        if is_listed:
            self.files = list_folder(path) if is_url(path) else _list_local(path)
        sizes = [size for name, size in (self.files or {"": None}).items() if name != MANIFEST]
        self.size: int | None = None if None in sizes else sum(filter(None, sizes))
        self._read = 0
        self._reading: Source | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def position(self) -> int:
        """The number of stored bytes that the current pass has read, including read-ahead."""
        return self._read + (0 if self._reading is None else self._reading.position)

    def release(self) -> None:
        """Close the file that is open."""
        self._read = self.position
        if self._reading is not None:
            self._reading.close()
        self._reading = None

    def begin(self) -> None:
        """Begin a pass through the parts."""
        self.release()
        self._read = 0

    def open(self, name: str) -> Source:
        """Open the file called *name*; the one that was open before is closed."""
        self.release()
        self._reading = Source(join(self.path, name), max_bytes=self._max_bytes)
        return self._reading

    def read_manifest(self, gate: Gate) -> tuple[Manifest, str]:
        """The manifest, and its text.

        Raises:
            DocumentError: There is none, it cannot be read, or it was changed.
        """
        try:
            data = self.open(MANIFEST).open().read()
        except (FileNotFoundError, NotADirectoryError):
            text = f"{self.name} has no {MANIFEST}: it is not an export in parts, or not a finished one."
            raise DocumentError((Problem("error", "truncated", text),)) from None
        except DamageError as error:
            raise DocumentError((_problem(error.code, error.message, MANIFEST),)) from None
        finally:
            self.begin()
        return Manifest.decode(data, gate, f"{self.name}: {MANIFEST}"), data.decode("utf-8-sig")


def open_source(path: FilePath, *, max_bytes: int = MAX_BYTES) -> Source | FolderSource:
    """Open a file, or a folder with an export in parts.

    Args:
        path: As `Source` takes it, or the path or URL of such a folder or of the manifest in it.
        max_bytes: The limit for each uncompressed file.

    Raises:
        OSError: It cannot be opened.
        TypeError: The file is open for text.
        ImportError: URLs need fsspec, which is not installed.
    """
    path = strip_file_scheme(path)
    if is_url(path):
        return _open_url(path, max_bytes)
    if path != "-" and isinstance(path, (str, os.PathLike)):
        local = Path(path)
        if local.name == MANIFEST and local.is_file():
            return FolderSource(str(local.parent), max_bytes=max_bytes)
        if local.is_dir():
            return FolderSource(os.fspath(path), max_bytes=max_bytes)
    return Source(path, max_bytes=max_bytes)


def _open_url(url: str, max_bytes: int) -> Source | FolderSource:
    folder = parent_of(url, MANIFEST)
    if folder is not None:
        return FolderSource(folder, max_bytes=max_bytes)
    try:
        return Source(url, max_bytes=max_bytes)
    except (FileNotFoundError, IsADirectoryError):
        source = FolderSource(url, max_bytes=max_bytes)
        if not source.files:
            raise
        return source


def _list_local(path: str) -> dict[str, int | None]:
    with os.scandir(path) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}


class Folder:
    """An export in parts, read as the stream of the whole export is read.

    What is read has the name of its part as its file. The parts are opened one after the other.

    Args:
        source: The folder.
        gate: The JSON Schema of manifests and lines.
        kinds: The kinds to read; lines of other kinds are only counted and digested.
        limits: The limits for each part and its lines.
        manifest: The manifest, perhaps with some of the parts only, of a folder that was opened before; None:
            it is read.

    Attributes:
        manifest: The manifest.
        missing: By name, a problem for each part that is not in the folder.
        header: The header of the parts.
        header_sha256: The digest of its line.
        damage: What is known to be missing or wrong; after `items`: all of it.
        repeated: A warning for each repeated name in the manifest.
        repeated_in_trailer: After `items`: a warning for each repeated name in the headers and trailers.
        kinds: The names of the kinds of run that the manifest names.
        catalog: The names of the catalog kinds that the manifest names.
        sha256: The digest of the manifest.
        catalog_sha256: The digest of the catalog lines; None: there are none, or they are in several parts.

    Raises:
        DocumentError: There is no manifest, or it is invalid, or has an unsupported version.
    """

    is_sealed = True

    def __init__(
        self,
        source: FolderSource,
        gate: Gate,
        kinds: Iterable[Kind],
        limits: Limits,
        manifest: Manifest | None = None,
    ) -> None:
        self._source = source
        self._gate = gate
        self._kinds = {kind.name: kind for kind in kinds}
        self._limits = limits
        is_new, text = manifest is None, "{}"
        if manifest is None:
            manifest, text = source.read_manifest(gate)
        self.manifest = manifest
        self.repeated: ProblemList = warn_of_repeated_names(text, None)
        self.repeated_in_trailer: ProblemList = ProblemList()
        self.kinds: tuple[str, ...] = tuple(self.manifest.kinds)
        self.catalog: tuple[str, ...] = tuple(self.manifest.catalog)
        self.sha256: str = self.manifest.sha256
        self.header_sha256: str = self.manifest.parts[0].header_sha256
        digests = [part.catalog_sha256 for part in self.manifest.parts if part.catalog_sha256 is not None]
        self.catalog_sha256: str | None = digests[0] if len(digests) == 1 else None
        self.missing: dict[str, Problem] = self._find_missing()
        self._known: tuple[Problem, ...] = (*self.missing.values(), *self._find_others())
        self.damage: tuple[Problem, ...] = self._known
        self.header: dict[str, Any] = self._read_header() if is_new else self._stated_header

    @property
    def version(self) -> str:
        """The version of the format."""
        return self.manifest.version

    def items(self, *, again: bool = False) -> Iterator[RawItem]:  # noqa: ARG002 - as other forms of a file
        """Read the catalog rows and the runs of the wanted kinds, part by part.

        Args:
            again: Has no effect: a folder can always be read again.

        Raises:
            DocumentError: A part cannot be read, is larger than the limit, or has too many blank lines.
        """
        damage, self.repeated_in_trailer = list(self._known), ProblemList()
        self._source.begin()
        for part in self.manifest.parts:
            if part.name not in self.missing:
                try:
                    yield from self._items_of(part, damage)
                except FileNotFoundError:
                    damage.append(_missing(part))
                except DocumentError as error:
                    raise DocumentError(tuple(_in_part(error.problems, part))) from None
        self.damage = tuple(damage)

    def _items_of(self, part: ManifestPart, damage: list[Problem]) -> Iterator[RawItem]:
        stream = self._open(part, damage)
        if stream is None:
            return
        first = last = None
        for item in stream.items():
            if isinstance(item, RawRun):
                item.file = part.name
                if item.kind not in self.catalog:
                    first, last = first or item, item
                yield item
            else:
                yield replace(item, file=part.name)
        for problem in (*stream.repeated, *stream.repeated_in_trailer):
            self.repeated_in_trailer.add(replace(problem, file=part.name))
        found = stream.damage or tuple(self._find_differences(part, stream, first, last))
        damage += _in_part(found, part)

    def _open(self, part: ManifestPart, damage: list[Problem]) -> Stream | None:
        """Open a *part*; None: it cannot be read, and a problem is added to the *damage*."""
        try:
            stream = self._stream(part)
        except DamageError as error:
            damage.append(_problem(error.code, error.message, part.name))
        except DocumentError as error:
            damage += _in_part(error.problems, part)
        else:
            if stream.header_sha256 == part.header_sha256 and stream.is_sealed:
                return stream
            text = "The part is of another export, or was changed: its header has another digest."
            damage.append(_problem("corrupt", text, part.name, "/header", 1))
        return None

    def _stream(self, part: ManifestPart) -> Stream:
        limits = self._limits
        return Stream(
            self._source.open(part.name),
            self._gate,
            self._kinds,
            max_line_bytes=limits.max_line_bytes,
            max_depth=limits.max_depth,
        )

    def _find_differences(
        self, part: ManifestPart, stream: Stream, first: RawRun | None, last: RawRun | None
    ) -> Iterator[Problem]:
        """The problems of a *part* that agrees with its own trailer, but not with the manifest."""
        stated = {kind: count for kind, count in part.counts.items() if count}
        found = stream.sha256, stream.catalog_sha256, stream.counts
        if found != (part.sha256, part.catalog_sha256, stated):
            text = "The part is not that of the manifest: its counts or digests are others."
            yield _problem("corrupt", text, part.name)
            return
        for name, run, place in (("first", first, part.first), ("last", last, part.last)):
            if run is not None and place is not None and not self._is_at(run, place):
                text = f"The {name} run of the part is not the one that the manifest names."
                yield _problem("corrupt", text, part.name, line=run.line)

    def _is_at(self, run: RawRun, place: Mapping[str, Any]) -> bool:
        """Whether a *run* has the time and the identity of a *place*, as far as its members say it."""
        kind, record = self._kinds[run.kind], run.record
        if self.version != self._gate.version or kind.is_hooked or not isinstance(record, dict):
            return True
        values = [record.get(name) for name in kind.identity.names]
        time = {} if kind.timestamp is None else {"at": record.get(kind.table.names[kind.timestamp])}
        return place == {**time, "uuid": values[0] if len(values) == 1 else values}

    def _find_missing(self) -> dict[str, Problem]:
        """By name, a problem for each part that is not in the folder."""
        files = self._source.files
        absent = [part for part in self.manifest.parts if files is not None and part.name not in files]
        return {part.name: _missing(part) for part in absent}

    def _find_others(self) -> Iterator[Problem]:
        """A problem for each part in the folder that the manifest does not name."""
        names = {part.name for part in self.manifest.parts}
        for name in sorted(set(self._source.files or ()) - names):
            if _PART.fullmatch(name):
                text = f"{MANIFEST} does not name it: it may be a part of another export."
                yield _problem("corrupt", text, name)

    @property
    def _stated_header(self) -> dict[str, Any]:
        """What the manifest says about the header of the parts."""
        members = self.manifest.to_dict()
        return {name: value for name, value in members.items() if name not in ("parts", "sha256")}

    def _read_header(self) -> dict[str, Any]:
        """The header of the first part; if that cannot be read, what the manifest says."""
        stated, first = self._stated_header, self.manifest.parts[0]
        stream = None
        if first.name not in self.missing:
            with suppress(FileNotFoundError):
                stream = self._open(first, [])
        if stream is None:
            return stated
        if not _is_part_of(stream.header, stated):
            text = f"The part is of another export: its header differs from {MANIFEST}."
            self._known += (_problem("corrupt", text, first.name, "/header", 1),)
            self.damage = self._known
        return stream.header


def _is_part_of(header: Mapping[str, Any], stated: Mapping[str, Any]) -> bool:
    """Whether a *header* says what the manifest says; it may say more, such as what it follows."""
    return {name: header.get(name) for name in stated} == stated


def _missing(part: ManifestPart) -> Problem:
    return _problem("truncated", "The part is missing.", part.name)


def _problem(code: Code, text: str, file: str, at: str = "", line: int | None = None) -> Problem:
    return Problem("error", code, text, at, line=line, file=file)


def _in_part(problems: Collection[Problem], part: ManifestPart) -> Iterator[Problem]:
    return (replace(problem, file=part.name) for problem in problems)
