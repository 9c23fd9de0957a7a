"""What pyproject.toml and the changelog say of the package is true."""

import re
import runpy
import tomllib

from tests.support.tools import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]
EXTRAS = PROJECT["optional-dependencies"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
SECTIONS = re.findall(r"^## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d{2}-\d{2})\)$", CHANGELOG, re.MULTILINE)
HINT = re.compile(r"histio\[([\w,-]+)\]")


def test_the_newest_section_of_the_changelog_is_of_this_version_or_unreleased():
    newest, date = SECTIONS[0]
    assert newest == PROJECT["version"] or date == "unreleased"


def test_only_the_newest_section_of_the_changelog_is_unreleased_and_each_version_has_one():
    assert len(SECTIONS) == len(re.findall("^## ", CHANGELOG, re.MULTILINE))
    assert [version for version, date in SECTIONS[1:] if date == "unreleased"] == []
    assert len({version for version, _ in SECTIONS}) == len(SECTIONS)


def test_the_classifiers_name_the_pythons_from_the_required_one_on_without_a_gap():
    named = [int(each.rpartition(".")[2]) for each in PROJECT["classifiers"] if " :: Python :: 3." in each]
    least = int(PROJECT["requires-python"].removeprefix(">=3."))
    assert named == list(range(least, least + len(named)))


def test_a_version_before_1_is_a_beta():
    stable = "Development Status :: 5 - Production/Stable" in PROJECT["classifiers"]
    assert stable == (not PROJECT["version"].startswith("0."))


def test_every_extra_in_an_install_hint_exists():
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "histio").rglob("*.py")]
    hints = {hint for path in files for hint in HINT.findall(path.read_text("utf-8"))}
    assert {extra for hint in hints for extra in hint.split(",")} == EXTRAS.keys()


def test_every_extra_is_tried_as_installed_from_an_index():
    assert runpy.run_path(str(ROOT / "tools" / "try_index.py"))["NEEDS"].keys() == EXTRAS.keys()


def test_the_index_shows_the_readme_without_what_needs_a_checkout():
    text = (ROOT / "README.md").read_text("utf-8")
    for each in SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    assert (
        re.findall(r"\]\((?!https?:)|!\*|<!--|-->|pip install '?\.|docs/|not on PyPI|a checkout", text) == []
    )
    assert "pip install histio\n" in text
    assert text.count("```") % 2 == 0
