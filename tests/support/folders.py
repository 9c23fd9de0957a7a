"""Exports in parts, cut from the stream of a whole export."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import zstandard

from histio.files.manifest import CATALOG_PART, MANIFEST, Manifest, ManifestPart, part_name

_TIMES = ("produced_at", "assembled_at", "opened_at")


def place(line: bytes) -> Any:
    """The time and the identity of the run on a line."""
    [record] = json.loads(line).values()
    times = [record[name] for name in _TIMES if name in record]
    return ({"at": times[0]} if times else {}) | {"uuid": record["uuid"]}


def write_part(path: Path, header: bytes, lines: list[bytes], catalog: list[str]) -> ManifestPart:
    """Write a part with these lines."""
    kinds = [next(iter(json.loads(line))) for line in lines]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    rows = [line for kind, line in zip(kinds, lines, strict=True) if kind in catalog]
    runs = lines[len(rows) :]
    digests = {"sha256": sha256(*runs), "header_sha256": sha256(header)}
    if rows:
        digests["catalog_sha256"] = sha256(*rows)
    trailer = json.dumps({"trailer": {"counts": counts, **digests}}).encode() + b"\n"
    data = b"".join((header, *lines, trailer))
    path.write_bytes(zstandard.compress(data) if path.suffix == ".zst" else data)
    ends = {"first": place(runs[0]), "last": place(runs[-1])} if runs else {}
    return ManifestPart(name=path.name, counts=counts, **digests, **ends)


def sha256(*lines: bytes) -> str:
    return hashlib.sha256(b"".join(lines)).hexdigest()


def split(stream: bytes, folder: Path, size: int = 3) -> Manifest:
    """Spread a sealed *stream* over parts of *size* runs, as `History.export_parts` does."""
    header, *lines, _ = stream.splitlines(keepends=True)
    members = json.loads(header)["header"]
    catalog = members.get("catalog", [])
    folder.mkdir(exist_ok=True)
    groups = [list(group) for _, group in itertools.groupby(lines, lambda line: next(iter(json.loads(line))))]
    rows = [line for group in groups for line in group if next(iter(json.loads(line))) in catalog]
    spans = [
        group[start : start + size]
        for group in groups
        if group[0] not in rows
        for start in range(0, len(group), size)
    ]
    parts = [write_part(folder / CATALOG_PART, header, rows, catalog)] if catalog else []
    parts += [
        write_part(folder / part_name(number), header, span, catalog)
        for number, span in enumerate(spans or [[]])
    ]
    manifest = Manifest(
        version=members["version"],
        exported_at=members["exported_at"],
        kinds=members["kinds"],
        catalog=catalog,
        parts=parts,
    )
    (folder / MANIFEST).write_bytes(manifest.encode())
    return manifest
