"""Histories in files: the same bytes from every database, the same runs from every form."""

from __future__ import annotations

import codecs
import copy
import datetime as dt
import gzip
import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import sqlalchemy as sa
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from histio import DocumentError, ExportError, History, create_engine
from histio.files import Source, check_damage, reading
from histio.files.decoding import check_depth
from histio.kinds.bind import kind_of
from histio.kinds.gate import Gate
from histio.kinds.json_schema import published
from histio.models import Base, ProductionRun
from histio.schemas import BUNDLED
from histio.tuning import tuned
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    production_run,
    without,
)
from tests.support.databases import stocked
from tests.support.effort import examples
from tests.support.streams import (
    FAULTY,
    FORMS,
    KINDS,
    MOMENT,
    WHOLE,
    below,
    document_of,
    piped,
    run_lines,
    stream_of,
    text_of,
    unsealed,
)

HISTORY = History()
NOTHING = document() | {"exported_at": WHOLE["exported_at"]}


# --- files, made without histio --------------------------------------------------------------------------


def unzstd(data):
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


FILES = {
    "history.json": (bytes, document_of(WHOLE)),
    "history.jsonl": (bytes, stream_of(WHOLE)),
    "history.json.gz": (gzip.decompress, document_of(WHOLE)),
    "history.jsonl.gz": (gzip.decompress, stream_of(WHOLE)),
    "history.json.zst": (unzstd, document_of(WHOLE)),
    "history.jsonl.zst": (unzstd, stream_of(WHOLE)),
}


@pytest.fixture
def bakery(history):
    """A history with runs, on every dialect."""
    history.import_document(WHOLE)
    return history


@pytest.fixture
def sqlite_bakery(sqlite):
    history = History(sqlite)
    history.import_document(WHOLE)
    return history


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A SQLite database with a catalog, in which no test leaves anything."""
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('shelf')}/shelf.db")
    Base.metadata.create_all(engine)
    yield stocked(engine)
    engine.dispose()


@pytest.fixture
def elsewhere(databases):
    """A history without runs, in another database."""
    return History(stocked(databases("sqlite", 1)))


def inside(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def refused(history, data, **options):
    """The first problem with *data*, which cannot be read."""
    with pytest.raises(DocumentError) as caught:
        history.import_file(io.BytesIO(data), **options)
    return caught.value.problems[0]


# --- out -----------------------------------------------------------------------------------------------


def test_the_same_rows_are_the_same_bytes_whatever_the_database(bakery, tmp_path):
    header = hashlib.sha256(stream_of(WHOLE).splitlines(keepends=True)[0]).hexdigest()
    header_digests = {name: header if ".jsonl" in name else None for name in FILES}
    for name, (expand, expected) in FILES.items():
        report = bakery.export_file(tmp_path / name, exported_at=MOMENT)
        data = (tmp_path / name).read_bytes()
        assert expand(data) == expected, name
        assert report.to_dict() == {
            "exported": 4,
            "by_kind": {"production_run": 2, "assembly_run": 2},
            "bytes": len(data),
            "sha256": hashlib.sha256(b"".join(run_lines(WHOLE))).hexdigest(),
            "exported_at": "2025-12-09T12:00:00Z",
            "version": "1.0",
            "skipped": 0,
            "unchanged": 0,
            "problems": [],
            "problem_count": 0,
            "warnings": [],
            "warning_count": 0,
            "catalog": {},
            "catalog_sha256": None,
            "header_sha256": header_digests[name],
        }
        bakery.export_file(tmp_path / f"again.{name}", exported_at=MOMENT)
        assert (tmp_path / f"again.{name}").read_bytes() == data, name


def test_the_digest_of_the_report_is_that_of_the_trailer_whenever_and_in_whatever_form(
    sqlite_bakery, tmp_path
):
    reports = [sqlite_bakery.export_file(tmp_path / name) for name in ("a.jsonl", "b.json", "c.json.gz")]
    trailer = json.loads((tmp_path / "a.jsonl").read_bytes().splitlines()[-1])["trailer"]
    assert {report.sha256 for report in reports} == {trailer["sha256"]}


def test_every_line_and_every_document_keep_to_the_published_schema(sqlite_bakery, tmp_path):
    sqlite_bakery.export_file(tmp_path / "a.jsonl", follows="0" * 64)
    sqlite_bakery.export_file(tmp_path / "b.json")
    of_lines = Draft202012Validator({"$ref": "#/$defs/stream_line", "$defs": published()["$defs"]})
    for each in (tmp_path / "a.jsonl").read_bytes().splitlines():
        of_lines.validate(json.loads(each))
    Draft202012Validator(published()).validate(json.loads((tmp_path / "b.json").read_bytes()))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"kinds": "assembly_run"}, ["assembly_run"]),
        ({"kinds": ["assembly_run", "production_run"]}, ["production_run", "assembly_run"]),
        ({"since": dt.date(2026, 1, 1)}, ["production_run", "assembly_run"]),
    ],
    ids=str,
)
def test_what_is_not_asked_for_is_not_in_the_file(sqlite_bakery, elsewhere, tmp_path, name, options, kinds):
    report = sqlite_bakery.export_file(tmp_path / name, exported_at=MOMENT, **options)
    expected = sqlite_bakery.export_document(exported_at=MOMENT, **options)
    assert list(report.by_kind) == kinds
    assert elsewhere.import_file(tmp_path / name).imported == report.exported
    assert elsewhere.export_document(kinds=kinds, exported_at=MOMENT) == expected


def test_an_export_of_nothing_is_a_whole_file(elsewhere, tmp_path):
    for name in ("a.json", "a.jsonl"):
        assert elsewhere.export_file(tmp_path / name, exported_at=MOMENT).exported == 0
        assert elsewhere.import_file(tmp_path / name) == elsewhere.import_document(NOTHING)
    assert (tmp_path / "a.jsonl").read_bytes() == stream_of(NOTHING)
    assert json.loads((tmp_path / "a.json").read_bytes()) == NOTHING


# --- places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [str, Path, lambda path: f"file://{path}"], ids=["str", "Path", "URL"])
def test_a_file_is_named_by_a_path_or_a_url(sqlite_bakery, elsewhere, tmp_path, place):
    path = place(tmp_path / "a.jsonl.zst")
    sqlite_bakery.export_file(path, exported_at=MOMENT)
    assert unzstd((tmp_path / "a.jsonl.zst").read_bytes()) == stream_of(WHOLE)
    assert elsewhere.import_file(path).imported == 4


def test_a_file_may_be_in_any_file_system(sqlite_bakery, elsewhere):
    url = "memory://histio/a.json.gz"
    sqlite_bakery.export_file(url, exported_at=MOMENT)
    with pytest.raises(FileExistsError):
        sqlite_bakery.export_file(url)
    sqlite_bakery.export_file(url, exported_at=MOMENT, overwrite=True)
    assert elsewhere.import_file(url).imported == 4
    fsspec.filesystem("memory").rm("/histio", recursive=True)


@pytest.mark.parametrize("form", [None, "jsonl", "json.gz", ".jsonl.zst"])
def test_an_open_file_is_written_and_read_from_where_it_stands_and_stays_open(sqlite_bakery, elsewhere, form):
    file = io.BytesIO()
    file.write(b"before")
    report = sqlite_bakery.export_file(file, format=form)
    assert report.bytes == file.tell() - len("before")
    file.seek(len("before"))
    assert elsewhere.import_file(file).imported == 4
    assert not file.closed


@pytest.mark.parametrize("form", ["json", "jsonl.gz"])
def test_a_dash_is_standard_output_and_standard_input(sqlite_bakery, elsewhere, monkeypatch, form):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output))
    sqlite_bakery.export_file("-", format=form)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(output.getvalue())))
    assert elsewhere.import_file("-").imported == 4


@pytest.mark.parametrize("options", [{}, {"commit_every": 1}, {"dry_run": True}], ids=str)
def test_what_comes_through_a_pipe_can_be_read_too(elsewhere, options):
    for name, form in FORMS.items():
        with piped(form(WHOLE)) as file:
            report = elsewhere.import_file(file, **options)
        assert report.imported + report.skipped == 4, name


def test_a_format_says_what_no_ending_does(sqlite_bakery, elsewhere, tmp_path):
    sqlite_bakery.export_file(tmp_path / "history", format="json")
    assert json.loads((tmp_path / "history").read_bytes())["version"] == "1.0"
    assert elsewhere.import_file(tmp_path / "history").imported == 4
    with pytest.raises(ValueError, match="other has no known suffix"):
        sqlite_bakery.export_file(tmp_path / "other")


@pytest.mark.slow
def test_the_content_says_what_a_file_is_and_not_its_name(elsewhere, tmp_path):
    for n, form in enumerate(FORMS.values()):
        path = tmp_path / f"{n}.jsonl.gz"
        path.write_bytes(form(WHOLE))
        assert elsewhere.import_file(path, dry_run=True).imported == 4


def test_a_file_is_not_replaced_unless_that_is_asked_for(sqlite_bakery, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        sqlite_bakery.export_file(path)
    assert inside(tmp_path) == {"a.jsonl": b"mine"}
    sqlite_bakery.export_file(path, overwrite=True, exported_at=MOMENT)
    assert inside(tmp_path) == {"a.jsonl": stream_of(WHOLE)}


def spoil(engine):
    with engine.begin() as connection:
        connection.execute(sa.update(ProductionRun).where(ProductionRun.notes.is_(None)).values(notes="a\0"))


def complain(progress):
    raise RuntimeError(f"{progress.runs} of {progress.total}")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl.gz"])
@pytest.mark.parametrize(
    ("prepare", "options", "error", "message"),
    [
        (spoil, {}, ExportError, number(2)),
        (bool, {"progress": complain}, RuntimeError, "of 4"),
        (bool, {"where": {"production_run": sa.text("nonsense")}}, sa.exc.OperationalError, "nonsense"),
    ],
    ids=["a row that the format cannot hold", "an exception in progress", "an error of the database"],
)
def test_an_export_that_fails_leaves_the_previous_file_and_no_other(
    sqlite, sqlite_bakery, tmp_path, name, prepare, options, error, message
):
    prepare(sqlite)
    with pytest.raises(error, match=message):
        sqlite_bakery.export_file(tmp_path / name, **options)
    assert inside(tmp_path) == {}
    (tmp_path / name).write_bytes(b"previous")
    with pytest.raises(error, match=message):
        sqlite_bakery.export_file(tmp_path / name, overwrite=True, **options)
    assert inside(tmp_path) == {name: b"previous"}


@pytest.mark.slow
def test_a_stream_names_the_one_that_it_continues(sqlite_bakery, elsewhere, tmp_path):
    first = sqlite_bakery.export_file(tmp_path / "1.jsonl", until=dt.datetime(2025, 12, 8, 10))  # noqa: DTZ001
    sqlite_bakery.export_file(tmp_path / "2.jsonl", follows=first.sha256)
    for path, follows, message in (
        ("1.jsonl", first.sha256, "names no predecessor"),
        ("2.jsonl", "1" * 64, f"follows {first.sha256}, not 1111"),
    ):
        with pytest.raises(DocumentError, match=message):
            elsewhere.import_file(tmp_path / path, follows=follows)
    assert elsewhere.import_file(tmp_path / "2.jsonl", follows=first.sha256).imported == 4
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits"):
        sqlite_bakery.export_file(tmp_path / "3.jsonl", follows="A" * 64)
    with pytest.raises(ValueError, match="only the header of a stream"):
        sqlite_bakery.export_file(tmp_path / "3.json", follows=first.sha256)
    assert sorted(inside(tmp_path)) == ["1.jsonl", "2.jsonl"]


# --- in: every form means the same ---------------------------------------------------------------------

BEFORE = document(production_run(1), production_run(2), assembly=[assembly_run(1, quantity_assembled=7)])


def timeless(value):
    """*value* without the times that an import fills in."""
    return json.loads(json.dumps(value), object_hook=lambda each: without(each, "created_at", "updated_at"))


def name_file(problem):
    """A problem that compares a file, as a file and its document say it."""
    return replace(problem, message=problem.message.replace(": document ", ": file "))


def outcome(engine, import_, given, **options):
    """What an import of *given* reports, and the rows that are there after it."""
    with engine.connect() as connection:
        HISTORY.import_document(BEFORE, session=connection)
        report = import_(HISTORY, given, session=connection, **options)
        found = HISTORY.export_document(session=connection)
        rows = timeless([found[name] for name in KINDS])
        connection.rollback()
    told = report.to_dict() | {
        "problems": [(below(name_file(problem)), problem.index) for problem in report.problems],
        "warnings": [(below(problem), problem.index) for problem in report.warnings],
        "renamed": [(each.old, each.new) for each in report.renamed],
    }
    return told, rows


def outcomes(engine, given, **options):
    """What becomes of *given* in each form of file."""
    return {
        name: outcome(engine, History.import_file, io.BytesIO(form(given)), **options)
        for name, form in FORMS.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"on_duplicate": "error"},
        {"on_duplicate": "update"},
        {"on_duplicate": "verify"},
        {"atomic": True},
        {"dry_run": True},
        {"rename": {"recipe_slug": {"cooky": "cookies"}, "finished_unit_slug": {"cooky": "cookie"}}},
    ],
    ids=str,
)
def test_a_file_does_what_its_document_does(shelf, options):
    unchanged = copy.deepcopy(FAULTY)
    expected = outcome(shelf, History.import_document, FAULTY, **options)
    assert outcomes(shelf, FAULTY, **options) == dict.fromkeys(FORMS, expected)
    assert unchanged == FAULTY


@pytest.mark.slow
def test_a_file_does_what_its_document_does_in_every_database(engine):
    expected = outcome(engine, History.import_document, FAULTY)
    assert outcomes(engine, FAULTY) == dict.fromkeys(FORMS, expected)


@pytest.mark.parametrize(
    ("form", "line", "at"), [(text_of, None, "/production_runs/5"), (stream_of, 7, "/production_run")]
)
def test_a_problem_is_told_with_its_place_in_the_file(elsewhere, form, line, at):
    report = elsewhere.import_file(io.BytesIO(form(FAULTY, ascii_only=True)))
    assert {
        (problem.line, problem.index, problem.pointer)
        for problem in report.problems
        if problem.uuid == number(5) and problem.kind == "production_run"
    } == {(line, 5, f"{at}/{name}") for name in ("total_ingredient_cost", "num_batches", "colour")}


# --- documents as people write them --------------------------------------------------------------------

RUN = text_of(production_run(1))
OTHER = text_of(production_run(2, notes=None))
ASSEMBLED = text_of(assembly_run(1))


def with_run(old, new):
    return b'{"version":"1.0","production_runs":[%s]}' % RUN.replace(old, new)


@pytest.mark.parametrize(
    "text",
    [
        b'{"production_runs":[%s],"version":"1.0"}' % RUN,
        b'{"assembly_runs":[%s],"production_runs":[%s],"version":"1.0"}' % (ASSEMBLED, RUN),
        b'{"version":"1.0","assembly_runs":[%s]}' % ASSEMBLED,
        b'{"version":"1.0","production_runs":[]}',
        b'{"version":"1.0","production_runs":[%s],"production_runs":[%s]}' % (RUN, OTHER),
        b'{"production_runs":[%s],"version":"1.0","assembly_runs":[%s],"production_runs":[%s]}'
        % (RUN, ASSEMBLED, OTHER),
        b'{"production_runs":null,"version":"1.0","production_runs":[%s]}' % RUN,
        b'{"production_runs":[%s],"version":"1.0","production_runs":[]}' % RUN,
        b'{"version":"0.9","version":"1.0","production_runs":[%s]}' % RUN,
        with_run(b'{"uuid"', b'{"uuid":3,"uuid"'),
        with_run(b'"notes":', b'"notes":"x","notes":'),
        with_run(b'"notes":', rb'"n\u006ftes":'),
        rb'{"v\u0065rsion":"1.0","production\u005fruns":[%s]}' % RUN,
        codecs.BOM_UTF8 + b'{"version":"1.0","production_runs":[%s]}' % RUN,
        b' \t\r\n { \n"version" :\t"1.0" , "production_runs"\n: [ %s\n,\r\n%s ] } \n\n' % (RUN, OTHER),
        json.dumps(WHOLE, indent="\t").replace("\n", "\r\n").encode(),
        json.dumps(WHOLE, ensure_ascii=True, sort_keys=True).encode(),
        with_run(b"Test batch", rb"\ud83c\udf6a \/ \b \u00e9"),
        with_run(b"Test batch", rb"\ud83c"),
        with_run(b"Test batch", rb"\ud83c \udf6a"),
        with_run(b'batches":2', b'batches":2.0'),
        with_run(b'batches":2', b'batches":1e2'),
        with_run(b'batches":2', b'batches":1e400'),
        with_run(b'batches":2', b'batches":-0'),
        with_run(b'batches":2', b'batches":' + b"9" * 4000),
        b'{"version":"1.0","production_runs":[1,[],{},"",null,true,%s]}' % RUN,
    ],
)
def test_a_document_means_what_every_json_parser_makes_of_it(shelf, text):
    expected = outcome(shelf, History.import_document, json.loads(text))
    assert outcome(shelf, History.import_file, io.BytesIO(text)) == expected


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (
            b'{"version":"1.0","production_runs":[NaN]}',
            "schema",
            "line 1, column 37: not JSON: NaN is not JSON",
        ),
        (b'{"version":"1.0",\n"production_runs":[{"a":-Infinity}]}', "schema", "-Infinity is not JSON"),
        (
            b'{"version":"1.0","production_runs":[],}',
            "schema",
            "line 1, column 39: not JSON: expecting a name",
        ),
        (b'{"version":"1.0","production_runs":[1,]}', "schema", "column 39: not JSON: Expecting value"),
        (
            b'{"version":"1.0"\n "production_runs":[]}',
            "schema",
            "line 2, column 2: not JSON: expecting , or }",
        ),
        (b"{'version':'1.0'}", "schema", "column 2: not JSON: expecting a name in double quotes"),
        (
            b'{"version":"1.0","production_runs":[]} {}',
            "schema",
            "column 40: not JSON: the document is followed by other data",
        ),
        (b'{"version":"1.0","production_runs":["\n"]}', "schema", "not JSON: Invalid control character"),
        (b'{"version":"1.0","production_runs":[01]}', "schema", "not JSON: expecting , or ]"),
        (
            b'{"version":"1.0","production_runs":[%s]}' % (b"9" * 5000),
            "schema",
            "not JSON: Exceeds the limit",
        ),
        (b'{"version":"1.0","production_runs":[%s]}' % (b"[" * 65 + b"]" * 65), "schema", "64 levels deep"),
        (b'{"version":"1.0","production_runs":[%s]}' % (b"[" * 10**5), "schema", "deep"),
        (b"[]", "schema", "document: Must be object, not []."),
        (b"3", "schema", "Must be object, not 3."),
        (b"null", "schema", "Must be object, not None."),
        (b'"text"', "schema", "Must be object, not 'text'."),
        (b"production runs", "schema", "line 1, column 1: not JSON: Expecting value"),
        (b"", "truncated", "the file is empty."),
        (b"  \n", "truncated", "line 2, column 1: the document is cut off"),
        (b"{}", "version", "/version: Missing data for required field."),
        (
            b'{"version":"1.0"}',
            "schema",
            (
                "Must have ingredients or recipes or finished_units or finished_goods or products or "
                "production_runs or assembly_runs."
            ),
        ),
        (b'{"version":"1.0","production_runs":null}', "schema", "/production_runs: Must be array"),
        (b'{"version":"1.0","production_runs":[],"production_runs":{}}', "schema", "Must be array"),
        (b'{"version":"1.0","production_runs":[],"more":[1]}', "schema", "/more: Unknown field."),
        (b'{"version":"9.0","production_runs":[]}', "version", "Format 9.0 is newer than 1.0"),
        (b'{"production_runs":[],"exported_at":"now","version":"1.0"}', "schema", "/exported_at: "),
        (text_of(WHOLE).decode().encode("utf-16"), "schema", "is UTF-16: save it as UTF-8"),
        (text_of(WHOLE).decode().encode("utf-16-le"), "schema", "is UTF-16-LE: save it as UTF-8"),
        (with_run(b"Test", b"\xe4"), "schema", "is not UTF-8 (byte 0xe4 at 238); is it Latin-1?"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"allow_truncated": True, "commit_every": 1}], ids=str)
def test_what_is_no_document_is_refused_with_the_place_and_the_reason(shelf, data, code, message, options):
    problem = refused(History(shelf), data, **options)
    assert message in str(problem)
    assert problem.code == code


def test_the_message_names_the_file_and_tells_nothing_of_its_content(shelf, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(b'{"version":"1.0","production_runs":["secret" "secret"]}')
    with pytest.raises(DocumentError, match=r"mine\.json, line 1, column 46: not JSON") as caught:
        History(shelf).import_file(path)
    assert "secret" not in str(caught.value)


# --- wherever the text is cut into chunks --------------------------------------------------------------

GATE = Gate(published())
SIZES = [1, 2, 3, 4, 5, 7, 11, 16, 29, 40, 2**18]


def split(data, size):
    """The members and runs of a document that is read *size* bytes at a time, or why it is none."""
    with tuned(chunk=size), Source(io.BytesIO(data)) as source:
        try:
            with reading(source, GATE, map(kind_of, BUNDLED)) as file:
                check_damage(file)
                runs = [(entry.kind, entry.index, entry.record) for entry in file.items()]
        except DocumentError as error:
            return str(error)
    return json.dumps(runs)


def parsed(data):
    """The same, by Python's own parser."""
    members = json.loads(data)
    runs = [(kind, index, run) for name, kind in KINDS.items() for index, run in enumerate(members[name])]
    return json.dumps(runs)


def refuse(constant):
    raise ValueError(constant)


def is_document(data):
    """Whether *data* are a document to a strict parser."""
    try:
        members = json.loads(data, parse_constant=refuse)
    except ValueError:
        return False
    return GATE.check_envelope(members) == []


texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
styles = st.sampled_from([{"separators": (",", ":")}, {"indent": 3}, {"indent": "\r\n\t "}])
written = st.builds(
    lambda members, style: json.dumps(dict(members), **style).encode(),
    st.tuples(
        st.tuples(st.just("version"), st.just("1.0")),
        *(st.tuples(st.just(name), st.lists(values, max_size=3)) for name in KINDS),
    ).flatmap(st.permutations),
    styles,
)


@settings(max_examples=examples(30))
@given(written)
@example(b'{"version":"1.0","production_runs":[1e2,1.5E+10,-0.25e-3,12,-1,1.0],"assembly_runs":[]}')
@example(b'{"version":"1.0","production_runs":["\\ud83c\\udf6a\\\\","\xf0\x9f\x8d\xaa"],"assembly_runs":[]}')
@example(b'{"version":"1.0","production_runs":[true,false,null,{"":[]},[{}]],"assembly_runs":[]}')
def test_a_document_is_the_same_wherever_it_is_cut_into_chunks(data):
    assert [split(data, size) for size in SIZES] == [parsed(data)] * len(SIZES)


@settings(max_examples=examples(50))
@given(written, st.data())
def test_a_damaged_document_has_the_same_fault_wherever_it_is_cut_into_chunks(data, draw):
    start, end = sorted(draw.draw(st.tuples(*[st.integers(0, len(data))] * 2)))
    end = min(end, start + 3)
    junk = draw.draw(st.sampled_from([b"", b"{", b"]", b",", b'"', b"\\", b"e", b"-", b".", b"nul", b"\xe4"]))
    damaged = data[:start] + junk + data[end:]
    told = [split(damaged, size) for size in SIZES]
    assert told == [told[-1]] * len(SIZES)
    assert told[-1].startswith("[") == is_document(damaged)


# --- limits --------------------------------------------------------------------------------------------


SIZES_OF_FORMS = {name: len(form(WHOLE)) for name, form in FORMS.items()} | {
    "a compressed document": len(text_of(WHOLE, ascii_only=True)),
    "a compressed stream": len(stream_of(WHOLE, ascii_only=True)),
}


@pytest.mark.parametrize("options", [{}, {"allow_truncated": True}, {"commit_every": 1}], ids=str)
def test_a_file_has_so_many_bytes_at_most(elsewhere, options):
    for name, size in SIZES_OF_FORMS.items():
        data = FORMS[name](WHOLE)
        problem = refused(elsewhere, data, max_bytes=size - 1, **options)
        assert problem.code == "out-of-range", name
        assert problem.message == f"the file is longer than max_bytes = {size - 1} bytes."
    assert elsewhere.export_document(exported_at=MOMENT) == NOTHING
    for name, size in SIZES_OF_FORMS.items():
        report = elsewhere.import_file(io.BytesIO(FORMS[name](WHOLE)), max_bytes=size, **options)
        assert report.imported + report.skipped == 4, name


def test_a_run_of_a_document_has_so_many_bytes_at_most(elsewhere):
    given = document(production_run(1), production_run(2, notes="x" * 5000))
    longest = len(text_of(given["production_runs"][1]))
    data = text_of(given)
    problem = refused(elsewhere, data, max_line_bytes=longest - 1)
    assert problem.code == "out-of-range"
    assert f"a value is longer than max_line_bytes = {longest - 1}" in problem.message
    assert elsewhere.import_file(io.BytesIO(data), max_line_bytes=longest).imported == 2


def test_a_line_of_a_stream_has_so_many_bytes_at_most_and_the_others_go_in(elsewhere):
    given = document(production_run(1), production_run(2, notes="x" * 5000), production_run(3))
    longest = len(run_lines(given)[1]) - 1
    report = elsewhere.import_file(io.BytesIO(stream_of(given)), max_line_bytes=longest - 1)
    [problem] = report.problems
    assert (report.imported, report.rejected, problem.line, problem.code) == (2, 1, 3, "out-of-range")
    assert problem.message == f"The line is longer than max_line_bytes = {longest - 1}."
    assert elsewhere.import_file(io.BytesIO(stream_of(given)), max_line_bytes=longest).imported == 1


def test_what_is_nested_too_deeply_makes_a_document_useless_and_a_line_no_run(elsewhere):
    given = document(production_run(1), production_run(2, notes=[[[["deep"]]]]))
    assert "nested more than 4 levels deep" in refused(elsewhere, text_of(given), max_depth=4).message
    report = elsewhere.import_file(io.BytesIO(stream_of(given)), max_depth=5)
    assert (report.imported, report.problems[0].line) == (1, 3)
    assert "nested more than 5 levels deep" in report.problems[0].message


@pytest.mark.slow
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
@pytest.mark.parametrize(
    ("beginning", "end"),
    [
        (b'{"version":"1.0","production_runs":[', b"]}"),
        (b'{"version":"1.0","production_runs":["', b'"]}'),
        (unsealed(), b"{}\n"),
    ],
    ids=["a document of spaces", "a document with a long text", "a stream of one line"],
)
def test_a_bomb_is_refused(shelf, compress, beginning, end):
    bomb = compress(beginning + b" " * 2**24 + end)
    assert len(bomb) < 2**16
    problem = refused(History(shelf), bomb, max_bytes=2**22)
    assert (problem.code, "longer than max_bytes = 4194304" in problem.message) == ("out-of-range", True)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_run_may_have_thousands_of_ledger_entries(elsewhere, tmp_path, name):
    long = production_run(1, consumptions=[consumption(n) for n in range(1_000)])
    given = document(long, production_run(2)) | {"exported_at": WHOLE["exported_at"]}
    assert elsewhere.import_file(io.BytesIO(text_of(given))).imported == 2
    elsewhere.export_file(tmp_path / name, exported_at=MOMENT)
    assert (tmp_path / name).read_bytes() in (document_of(given), stream_of(given))


@pytest.mark.parametrize(
    "text", ['{"production_run":"' + '\\"[]' * 300_000, '{"a":"' + "[x" * 80 + "n" * 10**7 + '"}']
)
def test_the_depth_of_a_line_is_told_in_one_pass_over_it(text):
    check_depth(text, 64)


@pytest.mark.parametrize("option", ["commit_every", "max_bytes", "max_line_bytes", "max_depth"])
@pytest.mark.parametrize("value", [0, -1, "5", 2.5, True, 10**20])
def test_numbers_that_make_no_sense_are_refused_by_name(sqlite, option, value):
    with pytest.raises(ValueError, match=f"{option} must be a positive integer"):
        History(sqlite).import_file("none.jsonl", **{option: value})


@pytest.mark.parametrize("path", [None, 5, b"runs.jsonl"])
def test_what_is_no_path_is_refused_by_a_sentence(sqlite, path):
    with pytest.raises(TypeError, match="pass a path, a URL or an open binary file"):
        History(sqlite).import_file(path)
    with pytest.raises(TypeError, match="pass a path, a URL or an open binary file"):
        History(sqlite).export_file(path)


def test_a_time_that_no_import_would_read_is_not_written(sqlite, tmp_path):
    with pytest.raises(ValueError, match="exported_at: Must be in the years 1000 to 9998"):
        History(sqlite).export_file(tmp_path / "runs.jsonl", exported_at=dt.datetime(1, 1, 1, tzinfo=dt.UTC))
    assert list(tmp_path.iterdir()) == []
