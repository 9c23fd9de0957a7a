"""The documentation as a site, in a browser: it fits a phone, loads nothing, and can be searched."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from histio.cli.app import app
from tests.support.browser import find_violations, launch
from tests.support.tools import ROOT, give_up

pytestmark = pytest.mark.thorough

BUILT = ROOT / "build" / "site"
SOURCES = ("docs/**/*", "histio/**/*.py", "schemas/*", "*.md", "mkdocs.yml", "benchmarks/*.md")
PHONE, DESK = 390, 1280

# What sticks out to the right, of the page itself and of what does not scroll by itself.
STICKS_OUT = """[...document.querySelectorAll(".md-content *, .md-footer *, .md-header *")].filter((each) => {
  const box = each.getBoundingClientRect();
  if (!box.width || box.right <= innerWidth + 1) return false;
  for (let above = each.parentElement; above; above = above.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(above).overflowX)) return false;
  return true;
}).map((each) => `${each.tagName} ${each.textContent.slice(0, 60)}`)"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site: that of `make docs`, if nothing has changed since."""
    changed = max(
        path.stat().st_mtime for pattern in SOURCES for path in ROOT.glob(pattern) if path.is_file()
    )
    built = BUILT / "sitemap.xml"
    if built.exists() and built.stat().st_mtime > changed:
        return BUILT
    if importlib.util.find_spec("mkdocs") is None:
        give_up("mkdocs is not installed: run `make docs`")
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with launch() as launched:
        yield launched


def pages_of(site):
    return sorted(str(path.parent.relative_to(site)) for path in site.rglob("index.html"))


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_every_page_fits_loads_nothing_from_elsewhere_and_says_nothing(site, address, browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    events, asked, wide = [], [], {}
    page.on("console", lambda message: events.append((page.url, message.text)))
    page.on("pageerror", lambda error: events.append((page.url, str(error))))
    page.on("request", lambda request: asked.append(request.url))
    for name in pages_of(site):
        page.goto(urljoin(address, name))
        found = page.evaluate(STICKS_OUT)
        if page.evaluate("document.documentElement.scrollWidth") > width or found:
            wide[name] = found
    context.close()
    assert wide == {}
    assert events == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


LOOKED_AT = ["", "tutorial", "how-to/undo", "reference/options", "reference/api/history", "explanation/why"]


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_axe_finds_nothing_serious(address, browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    found = []
    for name in LOOKED_AT:
        page.goto(urljoin(address, name))
        # The theme's search is a dialog without a name.
        violations = find_violations(page, exclude=[".md-search"])
        found += [
            (name, each["id"], [node["html"][:120] for node in each["nodes"]][:3])
            for each in violations
            if each["impact"] in {"serious", "critical"}
        ]
    context.close()
    assert found == []


def test_every_link_of_the_site_leads_to_a_page_and_a_place_in_it(site):
    texts = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    places = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    lost = []
    for path, text in texts.items():
        for link in set(re.findall(r'<a [^>]*href="([^"]+)"', text)):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.exists() or (place and target in places and place not in places[target]):
                lost.append((str(path.relative_to(site)), link))
    assert lost == []


def test_every_picture_is_there_and_is_described(site):
    without = []
    for path in site.rglob("index.html"):
        for image in re.findall(r"<img [^>]+>", path.read_text("utf-8")):
            source, alt = re.search(r'src="([^"#]+)', image)[1], re.search(r'alt="([^"]*)"', image)
            described = alt is not None and len(alt[1]) > 20
            if not described or not (path.parent / source).exists():
                without.append((str(path.relative_to(site)), image))
    assert without == []


@pytest.mark.parametrize("command", app.all_commands)
def test_every_command_has_a_section(site, command):
    assert f'id="histio-{command}"' in (site / "reference/commands/index.html").read_text("utf-8")


# A word that people type, and the page that answers them.
WORDS = {
    "anonymize": "how-to/anonymise/",
    "backup": "how-to/backup/",
    "charts": "how-to/reports/",
    "csv": "how-to/spreadsheets/",
    "dedupe": "how-to/exports-and-imports/",
    "django": "how-to/django/",
    "dry run": "how-to/exports-and-imports/",
    "dumpdata": "explanation/why/",
    "duplicate": "reference/problems/",
    "excel": "how-to/spreadsheets/",
    "exit code": "reference/cli/",
    "fastapi": "how-to/service/",
    "flask": "how-to/flask/",
    "foreign key": "reference/problems/",
    "import_file": "reference/api/history/",
    "ledger": "explanation/glossary/",
    "merge": "how-to/merge-shops/",
    "nightly": "how-to/nightly-sync/",
    "nullable": "how-to/hosts/",
    "pandas": "how-to/spreadsheets/",
    "parallel": "how-to/scale/",
    "password": "reference/security/",
    "pg_dump": "explanation/why/",
    "restore": "how-to/backup/",
    "revert": "how-to/recover/",
    "rollback": "how-to/undo/",
    "s3": "how-to/files/",
    "slow": "explanation/unit-of-work/",
    "timezone": "how-to/transactions/",
    "truncate": "how-to/transactions/",
    "undo": "how-to/undo/",
    "upsert": "how-to/sync/",
    "UUID": "reference/format/",
    "validate": "how-to/checks/",
}
FOUND = """() => [...document.querySelectorAll(".md-search-result__item > a:first-child")]
  .slice(0, 3).map((each) => new URL(each.href).pathname.slice(1))"""


def test_the_search_finds_the_page_among_the_first_three(address, browser):
    page = browser.new_page(viewport={"width": DESK, "height": 900})
    page.goto(address)
    page.locator("[data-md-component=search-query]").click()
    missed = {}
    for word, wanted in WORDS.items():
        page.locator("[data-md-component=search-query]").fill("")
        page.wait_for_function("!document.querySelector('.md-search-result__item')")
        page.locator("[data-md-component=search-query]").press_sequentially(word)
        page.wait_for_selector(".md-search-result__item")
        page.wait_for_timeout(200)  # until the last letter has been looked for
        found = page.evaluate(FOUND)
        if wanted not in found:
            missed[word] = found
    page.close()
    assert missed == {}
