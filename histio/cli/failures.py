"""What is said where a command fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from histio.cli.outcomes import Outcome
from histio.errors import BindingError, DocumentError, ExportError, NotConfiguredError, ProblemsError
from histio.report import Problem

_SHOWN = 20
_NO_TABLE = re.compile(r"no such table|relation .* does not exist|Table .* doesn't exist")
_EXTRAS = {"psycopg": "postgresql", "pymysql": "mariadb", "fsspec": "urls", "jinja2": "report"}
_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s@]+@")


def outcome_of(error: Exception) -> tuple[Outcome | None, str]:
    """What the *error* of a command means, and what to say of it; None: it is nobody's fault but histio's."""
    for kinds, outcome, told in _MEANINGS:
        if isinstance(error, kinds):
            return outcome, without_password(told(error))
    return None, str(error)


def without_password(text: str) -> str:
    """*text* with asterisks in place of a password in a URL."""
    return _PASSWORD.sub(r"\1***@", text)


def _of_database(error: sa.exc.DBAPIError) -> str:
    text = str(error.orig).strip()
    return f"{text}\nhistio init makes the tables of the bundled models." if _NO_TABLE.search(text) else text


def _of_url(error: sa.exc.SQLAlchemyError) -> str:
    return f"{error}\nA database is named by a URL such as sqlite:///bakery.db."


def _of_module(error: ImportError) -> str:
    extra = _EXTRAS.get(error.name or "")
    return str(error) if extra is None else f"{error.name} is not installed: pip install 'histio[{extra}]'"


def _of_file(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return str(error)
    more = "" if not isinstance(error, FileExistsError) else "; --force replaces it"
    return f"{error.filename}: {error.strerror}{more}"


def _problems(error: ProblemsError) -> str:
    found: tuple[Problem, ...] = error.problems
    lines = [error.summary.format(count=len(found)), *(f"  {each}" for each in found[:_SHOWN])]
    return "\n".join([*lines, f"  … and {len(found) - _SHOWN:,} more"] if found[_SHOWN:] else lines)


_MEANINGS: tuple[tuple[Any, Outcome, Callable[[Any], str]], ...] = (
    ((DocumentError, ExportError), Outcome.BAD, _problems),
    (sa.exc.DBAPIError, Outcome.FAILED, _of_database),
    ((sa.exc.ArgumentError, sa.exc.NoSuchModuleError), Outcome.USAGE, _of_url),
    (ImportError, Outcome.USAGE, _of_module),
    ((FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError), Outcome.USAGE, _of_file),
    (OSError, Outcome.FAILED, _of_file),
    (sa.exc.SQLAlchemyError, Outcome.FAILED, str),
    ((BindingError, NotConfiguredError, ValueError), Outcome.USAGE, str),
)
