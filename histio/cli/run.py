"""Run one command, from its arguments to its exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from histio.cli.app import app
from histio.cli.process import flush


def run(argv: Sequence[str] | None) -> int:
    """Run a command and print its failure, if any.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code.

    Raises:
        KeyboardInterrupt: The command was interrupted.
        Exception: Anything, where the environment asks for tracebacks.
    """
    # A character that the terminal cannot show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app.main(argv, prog_name="histio", standalone_mode=False)
        flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:  # a command never ends with a traceback, unless asked to
        from histio.cli.failures import TRACEBACK_VARIABLE, explain_failure

        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        failure, text = explain_failure(error)
        click.echo(f"Error: {text}", err=True)
        return failure
    return int(code or 0)
