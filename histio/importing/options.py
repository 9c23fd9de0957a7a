"""The options of imports, and which of them exclude each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.files import FilePath, check_positive
from histio.files.receipts import receipt_path
from histio.importing.renames import Renames
from histio.importing.run import OnCatalog, OnDuplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The options that all imports have in common.

    Attributes:
        kinds: Names of the kinds to import; None: all.
        on_duplicate: What to do with runs that exist.
        catalog: What to do with catalog rows.
        atomic: Whether to write nothing if a run or a catalog row is rejected.
        dry_run: Whether to roll everything back.
        rename: By member, slugs to read as other slugs.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
        receipt: The file that notes what is written; None: nothing does.
        session: To be used instead of the bound database.
        compare: Whether to warn where the database stores another value than it was given. False: only if
            it may do so, as with triggers.

    Raises:
        ValueError: *on_duplicate* has another value, or *receipt* and *dry_run* are combined.
    """

    kinds: str | Sequence[str] | None = None
    on_duplicate: OnDuplicate = "skip"
    catalog: OnCatalog = "ignore"
    atomic: bool = False
    dry_run: bool = False
    rename: Renames | None = None
    truncate_times: bool = False
    receipt: str | os.PathLike[str] | None = None
    session: BorrowedSession | None = None
    compare: bool = False

    def __post_init__(self) -> None:
        allowed = get_args(OnDuplicate)
        if self.on_duplicate not in allowed:
            raise ValueError(f"on_duplicate must be one of {allowed}, not {self.on_duplicate!r}")
        if self.receipt is not None and self.dry_run:
            raise ValueError("receipt excludes dry_run, which writes nothing")


def check_catalog_option(bound: Bound, catalog: OnCatalog) -> None:
    """Raise ValueError unless *catalog* is a value that is possible for this history."""
    if catalog not in get_args(OnCatalog):
        raise ValueError(f"catalog must be one of {get_args(OnCatalog)}, not {catalog!r}")
    if catalog != "ignore" and not bound.catalog:
        raise ValueError(f"catalog={catalog!r}: this history has no catalog kinds: pass their schemas to it")


def may_roll_back(bound: Bound, options: ImportOptions) -> bool:
    """Whether histio or the caller may roll back what an import writes."""
    return options.atomic or options.dry_run or bound.database.is_borrowed(options.session)


def check_commits(bound: Bound, options: ImportOptions, commit_every: int | None) -> None:
    """Raise ValueError if *commit_every* is not a positive integer, or the import may be rolled back."""
    if commit_every is not None:
        check_positive(commit_every=commit_every)
        if may_roll_back(bound, options):
            raise ValueError("commit_every excludes atomic, dry_run and a session that was handed over")


def check_receipt(bound: Bound, options: ImportOptions, *others: FilePath | None) -> None:
    """Raise ValueError where there can be no receipt, or where it is one of the *others*, which are files."""
    if options.receipt is None:
        return
    if bound.database.is_borrowed(options.session):
        raise ValueError("receipt excludes a session that was handed over: its commit is not histio's")
    path = receipt_path(options.receipt)
    names = (other for other in others if isinstance(other, (str, os.PathLike)))
    if str(path) in map(os.path.realpath, names):
        raise ValueError("receipt: must be a file of its own, not one that is imported or written as rejects")
