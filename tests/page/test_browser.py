"""The page in a browser: it draws, loads nothing, fits any width, and no text of a history becomes more."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

import histio
from histio import ImportReport, Problem, Revision
from tests.support.bakery import assembly_run, document, number
from tests.support.browser import find_violations, launch
from tests.support.pages import (
    HOSTILE,
    HOSTILE_HISTORY,
    SHOWN,
    hostile_host_document,
    hostile_report,
    many,
    run,
)

WATCH = """
window.seen = [];
addEventListener("securitypolicyviolation", (event) => seen.push(`refused: ${event.violatedDirective}`));
for (const name of ["alert", "confirm", "prompt"]) window[name] = (text) => seen.push(`${name}: ${text}`);
"""

COLOURS = """async ([image, step]) => {
  const picture = new Image();
  picture.src = "data:image/png;base64," + image;
  await picture.decode();
  const {width, height} = picture;
  const context = Object.assign(document.createElement("canvas"), {width, height}).getContext("2d");
  context.drawImage(picture, 0, 0);
  const {data} = context.getImageData(0, 0, width, height);
  const colours = new Set();
  let light = 0;
  for (let at = 0; at < data.length; at += 4 * step) {
    colours.add(data.slice(at, at + 3).join());
    light += data[at] + data[at + 1] + data[at + 2];
  }
  return [colours.size, light / (data.length / (4 * step)) / 3];
}"""

PROBLEMS = ImportReport(
    imported=60,
    rejected=3,
    problems=tuple(
        Problem("error", "schema", f"Unknown field {n}.", "/x", "production_run", number(n)) for n in range(3)
    ),
    warnings=tuple(
        Problem("warning", "audit", f"Odd number {n % 4}.", "/y", hint="Öfen") for n in range(4 * 4 + 1)
    ),
    problem_count=3,
    warning_count=17,
    revisions=tuple(
        Revision("production_run", number(n // 3), "/notes", "Test batch " * n, {"x": ["y" * 90] * n})
        for n in range(40)
    ),
    revision_count=40,
)


@pytest.fixture(scope="module")
def browser():
    with launch() as launched:
        yield launched


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    bakery = document(*many(), assembly=[assembly_run(1)])

    def write(name, given, imported=None, **options):
        (folder / f"{name}.json").write_text(json.dumps(given))
        histio.report_page(folder / f"{name}.json", folder / f"{name}.html", imported=imported, **options)

    write("bakery", bakery)
    few = document(*many(8), assembly=[assembly_run(1)])
    write("few", few)
    write("import", few, PROBLEMS)
    write("failed", few, replace(PROBLEMS, imported=0, rejected=2000, problem_count=4600, revisions=()))
    write("done", few, ImportReport(imported=9))
    write("three", document(run(1), run(2), run(3)))
    write("one", document(run(1)))
    write("none", document())
    write("hostile", hostile_host_document(), hostile_report(), history=HOSTILE_HISTORY)
    return folder


@pytest.fixture
def visit(browser, pages):
    """Opens a page; in the end, nothing may have been said, loaded, refused or shown by it."""
    opened = []

    def open_page(name="bakery", *, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        events = []
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: events.append(request.url))
        page.add_init_script(WATCH)
        page.goto((pages / f"{name}.html").as_uri())
        opened.append((context, page, events))
        return page

    yield open_page
    for context, page, events in opened:
        seen = page.evaluate("window.seen ?? []")
        context.close()
        assert seen == []
        assert events == [page.url.partition("#")[0]]


def look(page, image, step=1):
    """How many colours a picture has, and how light it is, from 0 to 255."""
    blank = page.context.browser.new_page()
    found = blank.evaluate(COLOURS, [base64.b64encode(image).decode(), step])
    blank.close()
    return found


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("bakery", 400, "light"),
        ("bakery", 400, "dark"),
        ("bakery", 1280, "light"),
        ("bakery", 1280, "dark"),
        ("bakery", 1600, "light"),
        ("hostile", 400, "dark"),
        ("hostile", 1280, "light"),
    ],
)
def test_the_page_fits_and_is_drawn(visit, name, width, scheme):
    page = visit(name, width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    colours, light = look(page, page.screenshot(full_page=True), step=97)
    assert colours > 20
    assert (light > 200) if scheme == "light" else (light < 60)


def test_every_chart_is_drawn(visit):
    colours = visit().evaluate(
        """[...document.querySelectorAll("canvas")].map((each) => {
          const {data} = each.getContext("2d").getImageData(0, 0, each.width, each.height);
          return new Set(Array.from(data, (_, at) => at % 4 ? "" : data.slice(at, at + 4).join())).size;
        })"""
    )
    assert len(colours) == 6
    assert min(colours) > 10


def test_charts_follow_the_scheme_when_it_changes(visit):
    page = visit(color_scheme="light")
    colour = "Chart.getChart(document.querySelector('canvas')).data.datasets[0].backgroundColor"
    before, lightness = page.evaluate(colour), look(page, page.locator("canvas").first.screenshot())[1]
    page.emulate_media(color_scheme="dark")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(colour) != before
    assert look(page, page.locator("canvas").first.screenshot())[1] < lightness - 50


def test_no_text_of_a_history_becomes_an_element(visit):
    page = visit("hostile")
    assert page.locator("script").count() == 2
    assert page.locator("img, svg, iframe, object, embed, base, link, b").count() == 0
    texts = page.locator("td, th").all_text_contents()
    assert [text for text in SHOWN if f"y{text}" not in texts] == []
    labels = page.evaluate("Object.values(Chart.instances).flatMap((each) => each.data.labels)")
    assert [text for text in SHOWN if f"z{text}" not in labels] == []
    for option in page.locator(".views option").all_text_contents():
        assert "<" not in option or any(text in option for text in HOSTILE)


def test_a_tooltip_of_hostile_text_is_text(visit):
    page = visit("hostile")
    for chart in page.locator("canvas").all()[:8]:
        chart.hover()
    assert page.locator("script").count() == 2


def test_problems_are_filtered_by_keyboard(visit):
    page = visit("import")
    page.locator("#listed > summary").press("Enter")
    status = page.locator("#shown")
    rows = page.locator("#all-problems tbody tr:visible")
    assert (rows.count(), status.text_content()) == (20, "20 of 20 shown")
    page.locator("select[name=severity]").focus()
    page.keyboard.press("ArrowDown")
    assert (rows.count(), status.text_content()) == (3, "3 of 20 shown")
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.type("audit")
    assert rows.count() == 17
    page.keyboard.press("Tab")
    page.keyboard.type("NUMBER 2")
    assert (set(rows.all_text_contents()), status.text_content()) == (
        {"warningauditOdd number 2. (Öfen)/y"},
        "4 of 20 shown",
    )
    page.keyboard.press("Enter")
    assert rows.count() == 4


def test_another_way_to_look_at_a_figure_is_chosen_by_keyboard(visit):
    page = visit()
    choice = page.locator(".views select").nth(1)
    number = choice.get_attribute("data-figure")
    values = f"Chart.getChart(document.querySelector('canvas[data-figure=\"{number}\"]')).data.datasets[0]"
    choice.focus()
    assert page.evaluate(f"{values}.label") == "sum"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{values}.label") == "mean"


def test_the_first_key_leads_past_the_contents(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_whatever_can_be_used_can_be_reached_by_keyboard_and_has_a_name(visit):
    page = visit("import")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    reached = []
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.tagName"))
        if reached[-1] == "BODY":
            break
    assert reached[-1] == "BODY"
    assert {"A", "SELECT", "SUMMARY", "INPUT", "DIV"} <= set(reached)
    unnamed = """[...document.querySelectorAll("nav, select, input, section, [role=region], [role=img]")]
      .filter((each) => !(each.ariaLabel || each.getAttribute("aria-labelledby") || each.labels?.length))
      .length"""
    assert page.evaluate(unnamed) == 0
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map((each) => each.id)).size") == (
        page.locator("[id]").count()
    )


def test_the_text_alternative_of_a_chart_has_its_numbers(visit):
    page = visit()
    figures = page.evaluate(
        """[...document.querySelectorAll("figure")].filter((each) => each.querySelector("h4").textContent
          === "Runs by day").slice(0, 1).map((each) => [
            Chart.getChart(each.querySelector("canvas")).data.datasets[0].data,
            [...each.querySelectorAll("tbody td")].map((cell) => Number(cell.textContent))])"""
    )
    [(drawn, described)] = figures
    assert drawn == described == [1] * 60


def test_without_scripts_the_numbers_are_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("canvas:visible, select:visible, input:visible").count() == 0
    assert page.locator("noscript p").is_visible()
    page.locator("summary").first.click()
    assert page.locator("figure table").first.is_visible()


def test_a_page_that_is_printed_is_light(visit):
    page = visit(color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    colours, light = look(page, page.screenshot(full_page=True), step=97)
    assert colours > 20
    assert light > 200
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert look(page, page.screenshot())[1] < 60


PAGES = ["few", "import", "failed", "done", "three", "one", "none", "hostile"]


@pytest.mark.cells(8)
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_nothing_that_would_keep_anybody_from_reading_a_page(visit, name, width, scheme):
    page = visit(name, width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert [
        (each["id"], node["target"], node["failureSummary"])
        for each in find_violations(page)
        for node in each["nodes"]
    ] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("name", "headings"), [("none", []), ("one", ["Production runs", "Rules"])])
def test_a_page_has_no_section_without_content(visit, name, headings):
    assert visit(name).locator("h2").all_text_contents() == headings


@pytest.mark.parametrize("width", [390, 1280])
def test_what_happened_and_what_to_do_are_on_the_first_screen(visit, width):
    page = visit("failed", width=width)
    banner = page.locator(".banner").bounding_box()
    assert banner["y"] + banner["height"] < page.viewport_size["height"]
    assert page.locator("canvas").count() == 0


def test_a_uuid_and_the_steps_of_a_pointer_stay_whole(visit):
    page = visit("import", width=390)
    lines = """(all) => all.map((each) => each.getClientRects().length)"""
    assert set(page.locator(".groups .whole").evaluate_all(lines)) == {1}
    assert page.locator(".path").first.evaluate("(each) => getComputedStyle(each).wordBreak") == "keep-all"
