"""The service: a branch's history as a stream of any size, as one document, and its JSON Schema."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import histio
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BeforeValidator
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.types import Receive, Scope, Send

from bakery_service import stream
from bakery_service.database import engine_of, snapshot_of
from bakery_service.history import COLLECTIONS, VERSION, history_of, of_branch
from bakery_service.models import Base
from bakery_service.upload import Upload

JSONL = "application/jsonl"


@dataclass(frozen=True, slots=True)
class Bakery:
    """One branch and its database."""

    branch: str
    engine: AsyncEngine
    history: histio.AsyncHistory


def create_app(database_url: str | None = None, branch: str | None = None) -> FastAPI:
    """The service of one *branch*. Defaults come from the environment: DATABASE_URL and BRANCH."""
    engine = engine_of(database_url or os.environ["DATABASE_URL"])
    branch = branch or os.environ["BRANCH"]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(title="Bakery", lifespan=lifespan)
    app.state.bakery = Bakery(branch, engine, history_of(branch, engine))
    app.include_router(router)
    app.add_exception_handler(stream.LineError, bad_line)
    app.add_exception_handler(histio.DocumentError, bad_document)
    return app


def _bakery(request: Request) -> Bakery:
    return request.app.state.bakery


def _moment(text: str) -> dt.date:
    """A day stays a day: as an upper bound, histio includes the whole of it."""
    day = len(text) == len("2025-12-08")
    return dt.date.fromisoformat(text) if day else dt.datetime.fromisoformat(text)


TheBakery = Annotated[Bakery, Depends(_bakery)]
Moment = Annotated[dt.date | dt.datetime, BeforeValidator(_moment)]

router = APIRouter()


class Download(StreamingResponse):
    """A stream that is closed, with its session, as soon as the client is gone, and not when garbage is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


class Answer(JSONResponse):
    """JSON in ASCII: a pointer may quote what UTF-8 cannot say, such as half of a surrogate pair."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


@router.get("/history.jsonl", response_class=Download)
async def download(bakery: TheBakery, since: Moment | None = None, until: Moment | None = None) -> Response:
    """The branch's runs, one a line, as they are at one moment."""
    return Download(exported(bakery, since, until), media_type=JSONL)


async def exported(bakery: Bakery, since: dt.date | None, until: dt.date | None) -> AsyncIterator[bytes]:
    """The lines, from one session, which lives as long as they are read."""
    async with AsyncSession(snapshot_of(bakery.engine)) as session:
        yield stream.header(VERSION, bakery.history.kinds)
        own = of_branch(bakery.branch)
        for kind in bakery.history.kinds:
            runs = bakery.history.iter_runs(kind, since=since, until=until, where=own[kind], session=session)
            async with aclosing(runs):
                async for run in runs:
                    yield stream.written(kind, run)


@router.post("/history.jsonl")
async def upload(bakery: TheBakery, request: Request, *, partial: bool = False) -> Answer:
    """Import a stream in one transaction; with *partial*, runs that are fine go in without the others."""
    received = Upload()
    async with AsyncSession(bakery.engine) as session:
        async for batch in stream.batches(stream.lines(request.stream()), COLLECTIONS):
            report = await bakery.history.import_document(batch.document, session=session)
            received.note(report, batch)
            batch.clear()  # or it would stay until the next one is complete
        if partial or not received.rejected:
            await session.commit()
            received.committed = True
    return Answer(asdict(received), 200 if received.committed else 422)


@router.get("/history.json")
async def export(bakery: TheBakery, since: Moment | None = None, until: Moment | None = None) -> Response:
    """The branch's runs as one document."""
    where = of_branch(bakery.branch)
    return JSONResponse(await bakery.history.export_document(since=since, until=until, where=where))


@router.post("/history.json")
async def import_(
    bakery: TheBakery, document: dict[str, Any], *, partial: bool = False, dry_run: bool = False
) -> Answer:
    """Import a document; with *dry_run*, only say what would happen."""
    report = await bakery.history.import_document(document, atomic=not partial, dry_run=dry_run)
    return Answer(report.to_dict(), 200 if partial or not report.rejected else 422)


@router.get("/history.schema.json")
async def schema(bakery: TheBakery) -> Response:
    """What any JSON Schema validator needs to judge a document, or a line of a stream."""
    return JSONResponse(bakery.history.json_schema(), media_type="application/schema+json")


async def bad_line(_request: Request, error: stream.LineError) -> Answer:
    """A stream that cannot be read; nothing of it was written."""
    return Answer({"committed": False, "line": error.line, "message": error.message}, 422)


async def bad_document(_request: Request, error: histio.DocumentError) -> Answer:
    """A document, or the header of a stream, that histio cannot read."""
    return Answer({"committed": False, "problems": [asdict(problem) for problem in error.problems]}, 422)
