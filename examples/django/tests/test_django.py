"""The project on SQLite, PostgreSQL and MariaDB, by Django's own runner and by its commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

PROJECT = Path(__file__).parents[1]
CHECKOUT = PROJECT.parents[1]
SERVERS = {
    "postgresql": os.environ.get(
        "DJANGO_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mysql": os.environ.get("DJANGO_TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306/test"),
}
BACKENDS = ["sqlite3", *SERVERS]

Settings = dict[str, Any]
NewDatabase = Callable[[str], Settings]


@pytest.fixture
def new_database(tmp_path) -> Iterator[NewDatabase]:
    """Makes empty databases of a backend, and says how Django finds them."""
    made: list[tuple[sa.Engine, str]] = []

    def make(backend: str) -> Settings:
        name, engine = f"histio_{uuid.uuid4().hex}", f"django.db.backends.{backend}"
        if backend == "sqlite3":
            path = tmp_path / name
            return {"ENGINE": engine, "NAME": f"{path}.sqlite3", "TEST": {"NAME": f"{path}_test.sqlite3"}}
        server = sa.create_engine(SERVERS[backend], isolation_level="AUTOCOMMIT")
        try:
            with server.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except sa.exc.OperationalError as error:
            message = f"no server at {server.url!r}: {error.orig}"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        made.append((server, name))
        url = server.url
        login = {
            "USER": url.username,
            "PASSWORD": url.password or "",
            "HOST": url.host,
            "PORT": url.port or "",
        }
        return {"ENGINE": engine, "NAME": name, **login}

    yield make
    for server, name in made:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
        server.dispose()


def manage(*arguments: object, database: Settings) -> subprocess.CompletedProcess[str]:
    """Run ``python manage.py`` on a *database*."""
    return subprocess.run(
        [sys.executable, "manage.py", *map(str, arguments)],
        cwd=PROJECT,
        env=os.environ | {"DATABASE": json.dumps(database), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_tests_of_the_project_pass(new_database, backend):
    ran = manage("test", "--noinput", database=new_database(backend))
    assert ran.returncode == 0, ran.stderr
    assert "OK" in ran.stderr


def test_a_history_that_goes_from_one_database_to_the_next_stays_the_same(new_database, tmp_path):
    databases = [new_database(backend) for backend in [*BACKENDS, "sqlite3"]]
    files = [tmp_path / f"{number}.jsonl" for number in range(len(databases))]
    for database in databases:
        assert manage("migrate", "--verbosity=0", database=database).stderr == ""
    assert manage("loaddata", "bakes", database=databases[0]).returncode == 0
    assert manage("export_history", files[0], database=databases[0]).returncode == 0
    for (before, file), database in zip(pairwise(files), databases[1:], strict=True):
        imported = manage("import_history", before, database=database)
        assert (imported.stderr, imported.stdout) == ("", "2 imported, 0 updated, 0 skipped\n")
        manage("export_history", file, database=database)
    [first, *others] = [file.read_bytes().splitlines()[1:-1] for file in files]
    assert len(first) == 3
    assert others == [first] * len(others)


def test_a_command_that_fails_says_why_in_a_line(new_database, tmp_path):
    database = new_database("sqlite3")
    manage("migrate", "--verbosity=0", database=database)
    for arguments, why in (
        (["import_history", tmp_path / "none.jsonl"], "none.jsonl"),
        (["undo_history", tmp_path / "none.jsonl"], "none.jsonl"),
        (["export_history", tmp_path / "none" / "history.jsonl"], "No such file or directory"),
    ):
        ran = manage(*arguments, database=database)
        assert ran.returncode == 1
        assert why in ran.stderr
        assert "Traceback" not in ran.stderr


def test_the_commands_of_the_readme_print_what_it_says(tmp_path):
    """They run in one shell, in a copy of the project."""
    ignore = shutil.ignore_patterns("__pycache__", "*.sqlite3")
    project = shutil.copytree(PROJECT, tmp_path / "project", ignore=ignore)
    shown = "".join(re.findall("```console\n(.*?)```", (project / "README.md").read_text("utf-8"), re.DOTALL))
    lines = shown.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    python = f"python() {{ '{sys.executable}' \"$@\"; }}"
    ran = subprocess.run(
        "\n".join(["set -e", python, *commands]),
        shell=True,
        cwd=project,
        env={name: value for name, value in os.environ.items() if name != "DATABASE"}
        | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [line for line in lines if not line.startswith("$ ")]
    assert "import_history" in shown


def test_django_finds_no_change_that_lacks_a_migration(new_database):
    ran = manage("makemigrations", "--check", "--dry-run", database=new_database("sqlite3"))
    assert (ran.returncode, ran.stdout) == (0, "No changes detected\n")
