"""A network between a client and a server that breaks at some byte."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

import sqlalchemy as sa

SENT, RECEIVED = "sent", "received"


class Proxy:
    """Passes bytes on, and may break all connections at one of them.

    Attributes:
        passed: How many bytes have been sent and received since `begin`.
    """

    def __init__(self, url: sa.URL) -> None:
        """Pass on what comes to a port of this machine to the server of *url*."""
        self._server = (url.host, url.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = url.set(host="127.0.0.1", port=self._listening.getsockname()[1])
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self.begin()

    def begin(self, direction: str = "", limit: int = 0, pause: float = 0) -> None:
        """Count from 0 again, and break connections after *limit* bytes in a direction, after a pause."""
        self.passed = {SENT: 0, RECEIVED: 0}
        self._break = (direction, limit, pause)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(self._server)
            for direction, source, target in ((SENT, client, server), (RECEIVED, server, client)):
                thread = threading.Thread(target=self._pass, args=[direction, source, target])
                self._threads.append(thread)
                thread.start()

    def _pass(self, direction: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(4096):
                broken, limit, pause = self._break
                with self._lock:
                    self.passed[direction] += len(data)
                    excess = self.passed[direction] - limit if direction == broken else 0
                if excess > 0:
                    target.sendall(data[:-excess])
                    time.sleep(pause)
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
