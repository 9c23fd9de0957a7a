"""Association tables that keep more than who belongs to whom: nothing of it is lost in silence."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import BindingError, History
from histio.scaffold import scaffold


class Base(orm.DeclarativeBase):
    pass


badges = sa.Table(
    "badges",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("member_id", sa.ForeignKey("members.id")),
    sa.Column("role_id", sa.ForeignKey("roles.id")),
    sa.Column("honorary", sa.Boolean, nullable=False, default=False),
)


class Badge(Base):
    __table__ = badges


class Role(Base):
    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Member(Base):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    roles: Mapped[list[Role]] = relationship(secondary=badges)


class MemberSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Member, "member", "members", None, "name"

    name = auto_field(required=True)
    roles = histio.SlugList("roles", key="name")


class BadgeSchema(histio.RecordSchema):
    class Meta:
        model = Badge

    role = histio.Slug("role_id", key="name", required=True)
    honorary = auto_field()


class BadgedSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Member, "member", "members", None, "name"

    name = auto_field(required=True)
    badges = Nested(BadgeSchema, many=True)


def test_a_column_of_an_association_table_is_not_lost_by_a_list_of_slugs():
    with pytest.raises(BindingError) as caught:
        History(None, MemberSchema)
    [fault] = caught.value.faults
    assert fault.attribute == "roles.honorary"
    assert fault.lines == (
        "badges = Nested(BadgeSchema, many=True) instead of roles",
        'exclude = ("roles.honorary",)',
    )


def test_a_column_of_an_association_table_can_be_left_out_by_name():
    class PlainSchema(MemberSchema):
        class Meta:
            exclude = ("roles.honorary",)

    lines = History(None, PlainSchema).explain()
    assert "left out by Meta.exclude: roles.honorary" in lines


def test_the_rows_of_an_association_table_can_be_a_ledger(create):
    engine = create(Base.metadata, Role(name="chair"), Member(name="ann"))
    with orm.Session(engine) as session:
        session.execute(badges.insert().values(member_id=1, role_id=1, honorary=True))
        session.commit()
    history = History(engine, BadgedSchema)
    document = history.export_document()
    assert document["members"] == [{"name": "ann", "badges": [{"role": "chair", "honorary": True}]}]
    assert history.import_document(document, on_duplicate="verify").skipped == 1


ties = sa.Table(
    "ties",
    Base.metadata,
    sa.Column("hand_id", sa.ForeignKey("hands.id"), primary_key=True),
    sa.Column("role_id", sa.ForeignKey("roles.id"), primary_key=True),
    sa.Column("since", sa.Date),
)


class Hand(Base):
    __tablename__ = "hands"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    roles: Mapped[list[Role]] = relationship(secondary=ties)


def test_an_association_table_with_columns_and_a_model_is_scaffolded_as_a_ledger():
    source = scaffold(Member)
    assert "    badges = Nested(BadgeSchema, many=True)" in source
    assert "        # not moved: roles (the rows of badges)" in source


def test_an_association_table_with_columns_and_no_model_is_scaffolded_without_them():
    source = scaffold(Hand)
    assert '            "roles.since",  # a column of the association table, which has no model' in source
