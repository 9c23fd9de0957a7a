"""Read one file of history, or several of them one after the other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from histio.errors import DocumentError
from histio.files.chain import NO_PREDECESSOR, Predecessor, find_predecessor, names_of
from histio.files.decoding import NotJsonError, decode
from histio.files.folders import Folder, FolderSource, open_source
from histio.files.limits import Limits
from histio.files.manifest import Manifest
from histio.files.raw_runs import RawItem, RawRun
from histio.files.reading import Reading, check_damage, check_follows, reading
from histio.files.sources import DamageError, FilePath, Source
from histio.files.streams import Stream
from histio.files.urls import is_url, strip_file_scheme
from histio.kinds.gate import Gate
from histio.kinds.table import Kind
from histio.report import Problem
from histio.tuning import with_pauses

_CHUNK = 2**16
"""The number of bytes that are read at once to find a trailer; no trailer is longer."""


@dataclass(slots=True)
class Part:
    """One of the files.

    Attributes:
        name: Its name, which no other one has; None: there are no others.
        source: Its bytes.
        file: Its content.
        names: The ways in which other headers can name it; empty: its digests are not known.
    """

    name: str | None
    source: Source | FolderSource
    file: Reading
    names: Collection[Predecessor] = ()

    @property
    def follows(self) -> Predecessor:
        """The predecessor that its header names."""
        return find_predecessor(self.file.header)

    def file_names(self) -> Iterator[str]:
        """The names of its files: of all parts, if it is a folder; empty: there is only one file."""
        names = [part.name for part in self.file.manifest.parts] if isinstance(self.file, Folder) else [None]
        return (each for name in names if (each := _full_name(self.name, name)) is not None)


class Files:
    """One file, or several that are read one after the other.

    If there are several, their runs have the name of their file, and its version if that is not `version`.

    Args:
        parts: The files, in the order in which they are read.
        current: The current version of the format.
        allow_truncated: Whether to read on after a file that is truncated or corrupt.

    Attributes:
        parts: The files, in the order in which they are read.
        names: The names of several files, in order; empty if there is only one.
        catalog: The names of the catalog kinds that the files may have rows of.
        version: The version of the format that all files have; the current one if they have several.
        size: The size of all files in bytes, as stored; None: not known.
    """

    def __init__(self, parts: Sequence[Part], *, current: str, allow_truncated: bool) -> None:
        self.parts = parts
        self._allow_truncated = allow_truncated
        self._read = 0
        self._reading: Source | FolderSource | None = None
        self.names: list[str] = [name for part in parts for name in part.file_names()]
        self.catalog: tuple[str, ...] = tuple(
            dict.fromkeys(name for part in parts for name in part.file.catalog)
        )
        versions = {part.file.version for part in parts}
        self.version: str = current if len(versions) > 1 else versions.pop()
        sizes = [part.source.size for part in parts]
        self.size: int | None = None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def position(self) -> int:
        """The number of stored bytes that the current pass has read, including read-ahead."""
        return self._read + (0 if self._reading is None else self._reading.position)

    @property
    def damage(self) -> tuple[Problem, ...]:
        """The problems of files that are known to be truncated or corrupt; after `items`, of all of them."""
        return tuple(
            replace(problem, file=_full_name(part.name, problem.file))
            for part in self.parts
            for problem in part.file.damage
        )

    def items(self, *, again: bool = False) -> Iterator[RawItem]:
        """Read the catalog rows of all files, then their runs, file by file.

        Args:
            again: Whether they will be read once more.

        Raises:
            DocumentError: A file cannot be read or, unless that is allowed, is truncated or corrupt.
        """
        self._read = 0
        several = self.parts if self.catalog and len(self.parts) > 1 else ()
        for part in several:
            yield from self._rows(part)
        for part in self.parts:
            self._reading = part.source
            with _naming(part.name):
                items: Iterator[RawItem] = part.file.items(again=again)
                if several:
                    items = (item for item in items if not _is_row(item, part))
                yield from items if part.name is None else (self._label(item, part) for item in items)
                if not self._allow_truncated:
                    check_damage(part.file)
            self._reading = None
            self._read += part.source.position
            part.source.release()

    def _rows(self, part: Part) -> Iterator[RawItem]:
        """Read the catalog rows of one of several files, up to its first run."""
        with _naming(part.name):
            for item in part.file.items(again=True) if part.file.catalog else ():
                if _is_row(item, part):
                    yield self._label(item, part)
                elif isinstance(item, RawRun):
                    break
        part.source.release()

    def _label(self, item: RawItem, part: Part) -> RawItem:
        if not isinstance(item, RawRun):
            return replace(item, file=_full_name(part.name, item.file))
        item.file = _full_name(part.name, item.file)
        if part.file.version != self.version:
            item.version = part.file.version
        return item


def _is_row(item: RawItem, part: Part) -> bool:
    return isinstance(item, RawRun) and item.kind in part.file.catalog


@contextmanager
def open_files(
    paths: Sequence[FilePath],
    gate: Gate,
    kinds: Iterable[Kind],
    limits: Limits,
    *,
    sealed: bool = False,
    follows: Predecessor = NO_PREDECESSOR,
    allow_truncated: bool = False,
) -> Iterator[Files]:
    """Open one file or several, and put those in order that follow each other.

    Args:
        paths: The files.
        gate: The JSON Schema of documents and lines.
        kinds: The kinds to read, in order.
        limits: The limits for each file and its runs.
        sealed: Whether to refuse documents, and streams without a seal.
        follows: The predecessor that the header of the first file must name.
        allow_truncated: Whether to read on after a file that is truncated or corrupt.

    Raises:
        DocumentError: A file is not a history, has an unsupported version, lacks a seal, or is known to be
            truncated; or the first one does not follow the file that it must.
        ValueError: There are no files, two are the same, or files follow each other in a circle.
    """
    if not paths:
        raise ValueError("there are no files")
    with ExitStack() as stack:
        sources = []
        for path in paths:
            sources.append(open_source(path, max_bytes=limits.max_bytes))
            stack.enter_context(sources[-1])
        names: list[str] | list[None] = [None]
        if len(paths) > 1:
            _refuse_repeated(paths, sources)
            names = _unique_names(sources)
        parts: list[Part] = []
        for name, source in zip(names, sources, strict=True):
            with _naming(name):
                file = stack.enter_context(reading(source, gate, kinds, limits, sealed=sealed))
                if not allow_truncated:
                    check_damage(file)
            source.release()
            parts.append(Part(name, source, file))
        parts = _put_in_order(parts, gate) if len(parts) > 1 else parts
        with _naming(parts[0].name):
            check_follows(parts[0].file, follows)
        yield Files(parts, current=gate.version, allow_truncated=allow_truncated)


@contextmanager
def open_part(
    folder: str,
    manifest: Manifest,
    gate: Gate,
    kinds: Iterable[Kind],
    limits: Limits,
    *,
    allow_truncated: bool,
) -> Iterator[Files]:
    """Open some parts of the export in a *folder*.

    Args:
        folder: Its path or URL.
        manifest: The manifest with these parts only.
        gate: The JSON Schema of lines.
        kinds: The kinds to read.
        limits: The limits for each part and its lines.
        allow_truncated: Whether to read on after a part that is truncated or corrupt.
    """
    with FolderSource(folder, max_bytes=limits.max_bytes, is_listed=False) as source:
        file = Folder(source, gate, kinds, limits, manifest)
        if not allow_truncated:
            check_damage(file)
        yield Files([Part(None, source, file)], current=gate.version, allow_truncated=allow_truncated)


@contextmanager
def _naming(name: str | None) -> Iterator[None]:
    """Add the *name* of a file to the problems of errors; None: there is only one."""
    try:
        yield
    except DamageError as error:
        raise DocumentError((Problem("error", error.code, error.message, file=name),)) from None
    except DocumentError as error:
        problems = (replace(each, file=_full_name(name, each.file)) for each in error.problems)
        raise DocumentError(tuple(problems)) from None


def _full_name(name: str | None, part: str | None) -> str | None:
    """The name for messages of a *part* of the folder called *name*; of the file itself if that is None.

    *name* is None if there is only one file or folder.
    """
    return part if name is None else name if part is None else f"{name}/{part}"


def _unique_names(sources: Iterable[Source | FolderSource]) -> list[str]:
    """The names of *sources*, each with a number if earlier ones have the same name."""
    counts: Counter[str] = Counter()
    names = []
    for source in sources:
        counts[source.name] += 1
        names.append(source.name if counts[source.name] == 1 else f"{source.name} ({counts[source.name]})")
    return names


def _refuse_repeated(paths: Sequence[FilePath], sources: Sequence[Source | FolderSource]) -> None:
    """Raise ValueError if two *paths* are the same file."""
    names: dict[object, str] = {}
    for path, source in zip(map(_identify, paths), sources, strict=True):
        if path in names:
            raise ValueError(f"two of the files are the same: {names[path]}, {source.name}")
        names[path] = source.name


def _identify(path: FilePath) -> object:
    """A value that is equal for two paths to the same file."""
    path = strip_file_scheme(path)
    if path == "-" or is_url(path):
        return path
    if not isinstance(path, (str, os.PathLike)):
        return id(path)
    status = os.stat(path)  # noqa: PTH116 - any path-like object
    return status.st_dev, status.st_ino


def _put_in_order(parts: list[Part], gate: Gate) -> list[Part]:
    """The *parts* so that each comes after those that it follows.

    If each comes after one that it follows already, they keep their order: parts without runs have the same
    digest, so that a part may seem to follow several.

    Raises:
        ValueError: They follow each other in a circle.
    """
    if not any(part.follows.sha256 for part in parts):
        return parts
    for part in parts:
        part.names = _names(part, gate)
    if _is_in_order(parts):
        return parts
    ordered: list[Part] = []
    left, names = list(parts), Counter(name for part in parts for name in part.names)
    while left:
        ready = (part for part in left if part.follows in part.names or not names[part.follows])
        first = next(ready, None)
        if first is None:
            raise ValueError(
                f"the files follow each other in a circle: {_find_circle(left)}; files without runs look "
                "the same, so pass them in their order, or name them by follows_header too"
            )
        left.remove(first)
        names.subtract(first.names)
        ordered.append(first)
    return ordered


def _is_in_order(parts: Sequence[Part]) -> bool:
    """Whether each of *parts* comes after one that it follows, if there is one."""
    known = {name for part in parts for name in part.names}
    seen: set[Predecessor] = set()
    for part in parts:
        if part.follows in known - seen and part.follows not in part.names:
            return False
        seen.update(part.names)
    return True


def _find_circle(parts: Sequence[Part]) -> str:
    """The names of *parts* that follow each other in a circle; each of them follows another one."""
    circle = [parts[0]]
    while circle.count(circle[-1]) == 1:
        circle.append(next(other for other in parts if circle[-1].follows in other.names))
    return ", ".join(str(part.name) for part in circle[circle.index(circle[-1]) + 1 :])


def _names(part: Part, gate: Gate) -> Collection[Predecessor]:
    """The ways in which a header can name a stream, by the digests in its trailer or manifest.

    The digests are verified later, when the runs are read. Empty: it is not a sealed stream, or does not end
    with a valid trailer.
    """
    if isinstance(part.file, Folder):
        return names_of(part.file.sha256, part.file.header_sha256)
    if not (isinstance(part.source, Source) and isinstance(part.file, Stream) and part.file.is_sealed):
        return ()
    before = last = b""
    try:
        reader = part.source.open(again=True)
        for piece in with_pauses(iter(lambda: reader.read(_CHUNK), b"")):
            before, last = last, piece
        members = decode((before + last).splitlines()[-1].decode(), Limits().max_depth)
    except (DamageError, NotJsonError, UnicodeDecodeError):
        return ()
    finally:
        part.source.release()
    if gate.check_trailer(members, 1):
        return ()
    return names_of(members["trailer"]["sha256"], members["trailer"]["header_sha256"])
