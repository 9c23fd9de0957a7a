"""Read the records of a file for an inspection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from histio.bound import Bound
from histio.files.raw_runs import RawRun
from histio.files.reading import Reading
from histio.importing.parse import current_record


def read_records(file: Reading, bound: Bound) -> Iterator[tuple[RawRun, dict[str, Any]] | None]:
    """Each catalog row or run of *file*, and its record of the current version; None for anything else."""
    kinds = {kind.name: kind for kind in bound.all_kinds}
    for item in file.items():
        record = None
        if isinstance(item, RawRun):
            record = current_record(bound, kinds[item.kind], item.record, file.version)
        yield (item, record) if isinstance(item, RawRun) and isinstance(record, dict) else None
