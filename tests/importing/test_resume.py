"""Imports in many transactions. `tests/trust/test_kills.py` kills them."""

from __future__ import annotations

import io

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import DocumentError, History
from tests.support.bakery import assembly_run, document, production_run
from tests.support.databases import stocked
from tests.support.streams import FAULTY, FORMS, MOMENT, stream_of


def exported(history):
    file = io.BytesIO()
    history.export_file(file, exported_at=MOMENT)
    return file.getvalue()


RUNS = document(
    *(production_run(n) for n in range(1, 101)), assembly=[assembly_run(n) for n in range(101, 131)]
) | {"exported_at": "2025-12-09T12:00:00Z"}


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5])
def test_the_report_is_that_of_an_import_in_one_transaction(databases, size):
    reports = []
    for options in ({}, {"commit_every": size}):
        history = History(stocked(databases("sqlite")))
        report = history.import_file(io.BytesIO(FORMS["a document"](FAULTY)), **options)
        again = history.import_file(io.BytesIO(FORMS["a sealed stream"](FAULTY)), **options)
        reports.append([report, again, exported(history)[-250:]])
    assert reports[0][:2] == reports[1][:2]


@pytest.mark.slow
@pytest.mark.parametrize("on_duplicate", ["update", "verify", "error"])
def test_what_comes_again_is_dealt_with_in_parts_too(databases, on_duplicate):
    changed = document(*(production_run(n, notes=f"changed {n}") for n in range(1, 8)))
    reports = []
    for options in ({}, {"commit_every": 3}):
        history = History(stocked(databases("sqlite")))
        history.import_document(document(*(production_run(n) for n in range(3, 6))))
        data = FORMS["a compressed stream"](changed)
        report = history.import_file(io.BytesIO(data), on_duplicate=on_duplicate, **options)
        reports.append([report, exported(history)])
    assert reports[0] == reports[1]


def test_a_file_is_verified_before_the_first_part_is_committed(sqlite):
    data = stream_of(RUNS)
    with pytest.raises(DocumentError, match="without its trailer"):
        History(sqlite).import_file(io.BytesIO(data[: data.rindex(b'{"trailer"')]), commit_every=1)
    assert exported(History(sqlite)).count(b'production_run":{') == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"commit_every": 1, "atomic": True}, ValueError, "commit_every excludes atomic"),
        ({"commit_every": 1, "dry_run": True}, ValueError, "commit_every excludes atomic, dry_run"),
        ({"commit_every": 0}, ValueError, "commit_every must be a positive integer, not 0"),
        ({"commit_every": -5}, ValueError, "not -5"),
        ({"commit_every": True}, ValueError, "not True"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_file_is_opened(sqlite, options, error, message):
    with pytest.raises(error, match=message):
        History(sqlite).import_file("/does/not/exist.jsonl", **options)


@pytest.mark.parametrize("borrow", [Session, sa.Engine.connect])
def test_a_session_that_was_handed_over_is_never_committed_in_parts(sqlite, borrow):
    with borrow(sqlite) as session:
        for history, options in ((History(sqlite), {"session": session}), (History(session), {})):
            with pytest.raises(
                ValueError, match="excludes atomic, dry_run and a session that was handed over"
            ):
                history.import_file("/does/not/exist.jsonl", commit_every=1, **options)
