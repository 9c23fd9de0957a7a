"""Jobs whose format has versions, upgrades and a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from tests.support.bakery import number


def to_cents(record):
    """An order of 1.0 had a total in dollars, and no weight."""
    record["total"] = f"{record.pop('dollars')}.00"
    record["weight"] = 1.5
    return record


def to_colours(record):
    return record | {"colour": {"red": "RED"}[record["colour"]]}


UPGRADES = {"1.0": to_cents, "1.5": {"order": to_colours}}


class Base(orm.DeclarativeBase):
    pass


class Part(Base):
    __tablename__ = "parts"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "slug"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    slug: Mapped[str] = mapped_column(sa.String(20))


class Job(Base):
    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    batch: Mapped[int]
    deleted: Mapped[bool] = mapped_column(default=False)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    part_id: Mapped[int] = mapped_column(sa.ForeignKey("parts.id"))
    part: Mapped[Part] = relationship()


class JobSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Job, "job", "jobs", None
        exclude = ("tenant_id", "batch", "deleted")

    uuid = histio.RunUUID(required=True)
    part = histio.Slug("part", required=True)


TENANT = {"tenant_id": 7, "batch": 1}


def jobs(*numbers, part="bolt"):
    return {"version": "1.0", "jobs": [{"uuid": number(n), "part": part} for n in numbers]}
