"""The bundled models as a Django application, with tables of its own."""

from __future__ import annotations

import importlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

_ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mariadb": "mysql"}


def warm(url: str) -> None:
    """Set Django up for *url*, and connect once."""
    at = urlsplit(url)
    backend, _, driver = at.scheme.partition("+")
    if driver == "pymysql":
        importlib.import_module(driver).install_as_MySQLdb()
    database = {
        "ENGINE": f"django.db.backends.{_ENGINES[backend]}",
        "NAME": at.path[1:],
        "USER": unquote(at.username or ""),
        "PASSWORD": unquote(at.password or ""),
        "HOST": at.hostname or "",
        "PORT": at.port or "",
    }
    options = {"INSTALLED_APPS": ["peers.bakery"], "USE_TZ": False, "TIME_ZONE": "UTC"}
    settings.configure(DATABASES={"default": database}, **options)
    django.setup()
    connection.ensure_connection()
    connection.close()


def create(_url: str, _path: Path) -> None:
    """Make the tables."""
    call_command("migrate", run_syncdb=True, verbosity=0)
