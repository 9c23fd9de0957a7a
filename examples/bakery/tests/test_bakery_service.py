"""The service from outside: what is downloaded, uploaded and refused."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import histio
import httpx
import pytest
import sqlalchemy as sa
from histio import testing
from jsonschema import Draft202012Validator
from sqlalchemy import exc
from sqlalchemy.orm import Session

from bakery_service.app import create_app, failed
from bakery_service.history import CATALOG, KINDS, VERSION
from bakery_service.models import Bake, Base, Loss, LossReason, Pastry, Recipe, Tasting, Usage

pytestmark = pytest.mark.anyio

Serve = Callable[..., Awaitable[httpx.AsyncClient]]

BRANCH = "Oven Lane"
FIRST = dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC)
LINTERS = Path(__file__).parents[3] / "tests" / "openapi"
UNSEALED = "/history.jsonl?sealed=false"
HEADER = json.dumps({"header": {"version": VERSION, "sealed": False}})


def number(n: int) -> uuid.UUID:
    """A UUID that is easy to read in a failure."""
    return uuid.UUID(int=n)


def bakes(session: Session, count: int) -> list[Bake]:
    """New bakes of the branch, one a day."""
    pastry = session.scalars(sa.select(Pastry)).one()
    return [
        Bake(
            branch=BRANCH,
            recipe=pastry.recipe,
            finished_unit=pastry,
            finished_at=FIRST + dt.timedelta(days=day),
            num_batches=2,
            expected_yield=24,
            actual_yield=23,
            remarks="Crème — 🥐",
            total_ingredient_cost=Decimal("5.25"),
            per_unit_cost=Decimal("0.2188"),
            consumptions=[
                Usage(ingredient_slug=slug, quantity_consumed=Decimal(4), unit="kg", total_cost=Decimal(2))
                for slug in ("flour", "butter")
            ],
            losses=[Loss(reason=reason, pieces=day + 1) for reason in (LossReason.EATEN, LossReason.BURNT)],
        )
        for day in range(count)
    ]


def tasted(bake: Bake) -> Tasting:
    return Tasting(bake=bake, tasted_on=bake.finished_at.date(), taster="Ada", stars=5)


def baked(engine: sa.Engine) -> sa.Engine:
    """A database with three bakes, the first of which was tasted."""
    with Session(engine) as session:
        made = bakes(session, 3)
        session.add_all([*made, tasted(made[0])])
        session.commit()
    return engine


def run(n: int = 1, **members: Any) -> dict[str, Any]:
    """A production run as it stands in a document."""
    return {
        "uuid": str(number(n)),
        "recipe_slug": "Hot cross buns",
        "finished_unit_slug": "bun",
        "num_batches": 2,
        "expected_yield": 24,
        "actual_yield": 23,
        "produced_at": "2025-12-08T10:00:00Z",
        "total_ingredient_cost": "5.25",
        "per_unit_cost": "0.2188",
        "losses": [{"reason": "burnt", "pieces": 1}],
    } | members


def tasting(n: int = 99, **members: Any) -> str:
    """A line with a tasting of the first run."""
    record = {"uuid": str(number(n)), "production_run": str(number(1)), "tasted_on": "2025-12-09"}
    return json.dumps({"tasting": record | {"taster": "Ada", "stars": 5} | members})


def body(*lines: Any) -> bytes:
    """A stream of *lines*: text as it is, production runs as JSON."""
    texts = (line if isinstance(line, str) else json.dumps({"production_run": line}) for line in lines)
    return "".join(f"{text}\n" for text in texts).encode()


def count(engine: sa.Engine, model: type[Any] = Bake) -> int:
    with Session(engine) as session:
        return session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def stock(engine: sa.Engine, branch: str) -> None:
    """Give *branch* a recipe, and what it yields."""
    with Session(engine) as session:
        buns = Recipe(branch=branch, name="Hot cross buns")
        session.add(Pastry(branch=branch, slug="bun", recipe=buns))
        session.commit()


@pytest.fixture
def new_database(new_engine) -> Callable[[], sa.Engine]:
    """Makes databases with the branch's catalog, but no runs."""

    def make() -> sa.Engine:
        engine = new_engine()
        Base.metadata.create_all(engine)
        stock(engine, BRANCH)
        return engine

    return make


@pytest.fixture
async def serve(tmp_path) -> AsyncIterator[Serve]:
    """Starts services, of a branch on a database, and stops them in the end."""
    async with AsyncExitStack() as running:

        async def start(engine: sa.Engine, branch: str = BRANCH) -> httpx.AsyncClient:
            driver = {"sqlite": "sqlite+aiosqlite"}.get(engine.dialect.name, engine.url.drivername)
            url = engine.url.set(drivername=driver).render_as_string(hide_password=False)
            app = create_app(url, branch, folder=tmp_path / "imports")
            await running.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app)
            return await running.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://bakery")
            )

        yield start


@pytest.fixture
def redocly(monkeypatch) -> Path:
    """A linter, which asks nobody on the network."""
    command = LINTERS / "node_modules" / ".bin" / "redocly"
    if not command.exists():
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("redocly is not installed: get Node 20 or newer and run `npm ci --prefix tests/openapi`")
    monkeypatch.setenv("REDOCLY_TELEMETRY", "off")
    monkeypatch.setenv("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
    return command


async def test_what_is_downloaded_here_and_uploaded_there_is_downloaded_there_alike(new_database, serve):
    here, there = baked(new_database()), new_database()
    downloaded = await (await serve(here)).get("/history.jsonl")
    [header, *lines] = downloaded.text.splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["production_run"] * 3 + ["tasting", "trailer"]
    assert json.loads(header)["header"]["version"] == VERSION

    other = await serve(there)
    answer = (await other.post("/history.jsonl", content=downloaded.content)).json()
    assert (answer["committed"], answer["imported"], answer["rejected"]) == (True, 4, 0)
    assert (await other.get("/history.jsonl")).text.splitlines()[1:-1] == lines[:-1]
    assert count(there, Usage) == count(there, Loss) == 6


async def test_the_schema_that_is_served_validates_documents_and_lines(new_database, serve):
    client = await serve(baked(new_database()))
    response = await client.get("/history.schema.json")
    assert response.headers["content-type"] == "application/schema+json"
    schema = response.json()
    document = (await client.get("/history.json")).json()
    Draft202012Validator(schema).validate(document)
    assert [len(document[name]) for name in ("production_runs", "tastings")] == [3, 1]
    a_line = Draft202012Validator({"$ref": "#/$defs/stream_line", "$defs": schema["$defs"]})
    for line in (await client.get("/history.jsonl")).iter_lines():
        a_line.validate(json.loads(line))


DOWNLOADS = {
    "json": ("application/vnd.histio+json", b"{"),
    "jsonl": ("application/vnd.histio.stream+jsonl", b'{"header"'),
    "jsonl.gz": ("application/gzip", b"\x1f\x8b"),
    "jsonl.zst": ("application/zstd", b"\x28\xb5\x2f\xfd"),
}


async def test_the_ending_says_what_is_downloaded_and_an_upload_may_have_any_media_type_for_it(
    new_database, serve
):
    client, engine = await serve(baked(new_database())), new_database()
    other = await serve(engine)
    described = (await client.get("/openapi.json")).json()["paths"]["/history.{form}"]
    accepted = described["post"]["requestBody"]["content"]
    assert described["get"]["responses"]["200"]["content"].keys() == {each for each, _ in DOWNLOADS.values()}
    for form, (media_type, beginning) in DOWNLOADS.items():
        downloaded = await client.get(f"/history.{form}")
        assert downloaded.headers["content-type"] == media_type
        assert downloaded.content.startswith(beginning)
        for each in accepted:
            headers = {"Content-Type": each}
            uploaded = await other.post(f"/history.{form}", content=downloaded.content, headers=headers)
            assert uploaded.status_code == 200
    assert count(engine) == 3


async def test_the_components_of_openapi_describe_what_is_downloaded(new_database, serve):
    client = await serve(baked(new_database()))
    described = (await client.get("/openapi.json")).json()
    schemas = Draft202012Validator(described | {"$ref": "#/components/schemas/History"})
    schemas.validate((await client.get("/history.json?with_catalog=true")).json())
    a_line = Draft202012Validator(described | {"$ref": "#/components/schemas/stream_line"})
    for line in (await client.get("/history.jsonl?with_catalog=true")).iter_lines():
        a_line.validate(json.loads(line))
    assert not schemas.is_valid({"version": VERSION, "production_runs": [run(num_batches="two")]})


def test_a_linter_of_openapi_finds_no_errors(tmp_path, redocly):
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(create_app(f"sqlite+aiosqlite:///{tmp_path}/bakery.db", BRANCH).openapi()))
    command = [redocly, "lint", file, "--format=summary"]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("bounds", "days"),
    [
        ({}, [8, 9, 10]),
        ({"since": "2025-12-09"}, [9, 10]),
        ({"until": "2025-12-09"}, [8, 9]),
        ({"until": "2025-12-09T00:00:00Z"}, [8]),
        ({"since": "2025-12-09T10:00:00Z", "until": "2025-12-09T10:00:00Z"}, [9]),
    ],
)
async def test_bounds_are_inclusive_and_a_day_is_a_whole_day(new_database, serve, bounds, days):
    client = await serve(baked(new_database()))
    lines = (await client.get("/history.jsonl", params=bounds)).iter_lines()
    runs = [record["production_run"] for record in map(json.loads, lines) if "production_run" in record]
    assert [int(run["produced_at"][8:10]) for run in runs] == days
    document = (await client.get("/history.json", params=bounds)).json()
    assert document["production_runs"] == runs


async def test_a_bound_that_is_no_time_is_refused(new_database, serve):
    client = await serve(new_database())
    assert (await client.get("/history.jsonl", params={"since": "yesterday"})).status_code == 422


BAD_LINES = {
    "{": "The line is not JSON",
    "": "The line is blank.",
    "[]": "The line is not a run",
    '{"assembly_run": {}}': "The line is not a run",
    "[" * 5000: "nested",
}


async def test_a_line_that_cannot_be_read_is_named_and_withholds_the_upload(new_database, serve):
    engine = new_database()
    client = await serve(engine)
    for bad, why in BAD_LINES.items():
        withheld = await client.post(UNSEALED, content=body(HEADER, run(1), run(2), bad, run(3)))
        assert (withheld.status_code, withheld.json()["committed"], count(engine)) == (422, False, 0)
        [problem] = withheld.json()["problems"]
        assert problem["line"] == 4
        assert why in problem["message"]
    partial = await client.post(f"{UNSEALED}&partial=true", content=body(HEADER, run(1), *BAD_LINES, run(2)))
    assert (partial.status_code, partial.json()["committed"], count(engine)) == (200, True, 2)


async def test_a_download_that_was_cut_off_is_no_upload(new_database, serve):
    """Only the header of it, for example: what else has arrived, the trailer has not."""
    here, there = baked(new_database()), new_database()
    lines = (await (await serve(here)).get("/history.jsonl")).content.splitlines(keepends=True)
    client = await serve(there)
    for end in range(1, len(lines)):
        response = await client.post("/history.jsonl", content=b"".join(lines[:end]))
        assert (response.status_code, response.json()["committed"]) == (422, False)
        assert [problem["code"] for problem in response.json()["problems"]] == ["truncated"]
    assert count(there) == 0


async def test_a_header_alone_commits_nothing(new_database, serve):
    client = await serve(new_database())
    sealed = await client.post("/history.jsonl", content=body(HEADER))
    assert (sealed.status_code, sealed.json()["committed"]) == (422, False)
    unsealed = await client.post(UNSEALED, content=body(HEADER))
    assert (unsealed.status_code, unsealed.json()["committed"], unsealed.json()["imported"]) == (
        200,
        False,
        0,
    )


async def test_what_has_no_header_is_refused(new_database, serve):
    client = await serve(new_database())
    for content in (b"", body(run()), b"<html>"):
        response = await client.post(UNSEALED, content=content)
        assert (response.status_code, response.json()["committed"]) == (422, False)


async def test_a_newer_format_is_refused_by_name(new_database, serve):
    content = body('{"header": {"version": "7.0", "sealed": false}}')
    response = await (await serve(new_database())).post(UNSEALED, content=content)
    assert response.status_code == 422
    assert [problem["code"] for problem in response.json()["problems"]] == ["version"]


async def test_a_recipe_that_is_missing_withholds_the_upload_and_the_answer_says_what_was_meant(
    new_database, serve
):
    engine = new_database()
    content = body(HEADER, run(1), run(2, recipe_slug="Hot cross bun"), run(3))
    response = await (await serve(engine)).post(UNSEALED, content=content)
    assert response.status_code == 422
    answer = response.json()
    assert (answer["committed"], answer["withheld"], answer["rejected"]) == (False, 2, 1)
    [problem] = answer["problems"]
    assert (problem["line"], problem["pointer"]) == (3, "/production_run/recipe_slug")
    assert (problem["code"], problem["message"]) == (
        "unknown-reference",
        "Recipe not found: Hot cross bun",
    )
    assert "Hot cross buns" in problem["hint"]
    assert count(engine) == 0


async def test_a_partial_upload_takes_what_is_fine(new_database, serve):
    engine = new_database()
    content = body(HEADER, run(1), run(2, recipe_slug="Hot cross bun"), tasting(), tasting(98, stars=6))
    response = await (await serve(engine)).post(f"{UNSEALED}&partial=true", content=content)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["committed"], answer["imported"], answer["rejected"]) == (True, 2, 2)
    assert [problem["line"] for problem in answer["problems"]] == [3, 5]
    assert (count(engine), count(engine, Tasting)) == (1, 1)


async def test_runs_that_are_known_are_skipped(new_database, serve):
    engine = new_database()
    client = await serve(engine)
    await client.post(UNSEALED, content=body(HEADER, run(1)))
    again = await client.post(UNSEALED, content=body(HEADER, run(1), run(2)))
    assert again.json().items() >= {"committed": True, "imported": 1, "skipped": 1}.items()
    assert count(engine) == 2


async def test_a_mended_reject_may_still_say_why_it_was_rejected(new_database, serve):
    engine = new_database()
    line = json.dumps({"production_run": run(), "problems": [{"code": "schema"}]})
    response = await (await serve(engine)).post(UNSEALED, content=body(HEADER, line))
    assert response.json()["imported"] == count(engine) == 1


async def test_an_answer_can_quote_what_utf_8_cannot_say(new_database, serve):
    content = body(HEADER, run() | {"\ud800": 1})
    response = await (await serve(new_database())).post(UNSEALED, content=content)
    assert [problem["pointer"] for problem in response.json()["problems"]] == ["/production_run/\ud800"]


async def test_a_branch_has_recipes_and_runs_of_its_own(new_database, serve):
    engine = baked(new_database())
    other = await serve(engine, "Mill Street")
    assert len((await other.get("/history.jsonl")).text.splitlines()) == 2
    missing = (await other.post(UNSEALED, content=body(HEADER, run(7)))).json()
    assert missing["problems"][0]["message"] == "Recipe not found: Hot cross buns"
    stock(engine, "Mill Street")
    assert (await other.post(UNSEALED, content=body(HEADER, run(7)))).json()["imported"] == 1
    assert len((await other.get("/history.jsonl")).text.splitlines()) == 3
    with Session(engine) as session:
        [bake] = session.scalars(sa.select(Bake).where(Bake.branch == "Mill Street"))
        assert bake.recipe.branch == "Mill Street"


async def test_a_branch_that_has_nothing_gets_the_recipes_and_pastries_of_the_runs(
    new_database, new_engine, serve
):
    here, there = baked(new_database()), new_engine()
    downloaded = await (await serve(here)).get("/history.jsonl?with_catalog=true")
    lines = downloaded.text.splitlines()
    assert [next(iter(json.loads(line))) for line in lines[1:3]] == ["recipe", "pastry"]

    other = await serve(there)
    refused = (await other.post("/history.jsonl", content=downloaded.content)).json()
    assert (refused["committed"], refused["rejected"]) == (False, 4)
    answer = (await other.post("/history.jsonl?create_catalog=true", content=downloaded.content)).json()
    assert (answer["committed"], answer["imported"], answer["rejected"]) == (True, 4, 0)
    again = await other.get("/history.jsonl?with_catalog=true")
    assert again.text.splitlines()[1:-1] == lines[1:-1]
    with Session(there) as session:
        assert set(session.scalars(sa.select(Recipe.branch))) == {BRANCH}


async def test_a_branch_in_the_same_database_gets_recipes_of_its_own(new_database, serve):
    engine = baked(new_database())
    whole = await (await serve(engine)).get("/history.jsonl?with_catalog=true")
    [header, *rows] = whole.text.splitlines()[:3]
    unsealed = json.dumps({"header": json.loads(header)["header"] | {"sealed": False}})
    other = await serve(engine, "Mill Street")
    content = body(unsealed, *rows, run(7, recipe_slug="Hot cross buns"))
    answer = (await other.post(f"{UNSEALED}&create_catalog=true", content=content)).json()
    assert (answer["imported"], answer["catalog"]["recipe"]["imported"]) == (1, 1)
    with Session(engine) as session:
        assert sorted(session.scalars(sa.select(Recipe.branch))) == ["Mill Street", BRANCH]
        [bake] = session.scalars(sa.select(Bake).where(Bake.branch == "Mill Street"))
        assert {bake.recipe.branch, bake.finished_unit.branch} == {"Mill Street"}


async def test_a_document_is_imported_as_a_whole_or_not_at_all(new_database, serve):
    engine = new_database()
    client = await serve(engine)
    document = {"version": VERSION, "production_runs": [run(1), run(2, recipe_slug="Hot cross bun")]}

    withheld = await client.post("/history.json", json=document)
    assert (withheld.status_code, withheld.json()["rejected"], count(engine)) == (422, 1, 0)
    assert "Hot cross buns" in withheld.json()["problems"][0]["hint"]

    partial = await client.post("/history.json?partial=true", json=document)
    assert (partial.status_code, partial.json()["imported"], count(engine)) == (200, 1, 1)


async def test_a_dry_run_says_what_would_happen(new_database, serve):
    engine = new_database()
    client = await serve(engine)
    document = {"version": VERSION, "production_runs": [run()]}
    dry = (await client.post("/history.json?dry_run=true", json=document)).json()
    assert (dry["imported"], count(engine)) == (1, 0)
    real = (await client.post("/history.json", json=document)).json()
    assert real == dry | {"dry_run": False, "committed": True}


async def test_what_is_no_history_is_refused_with_its_problems(new_database, serve):
    response = await (await serve(new_database())).post("/history.json", json={"bread": 1})
    assert response.status_code == 422
    assert response.json()["problems"]


@pytest.mark.parametrize("kind", [exc.OperationalError, exc.InterfaceError])
async def test_a_database_that_fails_is_not_available_and_no_data_is_logged(kind, caplog):
    answer = await failed(None, kind("SELECT secret", {"of": "secret"}, ConnectionError("secret")))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert caplog.messages == ["the database has failed: ConnectionError"]


async def test_a_fault_of_the_service_is_not_taken_for_the_databases():
    with pytest.raises(exc.ProgrammingError):
        await failed(None, exc.ProgrammingError("SELECT FROM", {}, ValueError()))


def test_the_binding_keeps_what_histio_promises(new_database):
    def make_runs(session: Session, count: int) -> None:
        made = bakes(session, count - count // 2)
        session.add_all([*made, *map(tasted, made[: count // 2])])

    options = {"catalog": CATALOG, "version": VERSION, "values": {"branch": BRANCH}}
    history = histio.History(new_database(), *KINDS, **options)
    [line] = testing.check_host(history, make_runs=make_runs)
    assert line.endswith("recipe: id is left out by Meta.exclude; pastry: id is left out by Meta.exclude")
