"""The program: all commands, and its own help."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import click

from histio.cli.commands.audit import audit
from histio.cli.commands.check import check
from histio.cli.commands.completion import completion
from histio.cli.commands.copy import copy
from histio.cli.commands.demo import demo
from histio.cli.commands.diff import diff
from histio.cli.commands.explain import explain
from histio.cli.commands.export import export
from histio.cli.commands.import_ import import_
from histio.cli.commands.init import init
from histio.cli.commands.inspect import inspect
from histio.cli.commands.merge import merge
from histio.cli.commands.references import references
from histio.cli.commands.report import report
from histio.cli.commands.scaffold import scaffold
from histio.cli.commands.schema import schema
from histio.cli.commands.undo import undo
from histio.cli.commands.verify import verify
from histio.cli.exit_codes import ExitCode


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    try:
        version = importlib.metadata.version("histio")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"histio {version}")
    context.exit()


class _PipeError(click.ClickException):
    """The process that reads the result of a command has ended."""

    exit_code = ExitCode.FAILED


class _OrderedGroup(click.Group):
    """Lists the commands in the order of their registration, and reports pipes that nobody reads."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError as error:  # click would exit with the code of invalid input, without a word
            raise _PipeError(f"{error.filename or 'The output'}: {error.strerror}") from error

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_OrderedGroup,
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

    \b
    Exit codes:
      0    success
      1    the input is invalid, or the histories differ; nothing was written
      2    wrong usage, or a file that does not exist or would be overwritten
      3    done, but runs were rejected, left out or not undone, or FILE is damaged
      4    the database or the disk failed
      130  interrupted; no partial file or transaction is left
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    demo,
    init,
    export,
    import_,
    undo,
    copy,
    verify,
    check,
    inspect,
    references,
    diff,
    merge,
    audit,
    report,
    explain,
    scaffold,
    schema,
    completion,
):
    app.add_command(_command)
