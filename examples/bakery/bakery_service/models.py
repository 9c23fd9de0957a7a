"""The bakery's tables. They know nothing of histio, and look like nobody else's.

Keys are UUIDs, instants have a time zone, words and column names are the bakery's own, and several branches
share one database.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Name = sa.String(80)


class Base(DeclarativeBase):
    """Instants are kept with their time zone, money with four digits after the point."""

    type_annotation_map: ClassVar = {dt.datetime: sa.DateTime(timezone=True), Decimal: sa.Numeric(12, 4)}


class Recipe(Base):
    """What is baked; known by its name in its branch."""

    __tablename__ = "recipe"
    __table_args__ = (sa.UniqueConstraint("branch", "name"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    branch: Mapped[str] = mapped_column(Name)
    name: Mapped[str] = mapped_column(Name)


class Pastry(Base):
    """What a recipe yields and the shop sells."""

    __tablename__ = "pastry"
    __table_args__ = (sa.UniqueConstraint("branch", "slug"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    branch: Mapped[str] = mapped_column(Name)
    slug: Mapped[str] = mapped_column(Name)
    recipe_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey(Recipe.id))

    recipe: Mapped[Recipe] = relationship()


class Bake(Base):
    """What came out of the oven at one time."""

    __tablename__ = "bake"
    __table_args__ = (sa.Index("bake_in_order", "finished_at", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    branch: Mapped[str] = mapped_column(Name, index=True)
    recipe_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey(Recipe.id))
    pastry_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey(Pastry.id))
    finished_at: Mapped[dt.datetime]
    num_batches: Mapped[int] = mapped_column("trays")
    expected_yield: Mapped[int] = mapped_column("planned")
    actual_yield: Mapped[int] = mapped_column("baked")
    remarks: Mapped[str | None] = mapped_column(sa.Text)
    total_ingredient_cost: Mapped[Decimal] = mapped_column("cost")
    per_unit_cost: Mapped[Decimal] = mapped_column("cost_per_piece")

    recipe: Mapped[Recipe] = relationship()
    finished_unit: Mapped[Pastry] = relationship()
    consumptions: Mapped[list[Usage]] = relationship(cascade="all, delete-orphan")
    losses: Mapped[list[Loss]] = relationship(cascade="all, delete-orphan")


class Usage(Base):
    """What a bake used of one ingredient, in the order in which it was weighed."""

    __tablename__ = "usage"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[uuid.UUID] = mapped_column(unique=True, default=uuid.uuid4)
    bake_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey(Bake.id, ondelete="CASCADE"), index=True)
    ingredient_slug: Mapped[str] = mapped_column("ingredient", Name)
    quantity_consumed: Mapped[Decimal] = mapped_column("quantity", sa.Numeric(10, 3))
    unit: Mapped[str] = mapped_column(sa.String(20))
    total_cost: Mapped[Decimal] = mapped_column("cost")


class LossReason(enum.StrEnum):
    """Why a piece was baked and not sold."""

    BURNT = "burnt"
    DROPPED = "dropped"
    EATEN = "eaten"


class Loss(Base):
    """How many pieces of a bake were lost for one reason."""

    __tablename__ = "loss"

    bake_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey(Bake.id, ondelete="CASCADE"), primary_key=True)
    reason: Mapped[LossReason] = mapped_column(
        sa.Enum(LossReason, values_callable=lambda reasons: [reason.value for reason in reasons]),
        primary_key=True,
    )
    pieces: Mapped[int] = mapped_column(sa.SmallInteger)


class Tasting(Base):
    """What somebody thought of a bake."""

    __tablename__ = "tasting"
    __table_args__ = (sa.Index("tasting_in_order", "tasted_on", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    bake_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey(Bake.id))
    tasted_on: Mapped[dt.date]
    taster: Mapped[str] = mapped_column(Name)
    stars: Mapped[int] = mapped_column(sa.SmallInteger)

    bake: Mapped[Bake] = relationship()
