"""Files with a catalog: its rows come before the runs, and have a digest of their own."""

from __future__ import annotations

import io
import itertools
import json

import pytest

from histio import DocumentError, History, inspect_file
from histio.files import Source, fail_if_damaged, reading
from histio.files.raw_runs import RawRun
from histio.files.rejects import Rejects
from histio.report import Fault, Problem
from histio.schemas import BUNDLED
from tests.support.catalogs import BOUND, CATALOG, COLLECTIONS, ROWS, RUNS, write
from tests.support.streams import line, text_of


def read(data, kinds=BOUND.all_kinds):
    """The kinds and records in *data*, and the texts of what is no row and no run."""
    with Source(io.BytesIO(data)) as source, reading(source, BOUND.gate, kinds) as file:
        items = list(fail_if_damaged(file.items(), file))
    rows = [(item.kind, item.record) for item in items if isinstance(item, RawRun)]
    return rows, [str(item.fault) for item in items if not isinstance(item, RawRun)]


def damage(data):
    """Why *data* are refused: codes and pointers."""
    with pytest.raises(DocumentError) as caught:
        read(data)
    return {(problem.code, problem.pointer) for problem in caught.value.problems}


STREAM, SEAL = write([*ROWS, *RUNS])
HEADER, *LINES, TRAILER = STREAM.splitlines(keepends=True)


def test_a_catalog_stands_between_the_header_and_the_runs_and_counts_in_the_trailer():
    assert json.loads(HEADER)["header"]["catalog"] == CATALOG
    assert [line(kind, record) for kind, record in [*ROWS, *RUNS]] == LINES
    trailer = json.loads(TRAILER)["trailer"]
    assert trailer["counts"] == {
        "ingredient": 2, "recipe": 1, "finished_unit": 1, "production_run": 1, "assembly_run": 1
    }  # fmt: skip
    assert (trailer["sha256"], trailer["catalog_sha256"]) == (SEAL.sha256, SEAL.catalog_sha256)


def test_the_digest_of_the_runs_is_the_same_with_and_without_a_catalog():
    bare, without = write(RUNS, catalog=[])
    assert (without.sha256, without.catalog_sha256) == (SEAL.sha256, None)
    assert b"catalog" not in bare
    _, empty = write(RUNS)
    assert (empty.sha256, empty.catalog_sha256) == (SEAL.sha256, None)


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("items", [[*ROWS, *RUNS], ROWS, RUNS, []], ids=["both", "rows", "runs", "nothing"])
def test_rows_and_runs_come_back_as_they_were_written(form, items):
    data, _ = write(items, form=form)
    assert read(data) == (items, [])
    assert read(data, BOUND.kinds) == ([item for item in items if item in RUNS], [])
    assert read(data, BOUND.catalog) == ([item for item in items if item in ROWS], [])


def test_the_lists_of_a_document_may_have_any_order():
    lists = {
        COLLECTIONS[kind]: [record for _, record in group]
        for kind, group in itertools.groupby([*ROWS, *RUNS], key=lambda item: item[0])
    }
    for order in itertools.islice(itertools.permutations(lists), 0, None, 7):
        document = {"version": "1.0", **{name: lists[name] for name in order}}
        assert read(text_of(document)) == ([*ROWS, *RUNS], []), order


def test_rejects_hold_rows_of_the_catalog():
    file = io.BytesIO()
    rejects = Rejects(file, "1.0", ["production_run", "assembly_run"], CATALOG)
    for index, (kind, record) in enumerate([*ROWS, *RUNS]):
        raw = RawRun.from_python(kind, record, index)
        rejects.add(raw, [Problem("error", "schema", str(Fault("No.")), kind=kind)])
    assert read(file.getvalue()) == ([*ROWS, *RUNS], [])


def test_a_history_without_catalog_says_what_it_lacks():
    with pytest.raises(DocumentError) as caught:
        inspect_file(io.BytesIO(STREAM), history=History(None, *BUNDLED, catalog=()))
    [problem] = caught.value.problems
    assert str(problem) == (
        "line 1: /header/catalog: Unknown field. (this history has no catalog kinds: pass catalog=)"
    )


@pytest.mark.parametrize("opening", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_a_file_may_begin_with_a_byte_order_mark(opening):
    assert read(opening + STREAM) == ([*ROWS, *RUNS], [])


def test_a_row_after_a_run_is_a_problem_of_its_line():
    unsealed = line("header", {"version": "1.0", "sealed": False, "catalog": CATALOG})
    late = unsealed + line(*RUNS[0]) + line(*ROWS[0]) + line(*RUNS[1])
    assert read(late) == (RUNS, ["Catalog rows come before the runs."])
    assert read(late, BOUND.kinds) == (RUNS, [])


def test_a_row_of_a_kind_that_the_header_does_not_name_is_a_problem_of_its_line():
    named = line("header", {"version": "1.0", "sealed": False, "catalog": ["ingredient"]})
    rows, faults = read(named + b"".join(line(*row) for row in ROWS) + line(*RUNS[0]))
    assert rows == [*ROWS[:2], RUNS[0]]
    assert faults == [
        'The header does not name the catalog kind recipe: add it to "catalog" there.',
        'The header does not name the catalog kind finished_unit: add it to "catalog" there.',
    ]


def test_any_two_lines_that_change_places_are_noticed():
    for one, other in itertools.combinations(range(len(LINES)), 2):
        lines = list(LINES)
        lines[one], lines[other] = lines[other], lines[one]
        pointers = {pointer for _, pointer in damage(b"".join([HEADER, *lines, TRAILER]))}
        assert pointers & {"/trailer/sha256", "/trailer/catalog_sha256"}, (one, other)


@pytest.mark.slow
def test_any_byte_that_changes_is_noticed():
    for place in range(len(HEADER), len(STREAM) - len(TRAILER)):
        assert damage(STREAM[:place] + bytes([STREAM[place] ^ 1]) + STREAM[place + 1 :]), place


@pytest.mark.slow
def test_a_stream_that_is_cut_anywhere_is_truncated():
    for cut in range(1, len(STREAM)):
        assert {code for code, _ in damage(STREAM[:cut])} == {"truncated"}, cut


@pytest.mark.parametrize(
    ("lines", "pointers"),
    [
        pytest.param(LINES[:3] + LINES[4:], {"/trailer/counts", "/trailer/catalog_sha256"}, id="a row less"),
        pytest.param(LINES[4:], {"/trailer/counts", "/trailer/catalog_sha256"}, id="no catalog"),
        pytest.param(LINES[:4], {"/trailer/counts", "/trailer/sha256"}, id="no runs"),
        pytest.param([*LINES[4:], *LINES[:4]], {"/trailer/sha256", "/trailer/catalog_sha256"}, id="after"),
        pytest.param([LINES[1], *LINES[1:]], {"/trailer/catalog_sha256"}, id="another row"),
    ],
)
def test_what_differs_from_the_trailer_is_named(lines, pointers):
    found = damage(b"".join([HEADER, *lines, TRAILER]))
    assert found == {("corrupt", pointer) for pointer in pointers}


def test_a_trailer_has_a_digest_of_the_catalog_exactly_where_there_are_rows():
    trailer = json.loads(TRAILER)["trailer"]
    without = {name: value for name, value in trailer.items() if name != "catalog_sha256"}
    assert damage(STREAM.replace(TRAILER, line("trailer", without))) == {
        ("corrupt", "/trailer/catalog_sha256")
    }
    data, _ = write(RUNS)
    sealed = json.loads(data.splitlines()[-1])["trailer"] | {"catalog_sha256": "0" * 64}
    changed = b"".join([*data.splitlines(keepends=True)[:-1], line("trailer", sealed)])
    assert damage(changed) == {("corrupt", "/trailer/catalog_sha256")}
