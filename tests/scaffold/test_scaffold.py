"""A first binding of any models, which works as it stands."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import History, models
from histio.scaffold import scaffold
from tests.support import accounting as test_accounting
from tests.support import conformance as test_testing
from tests.support import shop
from tests.support.bakery import assembly_run, document, production_run
from tests.support.columns import Guid
from tests.support.scaffolds import Shape, run


class Base(orm.DeclarativeBase):
    pass


class Reading(Base):
    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    shape = sa.Column(Shape())


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    page: Mapped[str] = mapped_column(sa.String(20))


class Header(Base):
    __tablename__ = "headers"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Shelf(Base):
    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    reading_id: Mapped[int] = mapped_column(sa.ForeignKey(Reading.id))
    number: Mapped[int]
    above_id: Mapped[int | None] = mapped_column(sa.ForeignKey("shelves.id"))
    reading: Mapped[Reading] = relationship()
    above: Mapped[Shelf | None] = relationship(remote_side=[id])
    __table_args__ = (sa.UniqueConstraint("reading_id", "number"),)


@pytest.mark.parametrize(
    "of",
    [
        [models.ProductionRun, models.AssemblyRun],
        [models.Recipe],
        [shop.Order],
        [test_testing.Order],
        [test_accounting.Job],
        [test_accounting.Job, test_accounting.Tag, test_accounting.Machine],
    ],
    ids=["bundled", "catalog", "shop", "purchases", "jobs", "jobs and what they refer to"],
)
def test_the_source_makes_a_history_of_all_the_models(of):
    history = run(scaffold(*of)).history
    assert len(history.kinds) == len(of)


@pytest.mark.slow
def test_a_history_moves_by_its_scaffold(engine, other_engine):
    History(engine).import_document(document(production_run(), assembly=[assembly_run()]))
    binding = run(scaffold(models.ProductionRun, models.AssemblyRun))
    kinds = (binding.ProductionRunSchema, binding.AssemblyRunSchema)
    report = History(other_engine, *kinds).import_document(History(engine, *kinds).export_document())
    assert (report.imported, report.problems) == (2, ())
    moment = {"exported_at": History(engine).export_document()["exported_at"]}
    moved = History(other_engine).export_document()
    assert moved | moment == History(engine).export_document() | moment


def test_what_no_field_can_hold_is_left_out_with_the_reason():
    source = scaffold(Reading)
    assert '            "shape",  # auto_field() has no field for Shape(): its values are not JSON' in source
    assert run(source).history.kinds == ("reading",)


def test_an_array_is_left_to_auto_field():
    base = orm.declarative_base()
    columns = {
        "id": sa.Column(sa.Integer, primary_key=True),
        "uuid": sa.Column(sa.String(36), unique=True, nullable=False),
        "tags": sa.Column(sa.ARRAY(sa.Numeric(6, 2))),
    }
    source = scaffold(type("Tagged", (base,), {"__tablename__": "tagged", "__module__": __name__, **columns}))
    assert "    tags = auto_field()" in source.splitlines()
    assert "from marshmallow_sqlalchemy import auto_field" in source.splitlines()


def test_other_keys_of_a_reference_are_named():
    source = scaffold(models.ProductionRun)
    assert '    recipe_slug = Slug("recipe", key="slug", required=True)  # or key= uuid, name, id' in source


def test_a_key_that_is_not_unique_is_said_to_be_so():
    assert "# or key= id; not unique in the database" in scaffold(shop.Order)


def test_a_run_without_a_natural_key_is_known_by_its_primary_key_and_a_warning():
    source = scaffold(Visit)
    assert 'identity = "id"  # a counter: other databases give its numbers to other rows' in source
    assert run(source).history.kinds == ("visit",)


def test_a_number_beside_a_reference_identifies_a_run():
    source = scaffold(Shelf)
    assert 'identity = ("reading_code", "number")' in source
    assert 'RunRef("above", key=("reading.code", "number"), allow_none=True)' in source
    assert run(source).history.kinds == ("shelf",)


def test_rows_that_refer_to_each_other_are_named_by_their_identity():
    assert 'parent_uid = RunRef("parent", key="uid", allow_none=True)' in scaffold(shop.Order)


def test_a_kind_does_not_take_a_name_of_the_format():
    assert run(scaffold(Header)).history.kinds == ("header_run",)


def test_the_conformance_test_asks_for_runs():
    binding = run(scaffold(models.ProductionRun))
    with pytest.raises(NotImplementedError):
        binding.make_runs(None, 1)
    assert "test_the_binding_keeps_what_histio_promises" in vars(binding)


def test_what_is_no_model_is_a_binding_error():
    with pytest.raises(histio.BindingError, match="is not a mapped class"):
        scaffold(dict)


class Permission(Base):
    __tablename__ = "permissions"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Grant(Base):
    """Known by what it leads to."""

    __tablename__ = "grants"
    __table_args__ = (sa.UniqueConstraint("permission_id", "area"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    permission_id: Mapped[int] = mapped_column(sa.ForeignKey(Permission.id))
    area: Mapped[str] = mapped_column(sa.String(20))
    permission: Mapped[Permission] = relationship()


class Badge(Base):
    __tablename__ = "badges"
    id: Mapped[int] = mapped_column(primary_key=True)
    badge_code: Mapped[str | None] = mapped_column(sa.String(20), unique=True)
    grant_id: Mapped[int] = mapped_column(sa.ForeignKey(Grant.id))
    grant: Mapped[Grant] = relationship()


def test_a_row_that_is_known_by_what_it_leads_to_is_named_by_paths():
    source = scaffold(Badge)
    assert '    grant = Slug("grant", key=("permission.name", "area"), text=True, required=True)' in source
    assert run(source).history.kinds == ("badge",)


def test_an_identity_that_takes_nulls_comes_with_a_warning():
    source = scaffold(Badge)
    assert "  # takes nulls: a run without it cannot be exported" in source
    assert "    badge_code = Text(required=True)" in source


def test_a_key_that_a_decorator_makes_no_text_of_is_not_taken_for_free_text():
    base = orm.declarative_base()

    class Flow(base):
        __tablename__ = "flows"
        id = sa.Column(Guid(), primary_key=True, default=uuid.uuid4)

    class Job(base):
        __tablename__ = "jobs"
        id = sa.Column(sa.Integer, primary_key=True)
        code = sa.Column(sa.String(20), unique=True, nullable=False)
        flow_id = sa.Column(sa.ForeignKey("flows.id"), nullable=False)
        flow = orm.relationship(Flow)

    assert 'flow = Slug("flow", key="id", required=True)' in scaffold(Job)


class Street(Base):
    __tablename__ = "streets"
    id: Mapped[int] = mapped_column(primary_key=True)
    length: Mapped[int]


class House(Base):
    __tablename__ = "houses"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    street_id: Mapped[int] = mapped_column(sa.ForeignKey(Street.id))
    other: Mapped[Street] = relationship()


def test_a_reference_by_a_counter_comes_with_a_warning():
    [line] = [line for line in scaffold(House).splitlines() if "other = " in line]
    assert line.endswith("# a counter: other databases give its numbers to other rows")
