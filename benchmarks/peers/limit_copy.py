"""The limit as PostgreSQL's COPY TO gives the rows. Whichever way is faster is the limit."""

from __future__ import annotations

from pathlib import Path

from peers import limit
from peers.drivers import Copying
from peers.limit import warm

__all__ = ["DATABASES", "export", "warm"]

DATABASES = ("postgresql",)


def export(url: str, path: Path) -> None:
    limit.export(url, path, Copying)
