"""A fleet, whose trips name rows of a catalog in every way, and whose catalog refers to itself in circles."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio


class Base(orm.DeclarativeBase):
    pass


def _key():
    return mapped_column(sa.Integer, primary_key=True)


def _slug():
    return mapped_column(sa.String(50), unique=True)


def _refers(to, *, nullable=True):
    return mapped_column(sa.ForeignKey(to), nullable=nullable)


def _between(name, one, other):
    columns = (
        sa.Column(f"{each.partition('.')[0]}_key", sa.ForeignKey(each), primary_key=True)
        for each in (one, other)
    )
    return sa.Table(name, Base.metadata, *columns)


item_tags = _between("item_tags", "items.id", "tags.id")
trip_regions = _between("trip_regions", "trips.id", "regions.id")


class Region(Base):
    """A tree."""

    __tablename__ = "regions"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()
    parent_id: Mapped[int | None] = _refers("regions.id")
    parent: Mapped[Region | None] = relationship(remote_side=[id])


class Keeper(Base):
    """In a circle with places."""

    __tablename__ = "keepers"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()
    home_id: Mapped[int | None] = mapped_column(sa.ForeignKey("places.id", use_alter=True, name="fk_home"))
    home: Mapped[Place | None] = relationship(foreign_keys=[home_id])


class Place(Base):
    __tablename__ = "places"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()
    keeper_id: Mapped[int | None] = _refers("keepers.id")
    next_id: Mapped[int | None] = _refers("places.id")
    region_id: Mapped[int | None] = _refers("regions.id")
    keeper: Mapped[Keeper | None] = relationship(foreign_keys=[keeper_id])
    next: Mapped[Place | None] = relationship(remote_side=[id])
    region: Mapped[Region | None] = relationship()


class Maker(Base):
    """Its primary key has two columns; it refers to its own kind."""

    __tablename__ = "makers"

    country: Mapped[str] = mapped_column(sa.String(2), primary_key=True)
    number: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    slug: Mapped[str] = _slug()
    parent_country: Mapped[str | None] = mapped_column(sa.String(2))
    parent_number: Mapped[int | None]
    parent: Mapped[Maker | None] = relationship(remote_side=[country, number])

    __table_args__ = (
        sa.ForeignKeyConstraint(["parent_country", "parent_number"], ["makers.country", "makers.number"]),
    )


class Tag(Base):
    __tablename__ = "tags"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()


class Item(Base):
    """With a list of tags, and a ledger whose entries are named by others."""

    __tablename__ = "items"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()
    code: Mapped[str] = _slug()
    maker_country: Mapped[str | None] = mapped_column(sa.String(2))
    maker_number: Mapped[int | None]
    maker: Mapped[Maker | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=item_tags)
    parts: Mapped[list[Part]] = relationship(back_populates="item")

    __table_args__ = (
        sa.ForeignKeyConstraint(["maker_country", "maker_number"], ["makers.country", "makers.number"]),
    )


class Part(Base):
    __tablename__ = "parts"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()
    item_id: Mapped[int] = _refers("items.id", nullable=False)
    place_id: Mapped[int | None] = _refers("places.id")
    item: Mapped[Item] = relationship(back_populates="parts")
    place: Mapped[Place | None] = relationship()


class Vehicle(Base):
    __tablename__ = "vehicles"

    id: Mapped[int] = _key()
    slug: Mapped[str] = _slug()
    type: Mapped[str] = mapped_column(sa.String(10))

    __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "vehicle"}


class Truck(Vehicle):
    """In two tables. Trips refer to both of them."""

    __tablename__ = "trucks"

    id: Mapped[int] = mapped_column(sa.ForeignKey("vehicles.id"), primary_key=True)
    place_id: Mapped[int | None] = _refers("places.id")
    place: Mapped[Place | None] = relationship()

    __mapper_args__ = {"polymorphic_identity": "truck"}


class Trip(Base):
    """A run."""

    __tablename__ = "trips"

    id: Mapped[int] = _key()
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    began_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]
    label: Mapped[str | None] = mapped_column(sa.String(50))
    item_id: Mapped[int | None] = mapped_column(sa.ForeignKey("items.id"), index=True)
    truck_id: Mapped[int | None] = _refers("trucks.id")
    spare_id: Mapped[int | None] = _refers("vehicles.id")
    item: Mapped[Item | None] = relationship()
    truck: Mapped[Truck | None] = relationship(foreign_keys=[truck_id])
    spare: Mapped[Vehicle | None] = relationship(foreign_keys=[spare_id])
    regions: Mapped[list[Region]] = relationship(secondary=trip_regions)
    stops: Mapped[list[Stop]] = relationship(back_populates="trip")


class Stop(Base):
    __tablename__ = "stops"

    id: Mapped[int] = _key()
    trip_id: Mapped[int] = mapped_column(sa.ForeignKey("trips.id"), index=True)
    updated_at: Mapped[dt.datetime]
    place_id: Mapped[int | None] = mapped_column(sa.ForeignKey("places.id"), index=True)
    trip: Mapped[Trip] = relationship(back_populates="stops")
    place: Mapped[Place | None] = relationship()
    loads: Mapped[list[Load]] = relationship(back_populates="stop")


class Load(Base):
    __tablename__ = "loads"

    id: Mapped[int] = _key()
    stop_id: Mapped[int] = mapped_column(sa.ForeignKey("stops.id"), index=True)
    tag: Mapped[str | None] = mapped_column(sa.String(50), index=True)
    maker_country: Mapped[str | None] = mapped_column(sa.String(2))
    maker_number: Mapped[int | None]
    part_id: Mapped[int | None] = _refers("parts.id")
    maker: Mapped[Maker | None] = relationship()
    part: Mapped[Part | None] = relationship()
    stop: Mapped[Stop] = relationship(back_populates="loads")

    __table_args__ = (
        sa.ForeignKeyConstraint(["maker_country", "maker_number"], ["makers.country", "makers.number"]),
        sa.Index("ix_maker", "maker_number", "maker_country"),
    )


class Check(Base):
    """A run without a time."""

    __tablename__ = "checks"

    id: Mapped[int] = _key()
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    keeper_id: Mapped[int | None] = _refers("keepers.id")
    keeper: Mapped[Keeper | None] = relationship()


def _named(relationship, **options):
    return histio.Slug(relationship, allow_none=True, **options)


class LoadSchema(histio.AutoRecordSchema):
    class Meta:
        model = Load

    tag = histio.Slug(snapshot_of="Tag", allow_none=True)
    maker = _named("maker")
    part = _named("part")


class StopSchema(histio.AutoRecordSchema):
    class Meta:
        model = Stop

    place = _named("place")
    place_region = _named("place", key="region.slug")
    loads = Nested(LoadSchema, many=True)


class TripSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Trip, "trip", "trips", "began_at"

    label = histio.Slug(snapshot_of="Tag", allow_none=True)
    item = _named("item", key="code")
    truck = _named("truck")
    spare = _named("spare")
    regions = histio.SlugList("regions")
    stops = Nested(StopSchema, many=True)


class CheckSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Check, "check", "checks", None

    keeper = _named("keeper")


class RegionSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Region, "region", "regions", "slug"

    parent = _named("parent")


class KeeperSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Keeper, "keeper", "keepers", "slug"

    home = _named("home")


class PlaceSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Place, "place", "places", "slug"

    keeper = _named("keeper")
    next = _named("next")
    region = _named("region")


class MakerSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Maker, "maker", "makers", "slug"

    parent = _named("parent")


class TagSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Tag, "tag", "tags", "slug"


class PartSchema(histio.AutoRecordSchema):
    class Meta:
        model, identity = Part, "slug"

    place = _named("place")


class ItemSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Item, "item", "items", "slug"

    maker = _named("maker")
    tags = histio.SlugList("tags")
    parts = Nested(PartSchema, many=True)


class TruckSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Truck, "truck", "trucks", "slug"

    place = _named("place")


CATALOG = (RegionSchema, KeeperSchema, PlaceSchema, MakerSchema, TagSchema, ItemSchema, TruckSchema)
RUNS = (TripSchema, CheckSchema)
HISTORY = histio.History(None, *RUNS, catalog=CATALOG)

EPOCH = dt.datetime(2025, 1, 1)  # noqa: DTZ001 - naive UTC, as it is stored


def empty(connection):
    """Delete all rows."""
    for model, columns in (
        (Region, ["parent_id"]),
        (Keeper, ["home_id"]),
        (Place, ["next_id"]),
        (Maker, ["parent_country", "parent_number"]),
    ):
        connection.execute(sa.update(model).values(dict.fromkeys(columns)))
    for model in (Load, Stop, trip_regions, Trip, Check, Part, item_tags, Item, Truck.__table__):
        connection.execute(sa.delete(model))
    for model in (Vehicle.__table__, Tag, Maker, Place, Keeper, Region):
        connection.execute(sa.delete(model))


def fill(connection, make, size):
    """Insert rows of all kinds, *size* of each, that name each other at random.

    Args:
        connection: To a database without rows.
        make: A `random.Random`.
        size: At least 1.
    """
    numbers = range(1, size + 1)

    def some():
        return make.choice([None, *numbers])

    def maker(prefix="maker"):
        number = some()
        return {f"{prefix}_country": number and "de", f"{prefix}_number": number}

    def slugs(name):
        return [{"id": number, "slug": f"{name}-{number}"} for number in numbers]

    def times():
        return EPOCH + dt.timedelta(minutes=make.randrange(6))

    rows = {
        Region: slugs("region"),
        Keeper: slugs("keeper"),
        Place: [each | {"keeper_id": some(), "region_id": some()} for each in slugs("place")],
        Maker: [{"country": "de", "number": number, "slug": f"maker-{number}"} for number in numbers],
        Tag: slugs("tag"),
        Item: [each | {"code": f"code-{each['id']}"} | maker() for each in slugs("item")],
        item_tags: pairs(make, "items_key", "tags_key", numbers),
        Part: [each | {"item_id": make.choice(numbers), "place_id": some()} for each in slugs("part")],
        Vehicle.__table__: [each | {"type": "truck"} for each in slugs("truck")],
        Truck.__table__: [{"id": number, "place_id": some()} for number in numbers],
        Trip: [
            {
                "id": number,
                "uuid": uuid_of(number),
                "began_at": times(),
                "updated_at": times(),
                "label": f"tag-{some()}",
                "item_id": some(),
                "truck_id": some(),
                "spare_id": some(),
            }
            for number in numbers
        ],
        trip_regions: pairs(make, "trips_key", "regions_key", numbers),
        Stop: [
            {"id": number, "trip_id": make.choice(numbers), "updated_at": times(), "place_id": some()}
            for number in numbers
        ],
        Load: [
            {"id": number, "stop_id": make.choice(numbers), "tag": f"tag-{some()}", "part_id": some()}
            | maker()
            for number in numbers
        ],
        Check: [{"id": number, "uuid": uuid_of(number), "keeper_id": some()} for number in numbers],
    }
    for model, values in rows.items():
        if values:
            connection.execute(sa.insert(model), values)
    for number in numbers:  # close circles
        for model, value in (
            (Region, {"parent_id": some()}),
            (Keeper, {"home_id": some()}),
            (Place, {"next_id": some()}),
        ):
            connection.execute(sa.update(model).where(model.id == number).values(value))
        connection.execute(sa.update(Maker).where(Maker.number == number).values(maker("parent")))


def pairs(make, one, other, numbers):
    """Some rows of an association table."""
    every = [{one: a, other: b} for a in numbers for b in numbers]
    return make.sample(every, make.randint(0, min(len(every), 3)))


def uuid_of(number):
    """The UUID of a run."""
    return str(uuid.UUID(int=number))
