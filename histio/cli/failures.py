"""What is said where a command fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from histio.cli.exit_codes import ExitCode
from histio.cli.screen import safe, without_password
from histio.errors import BindingError, DocumentError, ExportError, NotConfiguredError, ProblemsError

TRACEBACK = "HISTIO_TRACEBACK"

_DAMAGED = """Get the file again. If it was edited on purpose, let the header of the stream say "sealed":
false, and take away the last line. histio import --allow-truncated takes what is whole of it."""
_UNEXPECTED = f"Nobody expected that. With {TRACEBACK}=1 in the environment, it is told where it happened."
_NO_TABLE = re.compile(r"no such table|relation .* does not exist|Table .* doesn't exist")
_EXTRAS = {"psycopg": "postgresql", "pymysql": "mariadb", "fsspec": "urls", "jinja2": "report"}


def describe_failure(error: Exception) -> tuple[ExitCode, str]:
    """What the *error* of a command means, and what to say of it."""
    for kinds, code, told in _MEANINGS:
        if isinstance(error, kinds):
            return code, without_password(told(error))
    return ExitCode.FAILED, f"{type(error).__name__}: {without_password(str(error))}\n{_UNEXPECTED}"


def _of_database(error: sa.exc.DBAPIError) -> str:
    told = [str(error.orig).strip(), *getattr(error, "__notes__", ())]
    if _NO_TABLE.search(told[0]):
        told.append("histio init, with the same options, makes the tables.")
    return "\n".join(told)


def _of_url(error: sa.exc.SQLAlchemyError) -> str:
    return f"{error}\nA database is named by a URL such as sqlite:///bakery.db."


def _of_module(error: ImportError) -> str:
    extra = _EXTRAS.get(error.name or "")
    if "histio[" in str(error):
        return f"{error}."
    if extra is None:
        return f"{error}. A database or a file may need a package that is not installed."
    return f"{error.name} is not installed: pip install 'histio[{extra}]'"


def _of_file(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return error.strerror or str(error)
    more = "" if not isinstance(error, FileExistsError) else "; --force replaces it"
    return f"{error.filename}: {error.strerror}{more}"


def _problems(error: ProblemsError) -> str:
    lines = error.lines(safe)
    if {problem.code for problem in error.problems} <= {"truncated", "corrupt"}:
        lines += [_DAMAGED]
    elif any(problem.pointer.startswith("/header/kinds") for problem in error.problems):
        lines += ["Runs of your own kinds need your History: --history MODULE:ATTRIBUTE."]
    if isinstance(error, ExportError):
        lines += ["histio export --skip-unreadable leaves such runs out."]
    return "\n".join(lines)


_MEANINGS: tuple[tuple[Any, ExitCode, Callable[[Any], str]], ...] = (
    ((DocumentError, ExportError), ExitCode.BAD, _problems),
    (sa.exc.DBAPIError, ExitCode.FAILED, _of_database),
    ((sa.exc.ArgumentError, sa.exc.NoSuchModuleError), ExitCode.USAGE, _of_url),
    (ImportError, ExitCode.USAGE, _of_module),
    ((FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError), ExitCode.USAGE, _of_file),
    (OSError, ExitCode.FAILED, _of_file),
    (sa.exc.SQLAlchemyError, ExitCode.FAILED, str),
    ((BindingError, NotConfiguredError, ValueError), ExitCode.USAGE, str),
)
