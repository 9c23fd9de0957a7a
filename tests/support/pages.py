"""Histories for the report page, hostile text among them."""

from __future__ import annotations

import datetime as dt

import histio
from histio import History, ImportReport, Problem, ProductionRunSchema, Revision
from histio.kinds.audits import AtMost
from histio.kinds.charts import Compare
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    packaging,
    production_run,
    unit_consumption,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %} ${alert(1)}",
    "javascript:alert(1)",
    "<!--<script>-->",
    "&lt;b&gt;bold&lt;/b&gt;",
    "]]><iframe src=//example.org>",
    "line\u2028separator\u2029end",
    "\u202etxet desrever",
]
SHOWN = [*HOSTILE[:-2], r"line\u2028separator\u2029end", r"\u202etxet desrever"]
"""How a page shows it: as text, and with separators of lines and marks of direction escaped."""


def run(n, **members):
    """A production run of its own day, with an entry of its own."""
    day = dt.date(2025, 1, 1) + dt.timedelta(days=n)
    return production_run(n, produced_at=f"{day}T10:00:00Z", **members)


def many(count=60, seed=7):
    """Runs of different recipes, days, numbers and units."""
    for n in range(1, count + 1):
        wild = (n * 7919 + seed) % 100_003
        entries = [
            consumption(
                1000 * n + place,
                ingredient_slug=f"ingredient-{(wild + place) % 5}",
                unit=("kg", "g")[(wild + place) % 2],
                quantity_consumed=f"{wild % 977 + place}.{wild % 1000:03}",
                total_cost=f"{wild % 31}.{(wild * 3) % 10_000:04}",
            )
            for place in range(n % 4)
        ]
        yield run(
            n,
            recipe_slug=f"recipe-{wild % 4}",
            num_batches=wild % 9 + 1,
            expected_yield=wild % 200 + 1,
            actual_yield=wild % 180 + 1,
            total_ingredient_cost=f"{wild % 89}.{wild % 10_000:04}",
            consumptions=entries,
        )


def hostile_document():
    """Runs whose texts would be markup, if they were not text."""
    runs = [
        run(
            n,
            recipe_slug=text.replace("\u2028", "").replace("\u2029", ""),
            finished_unit_slug="x" + text + "x",
            notes=text,
            consumptions=[consumption(100 + n, ingredient_slug="y" + text, unit=text)],
        )
        for n, text in enumerate(HOSTILE, 1)
    ]
    assembly = [
        assembly_run(
            n,
            finished_good_slug="z" + text,
            finished_unit_consumptions=[unit_consumption(300 + n, finished_unit_slug="u" + text)],
            packaging_consumptions=[packaging(400 + n, product_slug="p" + text, unit=text)],
        )
        for n, text in enumerate(HOSTILE, 1)
    ]
    return document(*runs, assembly=assembly)


def hostile_report():
    problems = [Problem("error", "schema", text, text, text, text, hint=text) for text in HOSTILE]
    revisions = [Revision(text, text, text, text, {text: [text]}) for text in HOSTILE]
    return ImportReport(
        problems=tuple(problems),
        problem_count=len(problems),
        by_kind={HOSTILE[0]: histio.Counts()},
        revisions=tuple(revisions),
        revision_count=len(revisions),
    )


class HostileRunSchema(ProductionRunSchema):
    """</p><script>alert(1)</script>"""

    class Meta(ProductionRunSchema.Meta):
        audits = (AtMost(HOSTILE[2], "expected_yield"),)
        charts = (Compare("expected_yield", HOSTILE[2]),)

    num_batches = histio.Integer(data_key=HOSTILE[2], description=HOSTILE[3])


HOSTILE_HISTORY = History(None, HostileRunSchema, histio.AssemblyRunSchema)


def hostile_host_document():
    given = hostile_document()
    for each in given["production_runs"]:
        each[HOSTILE[2]] = each.pop("num_batches") + 1000
    return given
