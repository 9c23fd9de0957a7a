"""What a command prints when it fails: one line, and the solution if there is one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from histio.cli.exit_codes import ExitCode
from histio.cli.printing import escape, show_file
from histio.cli.usage import FILES
from histio.errors import BindingError, ExportError, NotConfiguredError, ProblemsError, ReceiptError
from histio.extras import install_command
from histio.files.manifest import MANIFEST

TRACEBACK_VARIABLE = "HISTIO_TRACEBACK"

_DAMAGED = """Get the file again, or import the runs before the damage: histio import --allow-truncated.
If you edited the file, write "sealed": false into its header, and remove its trailer, if it has one."""
_UNEXPECTED = f"Unexpected error. Set {TRACEBACK_VARIABLE}=1 to see where it happened."
_NO_TABLE = re.compile(r"no such table|relation .* does not exist|Table .* doesn't exist")
_EXTRAS = {"psycopg": "postgresql", "pymysql": "mariadb", "fsspec": "urls", "jinja2": "report"}


def explain_failure(error: Exception) -> tuple[ExitCode, str]:
    """The exit code for an *error* of a command, and the text to print, which may have secrets."""
    for types, code, explain in _EXPLANATIONS:
        if isinstance(error, types):
            return code, explain(error)
    return ExitCode.FAILED, f"{type(error).__name__}: {error}\n{_UNEXPECTED}"


def _explain_database_error(error: sa.exc.DBAPIError) -> str:
    lines = [str(error.orig).strip(), *getattr(error, "__notes__", ())]
    if _NO_TABLE.search(lines[0]):
        lines.append("To create the tables, run histio init with the same options.")
    return "\n".join(lines)


def _explain_url_error(error: sa.exc.SQLAlchemyError) -> str:
    return f"{error}\nThe URL of a database looks like sqlite:///bakery.db."


def _explain_import_error(error: ImportError) -> str:
    extra = _EXTRAS.get(error.name or "")
    if "pip install" in str(error):
        return str(error)
    if extra is None:
        return f"{error}. The database or the file may need a package that is not installed."
    return f"{error.name} is not installed: {install_command(extra)}"


def _explain_file_error(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return error.strerror or str(error)
    advice = "; --force replaces it" if isinstance(error, FileExistsError) else ""
    path = Path(str(error.filename))
    name = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else error.filename
    return f"{show_file(str(name))}: {error.strerror}{advice}"


def _explain_problems(error: ProblemsError) -> str:
    lines = error.lines(escape)
    file = getattr(error, FILES, None)
    if file is not None:
        lines[0] = f"{show_file(file)} {lines[0]}"
    if isinstance(error, ReceiptError):
        return "\n".join(lines)
    if any(f"has no {MANIFEST}" in problem.message for problem in error.problems):
        lines.append("To write a folder that can be imported: histio export FOLDER --parts N.")
    elif {problem.code for problem in error.problems} <= {"truncated", "corrupt"}:
        lines.append(_DAMAGED)
    elif any(problem.pointer.startswith("/header/kinds") for problem in error.problems):
        lines.append("To read runs of your own kinds, pass your History: --history MODULE:ATTRIBUTE.")
    if isinstance(error, ExportError):
        lines.append("To leave these runs out, export or copy with --skip-unreadable.")
    lines += getattr(error, "__notes__", ())
    return "\n".join(lines)


_EXPLANATIONS: tuple[tuple[Any, ExitCode, Callable[[Any], str]], ...] = (
    (ProblemsError, ExitCode.BAD, _explain_problems),
    (sa.exc.DBAPIError, ExitCode.FAILED, _explain_database_error),
    ((sa.exc.ArgumentError, sa.exc.NoSuchModuleError), ExitCode.USAGE, _explain_url_error),
    (ImportError, ExitCode.USAGE, _explain_import_error),
    (
        (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError),
        ExitCode.USAGE,
        _explain_file_error,
    ),
    (OSError, ExitCode.FAILED, _explain_file_error),
    (sa.exc.SQLAlchemyError, ExitCode.FAILED, str),
    (BindingError, ExitCode.USAGE, str),
    ((NotConfiguredError, ValueError), ExitCode.USAGE, escape),
)
