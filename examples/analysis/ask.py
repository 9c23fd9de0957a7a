"""Prints the answers of DuckDB or of pandas as Markdown tables.

python ask.py duckdb history.jsonl.gz
python ask.py pandas history.jsonl.gz
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator


def table(rows: list[dict[str, object]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    for cells in (rows[0], ["---"] * len(rows[0]), *(row.values() for row in rows)):
        yield f"| {' | '.join('' if cell is None else str(cell) for cell in cells)} |"


if __name__ == "__main__":
    _, by, path = sys.argv
    for question, rows in importlib.import_module(f"in_{by}").answers(path).items():
        print(f"## {question}", "", *table(rows), "", sep="\n")
