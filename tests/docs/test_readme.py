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


def test_the_four_functions_and_history_are_all_shown():
    methods = ("export_document", "import_document", "export_file", "import_file", "iter_runs")
    wanted = [name for name in histio.__all__ if name.endswith("_history")]
    wanted += [f"history.{name}" for name in methods]
    assert [name for name in wanted if f"{name}(" not in PAGE.python] == []


def test_every_page_of_the_documentation_can_be_reached():
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    # These need the site, or another file has what they show.
    others = {"changelog.md", "index.md", "reference/performance.md"}
    others |= {page for page in pages if page.startswith("reference/api/")}
    assert {name for name in pages if f"(docs/{name})" in PAGE.text} == pages - others


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
