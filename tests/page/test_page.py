"""A history as a page: what stands on it comes from the schemas, its sums are exact, and all text is text."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import itertools
import json
import re
import sys
import tracemalloc
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

import histio
from histio import (
    BindingError,
    DocumentError,
    History,
    ImportReport,
    Problem,
    ProductionRunSchema,
    Revision,
)
from histio.files.limits import Limits
from histio.kinds.audits import Sum
from histio.kinds.charts import Compare
from histio.page.figures import NO_NUMBER
from histio.page.gather import gather
from histio.page.render import read_asset
from histio.page.time_steps import STEPS, choose_step
from histio.page.totals import Sums, Totals
from histio.tuning import tuned
from tests.support import shop
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.pages import (
    HOSTILE_HISTORY,
    SHOWN,
    hostile_document,
    hostile_host_document,
    hostile_report,
    many,
    page,
    run,
)


def plain(cell):
    """The number in a *cell*."""
    return Decimal(cell.replace("\u202f", ""))


def alone(*runs):
    """A document of a history that has production runs only."""
    return without(document(*runs), "assembly_runs")


def assembled(n, **members):
    """An assembly run of its own day, of one of three goods, with numbers of its own."""
    members = {"assembled_at": f"2025-01-{n:02}T10:00:00Z", "finished_good_slug": f"good-{n % 3}"} | members
    return assembly_run(
        n,
        quantity_assembled=n,
        total_component_cost=f"{n * n}.0000",
        per_unit_cost=f"{n}.0000",
        finished_unit_consumptions=[unit_consumption(300 + n, finished_unit_slug=f"unit-{n % 2}")],
        packaging_consumptions=[packaging(400 + n, product_slug=f"bag-{n % 3}", unit=("each", "m")[n % 2])],
        **members,
    )


def test_every_kind_has_a_section_with_figures_of_all_its_numbers_and_slugs(tmp_path):
    runs = [each | {"finished_unit_slug": f"unit-{n % 3}"} for n, each in enumerate(many())]
    seen = page(document(*runs, assembly=[assembled(n) for n in range(1, 9)]), tmp_path)
    production, assembly = "Production runs", "Assembly runs"
    assert [title for title in seen.tables if not title.startswith("Findings")] == [
        f"{production}: Runs by day",
        f"{production}: Actual yield against expected yield by day",
        f"{production}: Num batches by day",
        f"{production}: Total ingredient cost by day",
        f"{production}: Per unit cost by day",
        f"{production}: Runs by recipe",
        f"{production}: Runs by finished unit",
        f"{production}: Consumptions by ingredient",
        f"{assembly}: Runs by day",
        f"{assembly}: Quantity assembled by day",
        f"{assembly}: Total component cost by day",
        f"{assembly}: Per unit cost by day",
        f"{assembly}: Runs by finished good",
        f"{assembly}: Finished unit consumptions by finished unit",
        f"{assembly}: Packaging consumptions by product",
        f"{assembly}: Packaging consumptions by ingredient",
    ]
    assert "Batches of one recipe, made at one time, with the ingredients they used." in seen.text


@pytest.mark.slow
def test_the_sums_over_time_are_exactly_those_of_a_plain_calculation(tmp_path):
    runs = list(many())
    by_day = page(document(*runs), tmp_path).table("Total ingredient cost by day")[1:]
    assert [(day, plain(total), plain(mean)) for day, total, mean in by_day] == [
        (each["produced_at"][:10], *[Decimal(each["total_ingredient_cost"])] * 2) for each in runs
    ]


def test_the_means_are_rounded_to_as_many_digits_as_the_sums_have(tmp_path):
    costs = ["1.0000", "2.0000", "2.0000"]
    runs = [production_run(n, total_ingredient_cost=cost) for n, cost in enumerate(costs, 1)]
    tables = page(document(*runs, *(run(n) for n in range(4, 8))), tmp_path).table
    assert tables("Total ingredient cost by week")[-1] == ["2025-12-08", "5.0000", "1.6667"]
    assert tables("Num batches by week")[-1] == ["2025-12-08", "6", "2.00"]


@pytest.mark.slow
def test_the_sums_by_slug_are_exactly_those_of_a_plain_calculation(tmp_path):
    runs = list(many())
    expected = defaultdict(lambda: [0, Decimal(), Decimal()])
    for each in runs:
        found = expected[each["recipe_slug"]]
        found[0] += 1
        found[1] += each["num_batches"]
        found[2] += Decimal(each["total_ingredient_cost"])
    head, *rows = page(document(*runs), tmp_path).table("Runs by recipe")
    places = [head.index(name) for name in ("Runs", "Num batches, sum", "Total ingredient cost, sum")]
    assert {row[0]: [plain(row[place]) for place in places] for row in rows} == expected


@pytest.mark.slow
def test_ledgers_are_added_up_by_slug_and_unit(tmp_path):
    runs = list(many())
    expected = defaultdict(lambda: [0, Decimal(), Decimal()])
    for entry in itertools.chain(*(each["consumptions"] for each in runs)):
        found = expected[entry["ingredient_slug"], entry["unit"]]
        found[0] += 1
        found[1] += Decimal(entry["total_cost"])
        found[2] += Decimal(entry["quantity_consumed"])
    head, *rows = page(document(*runs), tmp_path).table("Consumptions by ingredient")
    assert head == ["Ingredient", "Unit", "Entries", "Total cost, sum", "Quantity consumed, sum"]
    assert {(slug, unit): [plain(cell) for cell in cells] for slug, unit, *cells in rows} == expected


@pytest.mark.slow
def test_amounts_in_different_units_never_share_an_axis(tmp_path):
    charts = page(document(*many()), tmp_path).charts
    [views] = [chart["views"] for chart in charts if chart["axis"] == "Ingredient"]
    assert [view["name"] for view in views] == [
        "Total cost, sum",
        "Quantity consumed in kg, sum",
        "Quantity consumed in g, sum",
        "Entries",
    ]


def test_planned_stands_beside_actual_where_both_are_there(sqlite_of, tmp_path):
    class PlannedSchema(shop.OrderSchema):
        class Meta(shop.OrderSchema.Meta):
            charts = (Compare("total", "weight"),)

    orders = [shop.order(n, placed_on=f"2025-12-0{n}", total="8.00", weight=2.0) for n in range(1, 6)]
    tables = page(shop.orders(*orders), tmp_path, history=History(None, PlannedSchema)).table
    assert tables("Weight against total by day")[:2] == [
        ["Day", "Total, sum", "Weight, sum", "Share", "Total, mean", "Weight, mean"],
        ["2025-12-01", "8.00", "2.0", "25.0%", "8.00", "2.00"],
    ]


def test_of_many_slugs_the_first_are_shown_and_the_rest_is_added_up(tmp_path):
    runs = [run(n, recipe_slug=f"r{n:02}", num_batches=n) for n in range(1, 41)]
    seen = page(document(*runs), tmp_path)
    [views] = [
        chart["views"] for chart in seen.charts if chart["axis"] == "Recipe" and len(chart["views"]) > 1
    ]
    [view] = [each for each in views if each["name"] == "Num batches, sum"]
    assert view["labels"] == [*(f"r{n}" for n in range(40, 25, -1)), "25 others"]
    assert view["series"][0]["values"] == [*range(40, 25, -1), sum(range(1, 26))]
    head, *rows = seen.table("Runs by recipe")
    assert sum(plain(row[head.index("Num batches, sum")]) for row in rows) == sum(range(1, 41))
    assert rows[-1][0] == "others"


def test_of_many_units_the_rest_is_not_added_up(tmp_path):
    entries = [
        consumption(100 + n, unit=f"u{n}", quantity_consumed="1.000", total_cost="2.0000") for n in range(60)
    ]
    tables = page(document(run(1, consumptions=entries)), tmp_path).table
    others = [row for row in tables("Consumptions by ingredient") if row[0] == "others"]
    assert others == [["others", "other units", "45", "90.0000", NO_NUMBER]]


def test_a_host_that_names_no_unit_has_its_amounts_added_up(tmp_path):
    class UnitlessSchema(histio.ProductionConsumptionSchema):
        class Meta(histio.ProductionConsumptionSchema.Meta):
            unit = None

    class RunSchema(ProductionRunSchema):
        consumptions = histio.schemas.Nested(UnitlessSchema, many=True)

    entries = [consumption(101, unit="kg"), consumption(102, unit="g")]
    tables = page(alone(run(1, consumptions=entries)), tmp_path, history=History(None, RunSchema)).table
    assert tables("Consumptions by ingredient")[1:] == [["flour", "2", "5.0000", "8.000"]]


@pytest.mark.parametrize(
    ("first", "last", "step", "labels"),
    [
        ("2025-03-01", "2025-03-01", "day", ["2025-03-01"]),
        ("2025-02-27", "2025-03-01", "day", ["2025-02-27", "2025-02-28", "2025-03-01"]),
        (
            "2025-01-01",
            "2025-03-04",
            "week",
            [f"{dt.date(2024, 12, 30) + n * dt.timedelta(7)}" for n in range(10)],
        ),
        ("2000-11-15", "2019-02-01", "month", None),
        ("1000-01-01", "1100-01-01", "year", [str(year) for year in range(1000, 1101)]),
        ("1000-01-01", "9998-12-31", "century", [str(year) for year in range(1000, 10_000, 100)]),
    ],
)
def test_time_is_divided_as_finely_as_a_chart_can_show(first, last, step, labels):
    first, last = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    found = choose_step(first, last)
    parts = [found.label(part) for part in found.periods(first, last)]
    assert found.name == step
    assert labels in (None, parts)


@given(st.dates(dt.date(1000, 1, 1), dt.date(9998, 12, 31)))
def test_every_day_is_in_the_part_that_begins_before_it_and_ends_after_it(day):
    for step in STEPS:
        start = step.start(day)
        assert start <= day < step.following(start)
        assert step.start(start) == start


def test_runs_without_a_time_are_counted_and_said_to_be_in_no_chart(tmp_path):
    orders = [shop.order(n, placed_on=f"2025-12-0{n}") for n in range(1, 6)]
    given = shop.orders(*orders, shop.order(6, placed_on=None))
    seen = page(given, tmp_path, history=History(None, shop.OrderSchema))
    assert "Of these, 1 without a time is in no chart over time." in seen.text
    assert seen.table("Runs by day") == [["Day", "Runs"], *([f"2025-12-0{n}", "1"] for n in range(1, 6))]


def test_times_with_an_offset_count_on_their_day_in_utc(tmp_path):
    late = [production_run(n, produced_at=f"2025-12-0{n}T23:30:00-02:00") for n in range(1, 6)]
    days = [row[0] for row in page(document(*late), tmp_path).table("Runs by day")[1:]]
    assert days == [f"2025-12-0{n}" for n in range(2, 7)]


amounts = st.lists(
    st.one_of(
        st.none(), st.decimals(allow_nan=False, allow_infinity=False, places=12), st.just(Decimal("1e300"))
    ),
    min_size=2,
    max_size=2,
)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xy"), amounts), max_size=30))
def test_sums_are_exact_however_many_keys_are_kept_in_memory(records):
    with tuned(keys_in_memory=2), Sums() as found:
        expected = defaultdict(lambda: [0, Fraction(), Fraction(), 0, 0])
        for key, unit, values in records:
            found.add(0, key, unit, values)
            at = expected[json.dumps(key), json.dumps(unit)]
            at[0] += 1
            for place, value in enumerate(values):
                at[1 + place] += Fraction(value or 0)
                at[3 + place] += value is not None
        assert [(key, unit) for key, unit, _ in found.rows(0)] == sorted(expected)
        for key, unit, totals in found.rows(0):
            assert [totals.records, *map(Fraction, totals.sums), *totals.counts] == expected[key, unit]


@given(st.lists(amounts, max_size=8), st.lists(amounts, max_size=8))
def test_what_is_taken_away_from_totals_is_what_was_added(left, taken):
    everything, rest, part = (Totals.empty(2) for _ in range(3))
    for each in left:
        everything.add(each)
        rest.add(each)
    for each in taken:
        everything.add(each)
        part.add(each)
    found = everything.without([part])
    assert (found.records, found.sums, found.counts) == (rest.records, rest.sums, rest.counts)


def test_an_empty_history_says_that_there_are_no_runs(tmp_path):
    seen = page(document(), tmp_path)
    assert "There are no runs" in seen.text
    assert (seen.charts, seen.tables) == ([], {})


@pytest.mark.slow
def test_a_database_and_its_export_have_the_same_figures(history, tmp_path):
    given = document(
        production_run(1),
        production_run(2, recipe_slug="bread", finished_unit_slug="loaf"),
        assembly=[assembly_run(1)],
    )
    assert history.import_document(given).rejected == 0
    history.export_file(tmp_path / "history.jsonl.gz")
    stored, exported = page(history, tmp_path), page(tmp_path / "history.jsonl.gz", tmp_path)
    assert stored.charts == exported.charts
    for caption in [caption for caption in stored.tables if not caption.startswith("Findings")]:
        assert stored.tables[caption] == exported.tables[caption]


@pytest.mark.slow
def test_a_kind_of_a_hosts_own_is_shown_with_its_ledgers(sqlite_of, tmp_path):
    history = History(sqlite_of(shop.Base.metadata, *shop.catalog()), shop.OrderSchema, values={"shop_id": 1})
    assert history.import_document(shop.orders(shop.order(1), shop.order(2))).problems == ()
    seen = page(history, tmp_path)
    tables = seen.table
    assert [row[:2] for row in tables("Runs by tags")] == [["Tags", "Runs"], ["new", "2"], ["old", "2"]]
    assert tables("Lines by product") == [
        ["Product", "Entries", "Quantity, sum"],
        ["Chai", "2", "3.00"],
        ["none", "2", "3.00"],
    ]
    assert "Warehouse Ulm, 3" in " ".join(seen.text.split())
    assert re.search(r"Serials of lines\s+4", seen.text)
    assert re.search(r"Shipment\s+2", seen.text)


def test_an_entrys_place_in_its_ledger_is_no_amount(tmp_path):
    seen = page(shop.orders(shop.order(1)), tmp_path, history=History(None, shop.OrderSchema))
    assert "Place, sum" not in seen.table("Lines by product")[0]


def test_findings_stand_below_the_rule_that_they_break(tmp_path):
    odd = [run(n, consumptions=[], per_unit_cost="9.0000") for n in range(1, 131)]
    seen = page(document(*odd), tmp_path)
    assert "consumptions has entries" in seen.text
    assert "per_unit_cost is total_ingredient_cost divided by actual_yield, within 0.0001" in seen.text
    assert seen.text.count("The first 100 findings") == 2
    assert seen.text.count("There are no entries in consumptions.") == 100
    assert seen.text.count("9.0000, but total_ingredient_cost divided by actual_yield is 0.0571.") == 100
    first = seen.table("per_unit_cost is total_ingredient_cost divided by actual_yield, within 0.0001")[1]
    assert first[:3] == [number(1), "/production_runs/0", "/per_unit_cost"]


def test_runs_of_wrong_form_are_not_counted_and_the_page_says_so(tmp_path):
    wrong = run(2) | {"num_batches": "two"}
    seen = page(document(run(1), wrong), tmp_path)
    assert "1 line or run of the file is invalid and not counted here." in seen.text
    assert "1 production run, 0 assembly runs" in seen.text


def test_several_files_are_added_up_whatever_their_versions(sqlite_of, tmp_path):
    paths = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    for path, runs in zip(paths, ([run(1)], [run(2), run(3) | {"num_batches": "two"}], []), strict=True):
        path.write_text(json.dumps(document(*runs)))
    seen = page(paths, tmp_path)
    assert "a.json and 2 more" in seen.text
    assert "1 line or run of the file is invalid and not counted here." in seen.text
    assert "2 production runs, 0 assembly runs" in seen.text
    with pytest.raises(ValueError, match="the report would replace the file"):
        histio.report_page(paths, paths[1], overwrite=True)


SOME = ImportReport(
    imported=1,
    rejected=2,
    problems=(Problem("error", "schema", "No.", "/a", "a", "b"),) * 9,
    problem_count=9,
    dry_run=True,
    by_kind={"a": histio.Counts(imported=1), "b": histio.Counts(rejected=2)},
    revisions=(Revision("a", "b", "/c", 1, 2),),
    revision_count=1,
)


@pytest.mark.slow
def test_hostile_text_stays_text(tmp_path):
    seen = page(hostile_host_document(), tmp_path, history=HOSTILE_HISTORY, imported=hostile_report())
    harmless = page(document(*many(), assembly=[assembly_run(1)]), tmp_path, imported=SOME)
    assert {tag for tag, _ in seen.tags} <= {tag for tag, _ in harmless.tags}
    assert [tag for tag, _ in seen.tags].count("script") == 2
    assert not {name for _, names in seen.tags for name in names if name.startswith("on")}
    assert [link for link in seen.links if not link.startswith("#")] == []
    for text in SHOWN:
        assert f"y{text}" in [row[0] for row in seen.table("Consumptions by ingredient")]
        assert f"{text} ({text})" in seen.text


def test_the_data_in_the_page_has_no_character_that_could_end_it(tmp_path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(hostile_document()))
    out = io.BytesIO()
    histio.report_page(path, out)
    html = out.getvalue().decode()
    [data] = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL)
    assert not set(data) & set("<>&\u2028\u2029")


def test_the_policy_lets_nothing_in_but_the_style_and_the_script_of_the_page(tmp_path):
    out = io.BytesIO()
    (tmp_path / "history.json").write_text(json.dumps(document(run(1))))
    histio.report_page(tmp_path / "history.json", out)
    html = out.getvalue().decode()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert re.sub(r"'sha256-[\w+/]{43}='", "HASH", unescape(policy)) == (
        "default-src 'none'; script-src HASH; style-src HASH; base-uri 'none'; form-action 'none'"
    )
    assert "sourceMappingURL" not in html


@pytest.mark.slow
def test_a_page_is_never_larger_than_two_megabytes(tmp_path):
    """Wide slugs, many units, all findings and problems, and 240 months."""

    def wide(n):
        return f"{n:04}-{'é' * 195}"

    runs = [
        production_run(
            n,
            recipe_slug=wide(n),
            finished_unit_slug=wide(n),
            produced_at=f"{2000 + n % 20}-{n % 12 + 1:02}-28T10:00:00Z",
            per_unit_cost="900.0000",
            actual_yield=900,
            total_ingredient_cost="123456.7891",
            consumptions=[consumption(10_000 + n, ingredient_slug=wide(n), unit=f"{n}-{'ü' * 40}")],
        )
        for n in range(1, 601)
    ]
    assembly = [
        assembly_run(
            n,
            finished_good_slug=wide(n),
            assembled_at=f"{2000 + n % 20}-{n % 12 + 1:02}-28T10:00:00Z",
            finished_unit_consumptions=[
                unit_consumption(20_000 + n, finished_unit_slug=wide(n), total_cost="99.0000")
            ],
            packaging_consumptions=[packaging(30_000 + n, product_slug=wide(n), unit=f"{n}-{'ü' * 40}")],
        )
        for n in range(1, 601)
    ]
    problem = Problem(
        "error",
        "schema",
        "é" * 200,
        "/production_runs/100000/consumptions/3/unit",
        "production_run",
        number(1),
        5,
    )
    revision = Revision("production_run", number(1), "/notes", "é" * 500, '"' * 500)
    report = ImportReport(
        problems=(problem,) * 1000,
        warnings=(problem,) * 1000,
        problem_count=1000,
        warning_count=1000,
        revisions=(revision,) * 1000,
        revision_count=1000,
    )
    (tmp_path / "history.json").write_text(json.dumps(document(*runs, assembly=assembly)))
    histio.report_page(tmp_path / "history.json", tmp_path / "page.html", imported=report)
    assert (tmp_path / "page.html").stat().st_size < 2_000_000


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_slugs(tmp_path, tune):
    tune(keys_in_memory=100)
    peaks = []
    for count in (300, 1500):
        path = tmp_path / f"{count}.jsonl"
        lines = [{"header": {"version": "1.0", "sealed": False}}]
        lines += [{"production_run": run(n % 900, uuid=number(n), recipe_slug=f"r{n}")} for n in range(count)]
        path.write_text("\n".join(map(json.dumps, lines)) + "\n")
        with Sums() as kept:
            gather([path], History(), kept, Limits())
        tracemalloc.start()
        with Sums() as kept:
            gather([path], History(), kept, Limits())
            peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


def test_an_existing_file_is_replaced_with_overwrite_only(tmp_path):
    given, out = tmp_path / "history.json", tmp_path / "page.html"
    given.write_text(json.dumps(document(run(1))))
    out.write_text("mine")
    with pytest.raises(FileExistsError):
        histio.report_page(given, out)
    assert out.read_text() == "mine"
    histio.report_page(given, out, overwrite=True)
    assert out.read_text("utf-8").startswith("<!doctype html>")


def test_a_page_that_fails_leaves_the_previous_one_and_nothing_else(tmp_path):
    given, out = tmp_path / "history.jsonl", tmp_path / "page.html"
    given.write_text('{"header": {"version": "1.0", "exported_at": "2025-01-01T00:00:00Z", "kinds": []}}\n')
    out.write_text("mine")
    with pytest.raises(DocumentError, match="ends"):
        histio.report_page(given, out, overwrite=True)
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "page.html"]


def test_a_page_does_not_take_the_place_of_its_history(tmp_path):
    given = tmp_path / "history.json"
    given.write_text(json.dumps(document(run(1))))
    with pytest.raises(ValueError, match="out: the report would replace the file that it is about"):
        histio.report_page(given, given, overwrite=True)


def test_without_jinja_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"report_page needs Jinja2: pip install .*\[report\]"):
        histio.report_page(tmp_path / "none", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_chart_js_is_the_version_that_its_page_says():
    code = read_asset("vendor/chart.umd.min.js")
    assert "Chart.js v4.6.1" in code
    assert "Chart.js 4.6.1" in read_asset("vendor/README.md")
    assert hashlib.sha256(code.encode()).hexdigest() == (
        "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"charts": (Compare("planned", "actual_yield"),)}, "there is no 'planned'"),
        ({"charts": (Compare("notes", "actual_yield"),)}, "'notes' is not a number"),
        ({"charts": (Compare("uuid", "actual_yield"),)}, "'uuid' is not a number"),
        ({"charts": ("actual_yield",)}, "'actual_yield' is not a chart of histio.charts"),
        ({"unit": "measure"}, "Meta.unit: 'measure' is not a Text, Choice or Slug of the schema"),
        ({"unit": "num_batches"}, "Meta.unit: 'num_batches' is not a Text, Choice or Slug of the schema"),
    ],
)
def test_a_chart_of_what_does_not_exist_is_told_when_the_kind_is_bound(options, message):
    meta = type("Meta", (ProductionRunSchema.Meta,), options)
    with pytest.raises(BindingError, match=message):
        History(None, type("RunSchema", (ProductionRunSchema,), {"Meta": meta}))


def test_a_chart_is_left_out_with_its_member(tmp_path):
    class ShortSchema(ProductionRunSchema):
        class Meta(ProductionRunSchema.Meta):
            exclude = ("expected_yield",)

    given = alone(*(without(each, "expected_yield") for each in many(9)))
    seen = page(given, tmp_path, history=History(None, ShortSchema, values={"expected_yield": 0}))
    assert seen.table("Actual yield by day")
    assert [title for title in seen.tables if "against" in title] == []


def test_a_total_that_a_rule_adds_up_needs_no_unit(tmp_path):
    class UnitSchema(ProductionRunSchema):
        class Meta(ProductionRunSchema.Meta):
            unit = "notes"
            audits = (Sum("total_ingredient_cost", ("consumptions.total_cost",)),)

    runs = [run(n, notes=("kg", "g")[n % 2], recipe_slug=f"r{n % 3}") for n in range(1, 9)]
    charts = page(alone(*runs), tmp_path, history=History(None, UnitSchema)).charts
    by_recipe = next(chart for chart in charts if chart["axis"] == "Recipe" and len(chart["views"]) > 2)
    names = [view["name"] for view in by_recipe["views"]]
    assert "Total ingredient cost, sum" in names
    assert {"Num batches in g, sum", "Num batches in kg, sum"} < set(names)
    assert "Num batches, sum" not in names


def test_numbers_of_any_size_break_no_rule_that_they_break_in_no_audit(tmp_path):
    class Schema(shop.OrderSchema):
        class Meta(shop.OrderSchema.Meta):
            audits = (Sum("weight", ("weight",), "0"),)

    history = History(None, Schema)
    long = io.BytesIO(
        json.dumps(shop.orders(shop.order(weight=12345678901234567890123456789012345))).encode()
    )
    assert list(histio.audit(long, history=history)) == []
    long.seek(0)
    histio.report_page(long, tmp_path / "page.html", history=history)
    assert "but the entries add up to" not in (tmp_path / "page.html").read_text("utf-8")
