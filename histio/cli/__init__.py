"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from histio.cli.exit_codes import ExitCode
from histio.cli.process import close_streams, handle_signals, open_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code; ``histio --help`` lists them.
    """
    if argv is not None:
        return _run(argv)
    handle_signals()
    open_streams()
    try:
        return _run(argv)
    finally:
        close_streams()


def _run(argv: Sequence[str] | None) -> int:
    try:
        from histio.cli.run import run  # slow, so that it may be interrupted too

        return run(argv)
    except KeyboardInterrupt:
        sys.stderr.write(f"histio: {ExitCode.INTERRUPTED.meaning}\n")
        return ExitCode.INTERRUPTED
