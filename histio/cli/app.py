"""The program: all commands, and its own help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.usage import FILES


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    from importlib import metadata  # takes longer to import than the rest to run

    try:
        version = metadata.version("histio")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"histio {version}")
    context.exit()


class _PipeError(click.ClickException):
    """The process that reads the result of a command has ended."""

    exit_code = ExitCode.FAILED


_FIRST_STEPS = """\
histio moves an application's history between databases, as portable, checked JSON.
  Try it with a bakery's year:      histio demo bakery
  Export from your database:        histio export history.jsonl --url sqlite:///bakery.db
  Use your own SQLAlchemy models:   histio scaffold shop.models:Order > binding.py
  See all commands:                 histio --help"""

_COMMANDS = (
    "demo",
    "init",
    "export",
    "import",
    "undo",
    "copy",
    "verify",
    "check",
    "inspect",
    "references",
    "rejects",
    "diff",
    "merge",
    "audit",
    "report",
    "flatten",
    "explain",
    "scaffold",
    "schema",
    "completion",
)
"""The names of all commands, in the order of the help. Each has a module and a function of its name."""


@contextmanager
def _naming_file(context: click.Context) -> Iterator[None]:
    """Note the name of the file in an error about the only file that is an argument of the command."""
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        from histio.errors import DocumentError

        files = context.meta.get(FILES, ())
        if isinstance(error, DocumentError) and len(files) == 1:
            setattr(error, FILES, files[0])
        raise


class _Group(click.Group):
    """Imports a command when it is used, and reports pipes that nobody reads."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with _naming_file(context):
                return super().invoke(context)
        except BrokenPipeError as error:  # click would exit with the code of invalid input, without a word
            raise _PipeError(f"{error.filename or 'The output'}: {error.strerror}") from error

    @property
    def all_commands(self) -> dict[str, click.Command]:
        """All commands by name, in the order of the help."""
        context = click.Context(self)
        found = {name: self.get_command(context, name) for name in _COMMANDS}
        return {name: command for name, command in found.items() if command is not None}

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        own = f"{name}_" if name == "import" else name  # a keyword of Python
        command: click.Command = getattr(import_module(f"histio.cli.commands.{own}"), own)
        return command


@click.group(
    cls=_Group,
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:<4} {code.meaning}" for code in ExitCode),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
@click.option(
    "--within",
    metavar="FOLDER",
    envvar="HISTIO_WITHIN",
    help="Use only files in FOLDER: no URLs, standard streams or devices.  [env var: HISTIO_WITHIN]",
)
@click.pass_context
def app(context: click.Context, /, *, within: str | None) -> None:  # noqa: ARG001 - read by file_argument
    """Move an application's history between databases, as portable, checked JSON.

    A history consists of runs, such as production runs, with their ledger entries. Other rows, the
    catalog, are named by slugs instead of row ids. A file is a stream (.jsonl) or one document (.json), and
    may be compressed (.gz, .zst). For standard input or output, write - instead of a file.
    """
    if context.invoked_subcommand is None:
        click.echo(_FIRST_STEPS)
