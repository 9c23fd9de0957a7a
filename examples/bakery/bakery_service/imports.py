"""Uploads that wait to be imported, and what is known of each import: a folder for each, with its files."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import HTTPException

from bakery_service.transfer import Limits


# In docs/how-to/service.md:
@dataclass(frozen=True, slots=True)
class Import:
    """A file that was uploaded, and what became of it. No name of a file here comes from a client."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def file(self) -> Path:
        """What was uploaded; it is removed once it is imported."""
        return self.folder / "upload"

    @property
    def rejects(self) -> Path:
        """The rejected runs with their problems."""
        return self.folder / "rejects.jsonl"

    @property
    def receipt(self) -> Path:
        """What the import has written, for an undo."""
        return self.folder / "receipt.jsonl"

    @property
    def about(self) -> dict[str, Any]:
        """Its name, its size in bytes, and when it has arrived."""
        return self._read("about.json") or {}

    @property
    def report(self) -> dict[str, Any] | None:
        """What the import has done, and when; None: it is still to come."""
        return self._read("report.json")

    @property
    def undone(self) -> dict[str, Any] | None:
        """What an undo has done, and when; None: there was none."""
        return self._read("undone.json")

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has begun to import it."""
        return self.report is None and not self.receipt.exists()

    @property
    def is_interrupted(self) -> bool:
        """Whether the service has stopped after something was written, and before it could report that."""
        if self.report is not None or not self.receipt.exists():
            return False
        with self.receipt.open("rb") as lines:
            return next(lines, None) is not None and next(lines, None) is not None

    def describe(self, name: str, size: int) -> None:
        """Keep the *name* of the file, which is only shown, and its *size* in bytes."""
        self._write("about.json", {"name": name, "size": size})

    def withdraw(self) -> None:
        """Let the upload wait again, because nothing of it was imported."""
        if not self.is_interrupted:
            self.receipt.unlink(missing_ok=True)

    def finish(self, report: dict[str, Any]) -> None:
        """Keep what the import has done, and let go of the upload. The first report counts."""
        self._write("report.json", report, keep=True)
        self.file.unlink(missing_ok=True)

    def undo(self, report: dict[str, Any]) -> None:
        """Keep what an undo has done."""
        self._write("undone.json", report)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, name: str, content: dict[str, Any], *, keep: bool = False) -> None:
        """Write a whole file or none, also if the service is killed."""
        new = self.folder / f"{uuid.uuid4()}.new"
        new.write_text(json.dumps({"at": _now(), **content}))
        path = self.folder / name
        if not (keep and path.exists()):
            new.replace(path)
        new.unlink(missing_ok=True)


# So far in docs/how-to/service.md.
class Imports:
    """The imports of a branch, in a *folder* that no client can reach by a path of its own."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits

    async def add(self, file: BinaryIO, name: str, size: int) -> Import:
        """Keep a *file* that was uploaded, of *size* bytes.

        Raises:
            HTTPException: Too many files are waiting.
        """
        self.remove_expired()
        if sum(each.report is None for each in self) >= self._limits.waiting:
            raise HTTPException(503, "too many uploads are waiting")
        new = Import(self._folder / str(uuid.uuid4()))
        new.folder.mkdir(mode=0o700, parents=True)
        new.describe(name[-200:], size)
        with ExitStack() as unless_complete:
            unless_complete.callback(self.remove, new)
            await asyncio.to_thread(_copy, file, new.file)
            unless_complete.pop_all()
        return new

    def find(self, identity: uuid.UUID) -> Import:
        """The import with this *identity*.

        Raises:
            HTTPException: There is none, or it has expired.
        """
        self.remove_expired()
        found = Import(self._folder / str(identity))
        if not found.about:
            raise HTTPException(404, "no such import")
        return found

    def remove(self, waiting: Import) -> None:
        """Remove an upload that was not imported."""
        shutil.rmtree(waiting.folder, ignore_errors=True)

    def expiry(self, waiting: Import) -> str:
        """When an upload is removed unless it is imported: some time after it was used last."""
        used = dt.datetime.fromisoformat(waiting.about["at"])
        if waiting.receipt.exists():
            used = dt.datetime.fromtimestamp(waiting.receipt.stat().st_mtime, dt.UTC)
        return (used + dt.timedelta(seconds=self._limits.kept)).isoformat(timespec="milliseconds")

    def remove_expired(self) -> None:
        """Remove the uploads that have waited for too long. What has written something stays, for an undo."""
        now = _now()
        for each in self:
            if each.report is None and not each.is_interrupted and self.expiry(each) < now:
                self.remove(each)

    def __iter__(self) -> Iterator[Import]:
        """The imports, the latest one first."""
        folders = os.scandir(self._folder) if self._folder.exists() else ()
        every = [Import(Path(folder)) for folder in folders]
        return iter(sorted((each for each in every if each.about), key=lambda each: each.about["at"])[::-1])


def _copy(file: BinaryIO, path: Path) -> None:
    with path.open("xb") as target:
        shutil.copyfileobj(file, target)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
