"""What the tests of bindings share."""

from __future__ import annotations

import contextlib

import pytest


@pytest.fixture
def fully(monkeypatch):
    """A block in which every run takes the full path."""

    @contextlib.contextmanager
    def switch():
        with monkeypatch.context() as patch:
            patch.setattr("histio.exporting.pages.find_formatter", lambda *_: "asked for")
            patch.setattr("histio.importing.fast.take.find_row_writer", lambda *_: "asked for")
            yield

    return switch
