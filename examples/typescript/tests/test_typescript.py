"""What histio writes, the TypeScript package reads and verifies; what the package writes, histio imports."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import histio
import pytest
from histio import History
from histio.demo import bakery
from histio.demo import run as demo
from histio.models import Base
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

PACKAGE = Path(__file__).parent.parent
SCHEMA_FILE = PACKAGE.parent.parent / "schemas" / "history-1.0.schema.json"
MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module", autouse=True)
def dist() -> Path:
    """The compiled package."""
    dist = PACKAGE / "dist"
    sources = [*PACKAGE.glob("src/*.ts"), *PACKAGE.glob("tests/*.ts")]
    compiled = [dist / source.relative_to(PACKAGE).with_suffix(".js") for source in sources]
    if shutil.which("node") is None or not all(file.exists() for file in compiled):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("not compiled: get Node 20 or newer and run `npm ci --prefix examples/typescript`")
    if max(file.stat().st_mtime for file in sources) > min(file.stat().st_mtime for file in compiled):
        pytest.fail("changed since it was compiled: run `npm run build --prefix examples/typescript`")
    return dist


def node(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    command = ["node", *map(str, arguments)]
    return subprocess.run(
        command, input=text, cwd=PACKAGE, capture_output=True, encoding="utf-8", check=False
    )


def peer(*jobs: dict[str, Path]) -> list[Any]:
    """What the package makes of these files; tests/peer.ts tells of jobs and results."""
    ran = node("dist/tests/peer.js", text=json.dumps(jobs, default=str))
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def shown(language: str) -> list[str]:
    """What the README shows in this language."""
    return re.findall(f"```{language}\n(.*?)```", (PACKAGE / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[Engine]:
    """A bakery with a year of runs, those of `histio demo`."""
    engine = histio.create_engine(f"sqlite:///{tmp_path_factory.mktemp('bakery')}/bakery.db")
    demo.fill(engine, bakery.make_catalog(), with_runs=True)
    yield engine
    engine.dispose()


@pytest.fixture
def branch(tmp_path) -> Iterator[History]:
    """A bakery with the same catalog under other row ids, and no runs."""
    engine = histio.create_engine(f"sqlite:///{tmp_path}/branch.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(reversed(bakery.make_catalog()))
        session.commit()
    yield History(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def exported(engine, tmp_path_factory) -> Path:
    """The history of the bakery as a stream."""
    path = tmp_path_factory.mktemp("exported") / "history.jsonl"
    History(engine).export_file(path, exported_at=MOMENT)
    return path


def test_the_same_records_are_read_from_what_histio_writes(engine, exported, tmp_path):
    history = History(engine)
    compressed, part = tmp_path / "history.jsonl.gz", tmp_path / "part.jsonl"
    history.export_file(compressed, exported_at=MOMENT)
    history.export_file(part, kinds=["assembly_run"], since=dt.date(2025, 7, 1), follows="0" * 64)

    plain, unzipped, later = peer({"from": exported}, {"from": compressed}, {"from": part})

    stored = [{kind: record} for kind in history.kinds for record in history.iter_runs(kind)]
    assert len(stored) == 2_000
    assert plain["items"] == stored
    assert unzipped == plain
    for path, result in ((exported, plain), (part, later)):
        header, *runs, trailer = map(json.loads, path.read_text("utf-8").splitlines())
        assert ({"header": result["header"]}, {"trailer": result["trailer"]}) == (header, trailer)
        assert result["items"] == runs


def test_what_the_package_writes_is_imported_and_exported_again_the_same(exported, branch, tmp_path):
    copies = [tmp_path / name for name in ("copy.jsonl", "copy.jsonl.gz")]
    peer(*({"from": exported, "to": copy} for copy in copies))

    contents = [copies[0].read_bytes(), gzip.decompress(copies[1].read_bytes())]
    runs = exported.read_bytes().splitlines(keepends=True)[1:-1]
    assert [content.splitlines(keepends=True)[1:-1] for content in contents] == [runs, runs]

    report = branch.import_file(copies[1])
    assert (report.imported, report.rejected, report.problems) == (2_000, 0, ())
    assert branch.import_file(copies[0], on_duplicate="verify").skipped == 2_000
    again = tmp_path / "again.jsonl"
    branch.export_file(again, exported_at=MOMENT)
    assert again.read_bytes() == exported.read_bytes()


def test_a_catalog_is_read_from_what_histio_writes_and_written_for_histio(branch, tmp_path):
    recipes = [{"slug": "crème-brûlée", "name": "Crème brûlée 🍮"}, {"slug": "tart", "name": "Tart"}]
    unit = {"slug": "tartlet", "display_name": "Tartlet", "recipe_slug": "tart"}
    document = {"version": "1.0", "recipes": recipes, "finished_units": [unit]}
    (tmp_path / "rows.json").write_text(json.dumps(document))
    sealed, copy = tmp_path / "rows.jsonl", tmp_path / "copy.jsonl.gz"
    report = histio.merge([tmp_path / "rows.json"], sealed, exported_at=MOMENT)

    [result] = peer({"from": sealed, "to": copy})
    rows = [*({"recipe": recipe} for recipe in recipes), {"finished_unit": unit}]
    assert result["items"] == rows
    assert result["trailer"]["catalog_sha256"] == report.catalog_sha256
    assert histio.inspect_file(copy).catalog_sha256 == report.catalog_sha256
    assert [problem.message for problem in histio.check_file(copy, sealed=True)] == []
    imported = branch.import_file(copy, catalog="create").catalog
    assert (imported["recipe"].skipped, imported["recipe"].imported) == (1, 1)

    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(sealed.read_bytes().replace(b'"name":"Tart"', b'"name":"Tort"'))
    [result] = peer({"from": changed, "to": tmp_path / "none.jsonl"})
    assert (result["error"], result["line"]) == ("CorruptError", 5)


def flipped(data: bytes) -> bytes:
    place = data.index(b'"notes":"Oven ran hot"') + len('"notes":"')
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def miscounted(data: bytes) -> bytes:
    return data.replace(b'"counts":{"production_run":', b'"counts":{"production_run":1')


@pytest.mark.parametrize(
    ("damaged", "error", "line", "message"),
    [
        (flipped, "CorruptError", 2_002, "the runs are not those that were sealed"),
        (miscounted, "CorruptError", 2_002, "the trailer counts 11700 production_run, the stream has 1700"),
        (lambda data: data[:-20], "TruncatedError", 2_002, "ends within this line"),
        (lambda data: data[: data.rindex(b'{"trailer"')], "TruncatedError", 2_001, "without its trailer"),
        (lambda data: gzip.compress(data)[:-20], "TruncatedError", None, "compressed data end before"),
    ],
    ids=["flipped", "miscounted", "cut within trailer", "cut before trailer", "cut gzip"],
)
def test_a_damaged_file_is_named_by_both_and_copied_by_neither(
    exported, branch, tmp_path, damaged, error, line, message
):
    file = tmp_path / "damaged.jsonl"
    file.write_bytes(damaged(exported.read_bytes()))
    [result] = peer({"from": file, "to": tmp_path / "copy.jsonl"})
    assert result["error"] == error
    assert result["line"] == line or line is None
    assert message in result["message"]
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["damaged.jsonl"]
    with pytest.raises(histio.DocumentError) as caught:
        branch.import_file(file)
    assert [f"{problem.code}error" for problem in caught.value.problems] == [error.lower()]


def test_a_run_that_is_made_in_typescript_is_imported(branch, tmp_path):
    file = tmp_path / "baked.jsonl.gz"
    assert node("dist/src/bake.js", file).returncode == 0
    assert branch.import_file(file).by_kind["production_run"].imported == 1
    [run] = branch.iter_runs("production_run")
    assert (run["recipe_slug"], run["total_ingredient_cost"]) == ("chocolate-chip-cookies", "5.2500")
    assert [entry["ingredient_slug"] for entry in run["consumptions"]] == ["flour"]


def test_a_file_can_be_looked_into_on_the_command_line(exported, tmp_path):
    ran = node("dist/src/inspect.js", exported)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [ran.stdout] == shown("text")

    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(exported.read_bytes()[:1000])
    ran = node("dist/src/inspect.js", cut)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"{cut}: line 3: the stream ends within this line\n"


def test_the_generated_types_are_what_the_published_schema_says():
    ran = node("generate.mjs", "--check")
    assert ran.returncode == 0, ran.stderr


def test_the_published_schema_is_in_the_package(dist):
    assert (dist / SCHEMA_FILE.name).read_bytes() == SCHEMA_FILE.read_bytes()


def test_the_package_passes_its_own_tests():
    tests = [f"dist/tests/{source.stem}.js" for source in PACKAGE.glob("tests/*.test.ts")]
    ran = node("--test", "--test-reporter=dot", *tests)
    assert ran.returncode == 0, ran.stdout


def test_the_readme_shows_code_as_it_is():
    sources = [path.read_text("utf-8").splitlines() for path in PACKAGE.glob("src/*.ts")]
    lines = {line.strip(" *") for source in sources for line in source}
    reading, writing = shown("ts")
    assert [line for line in (reading + writing).splitlines() if line.strip() not in lines] == []
