"""What a scaffold calls references, and what it says of numbers that lead to other rows."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

from histio import History
from histio.scaffold import scaffold
from tests.support.scaffolds import run


class Base(orm.DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "teams"
    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)


class Player(Base):
    __tablename__ = "players"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    team_name: Mapped[str] = mapped_column(sa.ForeignKey(Team.name))


class Coach(Base):
    """Has a copy of its team's name."""

    __tablename__ = "coaches"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    team_key: Mapped[str] = mapped_column(sa.ForeignKey(Team.name))
    team_name: Mapped[str] = mapped_column(sa.String(20))
    team: Mapped[Team] = relationship()


@pytest.mark.parametrize(
    ("model", "lines", "row", "record"),
    [
        (
            Player,
            ['    team_name = Slug("team_name", key="name", text=True, required=True)'],
            {"code": "p", "team_name": "red"},
            {"code": "p", "team_name": "red"},
        ),
        (
            Coach,
            [
                '    team = Slug("team", key="name", text=True, required=True)',
                "    team_name = Text(required=True)",
            ],
            {"code": "c", "team_key": "red", "team_name": "Red"},
            {"code": "c", "team": "red", "team_name": "Red"},
        ),
    ],
    ids=["no word twice", "not as another column"],
)
def test_a_reference_has_a_name_of_its_own(sqlite_of, model, lines, row, record):
    source = scaffold(model)
    assert [line for line in lines if line not in source.splitlines()] == []
    kind = getattr(run(source), f"{model.__name__}Schema")
    with orm.Session(engine := sqlite_of(Base.metadata, Team(name="red"))) as session:
        session.add(model(**row))
        session.commit()
    document = History(engine, kind).export_document()
    assert document[kind.Meta.collection] == [record]
    other = sqlite_of(Base.metadata, Team(name="red"), number=1)
    assert History(other, kind).import_document(document).problems == ()


class Interval(Base):
    __tablename__ = "intervals"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    every: Mapped[int]
    remarks: Mapped[list[Remark]] = relationship(
        primaryjoin="and_(Interval.id == foreign(Remark.object_id), Remark.about == 'interval')",
        viewonly=True,
    )


class Remark(Base):
    __tablename__ = "remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    about: Mapped[str] = mapped_column(sa.String(20))
    object_id: Mapped[int]


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    schedule_id: Mapped[int]
    count: Mapped[int]
    interval: Mapped[Interval] = relationship(
        primaryjoin="foreign(Task.schedule_id) == Interval.id", viewonly=True
    )
    remark: Mapped[Remark] = relationship(primaryjoin="foreign(Task.schedule_id) == Remark.id", viewonly=True)


SEE = "  # joins other rows by number: see the relationship"


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        (
            Task,
            [
                "schedule_id = Integer(required=True)" + SEE + "s interval, remark",
                "count = Integer(required=True)",
            ],
        ),
        (Remark, ["object_id = Integer(required=True)" + SEE + " Interval.remarks"]),
        (Interval, ["every = Integer(required=True)"]),
    ],
    ids=["its own", "another's", "none"],
)
def test_a_number_that_leads_to_other_rows_is_said_to_do_so(model, lines):
    source = scaffold(model)
    assert [line.strip() for line in source.splitlines() if "= Integer(" in line] == lines
