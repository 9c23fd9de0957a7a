"""The ways to a report: the command line, and asyncio."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

import histio
from histio import AsyncHistory, cli
from histio.cli.exit_codes import ExitCode
from histio.models import Base
from tests.support.bakery import document, production_run, stock

SHOP, EMPTY = "--url sqlite:///shop.db", "--url sqlite:///empty.db"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command where there are a database with a catalog, one without, and a file of eight runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    for name, rows in (("shop", stock()), ("empty", [])):
        engine = histio.create_engine(f"sqlite:///{name}.db")
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all(rows)
            session.commit()
        engine.dispose()
    runs = [production_run(n, produced_at=f"2025-12-0{n}T10:00:00Z") for n in range(1, 9)]
    Path("history.json").write_text(json.dumps(document(*runs)))
    return lambda line: cli.main(shlex.split(line))


def title_of(path):
    """The title of a page, and what it says of the database."""
    html = unescape(Path(path).read_text("utf-8"))
    [title] = re.findall("<title>(.*)</title>", html)
    return title, *re.findall("<dt>Into</dt><dd><bdi>(.*)</bdi></dd>", html)


@pytest.mark.parametrize(
    ("line", "code", "title"),
    [
        (
            f"import history.json {SHOP}",
            ExitCode.DONE,
            ("All 8 runs imported: history.json", "SQLite shop.db"),
        ),
        (
            f"import history.json --dry-run {SHOP}",
            ExitCode.DONE,
            ("All 8 runs imported: history.json", "SQLite shop.db"),
        ),
        (
            f"import history.json {EMPTY}",
            ExitCode.BAD,
            ("All 8 runs rejected, nothing imported: history.json", "SQLite empty.db"),
        ),
        (
            f"import history.json --atomic --json {EMPTY}",
            ExitCode.BAD,
            ("All 8 runs rejected, nothing imported: history.json", "SQLite empty.db"),
        ),
    ],
)
def test_import_writes_a_report_that_names_file_database_and_outcome(run, line, code, title):
    assert run(f"{line} --report page.html") == code
    assert title_of("page.html") == title


def test_a_parallel_import_of_parts_has_a_report_too(run):
    assert run(f"import history.json {SHOP}") == ExitCode.DONE
    assert run(f"export parts --parts 2 {SHOP}") == ExitCode.DONE
    assert run(f"import parts --jobs 2 {SHOP} --report page.html") == ExitCode.DONE
    assert title_of("page.html") == ("All 8 runs skipped, because they exist: parts", "SQLite shop.db")


def test_the_report_of_an_import_names_the_file_of_its_rejects(run):
    Path("wrong.json").write_text(json.dumps(document(production_run(1, num_batches=0))))
    assert run(f"import wrong.json --rejects left.jsonl --report page.html {SHOP}") == ExitCode.BAD
    assert "Correct the rejected runs in left.jsonl, and import that file." in Path("page.html").read_text()


def test_report_names_the_file_or_the_database(run):
    assert run("report history.json -o file.html") == ExitCode.DONE
    assert run(f"report -o database.html {SHOP}") == ExitCode.DONE
    assert title_of("file.html") == ("History report: history.json",)
    assert title_of("database.html") == ("History report: SQLite shop.db",)


def test_the_report_of_an_asynchronous_import_is_written_by_a_thread(run):
    async def import_and_report():
        async with AsyncHistory("sqlite+aiosqlite:///shop.db") as history:
            report = await history.import_file("history.json")
        await asyncio.to_thread(histio.report_page, "history.json", "page.html", imported=report)

    asyncio.run(import_and_report())
    assert title_of("page.html") == ("All 8 runs imported: history.json",)


def test_an_asynchronous_history_is_refused(run):
    history = AsyncHistory("sqlite+aiosqlite:///shop.db")
    with pytest.raises(TypeError, match="history: pass a History, not <histio"):
        histio.report_page("history.json", "page.html", history=history)
    with pytest.raises(TypeError, match="pass a path, a URL or an open binary file, not <histio"):
        histio.report_page(history, "page.html")
    assert not Path("page.html").exists()


@pytest.mark.slow
def test_the_demo_imported_into_an_empty_database_says_so(run):
    assert run("demo folder") == ExitCode.DONE
    assert run(f"import folder/history.json {EMPTY} --report page.html") == ExitCode.BAD
    assert title_of("page.html")[0] == "All 2\u202f000 runs rejected, nothing imported: history.json"
    assert "<canvas" not in Path("page.html").read_text("utf-8")
