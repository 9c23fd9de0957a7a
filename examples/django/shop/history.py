"""What of the shop is history, and how it is written down: the binding of Django's tables to histio."""

from __future__ import annotations

import functools
from typing import Any

import histio
import sqlalchemy as sa
from django.apps import apps
from django.db import connections
from marshmallow.fields import Nested
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import DeclarativeBase, relationship


# In docs/how-to/django.md:
class SqliteDateTime(sqlite.DATETIME):
    """A time as Django writes it to SQLite, which compares texts: without microseconds that are zero."""

    def bind_processor(self, _dialect: sa.Dialect) -> Any:
        return lambda time: None if time is None else str(time.replace(tzinfo=None))


TYPES = {
    "BooleanField": lambda _: sa.Boolean(),
    "DateTimeField": lambda _: sa.DateTime(timezone=True).with_variant(SqliteDateTime(), "sqlite"),
    "DecimalField": lambda field: sa.Numeric(field.max_digits, field.decimal_places),
    "JSONField": lambda _: sa.JSON(),
    "UUIDField": lambda _: sa.Uuid(),
}


class Base(DeferredReflection, DeclarativeBase):
    """The columns of each class are those of its table, when `prepare` has read it."""


@sa.event.listens_for(Base.metadata, "column_reflect")
def take_types_from_django(_inspector: Any, table: sa.Table, column: Any) -> None:
    """Reflect the type that Django means: a database may have none of its own for it, such as for UUIDs."""
    [model] = [each for each in apps.get_models() if each._meta.db_table == table.name]
    [field] = [each for each in model._meta.concrete_fields if each.column == column["name"]]
    while field.is_relation:
        field = field.target_field
    if field.get_internal_type() in TYPES:
        column["type"] = TYPES[field.get_internal_type()](field)


class Recipe(Base):
    __tablename__ = "shop_recipe"


class Usage(Base):
    __tablename__ = "shop_usage"


class Bake(Base):
    __tablename__ = "shop_bake"

    recipe = relationship(Recipe)
    usages = relationship(Usage, order_by="Usage.id")


# So far the tables in docs/how-to/django.md, and then the schemas:
class RecipeSchema(histio.CatalogSchema):
    """What bakes name. It can travel with them."""

    class Meta:
        model, kind, collection, identity = Recipe, "recipe", "recipes", "slug"

    slug = histio.Slug(required=True, example="hot-cross-buns")
    name = histio.Text(required=True, example="Hot cross buns")
    is_organic = histio.Boolean(required=True, example=False)


class UsageSchema(histio.RecordSchema):
    """An entry of a bake's ledger."""

    class Meta:
        model = Usage

    ingredient = histio.Slug(required=True, example="flour")
    kilograms = histio.FixedDecimal(required=True, example="1.250")
    best_before = histio.Date(allow_none=True, example="2026-01-01")


class BakeSchema(histio.RunSchema):
    """A run. Its recipe is written as a slug, which means the same in every database."""

    class Meta:
        model, kind, collection, timestamp, identity = Bake, "bake", "bakes", "baked_at", "id"

    id = histio.RunUUID(required=True, example="7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11")
    recipe = histio.Slug("recipe", required=True, example="hot-cross-buns")
    baked_at = histio.UtcTimestamp(required=True, example="2025-12-08T10:00:00Z")
    pieces = histio.Integer(required=True, minimum=0, example=24)
    cost = histio.FixedDecimal(required=True, example="5.25")
    is_sold_out = histio.Boolean(required=True, example=True)
    details = histio.Json(required=True, example={"oven": 2})
    remarks = histio.Text(required=True, example="Oven ran hot")
    usages = Nested(UsageSchema, many=True)


# So far the schemas in docs/how-to/django.md, and then the history:
def history(alias: str = "default") -> histio.History:
    """The history of the database that Django calls *alias*.

    Raises:
        RuntimeError: It is used in a transaction of Django's, which it would not see.
    """
    if connections[alias].in_atomic_block:
        raise RuntimeError("histio has a connection of its own: use it outside of transaction.atomic()")
    return _history(alias)


@functools.cache
def _history(alias: str) -> histio.History:
    engine = engine_of(alias)
    Base.prepare(engine)  # reads the tables, so not before migrations have created them
    return histio.History(engine, BakeSchema, catalog=(RecipeSchema,), version="1.0")


# So far in docs/how-to/django.md.
DRIVERS = {"sqlite3": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mariadb+pymysql"}


def engine_of(alias: str) -> sa.Engine:
    """An engine for the database that Django calls *alias*."""
    settings = connections[alias].settings_dict
    url = sa.URL.create(
        DRIVERS[settings["ENGINE"].rpartition(".")[2]],
        settings["USER"] or None,
        settings["PASSWORD"] or None,
        settings["HOST"] or None,
        int(settings["PORT"]) if settings["PORT"] else None,
        str(settings["NAME"]),
    )
    return histio.create_engine(url, poolclass=sa.NullPool)  # like Django, which keeps none by default
