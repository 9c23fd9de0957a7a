"""Run one command, from its arguments to its exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from histio.cli.app import app
from histio.cli.options import URL_VARIABLE
from histio.cli.printing import print_error
from histio.cli.process import flush


def run(argv: Sequence[str] | None) -> int:
    """Run a command and print its failure, if any.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code.

    Raises:
        KeyboardInterrupt: The command was interrupted.
    """
    quoted = [*(sys.argv[1:] if argv is None else argv), os.environ.get(URL_VARIABLE, "")]
    # A character that the terminal cannot show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app.main(argv, prog_name="histio", standalone_mode=False)
        flush()
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        print_error(text.getvalue(), quoted)
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:  # noqa: BLE001 - explained; with a traceback only if that is asked for
        from histio.cli.failures import TRACEBACK_VARIABLE, explain_failure

        failure, explanation = explain_failure(error)
        if os.environ.get(TRACEBACK_VARIABLE):
            print_error(traceback.format_exc(), quoted)
        else:
            print_error(f"Error: {explanation}", quoted)
        return failure
    return int(code or 0)
