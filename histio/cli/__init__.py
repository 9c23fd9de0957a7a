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
        The exit code; ``histio --help`` lists them.
    """
    if argv is None:  # SIGTERM and SIGHUP clean up as Ctrl-C does
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        from histio.cli.run import run  # slow, so that it may be interrupted too

        return run(argv)
    except KeyboardInterrupt:
        sys.stderr.write("histio: interrupted; no partial file or transaction is left\n")
        return ExitCode.INTERRUPTED
