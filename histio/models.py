"""The bundled models, which are also an example for a host's models.

Behaviour is the same on SQLite, PostgreSQL, MariaDB and MySQL: slugs and UUIDs compare exactly, timestamps
keep microseconds, notes have no practical limit, and 4-byte characters survive. For SQLite, use an engine
from `histio.create_engine`, which enforces foreign keys.
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

Constraints: TypeAlias = tuple[sa.schema.SchemaItem, ...]
"""The constraints and indexes of a table, beside those of its columns."""

_MYSQL = ("mysql", "mariadb")


class ExactString(sa.types.TypeDecorator[str]):
    """A string that the database compares and sorts by code point, trailing spaces included.

    On MySQL, the binary collation that all versions have ignores trailing spaces; valid slugs and
    UUIDs have none.
    """

    impl: type[sa.String] = sa.String
    cache_ok: bool | None = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        length = getattr(self.impl, "length", None)
        if dialect.name in _MYSQL:
            collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_bin"
            return mysql.VARCHAR(length, charset="utf8mb4", collation=collation)
        return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


Slug: ExactString = ExactString(200)
Name: sa.String = sa.String(200)
Unit: sa.String = sa.String(50)
Quantity: sa.Numeric[Decimal] = sa.Numeric(10, 3)
Money: sa.Numeric[Decimal] = sa.Numeric(10, 4)
Notes: sa.Text = sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
UtcDateTime: sa.DateTime = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _new_uuid() -> str:
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    """Every table has a key, a UUID, and the times of its creation and last change, in naive UTC."""

    metadata: ClassVar[sa.MetaData] = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-2)
    uuid: Mapped[str] = mapped_column(ExactString(36), unique=True, default=_new_uuid, sort_order=-1)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=_now)
    updated_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, default=_now, onupdate=_now, index=True)

    constraints: ClassVar[Constraints] = ()

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:  # noqa: N805
        return (
            *cls.constraints,
            {
                f"{name}_{option}": value
                for name in _MYSQL
                for option, value in (("charset", "utf8mb4"), ("engine", "InnoDB"))
            },
        )


def _positive(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} > 0", name=f"{column}_positive")


def _not_negative(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} >= 0", name=f"{column}_not_negative")


def _parent(target: str, *, ondelete: str = "RESTRICT") -> Any:
    return mapped_column(sa.ForeignKey(target, ondelete=ondelete), index=True)


def _ledger(back_populates: str, *, order_by: str) -> Any:
    return relationship(
        back_populates=back_populates, order_by=order_by, cascade="all, delete-orphan", passive_deletes=True
    )


class Recipe(Base):
    """A recipe, which production runs follow."""

    __tablename__ = "recipes"

    name: Mapped[str] = mapped_column(Name)
    slug: Mapped[str] = mapped_column(Slug, unique=True)


class Ingredient(Base):
    """An ingredient, which production runs consume."""

    __tablename__ = "ingredients"

    display_name: Mapped[str] = mapped_column(Name)
    slug: Mapped[str] = mapped_column(Slug, unique=True)


class FinishedUnit(Base):
    """What a production run makes: one yield of a recipe."""

    __tablename__ = "finished_units"

    display_name: Mapped[str] = mapped_column(Name)
    slug: Mapped[str] = mapped_column(Slug, unique=True)
    recipe_id: Mapped[int] = _parent("recipes.id")

    recipe: Mapped[Recipe] = relationship()


class FinishedGood(Base):
    """What an assembly run puts together from finished units."""

    __tablename__ = "finished_goods"

    display_name: Mapped[str] = mapped_column(Name)
    slug: Mapped[str] = mapped_column(Slug, unique=True)


class Product(Base):
    """A purchasable form of an ingredient, such as a pack of bags."""

    __tablename__ = "products"

    product_name: Mapped[str] = mapped_column(Name)
    slug: Mapped[str] = mapped_column(Slug, unique=True)
    ingredient_id: Mapped[int] = _parent("ingredients.id")

    ingredient: Mapped[Ingredient] = relationship()


class ProductionRun(Base):
    """Batches of one recipe, made at one time."""

    __tablename__ = "production_runs"
    constraints: ClassVar[Constraints] = (
        _positive("num_batches"),
        *map(_not_negative, ("expected_yield", "actual_yield", "total_ingredient_cost", "per_unit_cost")),
        sa.Index(None, "produced_at", "uuid"),
    )

    recipe_id: Mapped[int] = _parent("recipes.id")
    finished_unit_id: Mapped[int] = _parent("finished_units.id")
    num_batches: Mapped[int]
    expected_yield: Mapped[int]
    actual_yield: Mapped[int]
    produced_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    notes: Mapped[str | None] = mapped_column(Notes)
    total_ingredient_cost: Mapped[Decimal] = mapped_column(Money)
    per_unit_cost: Mapped[Decimal] = mapped_column(Money)

    recipe: Mapped[Recipe] = relationship()
    finished_unit: Mapped[FinishedUnit] = relationship()
    consumptions: Mapped[list[ProductionConsumption]] = _ledger(
        "production_run", order_by="ProductionConsumption.id"
    )


class ProductionConsumption(Base):
    """What a production run used of one ingredient. The slug is a snapshot: it outlives the ingredient."""

    __tablename__ = "production_consumptions"
    constraints: ClassVar[Constraints] = (
        _positive("quantity_consumed"),
        _not_negative("total_cost"),
    )

    production_run_id: Mapped[int] = _parent("production_runs.id", ondelete="CASCADE")
    ingredient_slug: Mapped[str] = mapped_column(Slug, index=True)
    quantity_consumed: Mapped[Decimal] = mapped_column(Quantity)
    unit: Mapped[str] = mapped_column(Unit)
    total_cost: Mapped[Decimal] = mapped_column(Money)

    production_run: Mapped[ProductionRun] = relationship(back_populates="consumptions")


class AssemblyRun(Base):
    """Finished goods put together at one time."""

    __tablename__ = "assembly_runs"
    constraints: ClassVar[Constraints] = (
        _positive("quantity_assembled"),
        *map(_not_negative, ("total_component_cost", "per_unit_cost")),
        sa.Index(None, "assembled_at", "uuid"),
    )

    finished_good_id: Mapped[int] = _parent("finished_goods.id")
    quantity_assembled: Mapped[int]
    assembled_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    notes: Mapped[str | None] = mapped_column(Notes)
    total_component_cost: Mapped[Decimal] = mapped_column(Money)
    per_unit_cost: Mapped[Decimal] = mapped_column(Money)

    finished_good: Mapped[FinishedGood] = relationship()
    finished_unit_consumptions: Mapped[list[AssemblyFinishedUnitConsumption]] = _ledger(
        "assembly_run", order_by="AssemblyFinishedUnitConsumption.id"
    )
    packaging_consumptions: Mapped[list[AssemblyPackagingConsumption]] = _ledger(
        "assembly_run", order_by="AssemblyPackagingConsumption.id"
    )


class AssemblyFinishedUnitConsumption(Base):
    """What an assembly run used of one finished unit."""

    __tablename__ = "assembly_finished_unit_consumptions"
    constraints: ClassVar[Constraints] = (
        _positive("quantity_consumed"),
        *map(_not_negative, ("unit_cost_at_consumption", "total_cost")),
    )

    assembly_run_id: Mapped[int] = _parent("assembly_runs.id", ondelete="CASCADE")
    finished_unit_id: Mapped[int] = _parent("finished_units.id")
    quantity_consumed: Mapped[int]
    unit_cost_at_consumption: Mapped[Decimal] = mapped_column(Money)
    total_cost: Mapped[Decimal] = mapped_column(Money)

    assembly_run: Mapped[AssemblyRun] = relationship(back_populates="finished_unit_consumptions")
    finished_unit: Mapped[FinishedUnit] = relationship()


class AssemblyPackagingConsumption(Base):
    """What an assembly run used of one packaging product."""

    __tablename__ = "assembly_packaging_consumptions"
    constraints: ClassVar[Constraints] = (
        _positive("quantity_consumed"),
        _not_negative("total_cost"),
    )

    assembly_run_id: Mapped[int] = _parent("assembly_runs.id", ondelete="CASCADE")
    product_id: Mapped[int] = _parent("products.id")
    quantity_consumed: Mapped[Decimal] = mapped_column(Quantity)
    unit: Mapped[str] = mapped_column(Unit)
    total_cost: Mapped[Decimal] = mapped_column(Money)

    assembly_run: Mapped[AssemblyRun] = relationship(back_populates="packaging_consumptions")
    product: Mapped[Product] = relationship()
