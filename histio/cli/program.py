"""One command, from its arguments to its exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from histio.cli.app import app
from histio.cli.exit_codes import ExitCode


def run(argv: Sequence[str] | None) -> int:
    """Run a command, as `histio.cli.main` does."""
    # What a terminal cannot show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app.main(argv, prog_name="histio", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BAD
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        from histio.cli.failures import TRACEBACK, describe_failure

        if os.environ.get(TRACEBACK):
            raise
        code, text = describe_failure(error)
        click.echo(f"Error: {text}", err=True)
        return code
    return int(code or 0)
