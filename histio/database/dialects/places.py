"""Tell databases apart, so that what was written to one is not taken back from another."""

from __future__ import annotations

import hashlib
import os

from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL

_OF_MYSQL = "SELECT @@hostname, @@port, DATABASE()"
_OF_POSTGRESQL = (
    "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), current_database(), "
    "current_setting('port'), (SELECT system_identifier FROM pg_control_system())"
)
_MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
_OF_SQLITE = "SELECT file FROM pragma_database_list WHERE name = 'main'"


def database_digest(connection: Connection) -> str | None:
    """A sha256 that is another one for another database; None: it cannot be told, as for one in memory.

    It does not depend on the name or the user of the connection.
    """
    found: tuple[object, ...] = ()
    if connection.dialect.name == "sqlite":
        file = connection.exec_driver_sql(_OF_SQLITE).scalar()
        found = (os.path.realpath(file),) if file else ()
    elif connection.dialect.name == "postgresql":
        if connection.exec_driver_sql(_MAY_ASK).scalar():
            found = tuple(connection.exec_driver_sql(_OF_POSTGRESQL).one())
    elif connection.dialect.name in MYSQL:
        found = tuple(connection.exec_driver_sql(_OF_MYSQL).one())
    return hashlib.sha256(repr(found).encode()).hexdigest() if found else None
