"""Databases for applications of others, and patience with what their packages warn of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.databases import Databases


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let warnings pass here: the packages' own code gives most of them, and nobody here can mend it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def new_database(databases: Databases) -> Callable[[str], str]:
    """Makes an empty database of a dialect, and gives back its URL with the driver that the packages know."""

    def make(dialect: str) -> str:
        url = databases.empty(dialect).url
        if dialect == "mariadb":
            url = url.set(drivername="mysql+pymysql")
        return url.render_as_string(hide_password=False)

    return make
