"""The questions, answered by pandas."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd


def opened(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The production runs of the stream at *path*, plain or gzip, and the entries of their ledgers."""
    lines = pd.read_json(path, lines=True, dtype=False)
    records = [{"consumptions": [], **run} for run in lines["production_run"].dropna()]
    runs = pd.DataFrame(records).rename(columns={"recipe_slug": "recipe"})
    runs["total_ingredient_cost"] = runs["total_ingredient_cost"].map(Decimal)
    entries = pd.json_normalize(records, "consumptions", ["produced_at"])
    entries = entries.rename(columns={"ingredient_slug": "ingredient"})
    entries["quantity_consumed"] = entries["quantity_consumed"].map(Decimal)
    entries["total_cost"] = entries["total_cost"].map(Decimal)
    for frame in (runs, entries):
        frame["produced_at"] = pd.to_datetime(frame["produced_at"], format="ISO8601", utc=True)
    return runs, entries


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    months = runs.assign(month=runs["produced_at"].dt.strftime("%Y-%m")).groupby(["month", "recipe"])
    return months.agg(runs=("recipe", "size"), cost=("total_ingredient_cost", "sum")).reset_index()


def ingredients(entries: pd.DataFrame) -> pd.DataFrame:
    keys, halves = ["ingredient", "unit"], {False: "price_to_june", True: "price_from_july"}
    half = entries["produced_at"].dt.month.gt(6).map(halves)
    sums = entries.pivot_table(["total_cost", "quantity_consumed"], keys, half, aggfunc="sum")
    prices = (sums["total_cost"] / sums["quantity_consumed"]).map(rounded(4), na_action="ignore")
    cost = entries.groupby(keys)["total_cost"].sum().rename("cost")
    answer = pd.concat([cost, prices.reindex(columns=halves.values())], axis=1).reset_index()
    return answer.sort_values(["cost", "ingredient"], ascending=[False, True])


def yields(runs: pd.DataFrame) -> pd.DataFrame:
    answer = runs.groupby("recipe").agg(planned=("expected_yield", "sum"), actual=("actual_yield", "sum"))
    percent = 100 * answer["actual"].map(Decimal) / answer["planned"].map(Decimal)
    return answer.assign(percent=percent.map(rounded(2))).reset_index().sort_values(["percent", "recipe"])


def names(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The recipes in the catalog of the stream at *path*; none if it has no catalog."""
    lines = pd.read_json(path, lines=True, dtype=False)
    recipes = lines["recipe"].dropna() if "recipe" in lines else []
    return pd.DataFrame(list(recipes), columns=["slug", "name"]).sort_values("slug")


def rounded(places: int) -> Callable[[Decimal], Decimal]:
    return lambda value: value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def answers(path: str | os.PathLike[str]) -> dict[str, list[dict[str, object]]]:
    """The rows that answer each question; None: there is no such value."""
    runs, entries = opened(path)
    frames = {"costs": costs(runs), "ingredients": ingredients(entries), "yields": yields(runs)}
    return {
        question: frame.astype(object).where(frame.notna(), None).to_dict("records")
        for question, frame in frames.items()
    }
