"""Exports in parts: the manifest, and how readers of files read a folder."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import shutil

import pytest
import sqlalchemy as sa
import zstandard

import histio
from histio import DocumentError, History, models
from histio.files.manifest import Manifest, ManifestPart
from histio.kinds.json_schema import published
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.folders import split
from tests.support.streams import MOMENT

GATE = History().bound.gate
KINDS = ("production_run", "assembly_run")
DIGEST = "0" * 64
PLACE = {"at": "2025-12-08T10:00:00Z", "uuid": number(1)}
ENDS = {"first": PLACE, "last": PLACE}


def part(name="part-00000.jsonl", **members):
    """A part with one production run."""
    usual = {"counts": {"production_run": 1}, "sha256": DIGEST, "header_sha256": DIGEST, **ENDS}
    return ManifestPart(**{"name": name, **usual, **members})


ROWS = part("catalog.jsonl", counts={"recipe": 2}, catalog_sha256=DIGEST, first=None, last=None)
ASSEMBLY = part("part-00001.jsonl", counts={"assembly_run": 1})
EMPTY = part("part-00002.jsonl", counts={}, first=None, last=None)


def manifest(*parts, **members):
    usual = {
        "version": "1.0",
        "exported_at": "2025-12-09T12:00:00Z",
        "kinds": ("production_run", "assembly_run"),
    }
    return Manifest(**{**usual, "catalog": ("recipe",), "parts": parts, **members})


def faults(data):
    """The codes, pointers and files of the problems of a manifest."""
    with pytest.raises(DocumentError) as caught:
        Manifest.decode(data, GATE, "the manifest")
    return [(problem.code, problem.pointer, problem.file) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "given",
    [manifest(ROWS, part(), ASSEMBLY, EMPTY), manifest(part(), catalog=()), manifest(EMPTY, kinds=())],
    ids=["all", "runs", "nothing"],
)
def test_a_manifest_is_read_as_it_was_written(given):
    assert Manifest.decode(given.encode(), GATE, "the manifest") == given


def test_a_manifest_counts_the_runs_and_rows_of_its_parts():
    given = manifest(ROWS, part(), part("part-2.jsonl"), ASSEMBLY)
    assert given.counts == {"recipe": 2, "production_run": 2, "assembly_run": 1}


def test_the_example_of_the_published_schema_is_a_manifest():
    [example] = published()["$defs"]["manifest"]["examples"]
    assert GATE.check_manifest(example) == []


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ([], "/parts"),
        ([part(), part()], "/parts/1/name"),
        ([part(), part("PART-00000.jsonl")], "/parts/1/name"),
        ([ASSEMBLY, part()], "/parts/1/counts"),
        ([part(), ROWS], "/parts/1/counts"),
        ([part(counts={"production_run": 1, "assembly_run": 1})], "/parts/0/counts"),
        ([part(counts={"production_run": 1, "recipe": 1}, catalog_sha256=DIGEST)], "/parts/0/counts"),
        ([part(counts={"ingredient": 1}, catalog_sha256=DIGEST)], "/parts/0/counts"),
        ([part(catalog_sha256=DIGEST)], "/parts/0/counts"),
        ([dataclasses.replace(ROWS, catalog_sha256=None)], "/parts/0/counts"),
        ([part(first=None, last=None)], "/parts/0/counts"),
        ([dataclasses.replace(EMPTY, **ENDS)], "/parts/0/counts"),
    ],
)
def test_parts_that_cannot_be_those_of_an_export_are_corrupt(parts, where):
    assert faults(manifest(*parts).encode()) == [("corrupt", where, "manifest.json")]


@pytest.mark.parametrize(
    ("member", "other"),
    [("name", "part-9.jsonl"), ("sha256", "1" * 64)],
)
def test_the_digest_is_of_the_names_and_digests_of_all_parts(member, other):
    members = json.loads(manifest(ROWS, part()).encode())
    members["parts"][1][member] = other
    assert faults(json.dumps(members).encode()) == [("corrupt", "/sha256", "manifest.json")]


def test_parts_with_different_headers_are_of_different_exports():
    given = manifest(part(), dataclasses.replace(ASSEMBLY, header_sha256="1" * 64))
    assert faults(given.encode()) == [("corrupt", "/parts/1/header_sha256", "manifest.json")]


def test_the_digest_is_of_the_order_of_the_parts():
    members = json.loads(manifest(part("part-1.jsonl"), part("part-2.jsonl")).encode())
    members["parts"].reverse()
    assert faults(json.dumps(members).encode()) == [("corrupt", "/sha256", "manifest.json")]


@pytest.mark.parametrize(
    "name", ["../part-00000.jsonl", "/etc/passwd", "a/b", "a\\b", "..", "C:x", ".hidden", ""]
)
def test_a_name_that_may_lead_elsewhere_is_corrupt(name):
    assert {code for code, _, _ in faults(manifest(part(name)).encode())} == {"corrupt"}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"NaN", manifest(part()).encode()[:-10]])
def test_a_file_that_is_no_manifest_is_corrupt(data):
    assert {code for code, _, _ in faults(data)} == {"corrupt"}


def test_a_manifest_of_a_newer_version_is_refused_by_name():
    assert faults(manifest(part(), version="1.7").encode()) == [("version", "/version", "manifest.json")]


# Reading a folder.

TIMES = [f"2025-12-{day:02}T10:00:00Z" for day in range(1, 8)]
DOCUMENT = document(
    *(production_run(n, produced_at=time) for n, time in enumerate(TIMES, 1)),
    assembly=[assembly_run(n, assembled_at=time) for n, time in enumerate(TIMES[:4], 1)],
)


@pytest.fixture
def history(sqlite):
    """A history with seven production runs and four assembly runs."""
    found = History(sqlite)
    assert found.import_document(DOCUMENT).imported == 11
    return found


@pytest.fixture
def empty_sqlite():
    """A database without rows."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    models.Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def whole(history, tmp_path):
    """The whole export as one file."""
    path = tmp_path / "whole.jsonl"
    history.export_file(path, catalog="used", exported_at=MOMENT, follows="1" * 64)
    return path


@pytest.fixture
def folder(whole, tmp_path):
    """The same export in a catalog, three parts of production runs, and two of assembly runs."""
    split(whole.read_bytes(), tmp_path / "parts")
    return tmp_path / "parts"


def found(problems):
    """What makes a folder no export: codes and files."""
    return [(each.code, each.file) for each in problems if each.code in ("truncated", "corrupt", "schema")]


def test_a_merge_of_the_parts_is_the_whole_export(folder, whole, tmp_path):
    histio.merge([folder], tmp_path / "merged.jsonl")
    assert (tmp_path / "merged.jsonl").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_all_readers_of_files_take_a_folder(folder, name, whole, history, tmp_path):
    path = folder / name
    export = functools.partial(history.export_file, tmp_path / "rest.jsonl", overwrite=True)
    same = [
        lambda source: history.import_file(source, on_duplicate="verify").by_kind,
        lambda source: list(histio.references(source, history=history)),
        lambda source: [each.message for each in histio.check_file(source, history=history)],
        lambda source: [each.message for each in histio.audit(source)],
        lambda source: histio.inspect_file(source).kinds,
        lambda source: list(histio.diff(source, history)),
        lambda source: export(differs_from=source).unchanged,
    ]
    assert [each(path) for each in same] == [each(whole) for each in same]
    assert list(histio.diff(path, whole)) == []
    histio.report_page(path, tmp_path / "page.html")


def test_an_inspection_says_that_a_folder_is_sealed_by_its_manifest(folder, history):
    manifest = Manifest.decode((folder / "manifest.json").read_bytes(), GATE, "")
    inspected = histio.inspect_file(folder)
    assert (inspected.form, inspected.sealed, inspected.sha256) == ("folder", True, manifest.sha256)
    assert (inspected.follows, inspected.catalog["recipe"], inspected.problems) == ("1" * 64, 1, ())


def test_a_folder_is_imported_with_its_catalog_beside_other_files(folder, tmp_path, empty_sqlite):
    later = tmp_path / "later.jsonl"
    History(empty_sqlite)  # the runs below refer to the catalog of the folder
    report = History(empty_sqlite).import_file(folder, catalog="create")
    assert (report.imported, report.catalog["recipe"].imported, report.warning_count) == (11, 1, 0)
    split_from = json.dumps(document(production_run(20, recipe_slug="none")))
    later.with_suffix(".json").write_text(split_from, "utf-8")
    report = History(empty_sqlite).import_file([later.with_suffix(".json"), folder])
    assert (report.skipped, report.problems[0].file) == (11, str(later.with_suffix(".json")))


def test_problems_name_the_part_and_its_line(folder, history):
    report = history.import_file(folder, on_duplicate="error")
    places = [(each.file, each.line, each.index) for each in report.problems]
    assert places[2:4] == [("part-00000.jsonl.zst", 4, 2), ("part-00001.jsonl.zst", 2, 0)]
    assert report.problem_count == 11
    report = history.import_file([folder, folder.parent / "whole.jsonl"], on_duplicate="error")
    assert report.problems[0].file == f"{folder}/part-00000.jsonl.zst"


def test_a_folder_is_verified_before_the_first_commit(folder, history, empty_sqlite):
    assert history.import_file(f"{folder}/", commit_every=2, on_duplicate="verify").skipped == 11
    cut(folder)
    with pytest.raises(DocumentError, match="part-00001"):
        History(empty_sqlite).import_file(folder, catalog="create", commit_every=2)
    assert History(empty_sqlite).export_document()["production_runs"] == []


def remove(folder):
    (folder / "part-00001.jsonl.zst").unlink()


def add(folder):
    shutil.copy(folder / "part-00001.jsonl.zst", folder / "part-00007.jsonl.gz")


def exchange(folder):
    shutil.copy(folder / "part-00000.jsonl.zst", folder / "part-00001.jsonl.zst")


def cut(folder):
    path = folder / "part-00001.jsonl.zst"
    path.write_bytes(zstandard.compress(zstandard.decompress(path.read_bytes())[:-50]))


def cut_compressed(folder):
    path = folder / "part-00001.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-20])


def empty(folder):
    (folder / "part-00001.jsonl.zst").write_bytes(b"")


def change_header(folder):
    path = folder / "part-00001.jsonl.zst"
    data = zstandard.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data.replace(b"2025-12-09T", b"2025-12-08T", 1)))


def change_time(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"2025-12-09T", b"2025-12-08T", 1))


def change_first(folder):
    path = folder / "manifest.json"
    members = json.loads(path.read_bytes())
    members["parts"][2]["first"]["uuid"] = number(1)
    path.write_text(json.dumps(members), "utf-8")


DAMAGE = [
    (remove, [("truncated", "part-00001.jsonl.zst")]),
    (add, [("corrupt", "part-00007.jsonl.gz")]),
    (exchange, [("corrupt", "part-00001.jsonl.zst")]),
    (cut, [("truncated", "part-00001.jsonl.zst")]),
    (cut_compressed, [("truncated", "part-00001.jsonl.zst")]),
    (empty, [("truncated", "part-00001.jsonl.zst")]),
    (change_header, [("corrupt", "part-00001.jsonl.zst")]),
    (change_time, [("corrupt", "catalog.jsonl.zst")]),
    (change_first, [("corrupt", "part-00001.jsonl.zst")]),
]


@pytest.mark.parametrize(("damage", "problems"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_damage_is_told_with_the_name_of_the_part(folder, damage, problems, empty_sqlite):
    damage(folder)
    assert found(histio.check_file(folder)) == problems
    assert found(histio.inspect_file(folder).problems) == problems
    with pytest.raises(DocumentError) as caught:
        History(empty_sqlite).import_file(folder, catalog="create")
    assert found(caught.value.problems) == problems
    assert History(empty_sqlite).export_document()["production_runs"] == []


def test_the_rest_of_a_damaged_folder_can_be_imported(folder, empty_sqlite):
    remove(folder)
    report = History(empty_sqlite).import_file(folder, catalog="create", allow_truncated=True)
    assert (report.imported, report.truncated, found(report.warnings)) == (8, True, DAMAGE[0][1])


@pytest.mark.parametrize("left", [True, False], ids=["parts", "nothing"])
def test_a_folder_without_manifest_is_an_export_that_has_not_finished(folder, left, history):
    (folder / "manifest.json").unlink()
    for part in [] if left else folder.iterdir():
        part.unlink()
    with pytest.raises(DocumentError, match=r"parts has no manifest\.json: it is not an export in parts"):
        history.import_file(folder)


def test_files_that_are_no_parts_are_ignored(folder, history):
    (folder / "rejects.jsonl").write_bytes(b"x")
    (folder / "old").mkdir()
    assert history.import_file(folder).skipped == 11


@pytest.mark.parametrize("place", ["", "/", "/manifest.json"])
def test_a_folder_can_be_at_a_url(folder, place, history):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(f"{folder}/", "/backups/may/", recursive=True)
    assert history.import_file(f"memory://backups/may{place}").skipped == 11
    memory.rm("/backups/may/part-00000.jsonl.zst")
    with pytest.raises(DocumentError, match=r"part-00000\.jsonl\.zst: The part is missing"):
        history.import_file(f"memory://backups/may{place}")
    memory.rm("/backups", recursive=True)
    with pytest.raises((FileNotFoundError, DocumentError)):
        history.import_file(f"memory://backups/may{place}")


def test_a_later_export_follows_a_folder_by_the_digest_of_its_manifest(folder, history, tmp_path):
    later = tmp_path / "later.jsonl"
    history.export_file(later, differs_from=folder)
    manifest = Manifest.decode((folder / "manifest.json").read_bytes(), GATE, "")
    assert histio.inspect_file(later).follows == manifest.sha256
    histio.merge([folder, later], tmp_path / "merged.jsonl")
    assert histio.inspect_file(tmp_path / "merged.jsonl").follows == "1" * 64
    report = history.import_file([later, folder], follows="1" * 64)  # it is read after the folder
    assert report.skipped == 11
