"""Recognize and complete URLs of databases."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

import sqlalchemy as sa

# Without a driver, SQLAlchemy would choose one that histio does not install.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}


def describe_database(url: sa.URL) -> str:
    """The database of *url* in words, such as ``PostgreSQL bakery on db.example.org``.

    It has no user, no password and no query; of a file, only the name.
    """
    backend = url.get_backend_name()
    name = _NAMES.get(backend, backend)
    if backend == "sqlite":
        file = PurePath((url.database or "").removeprefix("file:").partition("?")[0]).name
        return f"{name} in memory" if for_other_processes(url) is None or not file else f"{name} {file}"
    port = "" if url.port is None else f":{url.port}"
    host = f" on {url.host}{port}" if url.host else ""
    return f"{name} {url.database or ''}".rstrip() + host


def with_driver(url: str) -> sa.URL:
    """Parse *url*, and add the driver that histio installs if it names none.

    Raises:
        sqlalchemy.exc.ArgumentError: It is not a URL, or has a common mistake.
    """
    parsed = sa.make_url(url)
    if "@" in (parsed.host or ""):
        raise sa.exc.ArgumentError("Write an @ in the password as %40.")
    if parsed.get_backend_name() == "sqlite" and parsed.host:
        raise sa.exc.ArgumentError(
            "Write the path of a SQLite file after three slashes, such as sqlite:///bakery.db."
        )
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def is_database(text: str) -> bool:
    """Whether *text* is the URL of a database, not of a file."""
    return re.match(r"(sqlite|postgres(ql)?|mysql|mariadb)(\+\w+)?://", text) is not None


def missing_file(url: sa.URL) -> Path | None:
    """The SQLite file that a connection to *url* would create; None: it would not create a file."""
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return None if Path(name).exists() else Path(name)


def for_other_processes(url: sa.URL) -> sa.URL | None:
    """*url* as another process of this machine can open it: with an absolute path, if it names a file.

    None: the database is in the memory of this process.
    """
    name = url.database or ""
    if url.get_backend_name() != "sqlite":
        return url
    if name in ("", ":memory:") or ":memory:" in name or url.query.get("mode") == "memory":
        return None
    return url if name.startswith("file:") else url.set(database=str(Path(name).absolute()))
