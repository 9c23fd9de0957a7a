"""Which catalog kinds a scaffold writes, and which models it says it leaves out."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

from histio import History, models
from histio.scaffold import scaffold
from tests.support import kitchen
from tests.support.scaffolds import Shape, run


class Base(orm.DeclarativeBase):
    pass


class Coded(Base):
    """What every model here has."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Street(Base):
    """Has no natural key."""

    __tablename__ = "streets"
    id: Mapped[int] = mapped_column(primary_key=True)
    length: Mapped[int]


class Animal(Coded):
    __tablename__ = "animals"
    type: Mapped[str] = mapped_column(sa.String(10))
    __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "animal"}


class Dog(Animal):
    __mapper_args__ = {"polymorphic_identity": "dog"}


class Shaped(Base):
    """Its key has no field."""

    __tablename__ = "shaped"
    code = sa.Column(Shape(), primary_key=True)


class Country(Coded):
    __tablename__ = "countries"
    above_id: Mapped[int | None] = mapped_column(sa.ForeignKey("countries.id"))
    above: Mapped[Country | None] = relationship(remote_side="Country.id")


class Town(Coded):
    __tablename__ = "towns"
    country_id: Mapped[int] = mapped_column(sa.ForeignKey(Country.id))
    first_visit_id: Mapped[int | None] = mapped_column(sa.ForeignKey("visits.id"))
    country: Mapped[Country] = relationship()
    first_visit: Mapped[Visit | None] = relationship(foreign_keys=first_visit_id)
    maps: Mapped[list[Map]] = relationship(cascade="all, delete-orphan")
    houses: Mapped[list[House]] = relationship()


class Map(Coded):
    __tablename__ = "maps"
    town_id: Mapped[int] = mapped_column(sa.ForeignKey(Town.id))


class House(Coded):
    __tablename__ = "houses"
    town_id: Mapped[int] = mapped_column(sa.ForeignKey(Town.id))


class Ticket(Coded):
    """Needs a run."""

    __tablename__ = "tickets"
    visit_id: Mapped[int] = mapped_column(sa.ForeignKey("visits.id"))
    visit: Mapped[Visit] = relationship(foreign_keys=visit_id)


class Visit(Coded):
    __tablename__ = "visits"
    town_id: Mapped[int] = mapped_column(sa.ForeignKey(Town.id))
    street_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Street.id))
    animal_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Animal.id))
    shape = sa.Column(sa.ForeignKey(Shaped.code))
    ticket_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Ticket.id))
    photo_id: Mapped[int | None] = mapped_column(sa.ForeignKey("photos.id"))
    town: Mapped[Town] = relationship(foreign_keys=town_id)
    street: Mapped[Street | None] = relationship()
    animal: Mapped[Animal | None] = relationship()
    ticket: Mapped[Ticket | None] = relationship(foreign_keys=ticket_id)
    photos: Mapped[list[Photo]] = relationship(foreign_keys="Photo.visit_id")
    cover: Mapped[Photo | None] = relationship(foreign_keys=photo_id)


class Photo(Coded):
    """An entry of a ledger, which its run refers to."""

    __tablename__ = "photos"
    visit_id: Mapped[int] = mapped_column(sa.ForeignKey("visits.id"))


class Vehicle(Coded):
    """Each row is of a subclass."""

    __tablename__ = "vehicles"
    type: Mapped[str] = mapped_column(sa.String(10))
    __mapper_args__ = {"polymorphic_on": "type"}


class Bus(Vehicle):
    __mapper_args__ = {"polymorphic_identity": "bus"}
    seats: Mapped[int | None]


class Car(Vehicle):
    __tablename__ = "cars"
    id: Mapped[int] = mapped_column(sa.ForeignKey(Vehicle.id), primary_key=True)
    owner: Mapped[str] = mapped_column(sa.String(20))
    __mapper_args__ = {"polymorphic_identity": "car"}


class Trip(Coded):
    __tablename__ = "trips"
    vehicle_id: Mapped[int] = mapped_column(sa.ForeignKey(Vehicle.id))
    vehicle: Mapped[Vehicle] = relationship()


@pytest.mark.parametrize(
    ("of", "catalog"),
    [
        (
            [models.ProductionRun, models.AssemblyRun],
            ["ingredient", "product", "recipe", "finished_unit", "finished_good"],
        ),
        ([kitchen.Batch], ["category", "ingredient", "recipe", "size", "oven"]),
        ([kitchen.Batch, kitchen.Recipe, kitchen.Size], ["oven", "category", "ingredient"]),
        ([models.Recipe], []),
        ([Visit], ["country", "dog", "town"]),
        ([Trip], ["bus", "car"]),
    ],
    ids=["bundled", "kitchen", "some of it as runs", "nothing is referred to", "some without", "subclasses"],
)
def test_each_model_that_the_binding_refers_to_is_a_catalog_kind(of, catalog):
    assert sorted(run(scaffold(*of)).history.catalog) == sorted(catalog)


@pytest.mark.parametrize("of", [[models.ProductionRun, models.AssemblyRun], [kitchen.Batch], [Trip]])
def test_all_models_have_catalog_kinds(of):
    assert "rows that do not travel" not in run(scaffold(*of)).history.explain()


@pytest.mark.parametrize(
    "line",
    [
        "# No catalog kind for Street: it has no natural key.",
        "# No catalog kind for Animal: it has subclasses, or is one.",
        "# No catalog kind for Ticket: its rows need a Visit.",
        "# No catalog kind for Photo: its rows are entries of a ledger.",
        "# No catalog kind for Shaped: 'code' is not a required member.",
    ],
)
def test_a_model_without_a_catalog_kind_is_named_with_the_reason(line):
    assert line in scaffold(Visit).splitlines()


def test_rows_that_are_deleted_with_a_catalog_row_are_its_ledger_and_others_are_left_out():
    source = scaffold(Visit)
    assert "    maps = Nested(MapSchema, many=True)" in source
    assert '            "houses",  # rows of their own: perhaps a catalog kind, or a ledger' in source


def test_a_catalog_row_does_not_refer_to_runs():
    source = scaffold(Visit)
    assert (
        '            "first_visit_id",  # refers to visit, but catalog rows are written before runs' in source
    )


def test_the_identity_is_the_key_that_runs_use():
    source = scaffold(kitchen.Batch)
    assert '        identity = ("recipe_slug", "name")' in source.splitlines()
    assert '        identity = "code"' in source.splitlines()


def test_a_scaffold_moves_its_runs_into_an_empty_database(sqlite_of):
    here, there = (sqlite_of(kitchen.Base.metadata, number=number) for number in (0, 1))
    with orm.Session(here) as session:
        kitchen.make_batches(session, 3)
        session.commit()
    bound = run(scaffold(kitchen.Batch)).history.bound
    source, target = (History.from_bound(bound.on(engine)) for engine in (here, there))
    document = source.export_document(catalog="used")
    report = target.import_document(document, catalog="create")
    assert (report.imported, report.problems, report.warnings) == (3, (), ())
    moment = {"exported_at": document["exported_at"]}
    assert target.export_document(catalog="used") | moment == document
