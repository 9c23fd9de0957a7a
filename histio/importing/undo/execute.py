"""Undo the imports of a receipt, in one transaction."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.database.dialects import check_engines, database_digest, savepoint, strict
from histio.database.sessions import Habits
from histio.errors import ReceiptError
from histio.files.local import local_path
from histio.files.raw_runs import RawRun
from histio.files.receipts import ReceiptReader, check_header, reading_receipt
from histio.importing.counts import Tally
from histio.importing.destination import Destination, open_destination
from histio.importing.parse import Reader
from histio.importing.spool import Spool
from histio.importing.transaction import Import, advance_sequences, may_check_deferred
from histio.importing.undo.judge import Judge
from histio.importing.undo.notes import Notes, Step
from histio.importing.undo.remove import remove_runs
from histio.kinds.table import Kind
from histio.report import KEPT, Code, Problem, UndoCounts, UndoReport
from histio.wire import encode, quote

_log = logging.getLogger("histio")


def undo(
    bound: Bound, receipt: str | os.PathLike[str], *, dry_run: bool, session: BorrowedSession | None
) -> UndoReport:
    """Undo the imports of *receipt*; see `History.undo`."""
    # Catalog rows are undone as runs are.
    whole = bound.only(bound.all_kinds)
    with reading_receipt(_path(receipt)) as reader, Notes() as notes, Spool() as spool:
        notes.read(_lines(reader, whole))
        with bound.database.writing(session) as (connection, habits, commit):
            check_header(reader.header, whole.versions.current, database_digest(connection))
            destination = open_destination(
                connection,
                whole,
                reader=Reader(whole, whole.versions.current, {}),
                spool=spool,
                values=bound.constants(),
            )
            report = _Undo(destination, notes, habits).undo(dry_run=dry_run)
            if not dry_run and report.removed + report.restored:
                commit()
    _log.info(
        "%s: %d removed, %d restored, %d gone, %d left",
        "dry run" if dry_run else "undo",
        report.removed,
        report.restored,
        report.gone,
        report.left,
    )
    return report


def _path(receipt: str | os.PathLike[str]) -> Path:
    try:
        return local_path(receipt)
    except ValueError as error:
        raise ValueError(f"receipt: {error}") from None


def _lines(reader: ReceiptReader, bound: Bound) -> Iterator[tuple[int, str, str, str | None, str | None]]:
    """The lines of a receipt for `Notes.read`.

    Raises:
        ReceiptError: A line is not one of a receipt of these kinds.
    """
    kinds = {kind.name: kind for kind in bound.kinds}
    for number, _, value in reader.lines():
        kind = kinds.get(value["kind"])
        if kind is None:
            text = f"There is no kind {quote(value['kind'])} in this history."
            raise ReceiptError((Problem("error", "schema", text, line=number),))
        try:
            identity = kind.identity.from_json(value["identity"])
            text = encode(kind.identity.to_json(identity))  # so that each run has one text
        except (ValidationError, TypeError, ValueError) as error:
            text = f"Not the {kind.identity.title} of a {kind.name}: {quote(value['identity'])}"
            raise ReceiptError((Problem("error", "schema", text, kind=kind.name, line=number),)) from error
        before = None if "before" not in value else _encode_before(kind, identity, value["before"], number)
        yield number, kind.name, text, value["sha256"], before


def _encode_before(kind: Kind, identity: Any, before: Mapping[str, Any], number: int) -> str:
    """The JSON of the record before an update, of the run with this *identity*.

    Raises:
        ReceiptError: It is that of another run, which would be overwritten, or cannot be stored.
    """
    text = f"Not a record of the {kind.name} {kind.format_identity(identity)}, or one that cannot be stored."
    problem = Problem("error", "schema", text, "/updated/before", kind=kind.name, line=number)
    try:
        if kind.identity.from_record(before) == identity:
            return encode(before)
    except (ValidationError, TypeError, ValueError) as error:
        raise ReceiptError((problem,)) from error
    raise ReceiptError((problem,))


class _Undo:
    """Undoes imports in one transaction.

    Args:
        destination: The database.
        notes: The lines of the receipt.
        habits: The habits of the session that is used.
    """

    def __init__(self, destination: Destination, notes: Notes, habits: Habits) -> None:
        self._destination = destination
        self._connection = destination.connection
        self._kinds = destination.kinds
        self._notes = notes
        self._habits = habits
        self._tally = Tally(destination.kinds, limit=KEPT)

    def undo(self, *, dry_run: bool) -> UndoReport:
        """Undo everything that can be undone; *dry_run*: and roll back."""
        connection, destination = self._connection, self._destination
        with savepoint(connection) as nested:
            check_engines(connection, destination.tables)
            deferred = may_check_deferred(connection, destination.tables)
            with strict(connection, self._kinds, destination.stored):
                judge = Judge(connection, self._notes)
                for kind in self._kinds:
                    judge.judge(kind, destination.identities.scope(kind.table))
                remove = functools.partial(
                    remove_runs, connection, self._kinds, self._notes, habits=self._habits, deferred=deferred
                )
                remove()
                # What is put back may no longer refer to runs that were left for that reason.
                if self._put_back() and self._notes.take_up_again():
                    remove()
            if dry_run:
                nested.rollback()
        return self._report(dry_run=dry_run)

    def _put_back(self) -> bool:
        """Put back the runs that were updated; return whether there were any."""
        destination = self._destination
        if not any(self._notes.count(kind.name, Step.RESTORE) for kind in self._kinds):
            return False
        restoring = Import(
            destination,
            tally=self._tally,
            habits=self._habits,
            creations=destination.plan.creations(self._habits),
            on_duplicate="update",
            compare=True,
        )
        # In the opposite order of the import: records name rows by the keys that it has given them,
        # and entries were moved to a run after they had been removed from another one.
        for kind in reversed(self._kinds):
            restoring.take(_raw_runs(kind, self._notes.to_put_back(kind.name)), last=True)
        advance_sequences(self._connection, restoring.written)
        return True

    def _report(self, *, dry_run: bool) -> UndoReport:
        put_back = self._tally.report()
        by_kind: dict[str, UndoCounts] = {}
        for kind in (each for each in self._kinds if self._notes.has(each.name)):
            ends = put_back.by_kind[kind.name]
            by_kind[kind.name] = UndoCounts(
                removed=self._notes.count(kind.name, Step.REMOVED),
                restored=ends.updated,
                gone=self._notes.count(kind.name, Step.GONE) + ends.skipped,
                left=self._notes.count(kind.name, Step.LEFT) + ends.rejected,
            )
        left = [problem for kind in self._kinds for problem in self._problems(kind)]
        problems = [*left, *map(_in_receipt, put_back.problems)]
        return UndoReport(
            removed=sum(counts.removed for counts in by_kind.values()),
            restored=sum(counts.restored for counts in by_kind.values()),
            gone=sum(counts.gone for counts in by_kind.values()),
            left=sum(counts.left for counts in by_kind.values()),
            by_kind=by_kind,
            problems=tuple(sorted(problems, key=lambda problem: problem.line or 0)[:KEPT]),
            warnings=tuple(map(_in_receipt, put_back.warnings)),
            problem_count=put_back.problem_count
            + sum(self._notes.count(kind.name, Step.LEFT) for kind in self._kinds),
            warning_count=put_back.warning_count,
            dry_run=dry_run,
        )

    def _problems(self, kind: Kind) -> Iterator[Problem]:
        """Why runs of *kind* are left, one problem for each, at most as many as a report keeps."""
        kept = 0
        for page in self._notes.runs(kind.name, Step.LEFT):
            for number, text in page[: KEPT - kept]:
                uuid = kind.format_identity(kind.identity.from_json(json.loads(text)))
                message, code = _explain(self._notes.obstacles(number))
                yield Problem("error", code, message, "", kind.name, uuid, line=number)
            kept += len(page)
            if kept >= KEPT:
                return


def _explain(obstacles: Sequence[tuple[Code, str]]) -> tuple[str, Code]:
    """The message and the code of a problem about a run that is left because of *obstacles*."""
    if not obstacles:
        return "Is left, because a run that refers to it is left.", "referenced"
    code, text = obstacles[0]
    if code == "referenced":
        text = f"Is left, because others refer to it: {'; '.join(each for _, each in obstacles)}"
    return text, code


def _raw_runs(kind: Kind, runs: Iterable[tuple[int, str]]) -> Iterator[RawRun]:
    """The records of *kind* to put back, each with the number of its line in the receipt."""
    for index, (number, text) in enumerate(runs):
        yield RawRun(kind.name, json.loads(text), index, number, len(text), text)


def _in_receipt(problem: Problem) -> Problem:
    """A *problem* of a record that is put back, with its place in the receipt."""
    steps = problem.pointer.split("/")
    return replace(problem, pointer="/".join(["", "updated", "before", *steps[2:]]), index=None)
