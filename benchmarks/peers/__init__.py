"""The peers: each a module with an action or two, measured in a process of its own.

``export(url, path)`` writes all runs to a file; ``load(url, path)`` imports a file. ``warm(url)`` gets the
driver ready before the clock starts, and gives a list that gets the SQL statements from then on, or None.

What else a module may have:

- ``read(path)``: the records of what it exported, which is also what it imports. Without it, that is a sealed
  stream, and has to be the one that it imports, byte for byte.
- ``create(url, path)``: makes its tables, where they are not the bundled ones; no file is needed.
- ``keeps(record)``: what its format keeps of a record.
- ``DATABASES``: where it works, unless everywhere.
"""

from __future__ import annotations

import importlib
from typing import Any

PEERS = {
    "histio": "histio",
    "limit": "limit",
    "textbook": "marshmallow-sqlalchemy",
    "textbook_eager": "marshmallow-sqlalchemy, selectinload",
    "original": "original loop",
    "dumpdata": "Django dumpdata, loaddata",
    "import_export": "django-import-export, bulk",
    "pandas": "pandas",
    "polars": "polars and ADBC",
    "duckdb": "DuckDB and ADBC",
    "sqlite_json": "JSON functions of SQLite",
}


def peer(name: str) -> Any:
    """The module of this *name*."""
    return importlib.import_module(f"peers.{name}")
