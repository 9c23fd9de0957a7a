"""The service: a branch's history to download and upload, as a stream or a document, and its description."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import histio
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator
from sqlalchemy import exc
from starlette.requests import ClientDisconnect

from bakery_service.bakery import Bakery, TheBakery, same_origin
from bakery_service.database import engine_of
from bakery_service.history import history_of, of_branch
from bakery_service.imports import Imports
from bakery_service.media import DOWNLOAD, MEDIA_TYPES, UPLOAD, Form
from bakery_service.models import Base
from bakery_service.pages import create_pages
from bakery_service.transfer import Download, Limits, Spool, receive

SOON = {"Retry-After": "5"}

log = logging.getLogger("bakery")


# Included in docs/how-to/service.md:
class Service(FastAPI):
    """Describes itself by OpenAPI, with the schemas of the history's format as components."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["security"] = []  # anyone who can connect may do everything
        of_histio = self.state.bakery.history.json_schema(openapi=True)["components"]["schemas"]
        document["components"]["schemas"] |= of_histio
        return document


def create_app(
    database_url: str | None = None,
    branch: str | None = None,
    limits: Limits | None = None,
    folder: Path | None = None,
    samples: dict[str, bytes] | None = None,
) -> FastAPI:
    """The service of one *branch*, which keeps uploads and receipts in a *folder*.

    Defaults come from the environment: DATABASE_URL, BRANCH and FOLDER. *samples* are files to try it with.
    """
    limits = limits or Limits()
    engine = engine_of(database_url or os.environ["DATABASE_URL"], limits)
    branch = branch or os.environ["BRANCH"]
    imports = Imports(folder or Path(os.environ.get("FOLDER", "imports")), limits)
    bakery = Bakery(branch, engine, history_of(branch, engine), limits, imports, samples or {})

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = Service(
        title="Bakery", servers=[{"url": "/"}], lifespan=lifespan, dependencies=[Depends(same_origin)]
    )
    app.state.bakery = bakery
    app.include_router(router)
    app.add_exception_handler(histio.DocumentError, bad_document)
    app.add_exception_handler(exc.TimeoutError, busy)
    app.add_exception_handler(exc.DBAPIError, failed)
    app.add_exception_handler(ClientDisconnect, gone)
    app.mount("/", create_pages(bakery))
    return app


def _moment(text: str) -> dt.date:
    """A day stays a day: as an upper bound, histio includes the whole of it."""
    day = len(text) == len("2025-12-08")
    return dt.date.fromisoformat(text) if day else dt.datetime.fromisoformat(text)


Moment = Annotated[dt.date | dt.datetime, BeforeValidator(_moment)]

router = APIRouter()


class Answer(JSONResponse):
    """JSON in ASCII: a pointer may quote what UTF-8 cannot say, such as half of a surrogate pair."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


@router.get("/history.schema.json")
async def schema(bakery: TheBakery) -> Response:
    """What any JSON Schema validator needs to judge a document, or a line of a stream."""
    return JSONResponse(bakery.history.json_schema(), media_type="application/schema+json")


@router.get("/history.{form}", status_code=200, response_class=Download, responses=DOWNLOAD)
async def download(
    bakery: TheBakery,
    form: Form,
    since: Moment | None = None,
    until: Moment | None = None,
    *,
    with_catalog: bool = False,
) -> Response:
    """The branch's runs as they are at one moment: a sealed stream, or a document.

    With *with_catalog*, the recipes and pastries of these runs come before them.
    """
    where, catalog = of_branch(bakery.branch), "used" if with_catalog else None
    with ExitStack() as unless_complete:
        spool = unless_complete.enter_context(Spool(bakery.limits))
        await bakery.history.export_file(
            spool, format=form, since=since, until=until, where=where, catalog=catalog
        )
        unless_complete.pop_all()
    return Download(spool, bakery.limits, MEDIA_TYPES[form])


# In docs/how-to/service.md:
@router.post("/history.{form}", openapi_extra=UPLOAD)
async def upload(
    bakery: TheBakery,
    request: Request,
    form: Form,
    *,
    partial: bool = False,
    dry_run: bool = False,
    create_catalog: bool = False,
    sealed: bool = True,
) -> Answer:
    """Import the body in one transaction; with *partial*, runs that are fine go in without the others.

    With *create_catalog*, recipes and pastries that the branch lacks are created. With *dry_run*, only say
    what would happen. A stream has to be sealed, unless *sealed* is false.
    """
    options = {"atomic": not partial, "dry_run": dry_run, "sealed": sealed and form != "json"}
    options["catalog"] = "create" if create_catalog else "ignore"
    with await receive(request, bakery.limits) as spool:
        try:
            report = await import_spool(bakery, spool, options)
        except exc.DBAPIError as error:
            if not histio.is_conflict(error):
                raise
            report = await import_spool(bakery, spool, options)  # the other transaction may have ended
    accepted = partial or not report.rejected
    written = report.imported > 0 and not dry_run
    return Answer({"committed": written, **report.to_dict()}, 200 if accepted else 422)


async def import_spool(bakery: Bakery, spool: Spool, options: dict[str, Any]) -> histio.ImportReport:
    """Import what was uploaded, from its beginning."""
    spool.seek(0)
    return await bakery.history.import_file(spool, max_bytes=bakery.limits.size, **options)


# So far in docs/how-to/service.md.
async def bad_document(_request: Request, error: histio.DocumentError) -> Answer:
    """An upload that cannot be read, is not complete or too large; nothing of it was written."""
    status = 413 if any(problem.code == "out-of-range" for problem in error.problems) else 422
    return Answer({"committed": False, "problems": [asdict(problem) for problem in error.problems]}, status)


async def busy(_request: Request, _error: exc.TimeoutError) -> Answer:
    """All connections are in use."""
    return Answer({"detail": "all connections are in use"}, 503, SOON)


async def failed(_request: Request, error: exc.DBAPIError) -> Answer:
    """The database has failed, or gave up because of others. What is wrong with a run is in its report."""
    if histio.is_conflict(error):
        return Answer({"detail": "others are changing the same runs"}, 409, SOON)
    if not isinstance(error, exc.OperationalError | exc.InterfaceError):
        raise error
    log.error("the database has failed: %s", type(error.orig).__name__)
    return Answer({"detail": "the database is not available"}, 503, SOON)


async def gone(request: Request, _error: ClientDisconnect) -> Answer:
    """The client has left before the end of its upload: nothing was written, and nobody reads this."""
    log.info("%s: the client has left", request.url.path)
    return Answer({}, 400)
