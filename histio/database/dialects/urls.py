"""URLs of databases, as people write them."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa

# Without a driver, SQLAlchemy takes one that histio has no extra for.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


def with_driver(url: str) -> sa.URL:
    """*url*, with the driver that comes with histio where it names none.

    Raises:
        sqlalchemy.exc.ArgumentError: It is none, or has a part that cannot be meant.
    """
    made = sa.make_url(url)
    if "@" in (made.host or ""):
        raise sa.exc.ArgumentError("In a URL, write an @ of the password as %40.")
    if made.get_backend_name() == "sqlite" and made.host:
        raise sa.exc.ArgumentError("A path to a SQLite file stands behind three slashes.")
    return made.set(drivername=_DRIVERS.get(made.drivername, made.drivername))


def is_database(text: str) -> bool:
    """Whether *text* is the URL of a database, and not of a file."""
    return re.match(r"(sqlite|postgres(ql)?|mysql|mariadb)(\+\w+)?://", text) is not None


def missing_file(url: sa.URL) -> Path | None:
    """The file that a connection to *url* would make, empty; None: it makes none."""
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return None if Path(name).exists() else Path(name)
