"""The command line."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

import click

from histio.cli.app import app
from histio.cli.outcomes import Outcome, outcome_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code, an `Outcome`.
    """
    if argv is None:  # what stops a service leaves as little behind as Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What a terminal cannot show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app.main(argv, prog_name="histio", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Outcome.BAD
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("histio: interrupted", err=True)
        return Outcome.INTERRUPTED
    except Exception as error:
        outcome, text = outcome_of(error)
        if outcome is None:
            raise
        click.echo(f"Error: {text}", err=True)
        return outcome
    return int(code or 0)
