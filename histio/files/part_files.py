"""The files of an export in parts, in a folder or at a URL.

Each part is written under a temporary name with the key of the export, and gets its name when all are there.
So what a process that was thought lost writes later is in nobody's way.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from histio.files.manifest import MANIFEST
from histio.files.targets import sync_folder, target
from histio.files.temporaries import lock_folder, temporary_prefix
from histio.files.urls import explaining, is_url, join, list_folder, open_system, strip_file_scheme
from histio.progress import before_last_step
from histio.redact import strip_secrets
from histio.wire import quote

_LEFT = re.compile(
    r"(part-[0-9]{5,}|catalog)\.jsonl\.zst|(part-[0-9]{5,}|catalog|manifest)\.[0-9a-f]{16}\.tmp"
    r"|\.histio-(part-[0-9]{5,}|catalog|manifest)-[0-9a-f-]{29}"
)
"""What an earlier export has left: its parts, and temporary files if it was killed."""


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files of an export in parts; it can be pickled.

    Attributes:
        folder: The absolute path of the folder, or its URL.
        overwrite: Whether an earlier export is replaced.
        key: What temporary names have that no other export has; empty: no file has been written.
    """

    folder: str
    overwrite: bool
    key: str = ""

    @classmethod
    def create(cls, folder: str | os.PathLike[str], *, overwrite: bool) -> PartFiles:
        """The files in a *folder*, which is created.

        Raises:
            FileExistsError: It has the manifest of an export, and *overwrite* is False.
            NotADirectoryError: It is a file.
        """
        if folder == "-" or hasattr(folder, "write"):
            raise TypeError(f"parts are written to a folder, not to {quote(folder)}")
        place = strip_file_scheme(folder)
        files = cls(str(place) if is_url(place) else str(Path(place).absolute()), overwrite)
        if not is_url(files.folder):
            Path(files.folder).mkdir(exist_ok=True)
        files._check_new(files._list())
        return files

    def temporary(self, name: str) -> str:
        """The path or URL under which the part called *name* is written."""
        return join(self.folder, self._temporary_name(name))

    def _temporary_name(self, name: str) -> str:
        return f"{name.partition('.')[0]}.{self.key}.tmp"

    def publish(self, names: Collection[str], manifest: bytes) -> None:
        """Give the parts their *names*, in place of an earlier export, and write the *manifest*.

        Raises:
            FileExistsError: Another export has ended in the folder meanwhile, and *overwrite* is False.
            FileNotFoundError: Another export to the folder has removed parts; nothing is changed.
        """
        with target(self.temporary(MANIFEST), compression=None, overwrite=True, is_last=False) as file:
            file.write(manifest)
        with nullcontext() if is_url(self.folder) else lock_folder(Path(self.folder)):
            existing = self._list()
            self._check_new(existing)
            self._check_written(names, existing)
            for announce in before_last_step:
                announce()
            self._remove([MANIFEST] if MANIFEST in existing else [])
            for name in names:
                self._rename(self.temporary(name), join(self.folder, name))
            self._remove(name for name in existing if self._is_left(name) and name not in names)
            self._rename(self.temporary(MANIFEST), join(self.folder, MANIFEST))
        if not is_url(self.folder):
            sync_folder(Path(self.folder))

    def _is_left(self, name: str) -> bool:
        """Whether a file called *name* is what another export has left."""
        return name != self._temporary_name(MANIFEST) and _LEFT.fullmatch(name) is not None

    def _check_new(self, existing: Collection[str]) -> None:
        if not self.overwrite and MANIFEST in existing:
            name = strip_secrets(join(self.folder, MANIFEST))
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    def _check_written(self, names: Collection[str], existing: Collection[str]) -> None:
        for name in sorted(set(map(self._temporary_name, names)).difference(existing)):
            text = "another export to the same folder has removed it"
            raise FileNotFoundError(errno.ENOENT, text, strip_secrets(join(self.folder, name)))

    def sweep(self, names: Collection[str]) -> None:
        """Remove the temporary files of the parts called *names*, also those of killed processes."""
        written = set(map(self._temporary_name, [*names, MANIFEST]))
        beginnings = tuple(temporary_prefix(Path(name)) for name in written)
        self._remove(name for name in self._list() if name in written or name.startswith(beginnings))

    def _list(self) -> list[str]:
        if not is_url(self.folder):
            return sorted(path.name for path in Path(self.folder).iterdir())
        return sorted(list_folder(self.folder) or ())

    def _rename(self, path: str, name: str) -> None:
        if not is_url(path):
            Path(path).replace(name)
            return
        with explaining(name):
            system, source = open_system(path)
            _, place = open_system(name)
            system.mv(source, place)

    def _remove(self, names: Collection[str] | Iterator[str]) -> None:
        for name in names:
            path = join(self.folder, name)
            with suppress(FileNotFoundError):
                if not is_url(path):
                    Path(path).unlink()
                    continue
                with explaining(path):
                    system, place = open_system(path)
                    system.rm_file(place)
