"""histio gives each verdict, count and digest of the corpus of streams, whichever way a file goes in."""

from __future__ import annotations

import io

import pytest

import histio
from histio import History
from histio.files.receipts import reading_receipt
from histio.tuning import tuned
from tests.support.corpus import FOLDERS, INDEXES

FOLDER = FOLDERS["streams"]
CASES = {case["file"]: case for case in INDEXES["streams"]["cases"]}
RECEIPTS = [case for case in CASES.values() if case["type"] == "receipt"]
STREAMS = [case for case in CASES.values() if case["type"] == "stream"]
VALID = [case for case in STREAMS if case["valid"]]
INVALID = [case for case in STREAMS if not case["valid"]]
DIGESTS = ("sha256", "header_sha256", "catalog_sha256")

OF_A_RECORD = {
    f"invalid/{name}.jsonl"
    for name in ("run-without-a-member", "run-is-null", "run-with-a-version", "lone-surrogate")
}
"""Only what checks records finds these."""

OF_A_ROW = {
    *["invalid/row-after-a-run.jsonl", "invalid/not-sealed-row-after-a-run.jsonl"],
    *["invalid/catalog-row-not-json.jsonl", "invalid/run-beside-a-row.jsonl"],
}
"""Only what reads catalogs finds these."""


def path_of(case):
    return FOLDER / case["file"]


def problems_of(read, path):
    """What *read* returns for *path*, or the problems of the error that it raises."""
    try:
        return read(path)
    except (histio.DocumentError, histio.ReceiptError) as error:
        return error.problems


def expected(case):
    return {"file": case["file"], "problems": case["problems"]}


def seen(case, problems):
    """*problems*, each with the members that the index has; all that are beyond those in the index."""
    members = [list(each) for each in case["problems"]]
    members += [["line", "code", "message"]] * (len(problems) - len(members))
    pairs = zip(problems, members, strict=False)
    shown = [{name: getattr(problem, name) for name in names} for problem, names in pairs]
    return {"file": case["file"], "problems": shown}


def without_zeros(counts):
    return {kind: count for kind, count in counts.items() if count}


WITHOUT_DATABASE = History()


@pytest.fixture(scope="module")
def bakery(shelf):
    return History(shelf)


def test_the_verdict_is_the_code_of_the_first_problem():
    assert {case["file"]: case["verdict"] for case in INVALID} == {
        case["file"]: case["problems"][0]["code"] for case in INVALID
    }


def test_a_check_finds_the_problems_of_the_index_and_no_others():
    def check(path):
        return [
            problem
            for problem in histio.check_file(path, history=WITHOUT_DATABASE)
            if problem.severity == "error"
        ]

    found = [seen(case, problems_of(check, path_of(case))) for case in STREAMS]
    assert found == [expected(case) for case in STREAMS]


def test_a_check_warns_of_repeated_names_in_the_header_the_run_and_the_trailer():
    warnings = histio.check_file(FOLDER / "valid/repeated-members.jsonl")
    assert [(each.code, each.line, each.pointer) for each in warnings] == [
        ("duplicate-member", 1, "/header/version"),
        ("duplicate-member", 2, "/production_run/num_batches"),
        ("audit", 2, "/production_run/consumptions"),
        ("duplicate-member", 3, "/trailer/counts"),
        ("duplicate-member", 3, "/trailer/counts/production_run"),
    ]


@pytest.mark.parametrize("full_path_only", [False, True], ids=["either path", "full path"])
def test_an_import_finds_the_problems_and_counts_of_the_index_and_no_others(bakery, full_path_only):
    counts = {}

    def rehearse(path):
        report = bakery.import_file(path, dry_run=True, catalog="create")
        rows = {kind: each.imported + each.skipped for kind, each in report.catalog.items()}
        runs = {kind: each.imported for kind, each in report.by_kind.items()}
        counts[path] = without_zeros(rows | runs)
        return report.problems

    with tuned(full_path_only=full_path_only):
        found = [seen(case, problems_of(rehearse, path_of(case))) for case in STREAMS]
    assert found == [expected(case) for case in STREAMS]
    assert [counts[path_of(case)] for case in VALID] == [without_zeros(case["counts"]) for case in VALID]


def test_an_inspection_states_the_counts_and_digests_of_the_index():
    def inspect(case):
        found = histio.inspect_file(path_of(case), history=WITHOUT_DATABASE)
        stated = {name: getattr(found, name) for name in DIGESTS if name in case}
        runs = {kind: each.runs for kind, each in found.kinds.items()}
        return stated | {"counts": without_zeros({**found.catalog, **runs}), "sealed": found.sealed}

    assert {case["file"]: inspect(case) for case in VALID} == {
        case["file"]: {name: case[name] for name in DIGESTS if name in case}
        | {"counts": without_zeros(case["counts"]), "sealed": case.get("sealed", True)}
        for case in VALID
    }


def test_an_inspection_finds_every_fault_but_those_of_a_record():
    def inspect(path):
        found = histio.inspect_file(path, history=WITHOUT_DATABASE)
        return [problem.code for problem in found.problems] or ["schema"] * found.unreadable

    def codes(path):
        try:
            return inspect(path)
        except histio.DocumentError as error:
            return [problem.code for problem in error.problems]

    found = {case["file"]: codes(path_of(case))[:1] for case in INVALID}
    assert {file: [CASES[file]["verdict"]] for file in found if file not in OF_A_RECORD} == {
        file: codes for file, codes in found.items() if file not in OF_A_RECORD
    }


def merge(path):
    histio.merge([path], io.BytesIO(), history=WITHOUT_DATABASE)


def diff(path):
    list(histio.diff(path, FOLDER / "valid/one-run.jsonl", history=WITHOUT_DATABASE))


def references(path):
    list(histio.references(path, history=WITHOUT_DATABASE))


@pytest.mark.parametrize(
    ("read", "unseen"),
    [
        (merge, OF_A_RECORD),
        (diff, OF_A_RECORD | OF_A_ROW),
        (references, {case["file"] for case in INVALID if case["verdict"] == "schema"}),
    ],
    ids=["merge", "diff", "references"],
)
def test_no_other_way_in_takes_what_is_invalid_or_refuses_what_is_valid(read, unseen):
    def verdict(path):
        return [problem.code for problem in problems_of(read, path) or ()][:1]

    cases = [case for case in STREAMS if case["file"] not in unseen]
    assert {case["file"]: verdict(path_of(case)) for case in cases} == {
        case["file"]: [problem["code"] for problem in case["problems"]][:1] for case in cases
    }


def test_a_merge_of_one_stream_has_its_counts(tmp_path):
    def merged(case):
        report = histio.merge(
            [path_of(case)], tmp_path / "merged.jsonl", history=WITHOUT_DATABASE, overwrite=True
        )
        return without_zeros({**report.catalog, **report.by_kind})

    assert {case["file"]: merged(case) for case in VALID} == {
        case["file"]: without_zeros(case["counts"]) for case in VALID
    }


def test_a_receipt_is_read_as_the_index_says(tmp_path):
    def read(path):
        with reading_receipt(path) as receipt:
            list(receipt.lines())
        return ()

    found = [seen(case, problems_of(read, path_of(case))) for case in RECEIPTS]
    assert found == [expected(case) for case in RECEIPTS]
