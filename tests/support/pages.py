"""Histories for the report page, hostile text among them."""

from __future__ import annotations

import datetime as dt
import io
import json
from html.parser import HTMLParser

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

_BLOCKS = {"dd", "dt", "h1", "h2", "h3", "li", "p", "td", "th"}


class Seen(HTMLParser):
    """What a page has: its tags with their attributes, its text, its tables by caption, and its charts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self._scripts = ""
        self.feed(html)
        self.close()
        self.charts = json.loads(self._scripts)

    def table(self, title):
        """The table with this *title*, of whichever kind comes first."""
        return next(rows for caption, rows in self.tables.items() if caption.endswith(f": {title}"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        self._open.append("charts" if ("id", "charts") in attrs else tag)
        if tag in _BLOCKS:
            self.text += " "
        if tag == "table":
            self._rows, self._caption = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in {"td", "th"}:
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        while self._open.pop() != tag and tag != "script":
            pass
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        if "charts" in self._open[-1:]:
            self._scripts += data
        elif not {"script", "style"} & set(self._open):
            self.text += data
        if "caption" in self._open:
            self._caption += data
        if {"td", "th"} & set(self._open):
            self._rows[-1][-1] += data


def page(given, tmp_path, **options):
    """What the page about *given* has; a document is written to a file first."""
    if isinstance(given, dict):
        path = tmp_path / "history.json"
        path.write_text(json.dumps(given))
        given = path
    out = io.BytesIO()
    histio.report_page(given, out, **options)
    return Seen(out.getvalue().decode())


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
        imported=1,
        rejected=len(problems),
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
