"""Manifests: files that name the parts of an export, which are in the same folder.

Each part is a sealed stream. All parts have the same header, that of the export as one stream, and each has a
span of its order: catalog rows, or runs of one kind.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from histio.errors import DocumentError
from histio.files.decoding import NotJsonError, decode
from histio.files.limits import MAX_DEPTH
from histio.kinds.gate import Gate
from histio.pointer import pointer
from histio.report import Problem
from histio.typing import ManifestPartRecord, ManifestPlace, ManifestRecord

MANIFEST = "manifest.json"
"""The name of a manifest in its folder."""

CATALOG_PART = "catalog.jsonl.zst"
"""The name that an export gives to the part with the catalog rows."""


def part_name(number: int) -> str:
    """The name that an export gives to the part of runs with this 0-based *number*."""
    return f"part-{number:05}.jsonl.zst"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestPart:
    """A part of an export.

    Attributes:
        name: The name of its file, in the folder of the manifest.
        counts: The number of runs, or of catalog rows, by kind; kinds without any may be missing.
        sha256: The digest of its run lines, as in its trailer.
        header_sha256: The digest of its header line, as in its trailer.
        catalog_sha256: The digest of its catalog lines, as in its trailer; None: there are none.
        first: The time and the identity of its first run; None: it has no runs.
        last: Those of its last run; None: it has no runs.
    """

    name: str
    counts: Mapping[str, int]
    sha256: str
    header_sha256: str
    catalog_sha256: str | None = None
    first: ManifestPlace | None = None
    last: ManifestPlace | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds that it has runs or rows of."""
        return tuple(kind for kind, count in self.counts.items() if count)

    @property
    def line(self) -> str:
        """The line that the digest of the manifest has for the part."""
        return f"{self.sha256} {self.header_sha256} {self.catalog_sha256 or '-'} {self.name}\n"

    def to_dict(self) -> ManifestPartRecord:
        """The part as JSON."""
        part: ManifestPartRecord = {
            "name": self.name,
            "counts": dict(self.counts),
            "sha256": self.sha256,
            "header_sha256": self.header_sha256,
        }
        if self.catalog_sha256 is not None:
            part["catalog_sha256"] = self.catalog_sha256
        if self.first is not None and self.last is not None:
            part |= {"first": self.first, "last": self.last}
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of an export in parts.

    Attributes:
        version: The version of the format.
        exported_at: The time of the export.
        kinds: The names of the kinds of run that were exported.
        parts: The parts, in the order of the export: those with catalog rows come first.
        catalog: The names of the catalog kinds that were exported.
        sha256: The digest of the digests and names of all parts.
    """

    version: str
    exported_at: str
    kinds: Sequence[str]
    parts: Sequence[ManifestPart]
    catalog: Sequence[str] = ()
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256("".join(part.line for part in self.parts).encode("ascii"))
        object.__setattr__(self, "sha256", digest.hexdigest())

    def only(self, *parts: ManifestPart) -> Manifest:
        """The manifest with these *parts* only."""
        return replace(self, parts=parts)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of runs and of catalog rows in all parts, by kind."""
        counts: Counter[str] = Counter()
        for part in self.parts:
            counts.update(part.counts)
        return counts

    def to_dict(self) -> ManifestRecord:
        """The manifest as JSON."""
        members: dict[str, Any] = {
            "version": self.version,
            "exported_at": self.exported_at,
            "kinds": list(self.kinds),
            "catalog": list(self.catalog),
            "parts": [part.to_dict() for part in self.parts],
            "sha256": self.sha256,
        }
        if not self.catalog:
            del members["catalog"]
        return cast("ManifestRecord", members)

    def encode(self) -> bytes:
        """The content of the file: JSON with a line for each part."""
        texts: dict[str, str] = {name: json.dumps(value) for name, value in self.to_dict().items()}
        parts = ",\n".join(json.dumps(part.to_dict()) for part in self.parts)
        texts["parts"] = f"[\n{parts}\n]"
        members = ",\n".join(f'"{name}": {text}' for name, text in texts.items())
        return f"{{\n{members}\n}}\n".encode()

    @classmethod
    def decode(cls, data: bytes, gate: Gate, name: str) -> Self:
        """The manifest in the file called *name*.

        Args:
            data: The content of the file.
            gate: The JSON Schema of the format.
            name: For messages.

        Raises:
            DocumentError: It is not a manifest, has an unsupported version, or was changed.
        """
        try:
            members = decode(data.decode("utf-8-sig"), MAX_DEPTH)
        except (NotJsonError, UnicodeDecodeError) as error:
            text = f"{name} is not JSON: {error}."
            raise DocumentError((Problem("error", "corrupt", text, file=MANIFEST),)) from None
        problems = gate.check_manifest(members)
        if not problems:
            manifest = cls._from_dict(members)
            problems = list(manifest._find_faults(members["sha256"]))  # noqa: SLF001 - its own
        if problems:
            raise DocumentError(tuple(replace(problem, file=MANIFEST) for problem in problems))
        return manifest

    @classmethod
    def _from_dict(cls, members: ManifestRecord) -> Self:
        return cls(
            version=members["version"],
            exported_at=members["exported_at"],
            kinds=tuple(members["kinds"]),
            catalog=tuple(members.get("catalog", ())),
            parts=tuple(ManifestPart(**part) for part in members["parts"]),
        )

    def _find_faults(self, stated: str) -> Iterator[Problem]:
        """The problems that the JSON Schema does not find; *stated* is the digest in the file."""
        places = {kind: place for place, kind in enumerate((*self.catalog, *self.kinds))}
        names: Counter[str] = Counter()
        latest = 0
        if not self.parts:
            yield Problem("error", "corrupt", "The manifest names no parts.", pointer("parts"))
        for number, part in enumerate(self.parts):
            names[part.name.lower()] += 1  # some file systems ignore case
            kinds = part.kinds
            why = self._find_fault(part)
            if names[part.name.lower()] > 1:
                yield _corrupt(f"Two parts have the name {part.name}.", number, "name")
            elif why:
                yield _corrupt(why, number, "counts")
            elif kinds:
                if min(map(places.__getitem__, kinds)) < latest:
                    yield _corrupt("Its runs or rows come after those of a later kind.", number, "counts")
                latest = max(map(places.__getitem__, kinds))
            if part.header_sha256 != self.parts[0].header_sha256:
                yield _corrupt("It is a part of another export.", number, "header_sha256")
        if stated != self.sha256:
            yield _corrupt_digest(stated)

    def _find_fault(self, part: ManifestPart) -> str:
        """What is wrong with a *part*; empty: nothing."""
        kinds = part.kinds
        unknown = [kind for kind in kinds if kind not in (*self.kinds, *self.catalog)]
        if unknown:
            return f"The manifest does not name the kind {unknown[0]}."
        rows = [kind for kind in kinds if kind in self.catalog]
        if len(kinds) > 1 and len(rows) < len(kinds):
            return "A part has runs of one kind, or catalog rows."
        if bool(rows) != (part.catalog_sha256 is not None):
            return "A part with catalog rows, and no other one, has a catalog_sha256."
        has_runs = len(kinds) > len(rows)
        if has_runs is (part.first is None) or has_runs is (part.last is None):
            return "A part with runs, and no other one, names its first and its last run."
        return ""


def _corrupt(text: str, number: int, member: str) -> Problem:
    return Problem("error", "corrupt", text, pointer("parts", number, member), file=MANIFEST)


def _corrupt_digest(stated: str) -> Problem:
    text = f"The names or the digests of parts have been changed: they do not have the digest {stated}."
    return Problem("error", "corrupt", text, pointer("sha256"), file=MANIFEST)
