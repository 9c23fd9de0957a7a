"""Users with roles and mentors: lists of slugs."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio


class Base(orm.DeclarativeBase):
    pass


user_roles = sa.Table(
    "user_roles",
    Base.metadata,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("role_id", sa.ForeignKey("roles.id"), primary_key=True),
)


mentors = sa.Table(
    "mentors",
    Base.metadata,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("mentor_id", sa.ForeignKey("users.id"), primary_key=True),
)


class Role(Base):
    __tablename__ = "roles"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    title: Mapped[str | None] = mapped_column(sa.String(40))


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    roles: Mapped[list[Role]] = relationship(secondary=user_roles)
    mentors: Mapped[list[User]] = relationship(
        secondary=mentors, primaryjoin=id == mentors.c.user_id, secondaryjoin=id == mentors.c.mentor_id
    )


class RoleSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Role, "role", "roles", None, "name"

    name = histio.Text(required=True)
    title = histio.Text(allow_none=True)


class UserSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = User, "user", "users", None, "name"

    name = histio.Text(required=True)
    roles = histio.SlugList("roles", key="name", fallback="title")
    mentors = histio.SlugList("mentors", key="name")


def user(name, *roles, mentors=()):
    return {"name": name, "roles": list(roles), "mentors": list(mentors)}


def role(name, title=None):
    return {"name": name, "title": title}
