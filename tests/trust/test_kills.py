"""Processes that are killed at any moment: what is stored is whole, and a repetition completes it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from histio import History
from histio.models import Ingredient, Product, Recipe
from tests.support import shop
from tests.support.bakery import number
from tests.support.catalogs import STOCK, as_file
from tests.support.databases import DIALECTS, stocked
from tests.support.interrupted import EMPTY, IMPORTS, MORE, NEW, RUNS, check_is_whole, without_bad
from tests.support.receipts import result_of
from tests.support.reports import rows, runs_by_uuid, stored
from tests.support.victims import HISTORIES, Worker

ALL = len(runs_by_uuid(NEW))


def order(n):
    return shop.order(n, parent=number(n + 3) if n < 38 else None, lines=[shop.line(1)], shipment=None)


EXPORTS = {
    "a stream": ("history.jsonl", []),
    "a document over another": ("history.json", [b"the previous file"]),
    "a compressed stream": ("history.jsonl.zst", []),
    "a compressed stream over another": ("history.jsonl.gz", [b"the previous file"]),
}
"""The name of the file, and what it holds before."""


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """Where the processes make their temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def worker(temporary):
    made = Worker(temporary)
    yield made
    made.close()


def moment(chance, whole, size):
    """When to kill what takes so many steps and seconds as *whole* did, and writes files of *size* bytes."""
    ends = {"step": whole.steps, "second": whole.seconds, "byte": size}
    what = chance.choice([name for name, end in ends.items() if end])
    return what, chance.uniform(0, ends[what])


def size_of(engine):
    """The size of the file of a database; 0: it has none that the process writes to."""
    return Path(engine.url.database).stat().st_size if engine.dialect.name == "sqlite" else 0


def contents(folder, pattern="*"):
    """The files in a folder."""
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


COMPLETE = "[!.]*"
"""The names of files that are no leftovers."""


@pytest.mark.slow
@pytest.mark.parametrize(("before", "given", "form", "options"), IMPORTS.values(), ids=IMPORTS)
def test_an_import_that_is_killed_leaves_whole_runs_and_its_repetition_the_rest(
    databases, worker, tries, tmp_path, temporary, before, given, form, options
):
    path, rejects = tmp_path / "history", tmp_path / "rejects.jsonl"
    path.write_bytes(form(given))
    options = options | ({"rejects": str(rejects)} if "rejects" in options else {})
    step = options.get("commit_every", len(RUNS) + len(MORE))

    def begin(dialect):
        engine = stocked(databases(dialect))
        History(engine).import_document(before)
        return engine

    for each in tries(1):
        with each as chance:
            dialect = chance.choice(DIALECTS)
            engine = begin(dialect)
            whole = worker(engine, "import_file", path, **options)
            assert whole.code == 0, whole.text
            after, left = stored(engine), contents(tmp_path)
            assert after == runs_by_uuid(before) | runs_by_uuid(without_bad(given))
            begin(dialect)
            rejects.unlink(missing_ok=True)
            killed_at = moment(chance, whole, size_of(engine))
            killed = worker(engine, "import_file", path, killed_at=killed_at, **options)
            assert killed.code <= 0, killed.text
            check_is_whole(stored(engine), before, given, step)
            assert contents(tmp_path, COMPLETE).items() <= left.items()
            again = worker(engine, "import_file", path, **options)
            assert again.code == 0, again.text
            assert stored(engine) == after
            assert (contents(tmp_path), contents(temporary)) == (left, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "numbers"),
    [({}, (0, ALL)), ({"commit_every": 7}, range(ALL + 1))],
    ids=["at once", "in parts"],
)
def test_a_catalog_is_never_without_rows_that_its_runs_need(
    databases, worker, tries, tmp_path, temporary, options, numbers
):
    path = tmp_path / "history.jsonl"
    path.write_bytes(as_file(STOCK | NEW).getvalue())
    work = functools.partial(worker, method="import_file", path=path, catalog="create", **options)
    for each in tries(1):
        with each as chance:
            dialect = chance.choice(DIALECTS)
            engine = databases(dialect)
            whole = work(engine)
            assert whole.code == 0, whole.text
            assert (stored(engine), rows(engine, Product)) == (runs_by_uuid(NEW), 1)
            engine = databases(dialect)
            killed = work(engine, killed_at=moment(chance, whole, size_of(engine)))
            assert killed.code <= 0, killed.text
            whole_catalog = [rows(engine, model) for model in (Ingredient, Recipe, Product)]
            assert whole_catalog in ([0, 0, 0], [2, 1, 1])
            assert len(stored(engine)) in numbers
            again = work(engine)
            assert again.code == 0, again.text
            assert (stored(engine), rows(engine, Product)) == (runs_by_uuid(NEW), 1)
            assert contents(temporary) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a stream", "an update", "an update in parts"])
def test_an_import_and_its_undo_that_are_killed_end_as_if_they_were_not(
    databases, worker, tries, tmp_path, temporary, name
):
    before, given, form, options = IMPORTS[name]
    path, receipt = tmp_path / "history", tmp_path / "receipt.jsonl"
    path.write_bytes(form(given))

    def begin(dialect):
        engine = stocked(databases(dialect))
        History(engine).import_document(before)
        receipt.unlink(missing_ok=True)
        return engine

    def work(method, *arguments, **others):
        ended = worker(engine, method, *arguments, **others)
        assert ended.code <= 0, ended.text
        return ended

    for each in tries(1):
        with each as chance:
            dialect = chance.choice(DIALECTS)
            engine = begin(dialect)
            whole = work("import_file", path, receipt=str(receipt), **options)
            written, after, size = result_of(receipt), stored(engine), receipt.stat().st_size
            undone = work("undo", receipt)
            begin(dialect)
            at = moment(chance, whole, max(size, size_of(engine)))
            work("import_file", path, receipt=str(receipt), killed_at=at, **options)
            work("import_file", path, receipt=str(receipt), **options)
            assert (stored(engine), result_of(receipt)) == (after, written)
            kept = receipt.read_bytes()
            work("undo", receipt, killed_at=moment(chance, undone, size_of(engine)))
            assert stored(engine) in (after, runs_by_uuid(before))
            work("undo", receipt)
            assert (stored(engine), receipt.read_bytes()) == (runs_by_uuid(before), kept)
            assert ({*contents(tmp_path)}, contents(temporary)) == ({path.name, receipt.name}, {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "previous"), EXPORTS.values(), ids=EXPORTS)
def test_an_export_that_is_killed_leaves_the_previous_file_or_the_new_one(
    databases, worker, tries, tmp_path, temporary, name, previous
):
    path = tmp_path / name
    for each in tries(1):
        with each as chance:
            engine = stocked(databases(chance.choice(DIALECTS)))
            History(engine).import_document(NEW)
            whole = worker(engine, "export_file", path, overwrite=True)
            assert whole.code == 0, whole.text
            new = path.read_bytes()
            path.unlink()
            for data in previous:
                path.write_bytes(data)
            killed_at = moment(chance, whole, len(new))
            killed = worker(engine, "export_file", path, killed_at=killed_at, overwrite=True)
            assert killed.code <= 0, killed.text
            assert [*contents(tmp_path, COMPLETE).values()] in (previous, [new])
            again = worker(engine, "export_file", path, overwrite=True)
            assert again.code == 0, again.text
            assert (contents(tmp_path), contents(temporary)) == ({name: new}, {})


@pytest.mark.slow
@pytest.mark.parametrize(("step", "options"), [(100, {}), (8, {"commit_every": 8})])
def test_a_copy_that_is_killed_leaves_whole_parts(databases, worker, tries, temporary, step, options):
    source = stocked(databases("sqlite", 1))
    History(source).import_document(NEW)
    path = Path(source.url.database)
    for each in tries(1):
        with each as chance:
            dialect = chance.choice(DIALECTS)
            engine = stocked(databases(dialect))
            whole = worker(engine, "copy", path, **options)
            assert whole.code == 0, whole.text
            assert stored(engine) == runs_by_uuid(NEW)
            engine = stocked(databases(dialect))
            killed = worker(engine, "copy", path, killed_at=moment(chance, whole, 0), **options)
            assert killed.code <= 0, killed.text
            check_is_whole(stored(engine), EMPTY, NEW, step)
            again = worker(engine, "copy", path, **options)
            assert again.code == 0, again.text
            assert (stored(engine), contents(temporary)) == (runs_by_uuid(NEW), {})


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"commit_every": 7}], ids=["at once", "in parts"])
def test_runs_that_refer_to_later_ones_end_in_too(create, worker, tries, tmp_path, options):
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(shop.orders(*map(order, RUNS))))

    def begin():
        return create(shop.Base.metadata, *shop.catalog())

    def work(**others):
        ended = worker(engine, "import_file", path, history="orders", **options, **others)
        assert ended.code <= 0, ended.text
        return ended, runs_by_uuid(HISTORIES["orders"](engine).export_document(), "orders")

    engine = begin()
    whole, after = work()
    assert len(after) == len(RUNS)
    for each in tries(1):
        with each as chance:
            begin()
            _, found = work(killed_at=moment(chance, whole, size_of(engine)))
            assert found == {uuid: after[uuid] for uuid in found}
            assert work()[1] == after
