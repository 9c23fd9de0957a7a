"""The loop that histio replaced: a query for every UUID and every slug, and a flush for every run."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from histio.models import FinishedUnit, ProductionConsumption, ProductionRun, Recipe
from peers.alchemy import engine, warm

__all__ = ["export", "load", "read", "warm"]

_LIMIT = 10_000


def export(url: str, path: Path) -> None:
    records: list[dict[str, Any]] = []
    with Session(engine(url)) as session:
        runs = (
            session.query(ProductionRun).order_by(ProductionRun.produced_at, ProductionRun.uuid).limit(_LIMIT)
        )
        while page := runs.offset(len(records)).all():
            records += [_record(run) for run in page]
    with path.open("w", encoding="utf-8") as file:
        json.dump({"version": "1.0", "production_runs": records}, file)


def _record(run: ProductionRun) -> dict[str, Any]:
    return {
        "uuid": run.uuid,
        "recipe_slug": run.recipe.slug,
        "finished_unit_slug": run.finished_unit.slug,
        "num_batches": run.num_batches,
        "expected_yield": run.expected_yield,
        "actual_yield": run.actual_yield,
        "produced_at": f"{run.produced_at.isoformat()}Z",
        "notes": run.notes,
        "total_ingredient_cost": str(run.total_ingredient_cost),
        "per_unit_cost": str(run.per_unit_cost),
        "created_at": f"{run.created_at.isoformat()}Z",
        "updated_at": f"{run.updated_at.isoformat()}Z",
        "consumptions": [
            {
                "uuid": entry.uuid,
                "ingredient_slug": entry.ingredient_slug,
                "quantity_consumed": str(entry.quantity_consumed),
                "unit": entry.unit,
                "total_cost": str(entry.total_cost),
                "created_at": f"{entry.created_at.isoformat()}Z",
                "updated_at": f"{entry.updated_at.isoformat()}Z",
            }
            for entry in run.consumptions
        ],
    }


def load(url: str, path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        records = json.load(file)["production_runs"]
    with Session(engine(url)) as session:
        for record in records:
            if session.query(ProductionRun).filter_by(uuid=record["uuid"]).first() is None:
                session.add(_run(session, record))
                session.flush()
        session.commit()


def _run(session: Session, record: dict[str, Any]) -> ProductionRun:
    return ProductionRun(
        uuid=record["uuid"],
        recipe=session.query(Recipe).filter_by(slug=record["recipe_slug"]).one(),
        finished_unit=session.query(FinishedUnit).filter_by(slug=record["finished_unit_slug"]).one(),
        num_batches=record["num_batches"],
        expected_yield=record["expected_yield"],
        actual_yield=record["actual_yield"],
        produced_at=_time(record["produced_at"]),
        notes=record["notes"],
        total_ingredient_cost=Decimal(record["total_ingredient_cost"]),
        per_unit_cost=Decimal(record["per_unit_cost"]),
        created_at=_time(record["created_at"]),
        updated_at=_time(record["updated_at"]),
        consumptions=[
            ProductionConsumption(
                uuid=entry["uuid"],
                ingredient_slug=entry["ingredient_slug"],
                quantity_consumed=Decimal(entry["quantity_consumed"]),
                unit=entry["unit"],
                total_cost=Decimal(entry["total_cost"]),
                created_at=_time(entry["created_at"]),
                updated_at=_time(entry["updated_at"]),
            )
            for entry in record["consumptions"]
        ],
    )


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=None)


def read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from json.load(file)["production_runs"]
