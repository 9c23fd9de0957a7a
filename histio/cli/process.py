"""The process of the command line: its signals and its standard streams."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from histio.progress import before_last_step

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_DESCRIPTORS = 3

_is_final = False
_is_interruptible = False


def handle_signals() -> None:
    """Let signals clean up as Ctrl-C does, until the result is final: then its exit code is the answer.

    Signals that the process was started to ignore, as by nohup, stay ignored.
    """
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    before_last_step.append(make_final)


def _interrupt(_number: int, _frame: object) -> None:
    if not _is_final or _is_interruptible:
        raise KeyboardInterrupt


def make_final() -> None:
    """Ignore signals from now on: the last step of a command is about to be done."""
    global _is_final  # noqa: PLW0603 - handlers of signals are global too
    _is_final = True


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals interrupt the block, even after a result has become final."""
    global _is_interruptible  # noqa: PLW0603
    _is_interruptible = True
    try:
        yield
    finally:
        _is_interruptible = False


def open_streams() -> None:
    """Prepare standard output and standard error for terminals of any kind, and for closed ones.

    Nobody reads what is written to a closed standard error, or to a pipe without a reader: that is lost, and
    the command goes on. Other errors of standard output are raised.
    """
    _occupy_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Output(sys.stdout, BrokenPipeError)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Output(sys.stderr, OSError)
    elif sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends


def _occupy_descriptors() -> None:
    """Open something that can be neither read nor written in place of closed standard streams.

    Otherwise, the next file to be opened, such as a database, would become standard output.
    """
    for descriptor in range(_DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):  # some systems cannot open folders
                os.open(os.sep, os.O_RDONLY)


class _Output(io.TextIOWrapper):
    """Writes to the same file as *stream*; after an error of the type *lost*, nothing is written any more."""

    def __init__(self, stream: io.TextIOWrapper, lost: type[OSError]) -> None:
        options: dict[str, Any] = {
            "line_buffering": stream.line_buffering,
            "write_through": stream.write_through,
        }
        super().__init__(stream.buffer, stream.encoding, "backslashreplace", **options)
        self._lost = lost

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except self._lost:
            discard(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except self._lost:
            discard(self)
            super().flush()


def close_streams() -> None:
    """Write what is left in standard output, or lose it; Python would change the exit code."""
    try:
        flush()
    except OSError:
        discard(sys.stdout)


def flush() -> None:
    """Write what is left in standard output."""
    stream: Any = sys.stdout  # None if it was closed when the process started
    if stream is not None:
        stream.flush()


def discard(stream: Any) -> None:
    """Lose what *stream* has not written yet, and what is written to it from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
