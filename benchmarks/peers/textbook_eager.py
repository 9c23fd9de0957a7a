"""The same program, whose query names what it will need."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import selectinload

from histio.models import ProductionRun
from peers import textbook
from peers.textbook import read, warm

__all__ = ["export", "read", "warm"]


def export(url: str, path: Path) -> None:
    related = (ProductionRun.recipe, ProductionRun.finished_unit, ProductionRun.consumptions)
    textbook.export(url, path, *map(selectinload, related))
