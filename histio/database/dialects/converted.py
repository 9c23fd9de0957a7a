"""Find columns whose type in the database converts values of the model's type to others."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from histio.database.dialects.stored import Stored
from histio.kinds.column_types import AnyInterval, declared

_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "citext", "json")
_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")


def converts_values(column: sa.Column[Any], stored: Stored, dialect: sa.Dialect) -> bool:
    """Whether the database may store other values in *column* than it is given, such as 7 for the text 007.

    It would do so silently, and no limit says which values these are. SQLite's are in `limits`.
    """
    model_type, name = declared(column.type, dialect), stored.type.split("(")[0]
    is_text = name.startswith("character") or name in _TEXTS
    match model_type:
        case _ if dialect.name == "sqlite" or isinstance(model_type, sa.Enum):
            return False
        case sa.String():  # an ENUM of MariaDB takes other case, trailing spaces and numbers
            return not is_text and name not in _BYTES
        case sa.Integer() | sa.Boolean():
            return is_text or name in ("bit", "year")
        case AnyInterval():  # such as HOUR TO MINUTE
            return name.startswith("interval ")
        case sa.Date() | sa.Time():
            is_zoned = stored.type.endswith("with time zone") and not getattr(model_type, "timezone", False)
            return is_zoned or name.startswith(("datetime", "timestamp"))
    return isinstance(model_type, sa.LargeBinary) and is_text
