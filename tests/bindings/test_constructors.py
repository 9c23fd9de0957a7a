"""Constructors of hosts' models: imports make rows as ``Model(**columns)`` would."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import History
from tests.support.bakery import number
from tests.support.hosts import document, ledger, model, run, text, to, word


class Shouting:
    """Sets what the format leaves out from what it has."""

    def __init__(self, **columns: Any) -> None:
        super().__init__(**columns)
        self.shout = self.name.upper()


def columns(length: int = 20) -> dict[str, Any]:
    return {"name": text(length), "shout": text(length, nullable=True)}


def named(name: str, /, *bases: type, **attributes: Any) -> Any:
    return type(name, bases, attributes)


def own(base):
    def init(self, name, **others):
        base.__init__(self, name=name, **others)
        self.shout = name.upper()

    return model(base, "Run", **columns(), __init__=init)


def own_with_a_default(base):
    def init(self, id=None, name="", shout="never"):  # noqa: A002 - the column's name
        base.__init__(self, id=id, name=name, shout=name.upper())

    return model(base, "Run", **columns(), __init__=init)


def own_by_place(base):
    def init(self, name, /):
        base.__init__(self, name=name, shout=name.upper())

    return model(base, "Run", **columns(), __init__=init)


def of_a_mixin(base):
    key = {"id": sa.Column(sa.Integer, primary_key=True)}
    return named("Run", Shouting, base, __tablename__="runs", **key, **columns())


def of_an_unmapped_base(base):
    shouting = named("Shouts", Shouting, base, __abstract__=True)
    return model(shouting, "Run", **columns())


def of_the_declarative_base(_base):
    def init(self, **given):
        for key, value in given.items():
            setattr(self, key, value)
        self.shout = self.name.upper()

    return model(orm.declarative_base(constructor=init), "Run", **columns())


def of_a_mapped_base_without_discriminator(base):
    return named("Special", of_a_mixin(base))


def of_a_mapped_base_two_steps_away(base):
    return named("Rarest", named("Special", of_an_unmapped_base(base)))


def of_a_mapped_base_in_one_table(base):
    by_kind = {"polymorphic_on": "kind", "polymorphic_identity": "run"}
    key = {"id": sa.Column(sa.Integer, primary_key=True), "kind": text(nullable=True)}
    names = {"__tablename__": "runs", "__mapper_args__": by_kind}
    parent = named("Run", Shouting, base, **names, **key, **columns())
    return named("Special", parent, __mapper_args__={"polymorphic_identity": "special"})


def of_a_mapped_base_in_joined_tables(base):
    parent = of_a_mixin(base)
    key = sa.Column(sa.ForeignKey("runs.id"), primary_key=True)
    return named("Special", parent, __tablename__="specials", id=key)


def imperatively(_base):
    registry = orm.registry()
    key = sa.Column("id", sa.Integer, primary_key=True)
    table = sa.Table("runs", registry.metadata, key, text(name="name"), text(name="shout", nullable=True))

    class Run:
        def __init__(self, name):
            self.name, self.shout = name, name.upper()

    registry.map_imperatively(Run, table)
    Run.metadata = registry.metadata
    return Run


def in_new(base):
    def new(cls, **given):
        row = object.__new__(cls)
        row.hint = given["name"].upper()
        return row

    def init(self, **given):
        base.__init__(self, **given)
        self.shout = self.hint

    return model(base, "Run", **columns(), __new__=new, __init__=init)


def dataclass_base():
    class Base(orm.MappedAsDataclass, orm.DeclarativeBase, kw_only=True):
        pass

    return Base


def after_a_dataclass(_base):
    class Run(dataclass_base()):
        __tablename__ = "runs"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(20))
        shout: Mapped[str | None] = mapped_column(sa.String(20), init=False)

        def __post_init__(self):
            self.shout = self.name.upper()

    return Run


def in_a_dataclass(_base):
    class Run(dataclass_base()):
        __tablename__ = "runs"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(20))
        shout: Mapped[str | None] = mapped_column(sa.String(20))

        def __init__(self, name):
            self.name, self.shout = name, name.upper()

    return Run


def inherited_from_a_dataclass(_base):
    return named("Special", after_a_dataclass(None))


CONSTRUCTORS = [
    own,
    own_with_a_default,
    own_by_place,
    of_a_mixin,
    of_an_unmapped_base,
    of_the_declarative_base,
    of_a_mapped_base_without_discriminator,
    of_a_mapped_base_two_steps_away,
    of_a_mapped_base_in_one_table,
    of_a_mapped_base_in_joined_tables,
    imperatively,
    in_new,
    after_a_dataclass,
    in_a_dataclass,
    inherited_from_a_dataclass,
]
UNBOUND = {"unbound": "ignore"}


def shouted(engine, host_run):
    with Session(engine) as session:
        return session.execute(sa.select(host_run.name, host_run.shout)).all()


@pytest.mark.turns
@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_a_constructor_runs_on_import_with_what_the_document_says(create, constructor):
    host_run = constructor(orm.declarative_base())
    engine = create(host_run.metadata)
    report = History(engine, run(host_run, UNBOUND, name=word())).import_document(
        document({"id": 1, "name": "ada"})
    )
    assert [str(problem) for problem in report.problems] == []
    assert list(report.unit_of_work) == ["run"]
    assert shouted(engine, host_run) == [("ada", "ADA")]


@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_a_constructor_runs_where_a_schema_loads(sqlite_of, constructor):
    host_run = constructor(orm.declarative_base())
    engine = sqlite_of(host_run.metadata)
    with Session(engine) as session:
        session.add(run(host_run, UNBOUND, name=word())().load({"id": 1, "name": "ada"}, session=session))
        session.commit()
    assert shouted(engine, host_run) == [("ada", "ADA")]


def entries(base):
    """Runs with lines that shout, of a class that inherits its constructor."""
    key = {"id": sa.Column(sa.Integer, primary_key=True), "run_id": to("runs")}
    line = named("Line", named("Loud", Shouting, base, __tablename__="lines", **key, **columns()))
    return model(base, "Run", lines=relationship(line)), line


@pytest.mark.parametrize("how", ["skip", "update"])
def test_the_constructor_of_a_ledger_entry_runs_on_import_and_on_update(create, how):
    base = orm.declarative_base()
    host_run, line = entries(base)
    engine = create(base.metadata)
    history = History(engine, run(host_run, lines=ledger(line, UNBOUND, name=word())))
    history.import_document(document({"id": 1, "lines": []}), on_duplicate=how)
    history.import_document(document({"id": 2, "lines": [{"name": "ada"}]}), on_duplicate=how)
    history.import_document(document({"id": 1, "lines": [{"name": "bob"}]}), on_duplicate="update")
    assert shouted(engine, line) == [("ada", "ADA"), ("bob", "BOB")]


def test_what_a_constructor_overwrites_is_what_the_document_says(create):
    base = orm.declarative_base()

    def init(self, **given):
        base.__init__(self, **given)
        self.name = "new"

    host_run = model(base, "Run", **columns(), __init__=init)
    history = History(create(base.metadata), run(host_run, UNBOUND, name=word()))
    given = document({"id": 1, "name": "old"})
    assert history.import_document(given).imported == 1
    assert list(history.iter_runs("run")) == given["runs"]


def test_a_constructor_that_insists_on_a_collection_gets_one(create):
    base = dataclass_base()

    class Line(base):
        __tablename__ = "lines"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        run_id: Mapped[int] = mapped_column(sa.ForeignKey("runs.id"), init=False)
        name: Mapped[str] = mapped_column(sa.String(20))

    class Run(base):
        __tablename__ = "runs"
        id: Mapped[int] = mapped_column(primary_key=True)
        lines: Mapped[set[Line]] = relationship()
        others: Mapped[list[Line]] = relationship(viewonly=True)

        def __post_init__(self):
            self.was = sorted(line.name for line in self.lines)

    history = History(create(base.metadata), run(Run, lines=ledger(Line, name=word())))
    given = document({"id": 1, "lines": [{"name": "b"}, {"name": "a"}]})
    report = history.import_document(given)
    assert [str(problem) for problem in report.problems] == []
    assert list(history.iter_runs("run")) == given["runs"]


@pytest.mark.parametrize("heard", [(), ("before_insert",)], ids=["in bulk", "by the unit of work"])
def test_a_reconstructor_does_not_run_for_rows_that_are_new(create, heard):
    base = orm.declarative_base()
    woken = []

    class Line(base):
        __tablename__ = "lines"
        id = sa.Column(sa.Integer, primary_key=True)
        run_id = to("runs")
        name = text()

        @orm.reconstructor
        def wake(self):
            woken.append(self.name)

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        name = text()
        lines = relationship(Line)

        @orm.reconstructor
        def wake(self):
            woken.append(self.name)

    for name in heard:
        sa.event.listen(Run, name, lambda *_: None)
    kind = run(Run, name=word(), lines=ledger(Line, name=word()))
    history = History(create(base.metadata), kind)
    given = document({"id": 1, "name": "r", "lines": [{"name": "l"}]})
    report = history.import_document(given)
    assert (report.imported, len(report.unit_of_work), woken) == (1, len(heard), [])
    assert list(history.iter_runs("run")) == given["runs"]
    assert woken == ["r", "l"]


def test_a_host_without_a_constructor_of_its_own_is_written_in_bulk(create):
    base = orm.declarative_base()
    host_run = named("Special", model(base, "Run", name=text()))
    history = History(create(base.metadata), run(host_run, name=word()))
    assert history.import_document(document({"id": 1, "name": "a"})).unit_of_work == {}


def test_a_row_that_stands_in_for_a_related_one_is_made_with_its_key(sqlite_of):
    base = orm.declarative_base()

    def init(self, name):
        self.name = name.strip()

    customer = model(base, "Customer", name=text(), __init__=init)
    related = {"customer_id": to("customers"), "customer": relationship(customer)}
    host_run = model(base, "Run", **related)
    kind = run(host_run, customer=histio.Slug("customer", key="name", required=True))
    row = kind().load({"id": 1, "customer": "ann"}, transient=True)
    assert row.customer.name == "ann"


def test_a_constructor_that_knows_columns_only_is_called_without_the_relationships(create):
    """As OpenStack's models: the lengths of all keywords are checked, as if each were a column."""
    base = orm.declarative_base()
    seen = []

    class Line(base):
        __tablename__ = "lines"
        id = sa.Column(sa.Integer, primary_key=True)
        run_id = sa.Column(sa.ForeignKey("runs.id"), nullable=False)
        text = sa.Column(sa.String(5), nullable=False)

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        uuid = sa.Column(sa.String(36), unique=True, nullable=False)
        name = sa.Column(sa.String(5), nullable=False)
        lines = orm.relationship(Line)

        def __init__(self, **values):
            for name, value in values.items():
                if len(value) > getattr(type(self), name).property.columns[0].type.length:
                    raise ValueError(f"{name} is too long")
            seen.append(set(values))
            super().__init__(**values)

    class LineSchema(histio.RecordSchema):
        class Meta:
            model = Line

        text = histio.Text(required=True)

    class RunSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Run, "run", "runs", None

        uuid = histio.RunUUID(required=True)
        name = histio.Text(max_length=9, required=True)
        lines = Nested(LineSchema, many=True)

    history = History(create(base.metadata), RunSchema)
    runs = [{"uuid": number(n), "name": "a" * n, "lines": [{"text": "b"}, {"text": "a"}]} for n in (1, 2)]
    assert history.import_document({"version": "1.0", "runs": runs}).imported == 2
    assert history.export_document()["runs"] == runs
    assert seen == [{"uuid", "name"}, {"uuid", "name"}]
