"""Open a file, whose first bytes decide whether it is a document or a stream, or an export in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, TypeAlias

from histio.errors import DocumentError
from histio.files.chain import Predecessor
from histio.files.documents import Document
from histio.files.folders import Folder, FolderSource
from histio.files.leftovers import first_member
from histio.files.limits import Limits
from histio.files.raw_runs import RawItem
from histio.files.sources import DamageError, Source
from histio.files.streams import Stream
from histio.kinds.gate import Gate
from histio.kinds.table import Kind
from histio.report import Problem

Reading: TypeAlias = Stream | Document | Folder


@contextmanager
def reading(
    source: Source | FolderSource,
    gate: Gate,
    kinds: Iterable[Kind],
    limits: Limits | None = None,
    *,
    sealed: bool = False,
) -> Iterator[Reading]:
    """Open the document, the stream or the export in parts in *source*, and validate its header or envelope.

    Args:
        source: The file or folder.
        gate: The JSON Schema of documents and lines.
        kinds: The kinds to read, in order; what the file has of other kinds is left out.
        limits: The limits for its lines and runs; None: the defaults.
        sealed: Whether to refuse documents, and streams without a seal.

    Raises:
        DocumentError: It is not a history, has an unsupported version, or lacks a seal.
    """
    with source:
        limits = limits or Limits()
        if isinstance(source, FolderSource):
            yield Folder(source, gate, kinds, limits)
            return
        try:
            _check_not_empty(source)
            collections = {kind.collection: kind.name for kind in kinds}
            options: dict[str, Any] = {
                "max_line_bytes": limits.max_line_bytes,
                "max_depth": limits.max_depth,
            }
            if _is_stream(source, gate):
                stream = Stream(source, gate, collections.values(), **options)
                if sealed and not stream.is_sealed:
                    raise _not_sealed(f'{source.name} is not sealed: its header has "sealed": false.', line=1)
                yield stream
            elif sealed:
                raise _not_sealed(f"{source.name} is not sealed: it is not a stream.")
            else:
                yield Document(source, gate, collections, **options)
        except DamageError as error:
            raise DocumentError((Problem("error", error.code, error.message),)) from None


def _not_sealed(text: str, line: int | None = None) -> DocumentError:
    return DocumentError(
        (Problem("error", "schema", text, "" if line is None else "/header/sealed", line=line),)
    )


def _check_not_empty(source: Source) -> None:
    if not source.open(again=True).read(1):  # raises DamageError if nothing can be read
        raise DamageError("truncated", f"{source.name} is empty.")


def _is_stream(source: Source, gate: Gate) -> bool:
    member = first_member(source.head())
    if member in ("header", "trailer", "unreadable", *gate.collections):
        return True
    # If the first bytes are neither, the suffix of the name decides.
    return member not in gate.schema["properties"] and ".jsonl" in PurePath(source.name).suffixes


def check_damage(file: Reading) -> None:
    """Raise DocumentError if *file* is known to be truncated or corrupt."""
    if file.damage:
        raise DocumentError(file.damage)


def fail_if_damaged(items: Iterable[RawItem], file: Reading) -> Iterator[RawItem]:
    """Yield the *items* of *file*, then raise DocumentError if it is truncated or corrupt."""
    yield from items
    check_damage(file)


def check_follows(file: Reading, predecessor: Predecessor) -> None:
    """Raise DocumentError unless *file* continues the *predecessor*, by all digests that it has."""
    problems = predecessor.differences(file.header)
    if problems:
        raise DocumentError(tuple(problems))
