"""Hosts in every style of mapping, and listeners on them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow import fields
from sqlalchemy import orm
from sqlalchemy.ext.declarative import ConcreteBase
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship, synonym

import histio
from tests.support.hosts import ledger, model, run, text, to, word

both_ways = pytest.mark.parametrize("heard", [(), ("before_insert",)], ids=["in bulk", "by the unit of work"])


def listen(of: Any, heard: tuple[str, ...]) -> None:
    """Listeners that do nothing but make the unit of work write."""
    for name in heard:
        sa.event.listen(of, name, lambda *_: None)


@contextmanager
def listening(target: Any, name: str, function: Any):
    sa.event.listen(target, name, function)
    try:
        yield
    finally:
        sa.event.remove(target, name, function)


def integer() -> sa.Column[Any]:
    return sa.Column(sa.Integer, nullable=False)


COLLECTIONS = {"set": set, "dictionary": orm.attribute_keyed_dict("sku")}


def moves(base, **joins):
    """A model with ledgers of one table that their joins tell apart, and their kind."""
    move = model(base, "Move", run_id=to("runs"), way=text(3, default="in"), qty=integer())
    apart = {
        name: relationship(
            "Move", primaryjoin=f"and_(Run.id == Move.run_id, {join})", overlaps=",".join(joins)
        )
        for name, join in joins.items()
    }
    host_run = model(base, "Run", **apart)
    qty = histio.Integer(required=True)
    return host_run, run(host_run, **{name: ledger(move, qty=qty) for name in joins})


def joined_tables(base):
    by_type = {"polymorphic_on": "type", "polymorphic_identity": "paper"}
    paper = model(base, "Paper", type=text(), __mapper_args__=by_type)
    line = model(base, "Line", run_id=to("invoices"), sku=text())

    class Invoice(paper):
        __tablename__ = "invoices"
        id = to("papers", primary_key=True)
        total = sa.Column(sa.Numeric(10, 2), nullable=False)
        twice = column_property(total * 2)
        lines = relationship(line)
        __mapper_args__ = {"polymorphic_identity": "invoice"}

        @hybrid_property
        def more(self):
            return self.total + 1

    members = {"twice": histio.FixedDecimal(scale=2, dump_only=True), "more": fields.String(dump_only=True)}
    price = histio.FixedDecimal(required=True)
    kind = run(Invoice, total=price, **members, lines=ledger(line, sku=word()))
    shown = {"total": "1.50", "twice": "3.00", "more": "2.50"}
    return base.metadata, kind, [{"id": 1, **shown, "lines": [{"sku": "b"}, {"sku": "a"}]}], [paper(id=99)]


def one_table(base):
    by_type = {"polymorphic_on": "type", "polymorphic_identity": "task"}
    task = model(base, "Task", type=text(), __mapper_args__=by_type)
    names = {"oven": text(), "__mapper_args__": {"polymorphic_identity": "baking"}}
    kind = run(type("Baking", (task,), names), oven=histio.Text(allow_none=True))
    return base.metadata, kind, [{"id": 1, "oven": "hot"}, {"id": 2, "oven": None}], []


def concrete(base):
    """A parent and its child, each in a table of its own."""

    class Parent(ConcreteBase, base):
        __tablename__ = "parents"
        id = sa.Column(sa.Integer, primary_key=True)
        name = text()
        __mapper_args__ = {"polymorphic_identity": "parent", "concrete": True}

    class Child(Parent):
        __tablename__ = "children"
        id = sa.Column(sa.Integer, primary_key=True)
        name = text()
        __mapper_args__ = {"polymorphic_identity": "child", "concrete": True}

    return Parent, Child


def concrete_parent(base):
    return base.metadata, run(concrete(base)[0], name=word()), [{"id": 1, "name": "a"}], []


def concrete_child(base):
    return base.metadata, run(concrete(base)[1], name=word()), [{"id": 1, "name": "a"}], []


def synonyms(base):
    host_run = model(base, "Run", title=text(), name=synonym("title"))
    kind = run(host_run, name=word(data_key="Name"))
    return base.metadata, kind, [{"id": 1, "Name": "a"}], []


def imperatively(base):
    registry = orm.registry()
    keys = [sa.Column("id", sa.Integer, primary_key=True) for _ in range(3)]
    customers = sa.Table("customers", registry.metadata, keys[0], text(name="email"))
    leads = to("customers", name="customer_id", nullable=False)
    runs = sa.Table("runs", registry.metadata, keys[1], leads, text(name="note"))
    lines = sa.Table("lines", registry.metadata, keys[2], to("runs", name="run_id"), text(name="sku"))

    class Customer:
        pass

    class Line:
        def __init__(self, sku):
            self.sku = sku

    class Run:
        def __init__(self, note, customer):
            self.note, self.customer = note, customer

    registry.map_imperatively(Customer, customers)
    registry.map_imperatively(Line, lines)
    related = {"customer": relationship(Customer), "lines": relationship(Line, cascade="all, delete-orphan")}
    registry.map_imperatively(Run, runs, properties=related)
    slug = histio.Slug("customer", key="email", required=True)
    kind = run(Run, note=word(), customer=slug, lines=ledger(Line, sku=word()))
    records = [{"id": 1, "note": "n", "customer": "a@x", "lines": [{"sku": "b"}, {"sku": "a"}]}]
    customer = Customer()
    customer.email = "a@x"
    return registry.metadata, kind, records, [customer]


def dataclasses_with_defaults(_base):
    class Base(orm.MappedAsDataclass, orm.DeclarativeBase, kw_only=True):
        pass

    class Line(Base):
        __tablename__ = "lines"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        run_id: Mapped[int] = mapped_column(sa.ForeignKey("runs.id"), init=False)
        sku: Mapped[str] = mapped_column(sa.String(5))
        state: Mapped[str] = mapped_column(sa.String(5), default="new")

    class Run(Base):
        __tablename__ = "runs"
        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str] = mapped_column(sa.String(5), default="new")
        lines: Mapped[list[Line]] = relationship(default_factory=list)

    only = fields.String(dump_only=True)
    kind = run(Run, state=only, lines=ledger(Line, sku=word(), state=only))
    return Base.metadata, kind, [{"id": 1, "state": "new", "lines": [{"sku": "a", "state": "new"}]}], []


STYLES = [
    joined_tables,
    one_table,
    concrete_parent,
    concrete_child,
    synonyms,
    imperatively,
    dataclasses_with_defaults,
]
