"""Bodies on their way in and out, in files: nothing of the database is held while a client is slow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

ENCODINGS = ("identity", "gzip", "zstd")
"""What histio decompresses by itself."""

CLOSE = {"Connection": "close"}
"""For answers that come before the end of the body."""

log = logging.getLogger("bakery")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may cost. Times are in seconds.

    Attributes:
        size: The maximum bytes of a history, with and without compression.
        memory: The bytes of a history that are kept in memory; larger ones are in a temporary file.
        idle: How long a client may neither send nor take anything.
        transfer: How long a transfer may take.
        pool: How long a request waits for a connection.
        lock: How long a statement waits for a lock.
        connections: The maximum number of connections.
        waiting: How many uploads may wait on their preview.
        kept: How long an upload waits there.
    """

    size: int = 2**30
    memory: int = 2**20
    idle: float = 30
    transfer: float = 1800
    pool: float = 5
    lock: float = 10
    connections: int = 5
    waiting: int = 20
    kept: float = 24 * 3600


class Spool(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that takes a limited number of bytes."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(max_size=limits.memory)
        self.size = 0
        self._limits = limits

    def write(self, data: Any) -> int:
        self.size += len(data)
        check_size(self.size, self._limits)
        return super().write(data)


# In docs/how-to/service.md:
async def receive(request: Request, limits: Limits) -> Spool:
    """The body of a *request*, as soon as all of it is here; compressed bodies stay compressed.

    Raises:
        HTTPException: It is too large, too slow, or in an unknown encoding.
        starlette.requests.ClientDisconnect: The client has gone.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ENCODINGS:
        raise HTTPException(415, "unknown Content-Encoding", CLOSE | {"Accept-Encoding": "gzip, zstd"})
    with contextlib.ExitStack() as unless_complete:
        spool = unless_complete.enter_context(Spool(limits))
        async for chunk in LimitedRequest(request, limits).stream():
            spool.write(chunk)
        unless_complete.pop_all()
        return spool


class LimitedRequest(Request):
    """A *request* whose body has to end within the limits of size and time, also as a form."""

    def __init__(self, request: Request, limits: Limits) -> None:
        super().__init__(request.scope, request.receive)
        self._limits = limits

    async def stream(self) -> AsyncGenerator[bytes, None]:
        clock, size = asyncio.get_running_loop().time, 0
        end = clock() + self._limits.transfer
        check_size(int(self.headers.get("content-length", 0)), self._limits)
        chunks = super().stream()
        while True:
            try:
                async with asyncio.timeout_at(min(end, clock() + self._limits.idle)):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise HTTPException(408, "the body is too slow", CLOSE) from None
            if chunk is None:
                break
            size += len(chunk)
            check_size(size, self._limits)
            yield chunk


def check_size(size: int, limits: Limits) -> None:
    """Raise HTTPException if *size* is more than a history may have."""
    if size > limits.size:
        raise HTTPException(413, f"more than {limits.size} bytes", CLOSE)


# So far in docs/how-to/service.md.


class Download(StreamingResponse):
    """The content of a *spool*. Its length is known, so that no client takes a part of it for the whole."""

    def __init__(self, spool: Spool, limits: Limits, media_type: str) -> None:
        spool.seek(0)
        super().__init__(_chunks(spool), media_type=media_type, headers={"Content-Length": str(spool.size)})
        self._spool = spool
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._spool:
            try:
                async with asyncio.timeout(self._limits.transfer):
                    await super().__call__(scope, receive, send)
            except TimeoutError:
                log.warning("a client has not taken its download")  # the server closes the connection

    async def stream_response(self, send: Send) -> None:
        async def send_soon(message: Any) -> None:
            async with asyncio.timeout(self._limits.idle):
                await send(message)

        await super().stream_response(send_soon)


def _chunks(spool: Spool) -> Iterator[bytes]:
    while chunk := spool.read(2**16):
        yield chunk
