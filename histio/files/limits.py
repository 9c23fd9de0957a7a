"""Limits on what is read from a file."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass

from histio.wire import quote

MiB = 2**20
"""The bytes of a mebibyte, to write sizes: ``10 * MiB``."""

GiB = 2**30
"""The bytes of a gibibyte, to write sizes: ``2 * GiB``."""

MAX_BYTES = 64 * GiB
"""The default limit for one file, in uncompressed bytes."""

MAX_LINE_BYTES = 128 * MiB
"""The default limit for one run, in bytes; it has room for about 400,000 ledger entries."""

MAX_DEPTH = 64
"""The default limit for the depth of nested objects and lists. A run of the bundled kinds has four levels."""

MAX_BLANK_LINES = 1_000
"""The number of blank lines beyond which a stream is refused."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on a file.

    Attributes:
        max_bytes: The size of the uncompressed file.
        max_line_bytes: The size of a run in bytes.
        max_depth: The depth of nested objects and lists in a run.

    Raises:
        ValueError: A limit is not a positive integer.
    """

    max_bytes: int = MAX_BYTES
    max_line_bytes: int = MAX_LINE_BYTES
    max_depth: int = MAX_DEPTH

    def __post_init__(self) -> None:
        check_positive(**asdict(self))


def check_positive(**options: object) -> None:
    """Raise ValueError if one of the *options* is not a positive integer."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < sys.maxsize:
            raise ValueError(f"{name} must be a positive integer, not {quote(value)}")
