"""A browser, and what it looks for on pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.tools import ROOT, give_up

_AXE = ROOT / "tests" / "page" / "node_modules" / "axe-core" / "axe.min.js"


@contextmanager
def launch() -> Iterator[Browser]:
    """Chromium, for as long as this block runs."""
    chromium = shutil.which("chromium")
    if chromium is None:
        give_up("there is no chromium on the PATH")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


def find_violations(page: Page, **context: Any) -> list[dict[str, Any]]:
    """What axe-core finds on a *page* that keeps people from reading it.

    Args:
        page: The page, as it is now.
        context: What axe looks at, such as ``exclude``, a list of selectors.
    """
    if not _AXE.exists():
        give_up("axe-core is not installed: run `npm ci --prefix tests/page`")
    page.evaluate(_AXE.read_text("utf-8"))
    options = {"resultTypes": ["violations"]}
    found: list[dict[str, Any]] = page.evaluate(
        "([context, options]) => axe.run(context, options)", [context or {"include": [["html"]]}, options]
    )["violations"]
    return found
