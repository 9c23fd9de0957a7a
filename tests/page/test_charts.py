"""Charts are drawn where they say something: not of few runs, not twice, and not far beyond most runs."""

from __future__ import annotations

import re

import pytest

from histio import Counts, History, ImportReport, Problem, ProductionRunSchema
from histio.page.time_axis import plan_axis
from histio.page.totals import Sums
from tests.support.bakery import assembly_run, document, number, packaging, production_run, without
from tests.support.pages import many, page, run


def words(seen):
    return " ".join(seen.text.split())


def axis_of(days):
    """The axis of time for runs on *days*."""
    with Sums() as sums:
        for day in days:
            sums.add(0, day, None, [])
        return plan_axis(lambda: sums.rows(0))


YEAR = [f"2025-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]


@pytest.mark.parametrize(
    ("days", "first", "last", "outside"),
    [
        (YEAR, "2025-01-01", "2025-12-28", []),
        ([*YEAR, "0201-03-04"], "2025-01-01", "2025-12-28", ["0201-03-04"]),
        (["2205-01-01", *YEAR, "1025-06-07"], "2025-01-01", "2025-12-28", ["1025-06-07", "2205-01-01"]),
        ([*YEAR, "2035-01-01"], "2025-01-01", "2025-12-28", ["2035-01-01"]),
        ([*YEAR, "2026-01-01", "2024-12-31"], "2024-12-31", "2026-01-01", []),
        ([*YEAR, "2028-01-01"], "2025-01-01", "2028-01-01", []),
        ([*YEAR, *["2035-01-01"] * 50], "2025-01-01", "2035-01-01", []),
        ([f"{year}-01-01" for year in range(1900, 2026)], "1900-01-01", "2025-01-01", []),
        (["1000-01-01", "2025-01-01"], "1000-01-01", "2025-01-01", []),
        (["2025-01-01"], "2025-01-01", "2025-01-01", []),
        ([None, *YEAR, None], "2025-01-01", "2025-12-28", []),
    ],
)
def test_few_runs_far_from_all_others_are_not_on_the_axis(days, first, last, outside):
    axis = axis_of(days)
    assert (axis.first.isoformat(), axis.last.isoformat()) == (first, last)
    assert [day.isoformat() for day in axis.outliers] == outside
    assert axis.outside == len(outside)


def test_runs_without_times_have_no_axis():
    assert axis_of([None, None]) is None
    assert axis_of([]) is None


def test_of_many_outliers_the_first_are_named():
    axis = axis_of([*YEAR, *(f"{year}-01-01" for year in range(2100, 2106))])
    assert axis.note == (
        "6 runs outside 2025 are not drawn: 2100-01-01, 2101-01-01, 2102-01-01, 2103-01-01, 2104-01-01, …. "
        "Totals and tables include them."
    )


def test_a_mistyped_year_is_cut_from_the_axis_and_stays_in_totals_and_tables(tmp_path):
    runs = [
        *many(),
        production_run(61, produced_at="2205-01-03T10:00:00Z"),
        production_run(62, produced_at="1025-03-04T10:00:00Z"),
    ]
    seen = page(document(*runs), tmp_path)
    assert "2 runs outside 2025 are not drawn: 1025-03-04, 2205-01-03. Totals and tables include them." in (
        seen.text
    )
    [head, first, *_, last] = seen.table("Runs by day")
    assert (head, first, last) == (["Day", "Runs"], ["before 2025", "1"], ["after 2025", "1"])
    [labels] = {
        tuple(chart["views"][0]["labels"]) for chart in seen.charts if chart["overTime"] and chart["views"]
    }
    assert (labels[0], labels[-1], len(labels)) == ("2025-01-02", "2025-03-02", 60)
    assert "Runs 62 First 1025-03-04 10:00 UTC Last 2205-01-03 10:00 UTC" in words(seen)


@pytest.mark.parametrize("count", [1, 4])
def test_few_runs_are_shown_by_their_numbers(count, tmp_path):
    seen = page(document(*(run(n) for n in range(1, count + 1))), tmp_path)
    assert [chart for chart in seen.charts if chart["views"]] == []
    text = words(seen)
    assert f"Num batches {2 * count} mean 2.00" in text
    assert "Per unit cost 0.0571 mean" in text
    assert "Recipe cookies Finished unit cookie" in text
    assert "by day" not in text


def test_runs_of_one_day_are_not_drawn_over_time(tmp_path):
    runs = [production_run(n, recipe_slug=f"r{n % 3}", num_batches=n) for n in range(1, 9)]
    seen = page(document(*runs), tmp_path)
    assert {chart["overTime"] for chart in seen.charts if chart["views"]} == {False}
    assert "by day" not in seen.text


def test_amounts_in_different_units_have_a_total_for_each(tmp_path):
    class UnitSchema(ProductionRunSchema):
        class Meta(ProductionRunSchema.Meta):
            unit = "notes"

    given = without(document(run(1, notes="kg"), run(2, notes="g")), "assembly_runs")
    head, *rows = page(given, tmp_path, history=History(None, UnitSchema)).table("Totals")
    assert head == ["Number", "Unit", "Sum", "Mean"]
    assert [row for row in rows if row[0] == "Num batches"] == [
        ["Num batches", "kg", "2", "2.00"],
        ["Num batches", "g", "2", "2.00"],
    ]


def test_a_chart_that_looks_like_another_one_is_not_drawn_again(tmp_path):
    runs = [each | {"num_batches": 2} for each in many()]
    runs += [each | {"uuid": number(100 + n)} for n, each in enumerate(runs[:9])]
    seen = page(document(*runs), tmp_path)
    assert re.search("Num batches by day .{0,40}The chart looks like “Runs by day”.", words(seen))
    assert len(seen.table("Num batches by day")) == 61


def test_slugs_that_always_go_together_are_drawn_once(tmp_path):
    runs = [each | {"finished_unit_slug": f"{each['recipe_slug']}-unit"} for each in many()]
    seen = page(document(*runs), tmp_path)
    assert "The chart looks like “Runs by recipe”." in seen.text
    assert len(seen.table("Runs by finished unit")) == 5


def test_a_number_that_never_changes_is_no_chart(tmp_path):
    runs = [each | {"per_unit_cost": "0.5000"} for each in many()]
    seen = page(document(*runs), tmp_path)
    assert "Per unit cost by day What one unit cost. It is always the same." in words(seen)


def test_tables_of_one_row_that_differ_in_the_slug_are_one(tmp_path):
    given = document(assembly=[assembly_run(1, packaging_consumptions=[packaging(9)])])
    assert page(given, tmp_path).table("Packaging consumptions by product and ingredient") == [
        ["Product", "Ingredient", "Unit", "Entries", "Total cost, sum", "Quantity consumed, sum"],
        ["bag-100", "bag", "each", "1", "1.2500", "5.000"],
    ]


def test_amounts_that_are_compared_are_not_drawn_alone_too(tmp_path):
    seen = page(document(*many()), tmp_path)
    assert [view["name"] for chart in seen.charts for view in chart["views"] if len(view["series"]) > 1] == [
        "Sum",
        "Mean",
        "Actual yield against expected yield, sum",
        "Actual yield against expected yield, mean",
    ]
    assert "Actual yield by day" not in seen.text


def test_charts_of_an_import_leave_out_what_was_rejected(tmp_path):
    rejected = Problem(
        "error", "unknown-reference", "No.", "/production_runs/1/recipe_slug", "production_run", number(2), 1
    )
    report = ImportReport(
        imported=8,
        rejected=1,
        by_kind={"production_run": Counts(imported=8, rejected=1)},
        problems=(rejected,),
        problem_count=1,
    )
    seen = page(document(*(run(n) for n in range(1, 10))), tmp_path, imported=report)
    assert "What was imported 8 production runs." in words(seen)
    assert [row[0] for row in seen.table("Runs by day")[1:]] == [
        f"2025-01-{day:02}" for day in range(2, 11) if day != 3
    ]
