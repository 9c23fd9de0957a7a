"""Several files of history made one: as if it had been exported as a whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histio import DocumentError, ExportError, History, inspect_file
from histio.comparing.diff import diff
from histio.comparing.merge import merge
from tests.support import shop
from tests.support.bakery import TIME, assembly_run, document, number, production_run, without
from tests.support.catalogs import CATALOG, ROWS, RUNS, write
from tests.support.databases import stocked
from tests.support.differences import imported, production, stream, whole
from tests.support.effort import examples
from tests.support.jobs import TENANT, UPGRADES, JobSchema, jobs
from tests.support.streams import line, piped, sealed

MOMENT = dt.datetime(2025, 12, 9, 12, tzinfo=dt.UTC)
SOME = document(
    *(production_run(n, produced_at=f"2025-12-0{n % 7 + 1}T10:00:00Z") for n in range(1, 30)),
    assembly=[assembly_run(n, assembled_at=f"2025-12-0{n % 5 + 1}T10:00:00Z") for n in range(1, 15)],
)
DAY = dt.datetime(2025, 12, 4, tzinfo=dt.UTC)
BEFORE = DAY - dt.timedelta(microseconds=1)


@pytest.fixture
def history(sqlite):
    return imported(sqlite, SOME)


def lines_of(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def header_of(path):
    return lines_of(path)[0]["header"]


def numbers_in(path):
    """The last digits of the runs of a stream, in their order."""
    runs = [run for line in lines_of(path)[1:-1] for run in line.values()]
    return [int(run["uuid"][-2:], 16) for run in runs]


@pytest.mark.slow
def test_parts_make_the_bytes_of_the_whole_on_every_database(engine, tmp_path):
    own = imported(engine, SOME)
    own.export_file(tmp_path / "whole.jsonl", exported_at=MOMENT)
    own.export_file(tmp_path / "early.jsonl.gz", until=BEFORE)
    own.export_file(tmp_path / "late.json", since=DAY)
    merge([tmp_path / "late.json", tmp_path / "early.jsonl.gz"], tmp_path / "one.jsonl", exported_at=MOMENT)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.json.gz", "x.jsonl.zst"])
def test_every_form_is_written_as_an_export_writes_it(history, tmp_path, name):
    options = {"exported_at": MOMENT}
    (tmp_path / "whole").mkdir()
    exported = history.export_file(tmp_path / "whole" / name, **options)
    for kind in history.kinds:
        history.export_file(tmp_path / f"{kind}.jsonl", kinds=kind, **options)
    parts = [tmp_path / f"{kind}.jsonl" for kind in reversed(history.kinds)]
    assert merge(parts, tmp_path / name) == exported
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_what_is_merged_is_sealed_and_can_be_imported(history, databases, tmp_path):
    history.export_file(tmp_path / "a.jsonl", until=DAY)
    history.export_file(tmp_path / "b.jsonl", since=DAY)
    report = merge([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "one.jsonl")
    other = History(stocked(databases("sqlite", 1)))
    assert other.import_file(tmp_path / "one.jsonl").imported == report.exported == 43
    assert list(diff(history, other)) == []


def test_the_report_tells_what_was_written(history, tmp_path):
    path = tmp_path / "one.jsonl"
    history.export_file(tmp_path / "a.jsonl", exported_at=MOMENT)
    report = merge([tmp_path / "a.jsonl"], path)
    trailer = lines_of(path)[-1]["trailer"]
    assert report.by_kind == trailer["counts"] == {"production_run": 29, "assembly_run": 14}
    assert report.sha256 == trailer["sha256"]
    assert (report.bytes, report.version) == (path.stat().st_size, "1.0")
    assert report.exported_at == "2025-12-09T12:00:00Z"


# --- runs that come several times --------------------------------------------------------------------------


@pytest.mark.parametrize("time", [TIME, "2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"])
@pytest.mark.parametrize("forms", [(production, production), (production, whole), (whole, production)])
def test_the_later_file_counts_whatever_the_time(tmp_path, time, forms):
    old = [production_run(n) for n in (1, 2, 3)]
    new = [production_run(2, produced_at=time, notes="new"), production_run(4)]
    files = [
        form(*given) if form is production else form(document(*given))
        for form, given in zip(forms, (old, new), strict=True)
    ]
    merge(files, tmp_path / "x.jsonl")
    expected = sorted([old[0], old[2], *new], key=lambda run: (run["produced_at"], run["uuid"]))
    assert [line["production_run"] for line in lines_of(tmp_path / "x.jsonl")[1:-1]] == expected


def test_the_earlier_file_gives_way_also_where_it_is_not_sorted(tmp_path):
    old = [production_run(n) for n in (3, 2, 1)]
    merge([production(*old), production(production_run(2, notes="new"))], tmp_path / "x.jsonl")
    notes = [line["production_run"]["notes"] for line in lines_of(tmp_path / "x.jsonl")[1:-1]]
    assert notes == ["Test batch", "new", "Test batch"]


def test_overlapping_parts_hold_each_run_once(history, tmp_path):
    whole_one = history.export_file(tmp_path / "whole.jsonl")
    history.export_file(tmp_path / "late.jsonl", since=DAY)
    paths = [tmp_path / name for name in ("whole.jsonl", "late.jsonl", "whole.jsonl")]
    assert merge(paths, tmp_path / "one.jsonl").sha256 == whole_one.sha256


def test_the_same_uuid_in_two_kinds_is_two_runs(tmp_path):
    merge(
        [stream(("assembly_run", assembly_run(1)), ("production_run", production_run(1)))],
        tmp_path / "x.jsonl",
    )
    assert numbers_in(tmp_path / "x.jsonl") == [1, 1]


@settings(max_examples=examples(30))
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), max_size=12), min_size=1, max_size=4)
)
def test_any_files_make_one_in_order_with_the_last_of_every_run(parts):
    runs = [
        [
            production_run(n, produced_at=f"2025-12-0{day}T10:00:00Z", notes=f"{place} {index}")
            for index, (n, day) in enumerate(part)
        ]
        for place, part in enumerate(parts)
    ]
    out = io.BytesIO()
    merge([production(*part) for part in runs], out)
    last = {run["uuid"]: run for part in runs for run in part}
    expected = sorted(last.values(), key=lambda run: (run["produced_at"], run["uuid"]))
    assert [json.loads(line)["production_run"] for line in out.getvalue().splitlines()[1:-1]] == expected


# --- one file ---------------------------------------------------------------------------------------------


def test_a_file_without_order_or_seal_becomes_an_export(history, tmp_path):
    exported = history.export_file(tmp_path / "whole.jsonl")
    runs = lines_of(tmp_path / "whole.jsonl")[1:-1]
    random.Random(0).shuffle(runs)
    mended = stream(*(next(iter(run.items())) for run in runs))
    assert merge([mended], tmp_path / "x.jsonl").sha256 == exported.sha256


def test_what_was_rejected_is_merged_without_its_problems(tmp_path):
    line = {"production_run": production_run(1), "problems": [{"code": "schema"}]}
    file = io.BytesIO(stream().getvalue() + json.dumps(line).encode() + b"\n")
    merge([file], tmp_path / "x.jsonl")
    assert lines_of(tmp_path / "x.jsonl")[1] == {"production_run": production_run(1)}


def test_records_are_written_as_they_stand(tmp_path):
    record = production_run(
        1, total_ingredient_cost="5.25", produced_at="2025-12-08T11:00:00+01:00", surprise=1
    )
    merge([production(production_run(2, produced_at="2025-12-08T10:30:00Z"), record)], tmp_path / "x.jsonl")
    assert lines_of(tmp_path / "x.jsonl")[1] == {"production_run": record}
    assert numbers_in(tmp_path / "x.jsonl") == [1, 2]


def test_a_pipe_is_merged(history, tmp_path):
    exported = history.export_file(tmp_path / "whole.jsonl")
    with piped((tmp_path / "whole.jsonl").read_bytes()) as file:
        assert merge([file], tmp_path / "x.jsonl").sha256 == exported.sha256


@pytest.mark.slow
def test_a_file_may_take_the_place_of_one_that_is_merged(history, tmp_path):
    path = tmp_path / "all.jsonl"
    history.export_file(tmp_path / "whole.jsonl", exported_at=MOMENT)
    history.export_file(path, until=BEFORE)
    history.export_file(tmp_path / "late.jsonl", since=DAY)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        merge([path, tmp_path / "late.jsonl"], path)
    assert path.read_bytes() == before
    merge([path, tmp_path / "late.jsonl"], path, overwrite=True, exported_at=MOMENT)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


# --- the header -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ([{"kinds": ["production_run"]}, {"kinds": ["assembly_run"]}], ["production_run", "assembly_run"]),
        ([{"kinds": ["assembly_run"]}], ["assembly_run"]),
        ([{"kinds": ["assembly_run"]}, {}], ["production_run", "assembly_run"]),
        ([{"kinds": []}], []),
    ],
)
def test_the_kinds_are_those_of_all_headers(tmp_path, files, kinds):
    merge([stream(**header) for header in files], tmp_path / "x.jsonl")
    assert header_of(tmp_path / "x.jsonl")["kinds"] == kinds


def test_the_kinds_of_a_document_are_its_lists(tmp_path):
    given = without(document(production_run(1)), "assembly_runs")
    merge([whole(given)], tmp_path / "x.json")
    assert list(json.loads((tmp_path / "x.json").read_text())) == [
        "version",
        "exported_at",
        "production_runs",
    ]


def test_a_kind_that_no_header_names_is_not_lost(tmp_path):
    file = stream(("assembly_run", assembly_run(1)), kinds=["production_run"])
    merge([file], tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["assembly_runs"] == [assembly_run(1)]


def test_the_time_is_the_latest_of_the_files(tmp_path):
    times = ["2025-12-08T10:00:00Z", "2025-12-08T12:00:00+03:00", "2025-12-08T09:30:00-01:00"]
    merge([stream(exported_at=time) for time in times] + [stream()], tmp_path / "x.jsonl")
    assert header_of(tmp_path / "x.jsonl")["exported_at"] == "2025-12-08T10:30:00Z"


def test_without_any_time_it_is_now(tmp_path):
    before = dt.datetime.now(dt.UTC)
    report = merge([stream()], tmp_path / "x.jsonl")
    assert before <= dt.datetime.fromisoformat(report.exported_at) <= dt.datetime.now(dt.UTC)


FOREIGN = hashlib.sha256(b"elsewhere").hexdigest()


def increments(history, directory, *, first=None):
    """Three exports of which each names the one before; the first one names *first*."""
    follows, paths = first, []
    for n in range(3):
        paths.append(directory / f"{n}.jsonl")
        bounds = {"since": DAY + dt.timedelta(days=n - 1), "until": BEFORE + dt.timedelta(days=n)}
        follows = history.export_file(paths[-1], follows=follows, **bounds).sha256
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("first", [None, FOREIGN])
def test_a_chain_of_increments_follows_what_its_first_one_follows(history, tmp_path, first):
    paths = increments(history, tmp_path, first=first)
    for place, order in enumerate((paths, paths[::-1])):
        merge(order, tmp_path / f"one{place}.jsonl")
        assert header_of(tmp_path / f"one{place}.jsonl").get("follows") == first


@pytest.mark.slow
def test_a_part_of_a_chain_follows_what_came_before_it(history, tmp_path):
    paths = increments(history, tmp_path)
    merge(paths[1:], tmp_path / "one.jsonl")
    assert header_of(tmp_path / "one.jsonl")["follows"] == lines_of(paths[0])[-1]["trailer"]["sha256"]


def test_a_chain_of_files_without_runs_follows_what_its_first_one_follows(history, tmp_path):
    paths = [tmp_path / f"{number}.jsonl" for number in range(4)]
    follows = {}
    for path in paths:
        report = history.export_file(path, since=dt.date(2999, 1, 1), **follows)
        follows = {"follows": report.sha256, "follows_header": report.header_sha256}
    report = merge(paths[:0:-1], tmp_path / "one.jsonl")
    first, found = (inspect_file(path) for path in (paths[0], tmp_path / "one.jsonl"))
    assert (found.follows, found.follows_header) == (first.sha256, first.header_sha256)
    assert report.header_sha256 == found.header_sha256


def test_a_stream_that_is_written_in_another_way_is_followed_by_its_own_digest(tmp_path):
    spaced = sealed(line("production_run", production_run(1)).replace(b'":', b'": '))
    digest = json.loads(spaced.splitlines()[-1])["trailer"]["sha256"]
    merge([stream(follows=digest), io.BytesIO(spaced)], tmp_path / "one.jsonl")
    assert "follows" not in header_of(tmp_path / "one.jsonl")


def test_an_increment_of_a_document_is_one_of_its_runs(history, tmp_path):
    sha256 = history.export_file(tmp_path / "0.json").sha256
    history.export_file(tmp_path / "1.jsonl", since=DAY, follows=sha256)
    merge([tmp_path / "1.jsonl", tmp_path / "0.json"], tmp_path / "one.jsonl")
    assert "follows" not in header_of(tmp_path / "one.jsonl")


def test_a_predecessor_can_be_named(tmp_path):
    merge([stream(follows=hashlib.sha256(b"").hexdigest())], tmp_path / "x.jsonl", follows=FOREIGN)
    assert header_of(tmp_path / "x.jsonl")["follows"] == FOREIGN


# --- hosts ------------------------------------------------------------------------------------------------


def test_the_kinds_of_a_host_are_merged(tmp_path):
    days = {1: "2025-12-08", 2: None, 3: "2025-12-07", 4: None}
    records = {n: shop.order(n, placed_on=day) for n, day in days.items()}
    parts = [whole(shop.orders(records[4], records[1])), whole(shop.orders(records[3], records[2]))]
    merge(parts, tmp_path / "x.json", history=History(None, shop.OrderSchema))
    assert json.loads((tmp_path / "x.json").read_text())["orders"] == [records[n] for n in (2, 4, 3, 1)]


def test_runs_without_time_are_merged_by_their_identity(tmp_path):
    parts = [whole(jobs(4, 2)), whole(jobs(3, 1))]
    merge(parts, tmp_path / "x.jsonl", history=History(None, JobSchema, values=TENANT))
    assert numbers_in(tmp_path / "x.jsonl") == [1, 2, 3, 4]


def test_older_records_are_brought_up(tmp_path):
    old = without(shop.order(1, colour="red"), "total", "weight") | {"dollars": 5}
    files = [stream(("order", old)), stream(("order", shop.order(2)), version="2.1")]
    history = History(None, shop.OrderSchema, version="2.1", upgrades=UPGRADES)
    assert merge(files, tmp_path / "x.jsonl", history=history).version == "2.1"
    header, first, *_ = lines_of(tmp_path / "x.jsonl")
    assert header["header"]["version"] == "2.1"
    assert (first["order"]["total"], first["order"]["colour"]) == ("5.00", "RED")


# --- what cannot be merged ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (
            lambda text: text[: text.rindex(b'{"trailer"')],
            r"bad\.jsonl: The stream ends after line \d+, without",
        ),
        (lambda text: text.replace(b'"cups"', b'"Cups"', 1), r"bad\.jsonl: The runs have been changed"),
        (lambda text: text + text, r"bad\.jsonl: The trailer is not the last line. .* use histio merge"),
        (lambda _: b"", r"bad\.jsonl is empty"),
        (lambda _: b"[]", r"bad\.jsonl"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_written(history, tmp_path, spoil, why):
    history.export_file(tmp_path / "good.jsonl")
    (tmp_path / "bad.jsonl").write_bytes(spoil((tmp_path / "good.jsonl").read_bytes()))
    with pytest.raises(DocumentError, match=why):
        merge([tmp_path / "good.jsonl", tmp_path / "bad.jsonl"], tmp_path / "x.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "good.jsonl"]


def test_all_that_is_no_run_is_told(tmp_path):
    bad = stream(("production_run", production_run(1)), ("order", {}), ("production_run", {}))
    with pytest.raises(DocumentError) as caught:
        merge([stream(), bad], tmp_path / "x.jsonl")
    assert [problem.line for problem in caught.value.problems] == [3, 4]


def test_text_that_is_no_unicode_is_told(tmp_path):
    with pytest.raises(ExportError, match=f"{number(1)}: is not JSON: a lone surrogate"):
        merge([production(production_run(1, notes="\ud800"))], tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "options", "error", "why"),
    [
        (([], "x.jsonl"), {}, ValueError, "no files to merge"),
        (("a.jsonl", "x.jsonl"), {}, TypeError, "merge takes a list of files, not 'a.jsonl'"),
        ((stream(), "x.jsonl"), {}, TypeError, "merge takes a list of files"),
        (([stream()], "x.txt"), {}, ValueError, "x.txt has no known suffix"),
        (
            ([stream()], "x.json"),
            {"follows": FOREIGN},
            ValueError,
            "only the header of a stream can",
        ),
        (([stream()], "x.jsonl"), {"follows": "x"}, ValueError, "follows: a sha256 has 64"),
        (([stream()], "x.jsonl"), {"exported_at": dt.datetime(2025, 1, 1)}, ValueError, "aware"),  # noqa: DTZ001
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, monkeypatch, arguments, options, error, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=why):
        merge(*arguments, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_parts_with_catalogs_make_the_bytes_of_the_whole_on_every_database(engine, tmp_path):
    own = imported(engine, SOME)
    slugs = ["Zeta", "alpha", "\u00c4lpha", "zeta", "z eta", "\ufb00", "\U0001f36a", "0", "_", "a\u0308"]
    recipes = [{"slug": slug, "name": "x"} for slug in slugs]
    own.import_document({"version": "1.0", "recipes": recipes}, catalog="create")
    own.export_file(tmp_path / "whole.jsonl", exported_at=MOMENT, catalog="all")
    own.export_file(tmp_path / "early.jsonl", until=BEFORE, catalog="used")
    own.export_file(tmp_path / "late.json", since=DAY, catalog="all")
    own.export_file(tmp_path / "used.jsonl", exported_at=MOMENT, catalog="used")
    own.export_file(tmp_path / "late.jsonl", since=DAY, catalog="used")
    for whole_file, *parts in (
        ("whole.jsonl", "early.jsonl", "late.json"),
        ("used.jsonl", "late.jsonl", "early.jsonl"),
    ):
        merge([tmp_path / part for part in parts], tmp_path / "one.jsonl", exported_at=MOMENT, overwrite=True)
        assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / whole_file).read_bytes()


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_catalogs_become_one(tmp_path, form):
    whole_file, seal = write([*ROWS, *RUNS], form=form)
    parts = [write([ROWS[3], RUNS[1]])[0], write(RUNS[:1])[0], write(ROWS[:3], form="json")[0]]
    report = merge(map(io.BytesIO, parts), tmp_path / f"x.{form}")
    assert (tmp_path / f"x.{form}").read_bytes() == whole_file
    assert (report.exported, report.by_kind) == (2, {"production_run": 1, "assembly_run": 1})
    counts = {"ingredient": 2, "recipe": 1, "finished_unit": 1, "finished_good": 0, "product": 0}
    assert (report.catalog, report.catalog_sha256) == (counts, seal.catalog_sha256)


def test_rows_are_sorted_and_the_last_one_of_a_slug_counts(tmp_path):
    old = ("ingredient", {"slug": "flour", "display_name": "Mehl"})
    merge([io.BytesIO(write([*ROWS[::-1], old, *RUNS])[0])], tmp_path / "sorted.jsonl")
    given = [io.BytesIO(write([old, *RUNS])[0]), io.BytesIO(write(ROWS)[0])]
    merge(given, tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_bytes() == write([*ROWS, *RUNS])[0]
    assert (tmp_path / "sorted.jsonl").read_bytes() == write([ROWS[0], old, *ROWS[2:], *RUNS])[0]


def test_the_header_names_the_catalog_kinds_of_all_files(tmp_path):
    merge(
        [io.BytesIO(write(RUNS, catalog=kinds)[0]) for kinds in ([], ["recipe"], ["product"])],
        tmp_path / "x.jsonl",
    )
    assert header_of(tmp_path / "x.jsonl")["catalog"] == ["recipe", "product"]
    merge([io.BytesIO(write(RUNS, catalog=[])[0])], tmp_path / "y.jsonl")
    assert (tmp_path / "y.jsonl").read_bytes() == write(RUNS, catalog=[])[0]


def test_a_catalog_does_not_hide_what_a_file_follows(tmp_path):
    first, seal = write([*ROWS, *RUNS[:1]])
    files = [stream(RUNS[1], follows=seal.sha256), io.BytesIO(first)]
    merge(files, tmp_path / "x.jsonl")
    header = header_of(tmp_path / "x.jsonl")
    assert (header["catalog"], header.get("follows")) == (CATALOG, None)


def test_a_row_without_its_key_is_told():
    bad = write([("recipe", {"slug": "cookies", "name": "Cookies"}), ("recipe", {"name": "Bread"})])[0]
    with pytest.raises(DocumentError) as caught:
        merge([io.BytesIO(bad)], io.BytesIO())
    [problem] = caught.value.problems
    assert (problem.line, problem.pointer, problem.kind) == (3, "/recipe/slug", "recipe")


@pytest.mark.thorough
@pytest.mark.parametrize("step", [1, -1], ids=["in order", "backwards"])
def test_memory_does_not_grow_with_the_runs(tmp_path, step):
    paths = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    for place, path in enumerate(paths):
        with path.open("w") as file:
            file.write('{"header": {"version": "1.0", "sealed": false}}\n')
            for n in range(place * 1000, 3000 + place * 1000)[::step]:
                file.write(json.dumps({"production_run": production_run(n)}) + "\n")
    merge([stream()], tmp_path / "warm.jsonl")
    tracemalloc.start()
    assert merge(paths, tmp_path / "x.jsonl").exported == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
