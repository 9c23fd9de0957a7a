"""DuckDB and pandas answer alike, and as a calculation by hand does."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import histio
import pytest
from histio import History
from histio.demo import bakery
from histio.demo import run as demo

import in_duckdb
import in_pandas

FOLDER = Path(__file__).parent.parent
README = (FOLDER / "README.md").read_text("utf-8")

both = pytest.mark.parametrize("answers", [in_duckdb.answers, in_pandas.answers], ids=["duckdb", "pandas"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the year of `histio demo` is, as streams and as records."""
    folder = tmp_path_factory.mktemp("year")
    engine = histio.create_engine(f"sqlite:///{folder}/bakery.db")
    demo.fill(engine, bakery.make_catalog(), with_runs=True)
    history = History(engine)
    history.export_file(folder / "history.jsonl")
    history.export_file(folder / "history.jsonl.gz")
    (folder / "runs.json").write_text(json.dumps(list(history.iter_runs("production_run"))))
    engine.dispose()
    return folder


def by_hand(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The answers, added up run by run."""
    costs, yields = defaultdict(list), defaultdict(list)
    ingredients = defaultdict(lambda: ([], []))
    for run in runs:
        at = dt.datetime.fromisoformat(run["produced_at"])
        at = (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        costs[f"{at:%Y-%m}", run["recipe_slug"]].append(Decimal(run["total_ingredient_cost"]))
        yields[run["recipe_slug"]].append((run["expected_yield"], run["actual_yield"]))
        for entry in run.get("consumptions", []):
            half = ingredients[entry["ingredient_slug"], entry["unit"]][at.month > 6]
            half.append((Decimal(entry["total_cost"]), Decimal(entry["quantity_consumed"])))
    return {
        "costs": [
            {"month": month, "recipe": recipe, "runs": len(each), "cost": sum(each)}
            for (month, recipe), each in sorted(costs.items())
        ],
        "ingredients": [
            {
                "ingredient": slug,
                "unit": unit,
                "cost": sum(cost for cost, _ in early + late),
                "price_to_june": price(early),
                "price_from_july": price(late),
            }
            for (slug, unit), (early, late) in sorted(
                ingredients.items(), key=lambda item: -sum(cost for half in item[1] for cost, _ in half)
            )
        ],
        "yields": sorted(
            (
                {"recipe": recipe, "planned": planned, "actual": actual, "percent": percent(actual, planned)}
                for recipe, each in yields.items()
                for planned, actual in [map(sum, zip(*each, strict=True))]
            ),
            key=lambda row: (row["percent"], row["recipe"]),
        ),
    }


def price(entries: list[tuple[Decimal, Decimal]]) -> Decimal | None:
    if not entries:
        return None
    costs, quantities = zip(*entries, strict=True)
    return (sum(costs) / sum(quantities)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def percent(actual: int, planned: int) -> Decimal:
    return (Decimal(100 * actual) / planned).quantize(Decimal("0.01"), ROUND_HALF_UP)


@both
@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.gz"])
def test_the_answers_are_those_of_a_calculation_by_hand(folder, answers, name):
    runs = json.loads((folder / "runs.json").read_text())
    assert len(runs) == bakery.PRODUCTION_RUNS
    assert answers(folder / name) == by_hand(runs)


def run(**members: Any) -> dict[str, Any]:
    return {
        "uuid": "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11",
        "recipe_slug": "bread",
        "expected_yield": 8,
        "actual_yield": 7,
        "produced_at": "2025-07-01T00:00:00Z",
        "total_ingredient_cost": "0.1",
    } | members


def entry(cost: str, quantity: str) -> dict[str, Any]:
    return {"ingredient_slug": "salt", "unit": "g", "total_cost": cost, "quantity_consumed": quantity}


def write(path: Path, *runs: dict[str, Any], recipes: dict[str, str] | None = None) -> None:
    rows = [{"recipe": {"slug": slug, "name": name}} for slug, name in (recipes or {}).items()]
    header = {"version": "1.0", "sealed": False, "catalog": ["recipe"]}
    lines = [{"header": header}, *rows, *({"production_run": each} for each in runs)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@both
def test_decimals_are_added_exactly(answers, tmp_path):
    # As binary floating point, 0.1 + 0.2 is not 0.3, and 900000 + 0.0001 + … has no room for its digits.
    costs = ["0.1", "0.2", "900000", *["0.0001"] * 99, *["999999.9999"] * 99]
    write(
        tmp_path / "runs.jsonl",
        *(run(total_ingredient_cost=cost, consumptions=[entry(cost, "3.000")]) for cost in costs),
    )
    given = answers(tmp_path / "runs.jsonl")
    assert given["costs"][0]["cost"] == given["ingredients"][0]["cost"] == Decimal("99900000.3000")


@both
def test_months_are_those_of_utc(answers, tmp_path):
    moments = {
        "2025-07-01T01:59:59+02:00": "2025-06",
        "2025-06-30T23:00:00-01:00": "2025-07",
        "2025-06-30T23:59:59": "2025-06",
        "2025-06-30T23:59:59.999999Z": "2025-06",
        "2025-07-01T00:00:00.5Z": "2025-07",
    }
    runs = [run(recipe_slug=at, produced_at=at, consumptions=[entry("1", "2")]) for at in moments]
    write(tmp_path / "runs.jsonl", *runs)
    given = answers(tmp_path / "runs.jsonl")
    assert {row["recipe"]: row["month"] for row in given["costs"]} == moments
    assert given == by_hand(runs)


@both
def test_a_run_without_ledger_has_its_cost_and_no_ingredients(answers, tmp_path):
    runs = [run(consumptions=[entry("1", "2")]), run(consumptions=[]), run()]
    write(tmp_path / "runs.jsonl", *runs)
    given = answers(tmp_path / "runs.jsonl")
    assert (given["costs"][0]["runs"], given["ingredients"][0]["cost"]) == (3, Decimal(1))
    assert given == by_hand(runs)


def test_a_catalog_has_names_and_changes_no_answer(tmp_path):
    recipes = {"bread": "Pain de mie 🍞", "rolls": "Rolls"}
    bare, whole = tmp_path / "bare.jsonl", tmp_path / "whole.jsonl"
    runs = [run(consumptions=[entry("1", "2")]), run(recipe_slug="rolls", consumptions=[])]
    write(bare, *runs)
    write(whole, *runs, recipes=recipes)
    for answers in (in_duckdb.answers, in_pandas.answers):
        assert answers(whole) == answers(bare)
    for path, found in ((bare, {}), (whole, recipes)):
        with in_duckdb.opened(path) as connection:
            assert {row["slug"]: row["name"] for row in in_duckdb.asked("names", connection)} == found
        names = in_pandas.names(path)
        assert dict(zip(names["slug"], names["name"], strict=True)) == found


@both
def test_a_file_that_is_cut_is_answered_from_which_histio_names(folder, answers, tmp_path):
    lines = (folder / "history.jsonl").read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(lines[:101]))
    assert sum(row["runs"] for row in answers(cut)["costs"]) == 100
    with pytest.raises(histio.DocumentError, match="without its trailer"):
        histio.merge([cut], tmp_path / "checked.jsonl")
    assert histio.merge([folder / "history.jsonl"], tmp_path / "checked.jsonl").exported == 2_000


@pytest.mark.parametrize("by", ["duckdb", "pandas"])
def test_the_readme_shows_answers_as_they_are(folder, by):
    command = [sys.executable, str(FOLDER / "ask.py"), by, str(folder / "history.jsonl.gz")]
    printed = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    tables = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)[1:]  # the first is of files
    assert len(tables) == 3
    assert [each for each in tables if each not in printed] == []


def test_the_readme_shows_code_as_it_is():
    shown = re.findall("```(?:sql|python)\n(.*?)```", README, re.DOTALL)
    sources = [path.read_text("utf-8") for path in (*FOLDER.glob("sql/*.sql"), FOLDER / "in_pandas.py")]
    assert len(shown) == 10
    assert [block for block in shown if not any(block.strip() in source for source in sources)] == []
