"""The command that installs an extra works where histio came from: an index, a checkout, an archive."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from histio.extras import install_command
from tests.support.tools import ROOT


class Installed:
    """A distribution with this record of its origin."""

    def __init__(self, origin):
        self.origin = origin

    def read_text(self, name):
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'histio[report]'"),
        ({"url": "file:///src/histio", "dir_info": {}}, "pip install '/src/histio[report]'"),
        (
            {"url": "file:///my%20src/histio", "dir_info": {"editable": True}},
            "pip install -e '/my src/histio[report]'",
        ),
        (
            {"url": "file:///histio-1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'histio[report] @ file:///histio-1.0-py3-none-any.whl'",
        ),
        (
            {"url": "https://example.org/histio.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'histio[report] @ git+https://example.org/histio.git@abc'",
        ),
    ],
    ids=["index", "checkout", "editable checkout", "archive", "repository"],
)
def test_an_extra_is_installed_from_where_histio_came_from(monkeypatch, origin, command):
    monkeypatch.setattr(importlib.metadata, "distribution", {"histio": Installed(origin)}.__getitem__)
    assert install_command("report") == command


def test_a_checkout_that_is_not_installed_is_installed_with_the_extra(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert install_command("report") == f"pip install '{ROOT}[report]'"
    assert Path(ROOT, "pyproject.toml").is_file()
