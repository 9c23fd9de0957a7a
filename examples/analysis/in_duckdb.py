"""The questions, answered by DuckDB; each answer is a file in the folder sql."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

SQL = Path(__file__).parent / "sql"
QUESTIONS = ("costs", "ingredients", "yields")


def opened(path: str | os.PathLike[str]) -> duckdb.DuckDBPyConnection:
    """A database in memory with the stream at *path*, plain or gzip, in its tables."""
    connection = duckdb.connect()
    connection.execute("SET VARIABLE history = ?", [os.fspath(path)])
    connection.execute((SQL / "history.sql").read_text("utf-8"))
    return connection


def answers(path: str | os.PathLike[str]) -> dict[str, list[dict[str, object]]]:
    """The rows that answer each question; None: there is no such value."""
    with opened(path) as connection:
        return {question: asked(question, connection) for question in QUESTIONS}


def asked(question: str, connection: duckdb.DuckDBPyConnection) -> list[dict[str, object]]:
    connection.execute((SQL / f"{question}.sql").read_text("utf-8"))
    names = [name for name, *_ in connection.description]
    return [dict(zip(names, row, strict=True)) for row in connection.fetchall()]
