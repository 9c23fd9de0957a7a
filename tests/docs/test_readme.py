"""The README is a front door: it shows what there is, and names what has to be installed.

That its code runs and its links lead somewhere is tested with the documentation.
"""

import tomllib

import pytest

import histio
from tests.support.markdown import Page
from tests.support.tools import ROOT

PAGE = Page("README.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_a_preview_an_import_and_an_undo_are_shown():
    methods = ("export_file(", "import_file(", "dry_run=True", "receipt=", "verify(", "undo(")
    assert [name for name in methods if name not in PAGE.python] == []


def test_the_four_functions_are_all_shown():
    wanted = [name for name in histio.__all__ if name.endswith("_history")]
    assert [name for name in wanted if f"{name}(" not in Page("docs/how-to/four-functions.md").python] == []


def test_every_page_of_the_documentation_can_be_reached_by_links():
    reached, new = set(), {PAGE.path}
    while new:
        reached |= new
        new = {path for each in new for path in Page(str(each.relative_to(ROOT))).links} - reached
    # These have what another file has.
    others = {ROOT / "docs" / name for name in ("changelog.md", "index.md", "reference/performance.md")}
    assert set((ROOT / "docs").rglob("*.md")) - others - reached == set()


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_extra_is_named(extra):
    assert f"`histio[{extra}]`" in PAGE.text


def test_the_python_that_is_needed_is_named():
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')}" in PAGE.text


@pytest.mark.parametrize("name", histio.__all__)
def test_every_public_name_can_be_imported(name):
    assert hasattr(histio, name)


def test_the_public_names_are_sorted():
    assert histio.__all__ == sorted(histio.__all__)
