"""What histio writes, the Go package reads and writes again; what the package writes, histio imports."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import histio
import pytest
from histio import History
from histio.demo import bakery
from histio.demo import run as demo

PACKAGE = Path(__file__).parent.parent
README = (PACKAGE / "README.md").read_text("utf-8")
MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

Ran = subprocess.CompletedProcess[str]


def run(*command: str | Path, **environment: str) -> Ran:
    return subprocess.run(
        [str(part) for part in command],
        cwd=PACKAGE,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def go(tmp_path_factory) -> Callable[..., Ran]:
    """Runs the go command, which needs neither a network nor a home."""
    if shutil.which("go") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("Go is not installed: get Go 1.19 or newer, such as Debian's package golang-go")
    settings = {"GOCACHE": str(tmp_path_factory.mktemp("cache")), "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    return lambda *arguments: run("go", *arguments, **settings)


@pytest.fixture(scope="module")
def programs(go, tmp_path_factory) -> Path:
    """The folder of the compiled programs."""
    folder = tmp_path_factory.mktemp("programs")
    ran = go("build", "-o", folder, "./...")
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The history of a bakery and its catalog: a year as a stream, and December in each form."""
    folder = tmp_path_factory.mktemp("bakery")
    engine = histio.create_engine(f"sqlite:///{folder}/bakery.db")
    demo.fill(engine, bakery.make_catalog(), with_runs=True)
    history = History(engine)
    history.export_file(folder / "year.jsonl", catalog="all", exported_at=MOMENT)
    for ending in ("jsonl", "jsonl.gz", "json"):
        december = folder / f"december.{ending}"
        history.export_file(december, catalog="used", since=dt.date(2025, 12, 1), exported_at=MOMENT)
    engine.dispose()
    return folder


@pytest.fixture
def branch(tmp_path) -> Iterator[History]:
    """A bakery with the same catalog, and no runs."""
    engine = histio.create_engine(f"sqlite:///{tmp_path}/branch.db")
    demo.fill(engine, bakery.make_catalog(), with_runs=False)
    yield History(engine)
    engine.dispose()


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def test_the_package_passes_its_own_tests(go):
    ran = go("test", "-vet=off", "./...")  # go vet takes three times as long as the tests
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = run("gofmt", "-l", ".")
    assert (ran.returncode, ran.stdout) == (0, "")


def test_files_of_histio_can_be_looked_into(programs, folder):
    year = folder / "year.jsonl"
    ran = run(programs / "inspect", year)
    assert (ran.returncode, ran.stderr) == (0, "")
    [shown] = re.findall("```text\n(.*?)```", README, re.DOTALL)
    assert ran.stdout == shown.replace("history.jsonl", str(year))

    december = [folder / f"december.{ending}" for ending in ("jsonl", "jsonl.gz", "json")]
    ran = run(programs / "inspect", *december)
    assert (ran.returncode, ran.stderr) == (0, "")
    trailer = json.loads(lines(december[0])[-1])["trailer"]
    digests = [(name, trailer[name]) for name in ("header_sha256", "catalog_sha256", "sha256")]
    assert re.findall(r"^(\w*sha256) (\w+)$", ran.stdout, re.MULTILINE) == digests * 2
    counts = [(str(count), kind) for kind, count in trailer["counts"].items()]
    assert re.findall(r"^(\d+) (\w+)", ran.stdout, re.MULTILINE) == counts * 3


def test_a_copy_of_a_file_of_histio_has_the_same_bytes(programs, folder, tmp_path):
    plain, packed = tmp_path / "copy.jsonl", tmp_path / "copy.jsonl.gz"
    for source, copy in ((folder / "december.jsonl.gz", plain), (folder / "december.jsonl", packed)):
        ran = run(programs / "copy", source, copy)
        assert (ran.returncode, ran.stderr) == (0, "")
    december = (folder / "december.jsonl").read_bytes()
    assert [plain.read_bytes(), gzip.decompress(packed.read_bytes())] == [december, december]


# A run in spellings that a reader accepts, and that no writer uses.
SPELLED = {
    "consumptions": [
        {
            "total_cost": "2",
            "quantity_consumed": "1.50000",
            "unit": "\x7f/<",
            "ingredient_slug": "flour",
            "uuid": "3C9F8A52-7D16-4F0E-9A53-52B1F8B1F8D4",
            "updated_at": "2025-12-08T11:30:00.5+01:00",
            "created_at": "2025-12-08T10:30:00.100",
        }
    ],
    "notes": '\b\f\n\r\t\x01\x1f\x7f\x85\xa0\u2028\u2029\ufeff\ufffd \\u2028 \\ufffd \\"/<>& \xe9 \U0001f36a',
    "per_unit_cost": "0.000",
    "total_ingredient_cost": "999999.99990",
    "produced_at": "2024-02-29T23:59:59.000000-23:59",
    "created_at": "2025-12-08T10:30:00.000001Z",
    "updated_at": "2025-12-08T10:30:00.120Z",
    "actual_yield": -0.0,
    "expected_yield": 96.0,
    "num_batches": 2e0,
    "finished_unit_slug": "cookie",
    "recipe_slug": "chocolate-chip-cookies",
    "uuid": "7D0F5F3E-6A0B-4C39-9D5C-0D6A4B1F2C11",
}


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "raw"])
def test_other_spellings_become_those_of_histio(programs, branch, tmp_path, escaped):
    spelled, copy, exported = (tmp_path / f"{name}.jsonl" for name in ("spelled", "copy", "exported"))
    given = [{"header": {"sealed": False, "version": "1.0"}}, {"problems": [], "production_run": SPELLED}]
    text = "\r\n".join(json.dumps(line, ensure_ascii=escaped) for line in given)
    spelled.write_bytes(text.encode())

    ran = run(programs / "copy", spelled, copy)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert branch.import_file(spelled).imported == 1
    branch.export_file(exported, kinds=["production_run"])
    assert lines(copy)[1] == lines(exported)[1]
    assert branch.import_file(copy, on_duplicate="verify").skipped == 1


def test_a_run_that_is_made_in_go_is_imported_and_exported_the_same(programs, branch, tmp_path):
    file, exported = tmp_path / "baked.jsonl.gz", tmp_path / "exported.jsonl"
    ran = run(programs / "bake", file)
    assert (ran.returncode, ran.stderr) == (0, "")
    report = branch.import_file(file)
    assert (report.imported, report.rejected, report.problems) == (1, 0, ())
    assert branch.import_file(file, on_duplicate="verify").skipped == 1
    assert branch.export_file(exported, kinds=["production_run"]).sha256 == histio.inspect_file(file).sha256


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a note": (replaced(b'"notes":null', b'"notes":""'), "corrupt: .*: SHA256$"),
    "a row": (replaced(b'"display_name":"', b'"display_name":"A '), "corrupt: .*: CatalogSHA256$"),
    "the header": (replaced(b"2026-01-01", b"2026-01-02"), "corrupt: .*: HeaderSHA256$"),
    "a count": (replaced(b'"production_run":1', b'"production_run":2'), "corrupt: .*: Counts$"),
    "cut within a run": (lambda data: data[:9_000], "truncated in line "),
    "cut before the trailer": (lambda data: data[: data.rindex(b'{"trailer"')], "truncated: "),
    "gzip cut": (lambda data: gzip.compress(data)[:-2], "truncated: "),
    "gzip changed": (lambda data: replaced(b"2026", b"2027")(gzip.compress(data, 0)), "corrupt: "),
    "a later version": (replaced(b'"1.0"', b'"1.1"'), "/version "),
    "a wrong value": (replaced(b'"num_batches":', b'"num_batches":-'), "line 30: /production_run/num_"),
    "zstd": (lambda data: b"\x28\xb5\x2f\xfd", "Zstandard "),
}


def test_a_damaged_file_is_named_and_not_copied(programs, folder, tmp_path):
    whole = (folder / "december.jsonl").read_bytes()
    copy = tmp_path / "copy.jsonl"
    copy.write_text("an earlier file")
    damaged = {tmp_path / f"{name}.jsonl": damage(whole) for name, (damage, _) in DAMAGED.items()}
    for file, data in damaged.items():
        file.write_bytes(data)

    ran = run(programs / "inspect", *damaged)
    assert ran.returncode == 1
    for file, (_, message) in zip(damaged, DAMAGED.values(), strict=True):
        assert re.search(f"^{re.escape(str(file))}: {message}", ran.stderr, re.MULTILINE), ran.stderr
        copied = run(programs / "copy", file, copy)
        assert copied.returncode == 1
        assert re.search(f"^{message}", copied.stderr, re.MULTILINE), copied.stderr
    assert copy.read_text() == "an earlier file"
    assert sorted(tmp_path.iterdir()) == sorted([*damaged, copy])


def test_the_readme_shows_code_as_it_is():
    sources = [path.read_text("utf-8") for path in PACKAGE.glob("*/*.go")]
    written = {line.strip() for source in sources for line in source.splitlines()}
    shown = "".join(re.findall("```go\n(.*?)```", README, re.DOTALL))
    assert [line for line in shown.splitlines() if line.strip() not in written] == []
