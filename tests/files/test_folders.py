"""Exports in parts: the manifest, and how readers of files read a folder."""

from __future__ import annotations

import dataclasses
import json

import pytest

from histio import DocumentError, History
from histio.files.manifest import Manifest, ManifestPart
from histio.kinds.json_schema import published
from tests.support.bakery import number

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
    [("name", "part-9.jsonl"), ("sha256", "1" * 64), ("header_sha256", "1" * 64)],
)
def test_the_digest_is_of_the_names_and_digests_of_all_parts(member, other):
    members = json.loads(manifest(ROWS, part()).encode())
    members["parts"][1][member] = other
    assert faults(json.dumps(members).encode()) == [("corrupt", "/sha256", "manifest.json")]


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
