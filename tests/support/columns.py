"""A kind with one column of any type, its documents, and decorators that hosts write."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

import histio
from tests.support.bakery import TIME, number

AN_UUID = "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11"


UTC = dt.UTC


class Guid(sa.types.TypeDecorator):
    """The recipe of SQLAlchemy's documentation: UUID on PostgreSQL, 32 characters elsewhere."""

    impl = sa.CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect):
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.UUID() if native else sa.CHAR(32))

    def process_bind_param(self, value, dialect):
        return value if value is None or dialect.name == "postgresql" else value.hex

    def process_result_value(self, value, _dialect):
        return value if value is None or isinstance(value, UUID) else UUID(value)


class AwareDateTime(sa.types.TypeDecorator):
    """The recipe of SQLAlchemy's documentation: aware in Python, naive UTC in the database."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        if value is not None and value.tzinfo is None:
            raise TypeError("tzinfo is required")
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value, _dialect):
        return value and value.replace(tzinfo=UTC)


class Epoch(sa.types.TypeDecorator):
    """Whole seconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value and int(value.timestamp())

    def process_result_value(self, value, _dialect):
        return value if value is None else dt.datetime.fromtimestamp(value, UTC)


class DecimalText(sa.types.TypeDecorator):
    """Decimals that SQLite does not round."""

    impl = sa.String(40)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value if value is None else str(value)

    def process_result_value(self, value, _dialect):
        return value if value is None else Decimal(value)


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


def host(column_type, field, options=None, /, *, nullable=False, **columns):
    """A kind whose runs have one column of *column_type*, and its metadata; *columns* are left out of it."""
    base = orm.declarative_base()
    names = {
        "__tablename__": "things",
        "id": sa.Column(sa.Integer, primary_key=True),
        "uuid": sa.Column(sa.String(36), unique=True),
        "value": sa.Column(column_type, nullable=nullable),
        **columns,
    }
    thing = type("Thing", (base,), names)
    meta = {"model": thing, "kind": "thing", "collection": "things", "timestamp": None} | (options or {})
    meta = type("Meta", (), meta)
    return base.metadata, type(
        "ThingSchema",
        (histio.RunSchema,),
        {"Meta": meta, "uuid": histio.RunUUID(required=True), "value": field},
    )


def things(*values):
    records = [{"uuid": number(n), "value": value} for n, value in enumerate(values)]
    return {"version": "1.0", "exported_at": TIME, "things": records}


def exported(history):
    return history.export_document(exported_at=dt.datetime.fromisoformat(TIME))
