"""The pages in Chromium: the whole life of a file, with a mouse, with a keyboard, and without scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy.orm import Session

from bakery_service import demo
from bakery_service.models import Bake, Recipe

AXE = Path(__file__).parents[3] / "tests" / "page" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium")
HOSTILE = """<img src=x onerror="alert('name')"> & {{ 7 * 7 }} 'quoted'"""
HOSTILE_FILE = (
    """<b onclick=alert(1)> & 'quoted' {{ 7 * 7 }} averyveryverylongnamewithoutanyplacetobreakit.jsonl"""
)


def give_up(reason: str) -> NoReturn:
    """Skip the test, because a tool is not there; in CI, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        give_up("there is no chromium on the PATH")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser, bakery):
    """Opens the first page; in the end, no page may have said, asked or run anything."""
    opened = []

    def visit(*, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: said.append(message.text))
        page.goto(bakery.url)
        opened.append((context, said))
        return page

    yield visit
    for context, said in opened:
        context.close()
        assert [text for text in said if "the server responded with a status of" not in text] == []


def upload(page: Page, path: Path) -> None:
    page.get_by_label("A history, as a file").set_input_files(path)
    page.get_by_role("button", name="Upload and preview").click()
    page.wait_for_url(re.compile("/imports"))


def says(page: Page, text: str) -> None:
    """Wait until the page says what has happened, or would."""
    expect(page.locator(".banner")).to_contain_text(text)


def row(page: Page, kind: str) -> list[str]:
    """The numbers of a kind in the table of the page."""
    return page.get_by_role("row", name=re.compile(f"^{kind}")).get_by_role("cell").all_inner_texts()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_is_uploaded_previewed_imported_and_undone_with_and_without_scripts(visit, bakery, scripts):
    page = visit(java_script_enabled=scripts)
    before = bakery.count()
    upload(page, bakery.files / "other-branch.jsonl")
    says(page, "7 runs would be rejected, 15 runs would be imported.")
    expect(page.get_by_text("Recipe not found: Rye bread")).to_be_visible()

    page.get_by_role("link", name="Create what is missing").click()
    says(page, "22 runs would be imported, and none rejected.")
    assert row(page, "Recipes") == ["2", "0", "4", "0"]
    assert bakery.count() == before

    page.get_by_role("button", name="Import 22 runs").click()
    says(page, "22 runs imported on ")
    assert (bakery.count(), bakery.count(Recipe)) == (before + 19, 6)

    page.get_by_role("link", name="Preview the undo").click()
    says(page, "26 would be removed, 0 put back as before.")
    assert bakery.count() == before + 19
    page.get_by_role("button", name="Undo the import").click()
    says(page, "This import was undone on ")
    assert (bakery.count(), bakery.count(Recipe)) == (before, 4)

    page.get_by_role("link", name="Oven Lane").click()
    expect(
        page.get_by_role("listitem").filter(has_text="other-branch.jsonl").filter(has_text="undone")
    ).to_be_visible()


def press(page: Page, name: str, key: str = "Enter") -> None:
    """Go to what is called *name* with the Tab key, and press a key there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).innerText")
        if " ".join(focused.split()) == name:
            page.keyboard.press(key)
            return
    pytest.fail(f"the Tab key does not reach {name}")


def test_the_keyboard_alone_uploads_imports_and_undoes(visit, bakery):
    page = visit()
    before = bakery.count()
    press(page, "Skip to the content")
    with page.expect_file_chooser() as chooser:
        press(page, "A history, as a file")
    chooser.value.set_files(bakery.files / "other-branch.jsonl")
    press(page, "Upload and preview")
    page.wait_for_url("**/imports/*")
    press(page, "Create what is missing")
    page.wait_for_url("**/imports/*catalog=create*")
    press(page, "Import 22 runs", " ")
    page.get_by_text("22 runs imported").wait_for()
    assert bakery.count() == before + 19
    press(page, "Preview the undo")
    page.wait_for_url("**/undo")
    press(page, "Undo the import")
    page.get_by_text("This import was undone").wait_for()
    assert bakery.count() == before


def test_what_an_update_changes_is_shown_before_and_put_back_by_an_undo(visit, bakery):
    page = visit()
    upload(page, bakery.files / "corrections.jsonl")
    says(page, "There is nothing to import: all runs of the file are already here.")
    page.get_by_role("link", name="Show what would change").click()
    says(page, "6 runs would be changed, and none rejected.")
    changes = page.locator("table.changes").first.get_by_role("row").all_inner_texts()
    assert changes[0].split() == ["Field", "Before", "After"]
    assert changes[1].split()[0] == "actual_yield"
    page.get_by_role("button", name="Change 6 runs").click()
    says(page, "6 runs changed on ")
    with Session(bakery._engine) as session:
        counted = sa.select(sa.func.count()).where(Bake.remarks == "Counted again")
        assert session.scalar(counted) == 6
        page.get_by_role("link", name="Preview the undo").click()
        says(page, "0 would be removed, 6 put back as before.")
        page.get_by_role("button", name="Undo the import").click()
        session.rollback()
        assert session.scalar(counted) == 0


def test_a_file_with_mistakes_says_where_they_are_and_the_rest_can_be_imported(visit, bakery):
    page = visit()
    before = bakery.count()
    upload(page, bakery.files / "mistakes.jsonl")
    says(page, "6 runs would be rejected, 1 run would be imported.")
    assert page.get_by_role("heading", level=3).all_inner_texts() == [
        "Not as the format demands 3",
        "Too many digits 1",
        "Names that this branch does not know 2",
    ]
    expect(page.get_by_text("did you mean Hot cross buns?")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the rejected runs").click()
    assert download.value.path().read_text("utf-8").count('production_run"') >= 6
    page.get_by_role("button", name="Import 1 run, leave out 6").click()
    says(page, "6 runs rejected")
    assert bakery.count() == before + 1


def test_what_is_no_history_can_be_discarded(visit, bakery):
    page = visit()
    path = bakery.files / "cat.jpg"
    path.write_bytes(b"\xff\xd8\xff\x00 meow")
    upload(page, path)
    expect(page.get_by_role("heading", level=1)).to_have_text("The file cannot be read")
    page.get_by_role("button", name="Discard the file").click()
    expect(page.get_by_text("Nothing has been uploaded yet.")).to_be_visible()
    assert list(bakery.folder.iterdir()) == []


def test_a_file_that_is_too_large_gets_a_page_that_says_so(visit, bakery):
    page = visit()
    path = bakery.files / "large.jsonl"
    path.write_bytes(b" " * 20 * 2**20)
    upload(page, path)
    says(page, "The file is too large.")
    page.get_by_role("link", name="Back to the history").click()
    expect(page.get_by_text("Nothing has been uploaded yet.")).to_be_visible()


def test_an_import_that_is_sent_from_two_tabs_is_done_once(visit, bakery):
    page, before = visit(), bakery.count()
    upload(page, bakery.files / "other-branch.jsonl")
    page.get_by_role("link", name="Create what is missing").click()
    other = page.context.new_page()
    other.goto(page.url)
    for tab in (page, other):
        tab.get_by_role("button", name="Import 22 runs").click()
        says(tab, "22 runs imported on ")
    assert bakery.count() == before + 19


def test_two_users_with_the_same_file_import_it_once(visit, bakery):
    before, users = bakery.count(), [visit(), visit()]
    for page in users:
        upload(page, bakery.files / "other-branch.jsonl")
        page.get_by_role("link", name="Create what is missing").click()
    for page in users:
        page.get_by_role("button", name="Import 22 runs").click()
    [first, second] = users
    says(first, "22 runs imported")
    says(second, "0 runs imported")
    assert row(second, "Bakes") == ["0", "0", "19", "0"]
    assert bakery.count() == before + 19
    first.get_by_role("link", name="Preview the undo").click()
    first.get_by_role("button", name="Undo the import").click()
    assert bakery.count() == before


def test_a_preview_that_has_expired_says_what_to_do(visit, bakery):
    page = visit()
    upload(page, bakery.files / "corrections.jsonl")
    [about] = bakery.folder.glob("*/about.json")
    about.write_text(json.dumps(json.loads(about.read_text()) | {"at": "2020-01-01T00:00:00.000+00:00"}))
    page.reload()
    says(page, "A file that is not imported is removed after a while: upload it again.")
    assert list(bakery.folder.iterdir()) == []


def hostile() -> bytes:
    """A file whose texts want to be more."""
    [one, two, three] = demo.year(demo.BRANCH)["production_runs"][:3]
    new = {"uuid": "00000000-0000-0000-0000-000000000001", "recipe_slug": HOSTILE, "consumptions": []}
    runs = [one | new, two | {"notes": HOSTILE}, three | {HOSTILE: 1}]
    return json.dumps({"version": "1.0", "production_runs": runs}).encode()


@pytest.fixture
def audit() -> Any:
    """Looks at a page as axe-core does, at the width that it has."""
    if not AXE.exists():
        give_up("axe-core is not installed: run `npm ci --prefix tests/page`")
    axe = AXE.read_text("utf-8")

    def audit(page: Page) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate(axe)
            found = page.evaluate("axe.run()")["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], page.title()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.title()

    return audit


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_its_width_and_axe_finds_nothing(visit, bakery, audit, width):
    # Scripts of the pages are refused; those of the test are not.
    page = visit(width=width, bypass_csp=True)
    file = bakery.files / HOSTILE_FILE
    file.write_bytes(hostile())
    audit(page)
    page.goto(f"{bakery.url}/imports/none")
    audit(page)
    page.goto(bakery.url)
    upload(page, file)
    assert page.locator("b").count() == 0
    expect(page.get_by_text("Recipe not found: <img src=x onerror")).to_be_visible()
    audit(page)
    page.get_by_role("link", name="Show what would change").click()
    audit(page)
    page.get_by_role("button", name="Change 1 run, leave out 2").click()
    audit(page)
    page.get_by_role("link", name="Preview the undo").click()
    audit(page)
    page.get_by_role("button", name="Undo the import").click()
    audit(page)
    page.goto(bakery.url)
    audit(page)
    file.write_bytes(b"hello")
    upload(page, file)
    audit(page)


def test_the_page_can_be_used_while_another_upload_stalls(visit, bakery):
    host, port = bakery.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stalled:
        stalled.sendall(
            b"POST /imports HTTP/1.1\r\nHost: bakery\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        time.sleep(0.1)
        page = visit()
        upload(page, bakery.files / "corrections.jsonl")
        says(page, "There is nothing to import")
