"""Clients on sockets that stall, vanish or lie: what they get, and what they hold meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import histio
import httpx
import pytest
import sqlalchemy as sa
import uvicorn
import zstandard
from sqlalchemy.orm import Session

from bakery_service.app import create_app
from bakery_service.history import KINDS, VERSION
from bakery_service.models import Bake, Base, Pastry, Recipe
from bakery_service.transfer import Limits

BRANCH = "Oven Lane"
LIMITS = Limits(size=2**24, memory=1000, idle=0.3, transfer=3, pool=0.3, lock=0.3, connections=2)
PATIENT = 10
"""Seconds after which a test gives up."""


def run(n: int, notes: str = "") -> dict[str, Any]:
    """A production run as it stands in a document."""
    return {
        "uuid": str(uuid.UUID(int=n)),
        "recipe_slug": "Hot cross buns",
        "finished_unit_slug": "bun",
        "num_batches": 2,
        "expected_yield": 24,
        "actual_yield": 23,
        "produced_at": "2025-12-08T10:00:00Z",
        "notes": notes,
        "total_ingredient_cost": "5.25",
        "per_unit_cost": "0.2188",
    }


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs, and its database as others see it."""

    address: tuple[str, int]
    engine: sa.Engine
    pool: Any
    loop: asyncio.AbstractEventLoop
    own: Any

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def connect(self) -> socket.socket:
        """A client that takes little at a time."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENT)
        client.connect(self.address)
        return client

    def count(self) -> int:
        with Session(self.engine) as session:
            return session.scalar(sa.select(sa.func.count()).select_from(Bake)) or 0

    def clear(self) -> None:
        with Session(self.engine) as session:
            session.execute(sa.delete(Bake))
            session.commit()

    def is_idle(self) -> bool:
        """Whether no connection is in use, soon."""
        end = time.monotonic() + PATIENT
        while self.pool.checkedout() and time.monotonic() < end:
            time.sleep(0.01)
        return self.pool.checkedout() == 0

    def take_all_connections(self) -> Callable[[], None]:
        """Use every connection of the service; return what gives them back."""

        async def take() -> list[Any]:
            return [await self.own.connect() for _ in range(LIMITS.connections)]

        async def give_back() -> None:
            for each in taken:
                await each.close()

        taken = asyncio.run_coroutine_threadsafe(take(), self.loop).result(PATIENT)
        return lambda: asyncio.run_coroutine_threadsafe(give_back(), self.loop).result(PATIENT)


def fill(engine: sa.Engine) -> None:
    """Create the tables, with what the runs refer to."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Pastry(branch=BRANCH, slug="bun", recipe=Recipe(branch=BRANCH, name="Hot cross buns")))
        session.commit()


@pytest.fixture
def service(new_engine, tmp_path) -> Iterator[Service]:
    engine = new_engine()
    fill(engine)
    driver = {"sqlite": "sqlite+aiosqlite"}.get(engine.dialect.name, engine.url.drivername)
    url = engine.url.set(drivername=driver).render_as_string(hide_password=False)
    app = create_app(url, BRANCH, LIMITS, tmp_path / "imports")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    own = app.state.bakery.engine
    yield Service(address, engine, own.pool, loops[0], own)
    server.should_exit = True
    thread.join()


def history(engine: sa.Engine) -> histio.History:
    return histio.History(engine, *KINDS, version=VERSION, values={"branch": BRANCH})


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sealed stream of two runs."""
    engine = histio.create_engine(f"sqlite:///{tmp_path_factory.mktemp('stream')}/bakery.db")
    fill(engine)
    file = io.BytesIO()
    history(engine).import_document({"version": VERSION, "production_runs": [run(1), run(2)]})
    history(engine).export_file(file, format="jsonl")
    engine.dispose()
    return file.getvalue()


def post(body: bytes, length: int | None = None, **headers: str) -> bytes:
    """A request that uploads *body*, and announces another *length* if it is given."""
    announced = {"Host": "bakery", "Content-Length": str(len(body) if length is None else length)}
    lines = [f"{name}: {value}" for name, value in (announced | headers).items()]
    return "\r\n".join(["POST /history.jsonl HTTP/1.1", *lines, "", ""]).encode() + body


def encoded(body: bytes, encoding: str) -> bytes:
    return post(body, **{"Content-Encoding": encoding, "Connection": "close"})


def answer(client: socket.socket) -> int | None:
    """The status of the answer, when the service has closed the connection; None: there is none."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            received += data
    return int(received.split()[1]) if received else None


def then_stall(client: socket.socket) -> int | None:
    return answer(client)


def then_leave(client: socket.socket) -> int | None:
    client.close()
    return None


def then_say_no_more(client: socket.socket) -> int | None:
    client.shutdown(socket.SHUT_WR)
    return answer(client)


UPLOADS: dict[
    str, tuple[Callable[[bytes], bytes], Callable[[socket.socket], int | None], int | None, int]
] = {
    "the whole stream": (lambda all_: post(all_, Connection="close"), then_stall, 200, 2),
    "stalls before the body": (lambda all_: post(b"", len(all_)), then_stall, 408, 0),
    "stalls in the middle": (lambda all_: post(all_[:200], len(all_)), then_stall, 408, 0),
    "stalls before the last byte": (lambda all_: post(all_[:-1], len(all_)), then_stall, 408, 0),
    "leaves before the body": (lambda all_: post(b"", len(all_)), then_leave, None, 0),
    "leaves in the middle": (lambda all_: post(all_[:200], len(all_)), then_leave, None, 0),
    "ends in the middle": (lambda all_: post(all_[:200], len(all_)), then_say_no_more, None, 0),
    "sends the header only": (lambda all_: encoded(all_.partition(b"\n")[0], "identity"), then_stall, 422, 0),
    "announces less than it has": (lambda all_: post(all_, 200, Connection="close"), then_stall, 422, 0),
    "announces too much": (lambda all_: post(all_, LIMITS.size + 1), then_stall, 413, 0),
    "announces what is no number": (lambda all_: post(all_, -1), then_stall, 400, 0),
    "in capitals": (lambda all_: encoded(gzip.compress(all_), "GZIP"), then_stall, 200, 2),
    "gzip": (lambda all_: encoded(gzip.compress(all_), "gzip"), then_stall, 200, 2),
    "zstd": (lambda all_: encoded(zstandard.compress(all_), "zstd"), then_stall, 200, 2),
    "gzip that is cut off": (lambda all_: encoded(gzip.compress(all_)[:-9], "gzip"), then_stall, 422, 0),
    "a bomb": (
        lambda all_: encoded(gzip.compress(all_[:-9] + b" " * LIMITS.size), "gzip"),
        then_stall,
        413,
        0,
    ),
    "another encoding": (lambda all_: encoded(all_, "br"), then_stall, 415, 0),
}


def test_an_upload_is_taken_whole_or_not_at_all_and_holds_nothing_while_it_comes(service, stream, caplog):
    for name, (request, then, status, rows) in UPLOADS.items():
        with service.connect() as client:
            client.sendall(request(stream))
            assert then(client) == status, name
        assert service.is_idle(), name
        assert service.count() == rows, name
        service.clear()
    assert [record for record in caplog.records if record.exc_info] == []


def test_an_upload_that_stalls_keeps_nobody_waiting(service, stream):
    clients = [service.connect() for _ in range(LIMITS.connections + 2)]
    for client in clients:
        client.sendall(post(stream[:-1], len(stream)))
    assert httpx.post(f"{service.url}/history.jsonl", content=stream).json()["imported"] == 2
    assert [answer(client) for client in clients] == [408] * len(clients)
    for client in clients:
        client.close()


def test_a_body_without_a_length_is_limited_too(service):
    def spaces() -> Iterator[bytes]:
        for _ in range(LIMITS.size // 2**20 + 1):
            yield b" " * 2**20

    assert httpx.post(f"{service.url}/history.jsonl", content=spaces()).status_code == 413


@pytest.fixture
def large(service) -> Service:
    """A service with a history that is larger than what sockets take without their clients."""
    runs = [run(n, "x" * 400_000) for n in range(1, 26)]
    history(service.engine).import_document({"version": VERSION, "production_runs": runs})
    return service


GET = b"GET /history.jsonl HTTP/1.1\r\nHost: bakery\r\n\r\n"


def test_clients_that_take_nothing_hold_no_connection_and_end_without_the_whole(large, caplog):
    clients = [large.connect() for _ in range(LIMITS.connections + 2)]
    for client in clients:
        client.sendall(GET)
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert large.is_idle()
    assert httpx.get(f"{large.url}/history.jsonl", timeout=PATIENT).status_code == 200
    time.sleep(LIMITS.idle * 2)
    for client in clients:
        taken = b"".join(iter(lambda own=client: own.recv(2**20), b""))
        length = int(taken.partition(b"content-length: ")[2].split()[0])
        assert len(taken) < length
        client.close()
    assert "a client has not taken its download" in caplog.text
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_client_that_leaves_in_the_middle_of_a_download_is_no_error(large, caplog):
    for _ in range(3):
        with large.connect() as client:
            client.sendall(GET)
            client.recv(1000)
    assert large.is_idle()
    assert [record for record in caplog.records if record.exc_info] == []


def test_without_a_connection_there_is_no_success(service, stream):
    give_back = service.take_all_connections()
    for response in (
        httpx.get(f"{service.url}/history.jsonl"),
        httpx.get(f"{service.url}/history.json"),
        httpx.post(f"{service.url}/history.jsonl", content=stream),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    give_back()
    assert httpx.post(f"{service.url}/history.jsonl", content=stream).json()["imported"] == 2


def test_a_lock_that_others_hold_is_waited_for_and_then_a_conflict(service, stream):
    with service.engine.connect() as other:
        history(other).import_document({"version": VERSION, "production_runs": [run(1)]})
        response = httpx.post(f"{service.url}/history.jsonl", content=stream, timeout=PATIENT)
        assert (response.status_code, response.headers["retry-after"]) == (409, "5")
        assert service.is_idle()
        assert httpx.get(f"{service.url}/history.jsonl").status_code == 200
        other.rollback()
    assert httpx.post(f"{service.url}/history.jsonl", content=stream).json()["imported"] == 2


def test_an_upload_that_has_met_a_lock_is_tried_once_more(service, stream):
    with service.engine.connect() as other:
        history(other).import_document({"version": VERSION, "production_runs": [run(1)]})
        sa.event.listen(service.own.sync_engine, "handle_error", lambda _: other.rollback())
        response = httpx.post(f"{service.url}/history.jsonl", content=stream, timeout=PATIENT)
    assert (response.status_code, response.json()["imported"]) == (200, 2)


def test_the_same_upload_many_times_at_once_is_stored_once(service, stream):
    def upload(_: int) -> httpx.Response:
        return httpx.post(f"{service.url}/history.jsonl", content=stream, timeout=PATIENT)

    with ThreadPoolExecutor(16) as clients:
        responses = list(clients.map(upload, range(16)))
    assert {response.status_code for response in responses} <= {200, 409, 503}
    accepted = [response.json() for response in responses if response.status_code == 200]
    assert sum(each["imported"] for each in accepted) == service.count() == 2
    assert sum(each["skipped"] for each in accepted) == 2 * (len(accepted) - 1)
    assert service.is_idle()
