"""Exit codes of commands."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes."""

    DONE = 0
    BAD = 1
    """The input is bad, or what was compared differs; nothing was written."""
    USAGE = 2
    """The command line makes no sense, or names a file that does not exist or must not be replaced."""
    REJECTS = 3
    """Done, but some runs were rejected or left out, or a damaged file was imported as far as it is whole."""
    FAILED = 4
    """The database or the disk failed."""
    INTERRUPTED = 130
    """Nothing is half written."""
