"""Repairs that use parts, which have several keys."""

from __future__ import annotations

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import Slug
from tests.support.bakery import number


class Base(orm.DeclarativeBase):
    pass


class Maker(Base):
    __tablename__ = "makers"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str | None] = mapped_column(sa.String(40))


class Part(Base):
    """Known by its number at the maker's, by the shop's, by the maker alone, or by several of these."""

    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    ean: Mapped[str | None] = mapped_column(sa.String(40))
    sku: Mapped[str | None] = mapped_column(sa.String(40))
    old_sku: Mapped[str | None] = mapped_column(sa.String(40))
    maker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("makers.id"))
    maker: Mapped[Maker | None] = relationship()


class Use(Base):
    __tablename__ = "uses"
    id: Mapped[int] = mapped_column(primary_key=True)
    repair_id: Mapped[int] = mapped_column(sa.ForeignKey("repairs.id"))
    part_id: Mapped[int | None] = mapped_column(sa.ForeignKey("parts.id"))
    pieces: Mapped[int]
    part: Mapped[Part | None] = relationship()


class Repair(Base):
    __tablename__ = "repairs"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    uses: Mapped[list[Use]] = relationship()


def kind(**slugs):
    """A kind of repairs, whose uses name their part by *slugs*."""
    meta = type("Meta", (), {"model": Use})
    uses = type(
        "UseSchema", (histio.RecordSchema,), {"Meta": meta, **slugs, "pieces": histio.Integer(required=True)}
    )
    names = {"model": Repair, "kind": "repair", "collection": "repairs", "timestamp": None}
    members = {"uuid": histio.RunUUID(required=True), "uses": Nested(uses, many=True)}
    return type("RepairSchema", (histio.RunSchema,), {"Meta": type("Meta", (), names), **members})


def three(**options):
    """Three alternatives, the first with *options*."""
    return {
        "ean": Slug("part", key="ean", **options),
        "sku": Slug("part", key="sku", fallback="old_sku"),
        "maker": Slug("part", key="maker.slug"),
    }


def stock():
    acme, bell, nameless = Maker(slug="acme"), Maker(slug="bell"), Maker()
    return [
        Part(ean="401", sku="bolt", maker=acme),
        Part(ean="402", maker=acme),
        Part(sku="nut", old_sku="mother", maker=nameless),
        Part(maker=bell),
    ]


def repair(n, *parts):
    return {"uuid": number(n), "uses": [{**part, "pieces": 1} for part in parts]}


def document(*repairs):
    return {"version": "1.0", "repairs": list(repairs)}
