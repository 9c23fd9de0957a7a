"""Receipts: what an import has written, on disk before its commit."""

from __future__ import annotations

import io
import json

import pytest
from sqlalchemy.orm import Session

from histio import DocumentError, History, ReceiptError
from histio.files.receipts import reading_receipt
from histio.progress import before_last_step
from tests.support import shop
from tests.support.bakery import consumption, document, number, production_run
from tests.support.databases import stocked
from tests.support.disks import file_limit
from tests.support.interrupted import MORE, NEW, OLD, RUNS, SOME_BAD
from tests.support.receipts import digest, lines_of, result_of
from tests.support.reports import outcomes, rows, runs_by_uuid, stored
from tests.support.streams import FORMS, stream_of

ALL = len(RUNS) + len(MORE)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "receipt.jsonl"


@pytest.mark.parametrize("options", [{}, {"commit_every": 7}, {"atomic": True}], ids=str)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.turns
def test_a_receipt_has_each_created_run_with_the_digest_of_its_export(engine, path, form, options):
    history = History(engine)
    history.import_file(io.BytesIO(form(NEW)), receipt=path, **options)
    header, *lines = lines_of(path)
    assert header["receipt"].keys() == {"version", "kinds", "database"}
    assert len(lines) == ALL
    assert result_of(path) == {
        (kind, json.dumps(uuid)): (("created", None), digest(run))
        for kind, name in (("production_run", "production_runs"), ("assembly_run", "assembly_runs"))
        for uuid, run in runs_by_uuid(history.export_document(), name).items()
    }


@pytest.mark.cells(1)
def test_a_receipt_has_what_updated_runs_were_before_and_are_now(engine, path, tune):
    tune(batch=10, page=7)
    history = History(engine)
    history.import_document(OLD)
    before = stored(engine)
    report = history.import_file(
        io.BytesIO(stream_of(NEW)), on_duplicate="update", receipt=path, commit_every=13
    )
    after = stored(engine)
    assert report.updated == ALL
    assert {
        json.loads(identity): (*first, sha256) for (_, identity), (first, sha256) in result_of(path).items()
    } == {uuid: ("updated", before[uuid], digest(after[uuid])) for uuid in after}


def test_what_was_not_written_is_not_in_the_receipt(engine, path):
    history = History(engine)
    history.import_document(OLD)
    report = history.import_document(SOME_BAD, receipt=path)
    assert outcomes(report)[0] == 0
    bad = document(production_run(60), production_run(61, recipe_slug="unknown"))
    assert history.import_document(bad, atomic=True, receipt=path).withheld == 1
    assert len(lines_of(path)) == 1
    assert history.import_document(bad, receipt=path).imported == 1
    assert [line["created"]["identity"] for line in lines_of(path)[1:]] == [number(60)]


def test_a_run_that_comes_twice_is_in_the_receipt_once_as_it_is_in_the_end(engine, path):
    history = History(engine)
    history.import_document(document(production_run(1)))
    again = document(*(production_run(n, notes=notes) for notes in ("a", "b") for n in (1, 2)))
    history.import_document(again, on_duplicate="update", receipt=path)
    run, other = history.export_document()["production_runs"]
    assert run["notes"] == other["notes"] == "b"
    before = production_run(1)
    assert list(lines_of(path)[1:]) == [
        {"created": {"kind": "production_run", "identity": number(2), "sha256": digest(other)}},
        {
            "updated": {
                "kind": "production_run",
                "identity": number(1),
                "sha256": digest(run),
                "before": before,
            }
        },
    ]


def test_runs_that_refer_to_later_ones_are_in_the_receipt_as_they_are_in_the_end(create, path, tune):
    tune(batch=5)
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    given = [shop.order(n, parent=number(n % 20 + 1), shipment=None) for n in range(1, 21)]
    assert history.import_document(shop.orders(*given), receipt=path).imported == len(given)
    exported = runs_by_uuid(history.export_document(), "orders")
    found = {
        line["created"]["identity"]: line["created"]["sha256"] for line in lines_of(path, kinds="orders")[1:]
    }
    assert found == {uuid: digest(run) for uuid, run in exported.items()}


def test_a_second_import_continues_the_receipt_after_cutting_off_an_incomplete_line(sqlite, path):
    history = History(sqlite)
    history.import_document(document(production_run(1)), receipt=path)
    first = path.read_bytes()
    path.write_bytes(first + b'{"created":{"kind":"production_run","ident')
    history.import_document(document(production_run(1), production_run(2)), receipt=path)
    assert path.read_bytes().startswith(first)
    assert [line["created"]["identity"] for line in lines_of(path)[1:]] == [number(1), number(2)]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (stream_of(NEW), "not a receipt of imports"),
        (b"some text\n", "not a receipt of imports"),
        (b'{"receipt": 1}\n', "not a receipt of imports"),
        (b'{"receipt": {"version": "1.0", "kinds": [], "data', "not a receipt of imports"),
        (b'{"receipt": {"version": "1.0", "kinds": [1], "database": null}}\n', "not a receipt of imports"),
        (b'{"receipt": {"version": "0.9", "kinds": [], "database": null}}\n', "version 0.9, not 1.0"),
        (
            b'{"receipt": {"version": "1.0", "kinds": [], "database": "%s"}}\n' % (b"0" * 64),
            "another database",
        ),
        (b"[" * 100_000 + b"\n", "not a receipt of imports"),
    ],
    ids=str,
)
def test_a_file_that_is_no_receipt_of_this_database_is_refused_and_kept(sqlite, path, content, match):
    path.write_bytes(content)
    with pytest.raises(ReceiptError, match=match):
        History(sqlite).import_document(NEW, receipt=path)
    assert path.read_bytes() == content
    assert rows(sqlite) == 0


def test_a_receipt_of_another_database_is_told_from_this_one(engine, other_engine, path):
    History(engine).import_document(document(production_run(1)), receipt=path)
    with pytest.raises(ReceiptError, match="another database"):
        History(other_engine).import_document(document(production_run(2)), receipt=path)
    assert rows(other_engine) == 0
    History(engine).import_document(document(production_run(2)), receipt=path)


def test_an_empty_file_becomes_a_receipt(sqlite, path):
    path.touch()
    History(sqlite).import_document(document(production_run(1)), receipt=path)
    assert len(lines_of(path)) == 2


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("receipt.jsonl", {"dry_run": True}, "receipt excludes dry_run"),
        ("receipt.json", {}, "must end with .jsonl"),
        ("receipt.jsonl.gz", {}, "must end with .jsonl: a receipt is never compressed"),
        ("-", {}, "not the path of a local file"),
        ("https://example.org/receipt.jsonl", {}, "is a URL"),
        (io.BytesIO(), {}, "must be a path"),
    ],
)
def test_what_cannot_have_a_receipt_is_an_error_before_anything_is_read(sqlite, name, options, match):
    with pytest.raises(ValueError, match=match):
        History(sqlite).import_file("missing.jsonl", receipt=name, **options)


def test_a_session_that_was_handed_over_excludes_a_receipt(sqlite, path):
    with Session(sqlite) as session, pytest.raises(ValueError, match="receipt excludes a session"):
        History().import_document(NEW, session=session, receipt=path)
    assert not path.exists()


def test_only_one_import_or_undo_at_a_time_uses_a_receipt(sqlite, path):
    history = History(sqlite)
    history.import_document(document(production_run(1)), receipt=path)
    with reading_receipt(path):
        with pytest.raises(BlockingIOError, match="another process uses the file"):
            history.import_document(document(production_run(2)), receipt=path)
        with pytest.raises(BlockingIOError, match=path.name):
            history.undo(path)
    assert rows(sqlite) == 1


@pytest.mark.parametrize("options", [{}, {"commit_every": 7}], ids=str)
def test_an_import_can_be_interrupted_after_its_receipt_was_created(sqlite, path, options):
    announced = []
    before_last_step.append(lambda: announced.append(len(lines_of(path))))
    try:
        History(sqlite).import_file(io.BytesIO(stream_of(NEW)), receipt=path, **options)
    finally:
        before_last_step.pop()
    assert announced == [ALL + 1]


@pytest.mark.parametrize("option", ["rejects", "path"])
def test_a_receipt_is_a_file_of_its_own(sqlite, path, option):
    files = {"path": "missing.jsonl"} | {option: path}
    with pytest.raises(ValueError, match="must be a file of its own"):
        History(sqlite).import_file(files.pop("path"), receipt=path, **files)


@pytest.mark.parametrize("room", [0, 100, 300, 700])
def test_without_room_for_the_receipt_nothing_is_imported(databases, path, room):
    engine = stocked(databases("postgresql"))
    with file_limit(room), pytest.raises(OSError, match="too large"):
        History(engine).import_document(NEW, receipt=path)
    assert rows(engine) == 0
    assert History(engine).import_document(NEW, receipt=path).imported == ALL
    assert len(result_of(path)) == ALL


def test_a_receipt_that_cannot_be_created_is_an_error_before_anything_is_written(sqlite, tmp_path):
    with pytest.raises(FileNotFoundError):
        History(sqlite).import_document(NEW, receipt=tmp_path / "missing" / "receipt.jsonl")
    assert rows(sqlite) == 0


def test_a_receipt_takes_no_statement_for_a_single_run(engine, path, count_statements):
    counts = []
    for size in (100, 200):
        given = document(
            *(
                production_run(1000 * size + n, consumptions=[consumption(1000 * size + n)])
                for n in range(size)
            )
        )
        statements = count_statements(engine)
        History(engine).import_document(given, receipt=path)
        counts.append(len(statements.all))
    assert counts[1] - counts[0] < 10


def test_a_failed_import_leaves_the_receipt_without_lines(sqlite, path):
    data = stream_of(NEW)
    with pytest.raises(DocumentError):
        History(sqlite).import_file(io.BytesIO(data[: len(data) // 2]), receipt=path)
    assert rows(sqlite) == 0
    assert not path.exists() or len(lines_of(path)) == 1
