"""Shops to test with. Standing beside the package, this file also puts `shop` on pytest's path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from shop import create_app
from shop.models import db
from shop.stock import catalog, sell


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Opens shops with the same catalog or none, each with a database and as many orders as asked for."""
    opened: list[Flask] = []

    def open_shop(name: str, *, orders: int = 0, empty: bool = False) -> Flask:
        app = create_app(TESTING=True, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/{name}.db")
        opened.append(app)
        with app.app_context():
            db.create_all()
            db.session.add_all([] if empty else catalog())
            sell(db.session, orders)
            db.session.commit()
        return app

    yield open_shop
    for app in opened:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def shop(open_shop: Callable[..., Flask]) -> Flask:
    """A shop that has sold three times."""
    return open_shop("shop", orders=3)


@pytest.fixture
def branch(open_shop: Callable[..., Flask]) -> Flask:
    """A new branch of it, with the same catalog and no history."""
    return open_shop("branch")
