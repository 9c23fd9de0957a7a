"""Import one part, in this process or in another one."""

from __future__ import annotations

import io
import pickle
import random
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from histio.bound import Bound, Opening
from histio.database.dialects import is_conflict
from histio.files import Limits, open_rejects
from histio.files.manifest import Manifest
from histio.files.raw_runs import RawRun
from histio.files.several import open_part
from histio.importing.counts import Tally
from histio.importing.execute import Piece, add_damage, choose_kinds, import_runs, verify
from histio.importing.options import ImportOptions
from histio.log import log_handled
from histio.progress import Meter
from histio.report import KEPT, ImportReport
from histio.tuning import tuned

_ATTEMPTS = 8
"""How often the import of a part begins, if other transactions are in its way, or connections are lost."""

_PAUSE = 0.05
"""The longest pause before the second attempt, in seconds; it doubles with each further one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTask:
    """What has to be known to import a part.

    Attributes:
        history: Opens the history.
        folder: The path or URL of the folder.
        manifest: The manifest, with this part only.
        has_catalog: Whether the folder has a part with catalog rows, which was imported before.
        options: The options of the import.
        limits: The limits of the part and its lines.
        allow_truncated: Whether to import the readable runs of a damaged part.
        commit_every: The number of runs in a transaction; None: all runs of the part.
        keeps_rejects: Whether to return what was rejected.
    """

    history: Opening
    folder: str
    manifest: Manifest
    has_catalog: bool
    options: ImportOptions
    limits: Limits
    allow_truncated: bool
    commit_every: int | None
    keeps_rejects: bool


@dataclass(frozen=True, slots=True)
class ImportedPart:
    """The result of the import of a part.

    Attributes:
        report: The report, without the runs that wait.
        rejects: The lines of what was rejected, compressed; empty: nothing was, or nobody asked for them.
        waiting: The runs that refer to runs which are not stored, or take unique values that others have,
            pickled and compressed; empty: there are none.
    """

    report: ImportReport
    rejects: bytes
    waiting: bytes


def import_part(task: PartTask) -> ImportedPart:
    """Import a part; again, if another transaction is in its way, or the connection is lost.

    Raises:
        DocumentError: The part is damaged; nothing of it was written.
        sqlalchemy.exc.DBAPIError: No run is at fault, as with a full disk.
    """
    bound = task.history.open()
    for attempt in range(1, _ATTEMPTS):
        try:
            return _import_once(bound, task)
        except DBAPIError as error:
            if not _may_repeat(task, error):
                raise
            log_handled("a part is imported again", error)
            time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311 - so that parts do not meet again
    return _import_once(bound, task)


def _may_repeat(task: PartTask, error: DBAPIError) -> bool:
    """Whether to import a part again after an *error*: not if its own runs may then be duplicates."""
    if error.connection_invalidated:  # perhaps after the commit
        return task.options.on_duplicate != "error"
    return is_conflict(error) and (task.commit_every is None or task.options.on_duplicate != "error")


def _import_once(bound: Bound, task: PartTask) -> ImportedPart:
    kinds = choose_kinds(bound, task.options)
    names = [kind.name for kind in kinds]
    lines = io.BytesIO()
    waiting: list[RawRun] = []
    with (
        open_part(
            task.folder,
            task.manifest,
            bound.gate,
            kinds,
            task.limits,
            allow_truncated=task.allow_truncated,
        ) as files,
        open_rejects(
            lines if task.keeps_rejects else None, files.version, names, versions=bound.versions
        ) as rejected,
        tuned(refresh_from=sys.maxsize),
    ):
        if task.commit_every is not None:
            verify(files, Meter(None))
        report = import_runs(
            bound,
            files.items(),
            files.version,
            Tally(kinds, catalog=bound.catalog, limit=KEPT, rejects=rejected, files=files.names),
            task.options,
            commit_every=task.commit_every,
            piece=Piece(has_catalog=task.has_catalog, waiting=waiting),
        )
    _, _, rest = lines.getvalue().partition(b"\n")
    return ImportedPart(add_damage(report, files.damage), _compress(rest), _pickle(waiting))


def unpickle_runs(waiting: bytes) -> list[RawRun]:
    """The runs that wait in a part, from its result."""
    return pickle.loads(zlib.decompress(waiting)) if waiting else []  # noqa: S301 - from our own task


def _compress(data: bytes) -> bytes:
    return zlib.compress(data, 1) if data else b""


def _pickle(runs: Sequence[RawRun]) -> bytes:
    return _compress(pickle.dumps(runs)) if runs else b""
