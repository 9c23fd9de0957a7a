"""A program with marshmallow-sqlalchemy, as its documentation teaches; relations load when needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from data import normalize_times
from marshmallow_sqlalchemy import SQLAlchemyAutoSchema
from marshmallow_sqlalchemy.fields import Nested, Related
from sqlalchemy.orm import Session
from sqlalchemy.orm.interfaces import ORMOption

from histio.models import ProductionConsumption, ProductionRun
from peers.alchemy import engine, warm

__all__ = ["export", "load", "read", "warm"]


class ConsumptionSchema(SQLAlchemyAutoSchema):
    class Meta:
        model = ProductionConsumption
        load_instance = True
        exclude = ("id",)


class RunSchema(SQLAlchemyAutoSchema):
    class Meta:
        model = ProductionRun
        load_instance = True
        exclude = ("id",)

    recipe = Related("slug", data_key="recipe_slug")
    finished_unit = Related("slug", data_key="finished_unit_slug")
    consumptions = Nested(ConsumptionSchema, many=True)


def export(url: str, path: Path, *options: ORMOption) -> None:
    ordered = sa.select(ProductionRun).order_by(ProductionRun.produced_at, ProductionRun.uuid)
    with Session(engine(url)) as session:
        runs = session.scalars(ordered.options(*options)).all()
        path.write_text(RunSchema(many=True).dumps(runs, default=str))


def load(url: str, path: Path) -> None:
    with Session(engine(url)) as session:
        session.add_all(RunSchema(many=True).load(json.loads(path.read_text()), session=session))
        session.commit()


def read(path: Path) -> Iterator[dict[str, Any]]:
    return map(normalize_times, json.loads(path.read_text()))
