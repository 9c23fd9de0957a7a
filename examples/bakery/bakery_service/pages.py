"""The pages for people: upload a file, see what an import would do, import it, and undo it.

They need no script. Every change is a form that is sent with POST; what was previewed is what is imported.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import uuid
from contextlib import ExitStack
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import histio
import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bakery_service.bakery import Bakery, TheBakery, same_origin
from bakery_service.history import of_branch, without_database
from bakery_service.imports import Import
from bakery_service.media import MEDIA_TYPES
from bakery_service.models import Bake, Tasting
from bakery_service.problems import group_by_code, group_by_run
from bakery_service.transfer import Download, LimitedRequest, Spool

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # without any, browsers do not say where a form comes from
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MESSAGES = {
    HTTPStatus.FORBIDDEN: "The request came from another site. Nothing was done.",
    HTTPStatus.NOT_FOUND: "There is no such page. A file that is not imported is removed after a while: "
    "upload it again.",
    HTTPStatus.REQUEST_TIMEOUT: "The upload has stalled. Nothing was imported. Try again.",
    HTTPStatus.CONFLICT: "Someone else is changing the same runs. Nothing was done. Try again.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The file is too large. Nothing was imported.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service is busy. Nothing was done. Try again in a few seconds.",
}

SINGULAR = {"production_run": "Bake", "tasting": "Tasting", "recipe": "Recipe", "pastry": "Pastry"}
PLURAL = {"production_run": "Bakes", "tasting": "Tastings", "recipe": "Recipes", "pastry": "Pastries"}

environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined
)
environment.trim_blocks = environment.lstrip_blocks = True
environment.filters["when"] = lambda text: dt.datetime.fromisoformat(text).strftime("%-d %B %Y, %H:%M UTC")
environment.filters |= {
    "by_code": group_by_code,
    "by_run": group_by_run,
    "singular": SINGULAR.get,
    "plural": PLURAL.get,
}
router = APIRouter()
log = logging.getLogger("bakery")


def create_pages(bakery: Bakery) -> FastAPI:
    """The pages of a *bakery*, as an application of their own: its errors are pages, too."""
    pages = FastAPI(openapi_url=None, dependencies=[Depends(same_origin)])
    pages.state.bakery = bakery
    pages.include_router(router)
    pages.add_exception_handler(HTTPException, refused)
    pages.add_exception_handler(RequestValidationError, not_found)
    pages.add_exception_handler(ClientDisconnect, gone)
    pages.add_exception_handler(FileNotFoundError, not_found)
    pages.add_exception_handler(BlockingIOError, in_use)
    pages.add_exception_handler(histio.ReceiptError, wrong_receipt)
    pages.add_exception_handler(exc.TimeoutError, busy)
    pages.add_exception_handler(exc.DBAPIError, failed)
    return pages


class Options(BaseModel):
    """What an import does with what is here already, with what is missing, and with runs that are rejected.

    They are in the URL of a preview and in that of its button: what was shown is what is done.
    """

    existing: Literal["skip", "update"] = "skip"
    catalog: Literal["ignore", "create"] = "ignore"
    partial: bool = False

    def url(self, waiting: Import, **changes: str) -> str:
        """The URL of the preview with these options, and with *changes*."""
        return f"/imports/{waiting.id}?{urlencode(self.model_dump(exclude_defaults=True) | changes)}"


def waiting_or_done(bakery: TheBakery, identity: uuid.UUID) -> Import:
    """The import that a URL names."""
    return bakery.imports.find(identity)


OfQuery = Annotated[Options, Query()]
OfPath = Annotated[Import, Depends(waiting_or_done)]


def page(request: Request, name: str, status: int = 200, **content: Any) -> Response:
    """A page from its template, which escapes everything that it shows."""
    content["branch"] = request.app.state.bakery.branch
    html = environment.get_template(name).render(content)
    # Lone surrogates, which names of files and of members may have, cannot be encoded.
    return HTMLResponse(html.encode("utf-8", "replace"), status, HEADERS)


@router.get("/")
async def home(request: Request, bakery: TheBakery) -> Response:
    """The latest runs, what can be downloaded, the form for an upload, and the imports so far."""
    return await show_home(request, bakery)


async def show_home(
    request: Request, bakery: Bakery, status: int = 200, error: str | None = None
) -> Response:
    async with AsyncSession(bakery.engine) as session:
        bakes, since, until = (
            await session.execute(
                sa.select(
                    sa.func.count(), sa.func.min(Bake.finished_at), sa.func.max(Bake.finished_at)
                ).where(Bake.branch == bakery.branch)
            )
        ).one()
        tastings = await session.scalar(
            sa.select(sa.func.count()).select_from(Tasting).where(Tasting.bake.has(branch=bakery.branch))
        )
        latest = await session.scalars(
            sa.select(Bake)
            .where(Bake.branch == bakery.branch)
            .options(joinedload(Bake.recipe))
            .order_by(Bake.finished_at.desc(), Bake.id)
            .limit(8)
        )
        bakery.imports.remove_expired()
        return page(
            request,
            "home.html",
            status,
            bakes=bakes,
            since=since,
            until=until,
            tastings=tastings,
            latest=latest.all(),
            imports=list(bakery.imports),
            samples=bakery.samples,
            limits=bakery.limits,
            error=error,
        )


# In docs/how-to/service.md:
@router.post("/imports")
async def upload(request: Request, bakery: TheBakery) -> Response:
    """Keep the file of a form. Nothing is imported until somebody has seen its preview."""
    form = LimitedRequest(request, bakery.limits).form(max_files=1, max_fields=1)
    async with form as fields:
        file = fields.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            return await show_home(request, bakery, 422, "Choose a file first.")
        waiting = await bakery.imports.add(file.file, file.filename, file.size or 0)
    return RedirectResponse(f"/imports/{waiting.id}", 303)


@router.get("/imports/{identity}")
async def show(request: Request, bakery: TheBakery, found: OfPath, options: OfQuery) -> Response:
    """What an import would do, or what it has done."""
    if found.report is None:
        return await preview(request, bakery, found, options)
    return page(request, "imported.html", found=found, report=found.report, undone=found.undone)


async def preview(
    request: Request, bakery: Bakery, waiting: Import, options: Options, *, was_withheld: bool = False
) -> Response:
    """What an import would do, by doing everything and rolling it back."""
    try:
        report = await import_upload(bakery, waiting, options, dry_run=True)
    except histio.DocumentError as error:
        problems = [asdict(problem) for problem in error.problems]
        for problem in problems:  # a path of the server is nobody's business
            problem["message"] = problem["message"].removeprefix(f"{waiting.file}, ")
        return page(request, "unreadable.html", 422, found=waiting, problems=problems)
    return page(
        request,
        "preview.html",
        409 if was_withheld else 200,
        found=waiting,
        report=report.to_dict(),
        options=options,
        was_withheld=was_withheld,
        expires=bakery.imports.expiry(waiting),
    )


@router.post("/imports/{identity}")
async def apply(request: Request, bakery: TheBakery, found: OfPath, options: OfQuery) -> Response:
    """Import the file as it was previewed, with a receipt. A second time, show what the first has done."""
    if found.report is None:
        try:
            report = await import_upload(bakery, found, options)
        except histio.DocumentError:
            found.withdraw()
            return await preview(request, bakery, found, options)
        if report.withheld or (report.rejected and not options.partial):
            found.withdraw()
            return await preview(request, bakery, found, options, was_withheld=True)
        found.finish(report.to_dict())
    return RedirectResponse(f"/imports/{found.id}", 303)


async def import_upload(
    bakery: Bakery, waiting: Import, options: Options, *, dry_run: bool = False
) -> histio.ImportReport:
    """Import an upload in one transaction. Unless it is a dry run, it writes a receipt."""
    return await bakery.history.import_file(
        waiting.file,
        on_duplicate=options.existing,
        catalog=options.catalog,
        atomic=not (options.partial or dry_run),
        dry_run=dry_run,
        receipt=None if dry_run else waiting.receipt,
        rejects=waiting.rejects,
        max_bytes=bakery.limits.size,
    )


@router.get("/imports/{identity}/undo")
async def preview_undo(request: Request, bakery: TheBakery, found: OfPath) -> Response:
    """What an undo would do."""
    report = await bakery.history.undo(found.receipt, dry_run=True)
    return page(request, "undo.html", found=found, report=report.to_dict())


@router.post("/imports/{identity}/undo")
async def undo(bakery: TheBakery, found: OfPath) -> Response:
    """Take back what the receipt says. A second time, only what the first has left."""
    if found.undone is None or found.undone["left"]:
        report = await bakery.history.undo(found.receipt)
        found.undo(report.to_dict())
    return RedirectResponse(f"/imports/{found.id}", 303)


# So far in docs/how-to/service.md.
@router.post("/imports/{identity}/discard")
async def discard(bakery: TheBakery, found: OfPath) -> Response:
    """Remove an upload that was not imported."""
    if found.is_waiting:
        bakery.imports.remove(found)
    return RedirectResponse("/", 303)


@router.get("/imports/{identity}/rejects.jsonl")
async def rejects(found: OfPath) -> Response:
    """The rejected runs with their problems, to mend and to upload again."""
    if not found.rejects.exists():
        raise HTTPException(404)
    return FileResponse(
        found.rejects, headers=HEADERS, media_type=MEDIA_TYPES["jsonl"], filename="rejects.jsonl"
    )


@router.get("/report.html")
async def report(bakery: TheBakery) -> Response:
    """Charts and totals of the branch's runs."""
    with ExitStack() as unless_complete:
        written = unless_complete.enter_context(Spool(bakery.limits))
        with Spool(bakery.limits) as runs:
            await bakery.history.export_file(runs, format="jsonl", where=of_branch(bakery.branch))
            runs.seek(0)
            await asyncio.to_thread(
                histio.report_page, runs, written, history=without_database(bakery.branch)
            )
        unless_complete.pop_all()
    return Download(written, bakery.limits, "text/html; charset=utf-8")


@router.get("/samples/{name}")
async def sample(bakery: TheBakery, name: str) -> Response:
    """A file to try an upload with."""
    if name not in bakery.samples:
        raise HTTPException(404)
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(bakery.samples[name], headers=headers, media_type=MEDIA_TYPES["jsonl"])


@router.get("/style.css")
async def style() -> Response:
    return FileResponse(FOLDER / "style.css", headers={"Cache-Control": "max-age=3600"})


async def refused(request: Request, error: HTTPException) -> Response:
    """A request that cannot be answered: the page says what to do next."""
    status = error.status_code
    text = MESSAGES.get(status, HTTPStatus(status).phrase)
    answer = page(request, "message.html", status, title=HTTPStatus(status).phrase, text=text)
    answer.headers.update(error.headers or {})
    return answer


async def not_found(request: Request, _error: RequestValidationError | FileNotFoundError) -> Response:
    """A URL that no page has, or an upload that another request has just imported or discarded."""
    return await refused(request, HTTPException(404))


async def in_use(request: Request, _error: BlockingIOError) -> Response:
    """Another request writes or reads the same receipt."""
    return await refused(request, HTTPException(409))


async def wrong_receipt(request: Request, error: histio.ReceiptError) -> Response:
    """The receipt is that of another database, for example because this one has moved."""
    return page(request, "message.html", 409, title="The import cannot be undone", text=str(error))


async def busy(request: Request, _error: exc.TimeoutError) -> Response:
    """All connections are in use."""
    return await refused(request, HTTPException(503))


async def failed(request: Request, error: exc.DBAPIError) -> Response:
    """The database has failed, or gave up because of others."""
    if histio.is_conflict(error):
        return await refused(request, HTTPException(409))
    if not isinstance(error, exc.OperationalError | exc.InterfaceError):
        raise error
    log.error("the database has failed: %s", type(error.orig).__name__)
    return await refused(request, HTTPException(503))


async def gone(request: Request, _error: ClientDisconnect) -> Response:
    """The client has left before the end of its upload."""
    log.info("%s: the client has left", request.url.path)
    return Response(status_code=400)
