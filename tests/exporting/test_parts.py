"""Exports in parts: several processes write them, and together they are one export of one moment."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import histio
from histio import History
from histio.files.manifest import MANIFEST
from tests.support.bakery import assembly_run, document, production_run
from tests.support.databases import stocked
from tests.support.streams import MOMENT

RUNS, ASSEMBLIES = 23, 9


@pytest.fixture(scope="module")
def processes():
    """Two processes, which all tests share."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def history(databases, dialect):
    """A history with runs of two kinds, of which several have the same time; in WAL mode on SQLite."""
    engine = stocked(databases(dialect, 8))
    if dialect == "sqlite":
        with closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
    runs = [production_run(n, produced_at=f"2025-12-{1 + n % 7:02}T10:00:00Z") for n in range(RUNS)]
    History(engine).import_document(document(*runs, assembly=[assembly_run(n) for n in range(ASSEMBLIES)]))
    with History(engine.url) as found:
        yield found


def merged(folder):
    """The bytes of all parts as one stream, uncompressed."""
    manifest = json.loads(Path(folder, MANIFEST).read_bytes())
    out = Path(folder).with_suffix(".merged.jsonl")
    histio.merge([Path(folder, part["name"]) for part in manifest["parts"]], out, overwrite=True)
    return out.read_bytes()


def whole(history, path, **options):
    history.export_file(path, exported_at=MOMENT, **options)
    return path.read_bytes()


def test_all_parts_together_are_the_whole_export(history, tmp_path, processes):
    report = history.export_parts(
        tmp_path / "out", parts=5, executor=processes, exported_at=MOMENT, catalog="used"
    )
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl", catalog="used")
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_bytes())
    names = [part["name"] for part in manifest["parts"]]
    assert names == ["catalog.jsonl.zst", *(f"part-0000{n}.jsonl.zst" for n in range(5))]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*names, MANIFEST])
    assert (report.by_kind, report.sha256) == (
        {"production_run": RUNS, "assembly_run": ASSEMBLIES},
        manifest["sha256"],
    )
    sizes = [sum(part["counts"].values()) for part in manifest["parts"][1:]]
    assert max(sizes) - min(sizes) <= 4
    first, last = manifest["parts"][1]["first"], manifest["parts"][3]["last"]
    assert (first["at"], last["at"]) == ("2025-12-01T10:00:00Z", "2025-12-07T10:00:00Z")
