"""histio itself, with everything checked; also what it makes of runs that are known, and of bad ones."""

from __future__ import annotations

from pathlib import Path

from histio import History
from peers.alchemy import warm

__all__ = ["export", "load", "reject", "skip", "verify", "warm"]


def export(url: str, path: Path) -> None:
    with History(url) as history:
        history.export_file(path, overwrite=True)


def load(url: str, path: Path) -> None:
    with History(url) as history:
        history.import_file(path)


def skip(url: str, path: Path) -> None:
    with History(url) as history:
        report = history.import_file(path)
    assert not report.imported + report.rejected


def verify(url: str, path: Path) -> None:
    with History(url) as history:
        report = history.import_file(path, on_duplicate="verify")
    assert not report.imported + report.rejected


def reject(url: str, path: Path) -> None:
    with History(url) as history:
        report = history.import_file(path)
    assert not report.imported + report.skipped
