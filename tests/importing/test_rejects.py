"""What an import rejects is kept, with the reasons, in a file that can be imported once it is mended."""

from __future__ import annotations

import gzip
import io
import json

import pytest
import sqlalchemy as sa
import zstandard
from jsonschema import Draft202012Validator

from histio import DocumentError, History
from histio.kinds.json_schema import published
from histio.models import ProductionRun, Recipe
from tests.support.bakery import assembly_run, consumption, document, production_run, without
from tests.support.streams import FAULTY, FORMS, line, piped, run_lines, sealed, text_of, unsealed

OF_LINES = Draft202012Validator({"$ref": "#/$defs/stream_line", "$defs": published()["$defs"]})
GOOD = line("production_run", production_run(1))
STALE = line("production_run", production_run(70, recipe_slug="stale"))
CAKE = line("assembly_run", assembly_run(71, finished_good_slug="cake"))


@pytest.fixture
def history(sqlite):
    return History(sqlite)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rejects.jsonl"


def read(path):
    """The header of rejects, and their lines."""
    header, *lines = map(json.loads, path.read_bytes().splitlines())
    return header["header"], lines


def codes(line_):
    return [problem["code"] for problem in line_["problems"]]


def counts(report):
    return report.imported, report.updated, report.skipped, report.rejected


# --- what is in them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_rejected_run_is_kept_once_as_it_came_with_all_its_problems(history, path, form):
    report = history.import_file(io.BytesIO(form(FAULTY)), rejects=path)
    header, lines = read(path)
    assert header == {"version": "1.0", "kinds": ["production_run", "assembly_run"], "sealed": False}
    problems = {(problem.kind, problem.index): [] for problem in report.problems}
    for problem in report.to_dict()["problems"]:
        told = {member: value for member, value in problem.items() if value is not None}
        problems[problem["kind"], problem["index"]].append(told)
    runs = [FAULTY[f"{kind}s"][index] for kind, index in problems]
    assert [[each.pop("problems"), *each.values()] for each in lines] == [
        [told, run] for told, run in zip(problems.values(), runs, strict=True)
    ]
    assert len(lines) == report.rejected


def test_lines_are_compact_and_begin_with_the_problems(history, path):
    run = production_run(1, recipe_slug="stale", notes='"a" : [ 1 ]\n\\')
    for data in (json.dumps(document(run), indent=4).encode(), unsealed(line("production_run", run))):
        history.import_file(io.BytesIO(data), rejects=path)
        _, text = path.read_text("utf-8").splitlines()
        assert list(json.loads(text)) == ["problems", "production_run"]
        assert text == json.dumps(json.loads(text), separators=(",", ":"))
        assert json.loads(text)["production_run"] == run


def test_rejects_keep_to_the_published_schema(history, path):
    history.import_file(io.BytesIO(unsealed(b"nonsense\n", STALE, CAKE)), rejects=path)
    lines = list(map(json.loads, path.read_bytes().splitlines()))
    assert "unreadable" in lines[1]
    assert list(map(OF_LINES.is_valid, lines)) == [True] * 4


@pytest.mark.slow
def test_what_is_read_is_imported_or_updated_or_skipped_or_rejected(sqlite, path):
    total = len(FAULTY["production_runs"] + FAULTY["assembly_runs"])
    data = unsealed(b"nonsense\n", *run_lines(FAULTY, ascii_only=True), b"\n")
    for options in (
        {"dry_run": True},
        {},
        {},
        {"on_duplicate": "update"},
        {"on_duplicate": "verify"},
        {"on_duplicate": "error"},
        {"commit_every": 4},
        {"on_duplicate": "error", "commit_every": 4},
    ):
        report = History(sqlite).import_file(io.BytesIO(data), rejects=path, **options)
        assert sum(counts(report)) == total + 2, options
        assert len(read(path)[1]) == report.rejected, options


def test_of_what_was_taken_back_only_what_was_rejected_is_kept(history, path):
    report = history.import_file(io.BytesIO(unsealed(GOOD, STALE, CAKE)), rejects=path, atomic=True)
    assert counts(report) == (0, 0, 0, 2)
    assert [list(each) for each in read(path)[1]] == [
        ["problems", "production_run"],
        ["problems", "assembly_run"],
    ]


def test_where_nothing_is_rejected_the_rejects_are_empty(history, path):
    path.write_bytes(b"of an earlier import")
    assert history.import_file(io.BytesIO(unsealed(GOOD)), rejects=path).rejected == 0
    assert read(path)[1] == []
    assert counts(history.import_file(path)) == (0, 0, 0, 0)


UNREADABLE = [
    ("nonsense", b"nonsense\n"),
    ("", b"\n"),
    (GOOD.decode().rstrip()[:-1], GOOD.rstrip()[:-1] + b"\r\n"),
    (r'{"production_run":"\xe4"}', b'{"production_run":"\xe4"}\n'),
    ('{"cake_run":{}}', b'{"cake_run":{}}\n'),
    ("\u2028 \x85 \x00", "\u2028 \x85 \x00\n".encode()),
    (text_of({"production_run": 1, "more": 2}).decode(), b'{"production_run":1,"more":2}\n'),
]


@pytest.mark.parametrize("seal", [sealed, unsealed])
def test_a_line_that_is_no_run_is_kept_as_text_with_its_number(history, path, seal):
    report = history.import_file(io.BytesIO(seal(*(data for _, data in UNREADABLE), GOOD)), rejects=path)
    assert counts(report) == (1, 0, 0, len(UNREADABLE))
    _, lines = read(path)
    assert [each["unreadable"] for each in lines] == [text for text, _ in UNREADABLE]
    assert [[problem["line"] for problem in each["problems"]] for each in lines] == [
        [number] for number in range(2, 2 + len(UNREADABLE))
    ]


def test_of_a_line_that_is_too_long_the_beginning_is_kept(history, path):
    long = line("production_run", production_run(1, notes="x" * 100_000))
    history.import_file(io.BytesIO(unsealed(long)), max_line_bytes=50_000, rejects=path)
    [kept] = read(path)[1]
    assert long.startswith(kept["unreadable"].encode())
    assert (len(kept["unreadable"]), codes(kept)) == (10_000, ["out-of-range"])


def test_a_lone_surrogate_is_kept_as_it_came(history, path):
    run = production_run(1, notes="\ud83d", consumptions=[consumption(5, unit="\udc00")])
    for data in (unsealed(line("production_run", run, ascii_only=True)), json.dumps(document(run)).encode()):
        report = history.import_file(io.BytesIO(data), rejects=path)
        [kept] = read(path)[1]
        assert (report.rejected, kept["production_run"], codes(kept)) == (1, run, ["schema", "schema"])


@pytest.mark.slow
def test_all_of_many_rejected_runs_are_kept_though_the_report_tells_some(history, path):
    runs = [production_run(n, recipe_slug="stale", notes=3, consumptions=[]) for n in range(1, 1501)]
    report = history.import_file(io.BytesIO(text_of(document(*runs))), rejects=path)
    assert (report.rejected, report.problem_count, len(report.problems)) == (1500, 3000, 1000)
    assert report.problem_codes == {"schema": 1500, "unknown-reference": 1500}
    assert report.problems == tuple(sorted(report.problems, key=lambda problem: problem.index))
    _, lines = read(path)
    assert [each["production_run"] for each in lines] == runs
    assert {len(each["problems"]) for each in lines} == {2}


# --- mended --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rejects_that_are_not_mended_are_rejected_again_as_they_are(history, path, tmp_path):
    data = unsealed(GOOD, STALE, *(data for _, data in UNREADABLE), CAKE, *run_lines(FAULTY, ascii_only=True))
    history.import_file(io.BytesIO(data), rejects=path)
    again, third = tmp_path / "again.jsonl", tmp_path / "third.jsonl"
    first = history.import_file(path, rejects=again)
    assert counts(first) == (0, 0, 0, len(read(path)[1]))
    assert [without(each, "problems") for each in read(again)[1]] == [
        without(each, "problems") for each in read(path)[1]
    ]
    history.import_file(again, rejects=third)
    assert third.read_bytes() == again.read_bytes()


def test_rejects_go_in_once_the_catalog_has_what_they_need(sqlite, history, path):
    history.import_file(io.BytesIO(unsealed(GOOD, STALE, CAKE)), rejects=path)
    with sqlite.begin() as connection:
        connection.execute(sa.insert(Recipe).values(name="Stale", slug="stale"))
    report = history.import_file(path, rejects=path)
    assert (counts(report), report.problems[0].line) == ((1, 0, 0, 1), 3)
    assert [codes(each) for each in read(path)[1]] == [["unknown-reference"]]


def test_rejects_go_in_once_they_are_mended(history, path):
    broken = GOOD.replace(b"}}", b"}")
    history.import_file(io.BytesIO(unsealed(broken, STALE, CAKE)), rejects=path)
    text = path.read_text("utf-8").replace("stale", "cookies").replace('"cake"', '"gift-bag"')
    header, unreadable, *others = text.splitlines(keepends=True)
    mended = json.loads(unreadable)["unreadable"].replace("]}", "]}}") + "\n"
    path.write_text("".join([header, mended, *others]), "utf-8")
    report = history.import_file(path, rejects=path)
    assert counts(report) == (3, 0, 0, 0)
    assert read(path)[1] == []
    given = document(production_run(1), production_run(70), assembly=[assembly_run(71)])
    assert history.import_document(given, on_duplicate="verify").skipped == 3


def test_renaming_mends_too(history, path):
    history.import_file(io.BytesIO(unsealed(STALE)), rejects=path)
    assert history.import_file(path, rename={"recipe_slug": {"stale": "cookies"}}).imported == 1


# --- where they are ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expand"),
    [("a.jsonl", bytes), ("a.jsonl.gz", gzip.decompress), ("a.jsonl.zst", zstandard.ZstdDecompressor)],
)
def test_the_input_may_be_replaced_by_what_was_rejected_of_it(history, tmp_path, name, expand):
    path = tmp_path / name
    path.write_bytes(FORMS["a document"](FAULTY))
    report = history.import_file(path, rejects=path)
    again = history.import_file(path, rejects=path)
    assert report.imported > 0
    assert counts(again) == (0, 0, 0, report.rejected)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_rejects_may_be_an_open_file_and_the_input_a_pipe(history):
    rejects = io.BytesIO()
    with piped(unsealed(GOOD, STALE)) as file:
        assert history.import_file(file, rejects=rejects, commit_every=1).rejected == 1
    rejects.seek(0)
    assert history.import_file(rejects, rename={"recipe_slug": {"stale": "cookies"}}).imported == 1


@pytest.mark.parametrize("name", ["rejects.json", "rejects.json.gz", "rejects.txt", "rejects"])
def test_rejects_are_a_stream(history, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.jsonl"):
        history.import_file(io.BytesIO(unsealed(GOOD)), rejects=tmp_path / name)
    assert history.export_document()["production_runs"] == []


def complain(progress):
    raise RuntimeError(f"after {progress.runs}")


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (sealed(STALE, GOOD)[:-10], {}, DocumentError, "ends within its trailer"),
        (sealed(STALE, GOOD, sha256="0" * 64), {}, DocumentError, "The runs have been changed"),
        (
            sealed(STALE, GOOD, sha256="0" * 64),
            {"commit_every": 1},
            DocumentError,
            "The runs have been changed",
        ),
        (b"nothing of the kind", {}, DocumentError, "not JSON"),
        (sealed(STALE, GOOD), {"progress": complain}, RuntimeError, "after 2"),
    ],
)
def test_the_rejects_of_before_stay_where_an_import_fails(history, tmp_path, data, options, error, message):
    path = tmp_path / "rejects.jsonl"
    path.write_bytes(b"of an earlier import")
    with pytest.raises(error, match=message):
        history.import_file(io.BytesIO(data), rejects=path, **options)
    assert path.read_bytes() == b"of an earlier import"
    assert [each.name for each in tmp_path.iterdir()] == ["rejects.jsonl"]
    assert history.export_document()["production_runs"] == []


def test_rejects_that_cannot_be_written_stop_the_import(sqlite, history, tmp_path):
    with pytest.raises(FileNotFoundError):
        history.import_file(io.BytesIO(unsealed(GOOD)), rejects=tmp_path / "missing" / "rejects.jsonl")
    with sqlite.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(ProductionRun)) == 0


def test_a_run_is_kept_as_it_stood_numbers_that_python_writes_otherwise_included(sqlite, tmp_path):
    text = json.dumps(production_run(1), separators=(",", ":"))
    text = text.replace('"5.2500"', "1234567.12345678901234567890").replace(":2,", ":1e400,")
    lines = ['{"header": {"version": "1.0", "sealed": false}}', f'{{"production_run": {text}}}', ""]
    source, rejects = tmp_path / "in.jsonl", tmp_path / "rejects.jsonl"
    source.write_text("\n".join(lines))
    History(sqlite).import_file(source, rejects=rejects)
    assert text in rejects.read_text()
    assert History(sqlite).import_file(rejects, rejects=tmp_path / "again.jsonl").problem_count == 2
    assert (tmp_path / "again.jsonl").read_text() == rejects.read_text()


@pytest.mark.parametrize("options", [{"dry_run": True}, {"atomic": True}])
def test_rejects_never_take_the_place_of_what_was_not_kept(sqlite, tmp_path, options):
    source = tmp_path / "runs.jsonl"
    source.write_text('{"header": {"version": "1.0", "sealed": false}}\n')
    with pytest.raises(ValueError, match="rejects: cannot be the file itself"):
        History(sqlite).import_file(source, rejects=source, **options)
