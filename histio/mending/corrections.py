"""Keep corrections in a file, so that none is lost when the process ends, however it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeAlias

from histio.files import target
from histio.files.appending import LineWriter
from histio.files.json_text import rename_strings
from histio.files.temporaries import lock_or_fail

Renames: TypeAlias = Mapping[str, Mapping[str, str]]
"""By the name of a member, new slugs by old slugs."""


class CorrectionsError(ValueError):
    """A file does not have the corrections of these rejects."""


class Corrections(ExitStack):
    """The corrections of rejects: lines that were edited, and slugs that were renamed in all lines.

    Each is on disk when its method returns. They apply in the order in which they were made.

    Args:
        path: The file that keeps them. The first correction creates it; one that exists is continued.
        digest: The digest of the rejects.
        is_new: Whether to remove a file with the corrections of other rejects.
    """

    def __init__(self, path: Path, digest: str, *, is_new: bool = False) -> None:
        super().__init__()
        self.path = path
        self._digest = digest
        self._is_new = is_new
        self._lines: dict[int, tuple[str, int]] = {}  # each with the number of renames before it
        self._renames: list[Renames] = []
        self._output: str | None = None
        self._writer: LineWriter | None = None

    def __enter__(self) -> Self:
        """Read the corrections that exist.

        Raises:
            CorrectionsError: The file has other content, or the corrections of other rejects.
            BlockingIOError: Another process uses it.
        """
        super().__enter__()
        if self.path.exists():
            self._open()
        return self

    @property
    def exist(self) -> bool:
        """Whether there are any."""
        return bool(self._lines or self._renames)

    def apply(self, number: int, text: str) -> str:
        """The line *number*, which the rejects have as *text*, with all corrections."""
        text, before = self._lines.get(number, (text, 0))
        for renames in self._renames[before:]:
            text = rename_strings(text, renames)
        return text

    def correct(self, number: int, text: str) -> None:
        """Replace the line *number* by *text*."""
        self._add({"line": number, "text": text})

    def rename(self, member: str, old: str, new: str) -> None:
        """Replace the slug *old* of *member* by *new* in all lines."""
        self._add({"rename": {member: {old: new}}})

    def note_output(self, path: Path) -> None:
        """Note that the corrected lines are in the file at *path*."""
        self._add({"output": digest_of(path)})

    def has_written(self, path: Path) -> bool:
        """Whether the file at *path* has not changed since `note_output`."""
        return self._output is not None and self._output == digest_of(path)

    def remove(self) -> None:
        """Remove the file: the corrections are no longer needed."""
        self.path.unlink(missing_ok=True)

    def _add(self, correction: dict[str, Any]) -> None:
        if self._writer is None:
            with target(self.path, compression=None, is_last=False) as new:
                new.write(f"{json.dumps({'corrections_of': self._digest})}\n".encode())
            self._open()
        assert self._writer is not None  # noqa: S101 - it was opened
        self._writer.add([json.dumps(correction)])
        self._take(correction)

    def _open(self) -> None:
        if not self.path.is_file():  # a device may have no end
            raise CorrectionsError(f"{self.path.name} is not a file of corrections.")
        with ExitStack() as stack:
            file = stack.enter_context(self.path.open("r+b"))
            stack.enter_context(lock_or_fail(file, self.path))
            try:
                header, *corrections = [json.loads(line) for line in file if line.endswith(b"\n")]
                is_same = header["corrections_of"] == self._digest
                for each in corrections if is_same else ():
                    self._take(each)
            except (ValueError, TypeError, KeyError, RecursionError):
                raise CorrectionsError(f"{self.path.name} is not a file of corrections.") from None
            if is_same:
                self._writer = LineWriter(file)
                self.push(stack.pop_all())
            elif self._is_new:
                self.path.unlink()
            else:
                text = "has the corrections of another file, or of an earlier one; --force starts anew."
                raise CorrectionsError(f"{self.path.name} {text}")

    def _take(self, correction: Mapping[str, Any]) -> None:
        match correction:
            case {"line": int(number), "text": str(text)} if "\n" not in text:
                text.encode()  # raises ValueError for lone surrogates
                self._lines[number] = text, len(self._renames)
            case {"rename": dict(renames)} if all(map(_is_rename, renames.values())):
                self._renames.append(renames)
            case {"output": str(digest)}:
                self._output = digest
            case _:
                raise ValueError("no correction")


def _is_rename(slugs: object) -> bool:
    return isinstance(slugs, dict) and all(isinstance(new, str) for new in slugs.values())


def digest_of(path: Path) -> str:
    """The SHA-256 of the file at *path*."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
