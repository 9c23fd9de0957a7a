"""Histories of which one process, somewhere, or all connections are killed in the midst of the work."""

from __future__ import annotations

import importlib
import os
import signal
import uuid

import sqlalchemy as sa

_MODULE = """
import sqlalchemy as sa

import histio
from tests.support import part_victims

steps = 0


def step(*_):
    global steps
    steps += 1
    if steps == {after}:
        part_victims.{action}({mark!r}, {parent}, engine)


engine = histio.create_engine({url!r})
sa.event.listen(engine, "before_cursor_execute", step)
history = histio.History(engine, location=f"{{__name__}}:history")
"""


def make_victim(folder, url, monkeypatch, *, after, mark, action="kill_process"):
    """A history of which a process does something bad after so many statements: the first, but not this one.

    Its module is in *folder*; the file *mark* shows that it has happened.
    """
    name = f"victim_{uuid.uuid4().hex}"
    told = {"after": after, "action": action, "mark": str(mark), "url": str(url)}
    (folder / f"{name}.py").write_text(_MODULE.format(parent=os.getpid(), **told))
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module(name).history


def kill_process(mark, parent, _engine):
    if os.getpid() != parent and _is_first(mark):
        os.kill(os.getpid(), signal.SIGKILL)


_OTHERS = {
    "postgresql": "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mariadb": "SELECT id FROM information_schema.processlist"
    " WHERE db = database() AND id <> connection_id()",
}


def kill_connections(mark, parent, engine):
    """Kill all connections to the database, those of all processes."""
    if os.getpid() == parent or not _is_first(mark):
        return
    other = sa.create_engine(engine.url, poolclass=sa.NullPool)
    with other.connect() as connection:
        for number, *_ in connection.exec_driver_sql(_OTHERS[engine.dialect.name]).all():
            if engine.dialect.name == "mariadb":
                connection.exec_driver_sql(f"KILL {number}")


def _is_first(mark):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
