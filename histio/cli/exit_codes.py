"""The exit codes of the commands."""

from __future__ import annotations

import enum
from typing import Self


class ExitCode(enum.IntEnum):
    """How a command ended.

    Attributes:
        meaning: A phrase that explains the code, for the help.
    """

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """The exit *code* with this *meaning*."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "success"
    BAD = 1, "the input is invalid, or the histories differ; nothing was written"
    USAGE = 2, "wrong usage, or a file is missing or would be overwritten"
    REJECTS = 3, "done, but runs were rejected, left out or not undone, or FILE is damaged"
    FAILED = 4, "the database or the disk failed"
    INTERRUPTED = 130, "interrupted; no partial file or transaction is left"
