"""A workshop, whose models have columns and relationships of every sort that bindings account for."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship


class Base(orm.DeclarativeBase):
    pass


job_tags = sa.Table(
    "job_tags",
    Base.metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class Tag(Base):
    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Machine(Base):
    __tablename__ = "machines"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    jobs: Mapped[list[Job]] = relationship(back_populates="machine")


class Hour(Base):
    __tablename__ = "hours"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id"))
    worked: Mapped[int]
    remark: Mapped[str | None] = mapped_column(sa.String(20), deferred=True)
    job: Mapped[Job] = relationship(back_populates="hours")


class Photo(Base):
    __tablename__ = "photos"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id"), unique=True)
    path: Mapped[str] = mapped_column(sa.String(20))


class Job(Base):
    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    bike: Mapped[str | None] = mapped_column(sa.String(20))
    secret: Mapped[str | None] = mapped_column(sa.String(20), deferred=True)
    machine_id: Mapped[int | None] = mapped_column(sa.ForeignKey("machines.id"))
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("jobs.id"))
    shop: Mapped[str] = mapped_column(sa.String(20))
    edition: Mapped[int] = mapped_column()
    doubled: Mapped[int] = mapped_column(sa.Computed("id * 2"))

    machine: Mapped[Machine | None] = relationship(back_populates="jobs")
    parent: Mapped[Job | None] = relationship(remote_side=[id], back_populates="children")
    children: Mapped[list[Job]] = relationship(back_populates="parent")
    hours: Mapped[list[Hour]] = relationship(back_populates="job")
    long_hours: Mapped[list[Hour]] = relationship(
        primaryjoin="and_(Job.id == Hour.job_id, Hour.worked > 8)", viewonly=True
    )
    photo: Mapped[Photo | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=job_tags)

    __mapper_args__ = {"version_id_col": edition}
