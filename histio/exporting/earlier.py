"""Leave out runs that an earlier export has in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from histio.bound import Bound
from histio.files import FilePath, Predecessor, fail_if_damaged, open_source, reading
from histio.files.chain import NO_PREDECESSOR
from histio.files.folders import Folder
from histio.files.raw_runs import RawRun
from histio.files.scratch import Scratch
from histio.files.streams import Seal, Stream

_TABLE = "CREATE TABLE run (digest BLOB PRIMARY KEY) WITHOUT ROWID;"


class EarlierRuns(Scratch):
    """The runs of an earlier export, known by the digests of their texts, on disk if there are many.

    Attributes:
        predecessor: The export, as a header names it; if it is a document, it cannot be named.
        found: The number of runs that `select_others` has found among them.
    """

    def __init__(self) -> None:
        super().__init__(_TABLE)
        self.predecessor: Predecessor = NO_PREDECESSOR
        self.found: int = 0

    def read(self, path: FilePath, bound: Bound) -> None:
        """Read the export at *path*.

        Raises:
            DocumentError: The file is not a history, or is damaged.
        """
        with reading(open_source(path), bound.gate, bound.kinds) as file:
            digests = (
                (_digest(item.kind, item.text),)
                for item in fail_if_damaged(file.items(), file)
                if isinstance(item, RawRun) and item.text is not None
            )
            self._database.executemany("INSERT OR IGNORE INTO run VALUES (?)", digests)
            if isinstance(file, Stream | Folder):
                has_runs = file.sha256 != Seal().sha256
                self.predecessor = Predecessor(file.sha256, None if has_runs else file.header_sha256)

    def select_others(self, kind: str, texts: Sequence[str]) -> list[str]:
        """Those of the *texts* of runs of *kind* that are not among the earlier ones."""
        others = []
        for text in texts:
            known = self._database.execute("SELECT 1 FROM run WHERE digest = ?", (_digest(kind, text),))
            if known.fetchone() is None:
                others.append(text)
        self.found += len(texts) - len(others)
        return others


def _digest(kind: str, text: str) -> bytes:
    return blake2b(f"{kind} {text}".encode(errors="surrogatepass"), digest_size=16).digest()
