"""Tickets that refer to each other, and remarks about them."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from tests.support.bakery import number


class Base(orm.DeclarativeBase):
    pass


class Ticket(Base):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    opened_at: Mapped[dt.datetime]
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    cause_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tickets.id"))
    cause: Mapped[Ticket | None] = relationship(remote_side=[id])


class Remark(Base):
    __tablename__ = "remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    opened_at: Mapped[dt.datetime]
    ticket_id: Mapped[int] = mapped_column(sa.ForeignKey("tickets.id"))
    ticket: Mapped[Ticket] = relationship()


class TicketSchema(histio.RunSchema):
    class Meta:
        model = Ticket
        kind, collection, timestamp = "ticket", "tickets", "opened_at"

    uuid = histio.RunUUID(required=True)
    opened_at = histio.UtcTimestamp(required=True)
    code = histio.Text(required=True)
    cause = histio.RunRef("cause", load_default=None)


class RemarkSchema(histio.RunSchema):
    class Meta:
        model = Remark
        kind, collection, timestamp = "remark", "remarks", "opened_at"

    uuid = histio.RunUUID(required=True)
    opened_at = histio.UtcTimestamp(required=True)
    ticket = histio.RunRef("ticket", required=True)


def ticket(n, cause=None, code=None):
    """A ticket of the nth minute, perhaps with another one as its cause."""
    times = {"opened_at": f"2025-12-08T10:{n:02}:00Z"}
    return {"uuid": number(n), **times, "code": code or f"T{n}", "cause": cause and number(cause)}


def remark(n, about):
    """A remark about the ticket with the number *about*."""
    return {"uuid": number(n), "opened_at": f"2025-12-08T11:{n:02}:00Z", "ticket": number(about)}


def history(bind):
    return histio.History(bind, RemarkSchema, TicketSchema)
