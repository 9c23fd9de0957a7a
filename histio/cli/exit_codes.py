"""The exit codes of the commands."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How a command ended."""

    DONE = 0
    BAD = 1
    """The input is invalid, or the compared histories differ; nothing was written."""
    USAGE = 2
    """Wrong usage, a file that does not exist, or one that would be overwritten."""
    REJECTS = 3
    """Finished, but runs were rejected, left out or not undone, or a damaged file was imported in part."""
    FAILED = 4
    """The database or the disk failed."""
    INTERRUPTED = 130
    """Interrupted; no partial file or transaction is left."""
