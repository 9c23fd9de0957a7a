"""A small shop that moves its orders and payments between databases with histio."""

from __future__ import annotations

from typing import Any

from flask import Flask

from shop.commands import commands
from shop.models import db
from shop.routes import routes

__all__ = ["create_app"]


def create_app(**config: Any) -> Flask:
    """The shop, with *config* over what the environment says (``FLASK_SQLALCHEMY_DATABASE_URI``)."""
    app = Flask(__name__)
    app.config.from_mapping(SQLALCHEMY_DATABASE_URI="sqlite:///shop.db")
    app.config.from_prefixed_env()
    app.config.from_mapping(config)
    app.json.sort_keys = False  # a document's members stand in the order in which the schemas declare them
    db.init_app(app)
    app.register_blueprint(routes)
    app.register_blueprint(commands)
    return app
