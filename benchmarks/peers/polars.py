"""polars with ADBC: whole tables in memory, joined and written as JSON by compiled code."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import polars as pl
from data import seal

from peers.frames import DATABASES, ENTRY_MEMBERS, MEMBERS, SCALES, TIMES, tables, warm

__all__ = ["DATABASES", "export", "warm"]


def export(url: str, path: Path) -> None:
    found, rows = tables(url)
    runs, entries = _frame(found, MEMBERS), _frame(rows, ENTRY_MEMBERS)
    ledgers = entries.group_by("production_run_id", maintain_order=True).agg(
        pl.struct(ENTRY_MEMBERS).alias("consumptions")
    )
    whole = runs.join(ledgers, left_on="id", right_on="production_run_id", how="left", maintain_order="left")
    record = pl.struct(*MEMBERS, "consumptions").alias("production_run")
    text = io.BytesIO()
    whole.select(record).write_ndjson(text)
    text.seek(0)
    seal(path, text)


def _frame(table: object, members: Iterable[str]) -> pl.DataFrame:
    """A *table* with decimals and times as the format has them."""
    frame = pl.DataFrame(table)
    shaped = [
        *(_decimal(frame, name) for name in members if name in SCALES),
        *(_time(frame, name) for name in members if name in TIMES),
    ]
    return frame.with_columns(shaped)


def _decimal(frame: pl.DataFrame, name: str) -> pl.Expr:
    if frame.schema[name].is_numeric():  # SQLite
        return pl.col(name).cast(pl.Decimal(10, SCALES[name])).cast(pl.String)
    return pl.col(name)


def _time(frame: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    if frame.schema[name] == pl.String:  # SQLite
        text = column.str.replace(" ", "T", literal=True)
    else:
        text = column.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")
    return text.str.strip_suffix(".000000") + "Z"
