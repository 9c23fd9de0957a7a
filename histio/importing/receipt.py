"""Note what an import writes, and write it to a receipt before each commit."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import database_digest
from histio.exporting.pages import read_known
from histio.files.appending import LineWriter
from histio.files.receipts import open_receipt, receipt_path
from histio.importing.spool import Spool
from histio.kinds.table import Kind, Table
from histio.tuning import tuning, with_pauses
from histio.wire import encode


class Receipt(ExitStack):
    """The receipt of one import, in one transaction or in several that follow each other.

    Args:
        path: The file.
        kinds: The kinds of catalog rows and of runs.
        version: The version of the format.

    Raises:
        ValueError: *path* is not the path of a local ``.jsonl`` file.
    """

    def __init__(self, path: str | os.PathLike[str], kinds: Sequence[Kind], version: str) -> None:
        super().__init__()
        self._path = receipt_path(path)
        self._kinds = kinds
        self._version = version
        self._writer: LineWriter | None = None
        self._transaction = 0
        self._noted: dict[tuple[str, Kind], Spool] = {}

    def begin(self, connection: Connection) -> None:
        """Begin a transaction on *connection*; the first one opens the file.

        Raises:
            ReceiptError: The file is no receipt, or that of another database.
            OSError: The file cannot be written.
        """
        self._transaction += 1
        self._noted.clear()
        if self._writer is None:
            names = [kind.name for kind in self._kinds]
            header = {"version": self._version, "kinds": names, "database": database_digest(connection)}
            self._writer = self.enter_context(open_receipt(self._path, header))

    def note_created(self, kind: Kind, identities: Iterable[Any], spool: Spool) -> None:
        """Note in *spool* the runs of *kind* that were inserted."""
        self._noted["created", kind] = spool
        names = (encode(kind.identity.to_json(identity)) for identity in identities)
        spool.note(self._scope("created", kind), ((name, "") for name in names))

    def note_updated(self, kind: Kind, records: Mapping[Any, str], spool: Spool) -> None:
        """Note in *spool* the runs of *kind* that were updated.

        *records* has, by identity, the JSON of each run as it was before.
        """
        self._noted["updated", kind] = spool
        created, updated = self._scope("created", kind), self._scope("updated", kind)
        for identity, text in records.items():
            name = encode(kind.identity.to_json(identity))
            # What the transaction has written itself is not what was stored before.
            if spool.place(created, name) is None and spool.place(updated, name) is None:
                spool.note(updated, [(name, text)])

    def _scope(self, action: str, kind: Kind) -> str:
        return f"{action} {self._transaction} {kind.name}"

    def write(
        self, connection: Connection, scopes: Mapping[Table, Mapping[sa.Column[Any], Any]], *, latest: bool
    ) -> None:
        """Write what was noted in this transaction, as it is stored now. It is on disk when this returns.

        Args:
            connection: In the transaction.
            scopes: By table, the columns that identify a row together with its identity, and their values.

            latest: Whether runs refer to rows that others have committed since the transaction began.

        Raises:
            OSError: It cannot be written; then no line is.
        """
        assert self._writer is not None  # noqa: S101 - `begin` was called
        lines = itertools.chain.from_iterable(
            self._lines(connection, kind, action, scopes[kind.table], now=latest or action == "updated")
            for kind in self._kinds
            for action in ("created", "updated")
            if (action, kind) in self._noted
        )
        first = next(lines, None)
        if first is not None:
            self._writer.add(itertools.chain([first], lines))

    def _lines(
        self,
        connection: Connection,
        kind: Kind,
        action: str,
        within: Mapping[sa.Column[Any], Any],
        *,
        now: bool,
    ) -> Iterator[str]:
        noted = self._noted[action, kind].noted(self._scope(action, kind))
        while page := list(itertools.islice(noted, tuning().page)):
            identities = [kind.identity.from_json(json.loads(name)) for name, _ in page]
            texts = read_known(connection, kind, identities, within=within, now=now)
            for identity, (name, before) in with_pauses(zip(identities, page, strict=True)):
                sha256 = digest(texts.get(kind.format_identity(identity)))
                further = f',"before":{before}' if action == "updated" else ""
                own = f'"kind":{encode(kind.name)},"identity":{name},"sha256":{encode(sha256)}{further}'
                yield f'{{"{action}":{{{own}}}}}'


def digest(text: str | None) -> str | None:
    """The digest of a run with this JSON; None: it cannot be read."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def read_before(
    connection: Connection, kind: Kind, identities: Collection[Any], within: Mapping[sa.Column[Any], Any]
) -> dict[Any, str]:
    """By identity, the JSON of runs before they are updated."""
    texts = read_known(connection, kind, list(identities), within=within, now=True)
    named = ((identity, texts.get(kind.format_identity(identity))) for identity in identities)
    return {identity: text for identity, text in named if text is not None}
