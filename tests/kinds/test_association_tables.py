"""What association tables have beside their keys is accounted for: a list of slugs names rows only."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import BindingError, History, RunUUID, SlugList, testing


class Base(orm.DeclarativeBase):
    pass


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Vote(Base):
    """An association that has a model."""

    __tablename__ = "votes"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id"))
    tag_id: Mapped[int] = mapped_column(sa.ForeignKey("tags.id"))
    stars: Mapped[int] = mapped_column(server_default="3")


job_tags = sa.Table(
    "job_tags",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), nullable=False),
    sa.Column("weight", sa.Integer, server_default="1"),
    sa.Column("remark", sa.String(20)),
    sa.Column("double", sa.Integer, sa.Computed("weight * 2")),
)


class Job(Base):
    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    tags: Mapped[list[Tag]] = relationship(secondary=job_tags)
    praised: Mapped[list[Tag]] = relationship(secondary="votes", overlaps="praised")


def kind(*excluded):
    class JobSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, exclude = Job, "job", "jobs", None, excluded

        uuid = RunUUID(required=True)
        tags = SlugList("tags", key="name")
        likes = SlugList("praised", key="name")

    return JobSchema


ALL = ("tags.weight", "tags.remark", "praised.stars")


def test_the_further_columns_of_association_tables_are_told_with_the_lines_to_paste():
    with pytest.raises(BindingError) as error:
        History(None, kind())
    assert [(fault.attribute, *fault.lines) for fault in error.value.faults] == [
        ("tags.weight", 'exclude = ("tags.weight",)'),
        ("tags.remark", 'exclude = ("tags.remark",)'),
        (
            "praised.stars",
            "votes = Nested(VoteSchema, many=True) instead of praised",
            'exclude = ("praised.stars",)',
        ),
    ]


@pytest.mark.slow
def test_columns_that_are_left_out_by_name_are_in_the_account_and_the_kit_names_them(sqlite_of):
    def make_runs(session, count):
        session.add_all(
            Job(uuid=f"7d0f5f3e-6a0b-4c39-9d5c-{n:012}", tags=[tag := Tag(name=f"tag {n}")], praised=[tag])
            for n in range(count)
        )

    history = History(sqlite_of(Base.metadata), kind(*ALL))
    assert "  left out by Meta.exclude: tags.weight, tags.remark, praised.stars\n" in history.explain()
    skipped = testing.check_host(history, make_runs=make_runs)
    [line] = skipped
    for name in ALL:
        assert f"job: {name} is left out by Meta.exclude" in line


def test_a_list_that_is_left_out_takes_its_columns_along():
    assert History(None, kind("likes", "tags.weight", "tags.remark")).kinds == ("job",)


def test_what_the_table_ignores_it_ignores_between_tables_too():
    class IgnoringSchema(kind()):
        class Meta:
            unbound = "ignore"

    assert 'left out by Meta.unbound = "ignore": tags.weight' in History(None, IgnoringSchema).explain()


def test_an_association_that_is_a_kind_of_its_own_keeps_its_columns():
    class VoteSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Vote, "vote", "votes", None, "id"

        id = histio.Integer(required=True)
        job = histio.RunRef("job_id", key="uuid", required=True)
        tag = histio.Slug("tag_id", key="name", required=True)
        stars = histio.Integer()

    assert History(None, kind("likes", *ALL[:2]), VoteSchema).kinds == ("job", "vote")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tags.wieght", "did you mean 'tags.weight'"),
        ("tags.job_id", "Job has no attribute or field 'tags.job_id'"),
        ("likes.stars", "Job has no attribute or field 'likes.stars'"),
        ("uuid.weight", "Job has no attribute or field 'uuid.weight'"),
        ("nothing.weight", "Job has no attribute or field 'nothing.weight'"),
    ],
)
def test_a_column_that_the_association_table_lacks_cannot_be_left_out(name, words):
    with pytest.raises(BindingError, match=words):
        History(None, kind(*ALL, name))
