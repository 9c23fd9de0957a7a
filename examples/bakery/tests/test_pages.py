"""The pages over HTTP: what is kept, what expires, and what no page of another site can do."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from bakery_service import demo
from bakery_service.app import create_app
from bakery_service.models import Bake, Recipe
from bakery_service.transfer import Limits

pytestmark = pytest.mark.anyio

BRANCH = "Oven Lane"
SAMPLES = demo.samples(BRANCH)
HERE = {"Origin": "http://bakery", "Sec-Fetch-Site": "same-origin"}


class Service:
    """A service that runs in this process, what it keeps, and a client of it."""

    def __init__(self, client: httpx.AsyncClient, engine: sa.Engine, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self._engine = engine

    def count(self, model: type[Any] = Bake) -> int:
        with Session(self._engine) as session:
            return session.scalar(sa.select(sa.func.count()).select_from(model)) or 0

    async def upload(self, content: bytes, name: str = "history.jsonl") -> httpx.Response:
        return await self.client.post("/imports", files={"file": (name, content)}, headers=HERE)

    async def uploaded(self, content: bytes = SAMPLES["other-branch.jsonl"]) -> str:
        """The URL of the preview of what was uploaded."""
        response = await self.upload(content)
        assert response.status_code == 303
        return response.headers["location"]

    def kept(self, url: str) -> Path:
        """Where the files of an import are."""
        return self.folder / url.rsplit("/", maxsplit=1)[1]


@pytest.fixture
async def start(new_engine, tmp_path) -> AsyncIterator[Any]:
    """Starts services on new databases, by default without anything in them."""
    async with AsyncExitStack() as running:

        async def start(limits: Limits | None = None) -> Service:
            engine, folder = new_engine(), tmp_path / "imports"
            driver = {"sqlite": "sqlite+aiosqlite"}.get(engine.dialect.name, engine.url.drivername)
            url = engine.url.set(drivername=driver).render_as_string(hide_password=False)
            app = create_app(url, BRANCH, limits, folder)
            await running.enter_async_context(app.router.lifespan_context(app))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bakery")
            return Service(await running.enter_async_context(client), engine, folder)

        yield start


CREATE = "?catalog=create"


async def test_a_preview_changes_nothing_and_its_button_does_what_it_has_shown(start):
    service = await start()
    url = await service.uploaded()
    preview = await service.client.get(url + CREATE)
    assert "22 runs would be imported" in preview.text
    assert (service.count(), service.count(Recipe)) == (0, 0)
    [action] = re.findall(r'method="post" action="([^"]+catalog[^"]+)"', preview.text)
    applied = await service.client.post(action.replace("&amp;", "&"), headers=HERE)
    assert (applied.status_code, applied.headers["location"]) == (303, url)
    assert "22 runs imported" in " ".join((await service.client.get(url)).text.split())
    assert (service.count(), service.count(Recipe)) == (19, 6)
    assert not (service.kept(url) / "upload").exists()


async def test_an_import_that_is_sent_twice_is_done_once(start):
    service = await start()
    url = await service.uploaded()
    await service.client.post(url + CREATE, headers=HERE)
    first = (await service.client.get(url)).text
    assert (await service.client.post(url + CREATE, headers=HERE)).status_code == 303
    assert (await service.client.get(url)).text == first
    assert service.count() == 19


async def test_an_import_that_is_sent_twice_at_once_is_done_once(start):
    service = await start()
    url = await service.uploaded()
    posts = [service.client.post(url + CREATE, headers=HERE) for _ in range(4)]
    statuses = {response.status_code for response in await asyncio.gather(*posts)}
    assert statuses <= {303, 404, 409}
    assert service.count() == 19
    assert json.loads((service.kept(url) / "report.json").read_text())["imported"] == 22


async def test_what_has_changed_since_the_preview_withholds_the_import(start):
    service = await start()
    url = await service.uploaded()
    response = await service.client.post(url, headers=HERE)
    assert response.status_code == 409
    assert "Nothing was imported: the branch has changed" in response.text
    assert service.count() == 0
    await service.client.post(f"{url}/discard", headers=HERE)
    assert list(service.folder.iterdir()) == []


async def test_an_upload_that_is_being_imported_is_not_discarded(start):
    service = await start()
    url = await service.uploaded()
    (service.kept(url) / "receipt.jsonl").touch()
    await service.client.post(f"{url}/discard", headers=HERE)
    assert (await service.client.get(url)).status_code == 200


async def test_a_file_that_is_no_history_is_not_imported_by_a_post(start):
    service = await start()
    url = await service.uploaded(b"hello")
    assert (await service.client.post(url, headers=HERE)).status_code == 422
    await service.client.post(f"{url}/discard", headers=HERE)
    assert list(service.folder.iterdir()) == []


async def test_an_import_that_was_interrupted_is_kept_continued_and_undone_as_a_whole(start):
    service = await start(Limits(kept=0.5))
    url = await service.uploaded()
    await service.client.post(url + CREATE, headers=HERE)
    kept = service.kept(url)
    (kept / "report.json").unlink()
    (kept / "upload").write_bytes(SAMPLES["other-branch.jsonl"])
    await asyncio.sleep(0.6)
    assert "An import of this file was interrupted." in (await service.client.get(url)).text
    await service.client.post(f"{url}/discard", headers=HERE)
    await service.client.post(url + CREATE, headers=HERE)
    assert "34 would be removed" in (await service.client.get(f"{url}/undo")).text
    await service.client.post(f"{url}/undo", headers=HERE)
    assert (service.count(), service.count(Recipe)) == (0, 0)


async def test_an_undo_leaves_what_was_changed_since_and_can_be_repeated(start):
    service = await start()
    url = await service.uploaded()
    await service.client.post(url + CREATE, headers=HERE)
    with Session(service._engine) as session:
        bake = session.scalars(
            sa.select(Bake).where(~Bake.id.in_(sa.text("SELECT bake_id FROM tasting")))
        ).first()
        before, bake.remarks = bake.remarks, "Sold out"
        session.commit()
        assert "Changed since the import" in (await service.client.get(f"{url}/undo")).text
        await service.client.post(f"{url}/undo", headers=HERE)
        assert "What the undo has left" in (await service.client.get(url)).text
        assert service.count() == 1
        bake.remarks = before
        session.commit()
    await service.client.post(f"{url}/undo", headers=HERE)
    assert (service.count(), service.count(Recipe)) == (0, 0)


async def test_an_undo_that_is_sent_twice_is_done_once(start):
    service = await start()
    url = await service.uploaded()
    await service.client.post(url + CREATE, headers=HERE)
    for _ in range(2):
        assert (await service.client.post(f"{url}/undo", headers=HERE)).status_code == 303
        assert "34 removed" in (await service.client.get(url)).text


async def test_an_upload_expires_and_its_page_says_so(start):
    service = await start(Limits(kept=0.2))
    url = await service.uploaded()
    assert (await service.client.get(url)).status_code == 200
    await asyncio.sleep(0.3)
    for response in (await service.client.get(url), await service.client.post(url, headers=HERE)):
        assert response.status_code == 404
        assert "upload it again" in response.text
    assert list(service.folder.iterdir()) == []


async def test_only_so_many_uploads_wait(start):
    service = await start(Limits(waiting=2))
    [first, _] = [await service.uploaded(), await service.uploaded()]
    assert (await service.upload(b"{}")).status_code == 503
    await service.client.post(f"{first}/discard", headers=HERE)
    assert (await service.upload(b"{}")).status_code == 303


@pytest.mark.parametrize("announced", [True, False])
async def test_a_form_that_is_too_large_is_refused_with_a_page_and_not_kept(start, announced):
    service = await start(Limits(size=1000))
    request = service.client.build_request(
        "POST", "/imports", files={"file": ("a", b" " * 2000)}, headers=HERE
    )
    headers = {
        name: value for name, value in request.headers.items() if announced or name != "content-length"
    }
    response = await service.client.post("/imports", content=request.read(), headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (413, "text/html; charset=utf-8")
    assert not service.folder.exists()


async def test_a_form_without_a_file_is_asked_for_one(start):
    service = await start()
    response = await service.client.post("/imports", files={"file": ("", b"")}, headers=HERE)
    assert response.status_code == 422
    assert "Choose a file first." in response.text


FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://bakery", "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE, ids=str)
async def test_the_page_of_another_site_changes_nothing(start, headers):
    service = await start()
    url = await service.uploaded()
    for path in ("/imports", url + CREATE, f"{url}/undo", f"{url}/discard", "/history.jsonl"):
        response = await service.client.post(path, content=SAMPLES["other-branch.jsonl"], headers=headers)
        assert response.status_code == 403
    assert (await service.client.get(url, headers=headers)).status_code == 200
    assert service.count() == 0


@pytest.mark.parametrize(
    "headers", [{}, HERE, {"Origin": "http://bakery"}, {"Sec-Fetch-Site": "none"}], ids=str
)
async def test_its_own_pages_and_what_is_no_browser_may_change_things(start, headers):
    service = await start()
    url = await service.uploaded()
    assert (await service.client.post(url + CREATE, headers=headers)).status_code == 303
    assert service.count() == 19


async def test_every_page_says_what_a_browser_may_do_with_it(start):
    service = await start()
    url = await service.uploaded()
    for path in ("/", url, "/imports/none", "/none", f"{url}/rejects.jsonl"):
        headers = (await service.client.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("name", ["../../../etc/passwd", "a/b.jsonl", "\u202eknat.exe", "x" * 4000])
async def test_no_name_of_a_file_leads_anywhere(start, name):
    service = await start()
    assert (await service.upload(b"{}", name)).status_code == 303
    [folder] = service.folder.iterdir()
    assert {path.name for path in folder.iterdir()} == {"upload", "about.json"}


async def test_what_cannot_be_encoded_is_shown_nevertheless(start):
    service = await start()
    header, *_ = SAMPLES["other-branch.jsonl"].splitlines(keepends=True)
    run = b'{"production_run": {"\\ud800<b>": 1}}\n'
    content = header.replace(b'"version"', b'"sealed": false, "version"') + run
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="+2AA-<b>"\r\n\r\n'
        + content
        + b"\r\n--x--"
    )
    media_type = {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"}  # has lone surrogates
    uploaded = await service.client.post("/imports", content=form, headers=HERE | media_type)
    for path in ("/", uploaded.headers["location"]):
        response = await service.client.get(path)
        assert response.status_code == 200
        assert "?&lt;b&gt;" in response.text


@pytest.mark.parametrize("path", ["..", "%2e%2e", "%2Fetc", "0", "00000000-0000-0000-0000-000000000000"])
async def test_what_is_no_import_is_not_found(start, path):
    response = await (await start()).client.get(f"/imports/{path}/rejects.jsonl")
    assert response.status_code == 404


async def test_the_rejected_runs_can_be_downloaded_and_uploaded_again(start):
    service = await start()
    await service.client.post(await service.uploaded() + CREATE, headers=HERE)
    url = await service.uploaded(SAMPLES["mistakes.jsonl"])
    assert "6 runs would be rejected" in (await service.client.get(url)).text
    rejects = await service.client.get(f"{url}/rejects.jsonl")
    assert rejects.headers["content-disposition"] == 'attachment; filename="rejects.jsonl"'
    mended = rejects.text.replace('Hot cross bun"', 'Hot cross buns"')
    await service.client.post(f"{url}?partial=true", headers=HERE)
    again = await service.uploaded(mended.encode())
    assert "2 runs would be imported" in (await service.client.get(again)).text


async def test_the_message_about_a_file_that_cannot_be_read_names_no_path(start):
    service = await start()
    response = await service.client.get(await service.uploaded(b"hello"))
    assert response.status_code == 422
    assert "line 1, column 1" in response.text
    assert str(service.folder) not in response.text


async def test_the_report_is_one_file_of_html(start):
    service = await start()
    await service.client.post(await service.uploaded() + CREATE, headers=HERE)
    response = await service.client.get("/report.html")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "Cinnamon knots" in response.text


async def test_the_demonstration_begins_with_something_and_adds_nothing_when_it_is_started_again(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("BRANCH", raising=False)
    pages = []
    for _ in range(2):
        app = demo.create_app()
        async with app.router.lifespan_context(app):
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bakery")
            pages.append((await client.get("/")).text)
            assert (await client.get("/samples/mistakes.jsonl")).content == SAMPLES["mistakes.jsonl"]
    assert pages[0] == pages[1]
    assert re.search(r"\b3\d\d bakes from 1 August 2025", pages[0])
    assert dt.datetime.now(dt.UTC).isoformat() not in pages[0]
