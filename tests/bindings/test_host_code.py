"""Hosts whose models do what only their own code knows: nothing of it is lost on the straight way."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

from histio import ExportError, History, Integer, RecordSchema, RunSchema, RunUUID, Slug, Text
from tests.support.bakery import number


class Shelf:
    """A run with lines, which may have parts: models and schemas of their own for each test."""

    def __init__(self, *, table="runs", kept=None, join=None, unique=False, deep=False):
        base = self.base = orm.declarative_base()

        class Place(base):
            __tablename__ = "places"
            id = sa.Column(sa.Integer, primary_key=True)
            slug = sa.Column(sa.String(20), unique=True)

        class Run(base):
            __tablename__ = table
            id = sa.Column(sa.Integer, primary_key=True)
            uuid = sa.Column("a uu%id" if "%" in table else "uuid", sa.String(36), unique=True)
            number = sa.Column(sa.Integer, unique=unique)
            place = sa.Column(sa.String(20))
            value = sa.Column(sa.String(20) if kept is None else kept)
            left_id = sa.Column(sa.ForeignKey("places.id"))
            right_id = sa.Column(sa.ForeignKey("places.id"))
            left = relationship(Place, foreign_keys=left_id)
            right = relationship(Place, foreign_keys=right_id)

        class Line(base):
            __tablename__ = "lines"
            id = sa.Column(sa.Integer, primary_key=True)
            uuid = sa.Column(sa.String(36), unique=True)
            run_id = sa.Column(sa.ForeignKey(Run.id))
            mode = sa.Column(sa.String(5))
            text = sa.Column(sa.Text)

        class Part(base):
            __tablename__ = "parts"
            id = sa.Column(sa.Integer, primary_key=True)
            line_id = sa.Column(sa.ForeignKey("lines.id"))
            count = sa.Column(sa.Integer, nullable=False)

        Line.parts = relationship(Part)
        condition = Run.id == Line.run_id
        Run.lines = relationship(Line, primaryjoin=condition if join is None else condition & join(Line))
        self.run, self.line, self.part, self.place = Run, Line, Part, Place

        class PartSchema(RecordSchema):
            class Meta:
                model = Part

            count = Integer(required=True)

        class LineSchema(RecordSchema):
            class Meta:
                model = Line
                unbound = "ignore"

            uuid = RunUUID(required=True)
            mode = Text(allow_none=True)
            text = Text(allow_none=True)
            if deep:
                parts = Nested(PartSchema, many=True)

        class ShelfSchema(RunSchema):
            class Meta:
                model = Run
                kind = "run"
                collection = "runs"
                timestamp = None
                unbound = "ignore"

            uuid = RunUUID(required=True)
            number = Integer(allow_none=True)
            value = Text(allow_none=True)
            lines = Nested(LineSchema, many=True)

        self.schema = ShelfSchema


def line(n, **members):
    return {"uuid": number(n), "mode": None, "text": None} | members


def run(n, *lines, **members):
    return {"uuid": number(n), "number": None, "value": None, **members, "lines": list(lines)}


def shelf(*runs):
    return {"version": "1.0", "runs": list(runs)}


def runs_of(history):
    return list(history.iter_runs("run"))


@pytest.fixture
def stand(create):
    """A history of a shelf, and its engine."""

    def stand(made):
        engine = create(made.base.metadata)
        return History(engine, made.schema), engine

    return stand


def test_an_aggregate_that_is_cut_within_its_last_text_is_noticed(stand):
    history, _ = stand(Shelf())
    given = run(1, *(line(n, text="x" * 20_000) for n in range(100, 153)))
    history.import_document(shelf(given))
    assert runs_of(history) == [given]


@pytest.mark.slow
def test_one_run_with_more_parts_than_a_page_may_have_is_exported(stand):
    made = Shelf(deep=True)
    history, engine = stand(made)
    with Session(engine) as session:
        one = made.run(uuid=number(1), lines=[made.line(uuid=number(n)) for n in (2, 3)])
        session.add(one)
        session.flush()
        session.execute(
            sa.insert(made.part), [{"line_id": one.lines[n % 2].id, "count": n} for n in range(20_100)]
        )
        session.commit()
    [record] = runs_of(history)
    assert sum(len(each["parts"]) for each in record["lines"]) == 20_100


def test_entries_that_the_relationship_leaves_out_by_a_member_stay_out(stand):
    made = Shelf(join=lambda entry: entry.mode == "in")
    history, engine = stand(made)
    with Session(engine) as session:
        session.add(made.run(id=1, uuid=number(1)))
        session.flush()
        session.add_all(
            [made.line(uuid=number(n), run_id=1, mode=mode) for n, mode in ((2, "in"), (3, "out"))]
        )
        session.commit()
    assert runs_of(history) == [run(1, line(2, mode="in"))]


def test_a_choice_that_a_row_does_not_make_is_told(stand):
    made = Shelf()
    members = {name: Slug(name, choice="side") for name in ("left", "right")}
    made.schema = type("ChoosingSchema", (made.schema,), members)
    history, engine = stand(made)
    with Session(engine) as session:
        session.add(made.run(uuid=number(1), left=made.place(slug="a"), right=made.place(slug="b")))
        session.commit()
    with pytest.raises(ExportError, match="Exactly one of left, right must not be null, not 2"):
        runs_of(history)


@pytest.mark.parametrize("unique", [True, False])
def test_of_two_runs_that_exclude_each_other_the_first_goes_in_though_it_is_odd(stand, unique):
    made = Shelf(unique=unique)
    made.schema = type("NotingSchema", (made.schema,), {"place": Slug(snapshot_of="Place", allow_none=True)})
    history, _ = stand(made)
    first = run(1, line(9), number=1, place="gone")
    second = run(2, line(10 if unique else 9), number=1, place=None)
    report = history.import_document(shelf(first, second))
    assert (report.imported, report.rejected, len(report.warnings)) == (1, 1, 1)
    assert [each["uuid"] for each in runs_of(history)] == [number(1)]


class Shouting(sa.String):
    """A type of the host's that converts values by itself, without a decorator."""

    def bind_processor(self, _dialect):
        return lambda value: value and value.upper()

    def result_processor(self, _dialect, _coltype):
        return lambda value: value and value.lower()


class Lowered(sa.types.TypeDecorator):
    impl = sa.String(20)
    cache_ok = True

    def column_expression(self, column):
        return sa.func.lower(column, type_=self)


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"])
@pytest.mark.parametrize("column_type", [Shouting(20), Lowered()], ids=["a subclass", "an expression"])
def test_types_that_convert_values_by_themselves_do_so(stand, dialect, column_type):
    made = Shelf(kept=column_type)
    history, engine = stand(made)
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO runs (uuid, value) VALUES (:uuid, 'ABC')"), {"uuid": number(1)}
        )
    assert runs_of(history) == [run(1, value="abc")]


def test_names_with_a_percent_sign_are_names(stand):
    history, _ = stand(Shelf(table="r%uns"))
    given = [run(n, line(1000 + n)) for n in range(1, 121)]
    assert history.import_document(shelf(*given)).imported == 120
    assert runs_of(history) == given
