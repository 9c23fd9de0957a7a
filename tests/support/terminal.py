"""A command at a terminal: what it prints is read, and what somebody types is written."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import histio

ROOT = Path(histio.__file__).parents[1]
_PATIENCE = 30
_SETTLED = 0.5
"""Seconds until a command that has printed its question waits: Python loses signals just before it does."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Runs ``histio`` at a terminal of its own.

    Args:
        arguments: The arguments of the command.
        environment: Further variables of the environment.

    Attributes:
        printed: All that was printed so far, without colours, with ``\\n`` as line ends.
    """

    def __init__(self, arguments: Sequence[str], *, environment: Mapping[str, str]) -> None:
        self.printed = ""
        self._seen = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._terminal, other = pty.openpty()
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "COLUMNS": "200",
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "histio", *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            env=variables,
            start_new_session=True,
        )
        os.close(other)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._terminal)

    def expect(self, text: str) -> str:
        """Wait until *text* is printed; return what was printed since the last call, up to its end."""
        end = time.monotonic() + _PATIENCE
        while text not in self.printed[self._seen :]:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} was not printed, but {self.printed[self._seen :]!r}")
        at = self.printed.index(text, self._seen) + len(text)
        start, self._seen = self._seen, at
        return self.printed[start:at]

    def type(self, text: str) -> None:
        """Type *text* and a line end."""
        os.write(self._terminal, f"{text}\n".encode())

    def answer(self, question: str, text: str) -> str:
        """Wait for a *question*, and type *text*; return what was printed up to the question."""
        printed = self.expect(question)
        self.type(text)
        return printed

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send a signal to the command alone, once it waits for an answer."""
        time.sleep(_SETTLED)
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the command."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code, and what was printed since the last call."""
        end = time.monotonic() + _PATIENCE
        while self._read(end - time.monotonic()):
            pass
        start, self._seen = self._seen, len(self.printed)
        return self.process.wait(_PATIENCE), self.printed[start:]

    def _read(self, seconds: float) -> bool:
        """Read what is printed within *seconds*; False: nothing is any more."""
        ready, _, _ = select.select([self._terminal], [], [], max(0, seconds))
        try:
            data = os.read(self._terminal, 2**16) if ready else b""
        except OSError:  # the other side is closed
            return False
        self.printed += _COLOURS.sub("", self._decode(data)).replace("\r\n", "\n")
        return bool(data)
