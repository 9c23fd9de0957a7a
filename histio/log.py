"""Log exceptions that are handled."""

from __future__ import annotations

import logging
import traceback

_log = logging.getLogger("histio")


def log_handled(what: str, error: BaseException) -> None:
    """Log at DEBUG *what* happened, with the type and the traceback of *error*.

    The text of the exception is left out, because it may contain data, which must not be logged.
    """
    if _log.isEnabledFor(logging.DEBUG):
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.debug("%s: %s\n%s", what, type(error).__name__, frames)
