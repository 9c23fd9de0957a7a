"""The command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from histio.cli.exit_codes import ExitCode


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code: see ``histio --help``.
    """
    if argv is None:  # what stops a service leaves as little behind as Ctrl-C
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        from histio.cli.program import run  # which takes time, and may be interrupted too

        return run(argv)
    except KeyboardInterrupt:
        sys.stderr.write("histio: interrupted; nothing is half written\n")
        return ExitCode.INTERRUPTED
