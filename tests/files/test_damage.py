"""Files that are damaged: nothing of them goes in, unless the caller asks for what is whole."""

from __future__ import annotations

import gzip
import io
import itertools
import json

import pytest
import sqlalchemy as sa
import zstandard
from sqlalchemy.orm import Session

from histio import DocumentError, History
from histio.files import Source, fail_if_damaged, reading
from histio.kinds.bind import kind_of
from histio.kinds.gate import Gate
from histio.kinds.json_schema import published
from histio.models import AssemblyRun, Ingredient, ProductionRun
from histio.schemas import BUNDLED
from tests.support.bakery import assembly_run, document, production_run
from tests.support.streams import MOMENT, document_of, line, sealed, stream_of, text_of, unsealed

HISTORY = History()
GATE = Gate(published())
PRODUCTION = [
    production_run(1),
    production_run(2, consumptions=[], notes="Größe XL ☕"),
    production_run(3, consumptions=[]),
]
ASSEMBLY = [
    assembly_run(4),
    assembly_run(5, finished_unit_consumptions=[], packaging_consumptions=[]),
    assembly_run(6, finished_unit_consumptions=[], packaging_consumptions=[]),
]
RUNS = [*PRODUCTION, *ASSEMBLY]
GIVEN = document(*PRODUCTION, assembly=ASSEMBLY)
STREAM = stream_of(GIVEN)
DOCUMENT = document_of(GIVEN)
HEADER, *LINES, TRAILER = STREAM.splitlines(keepends=True)
ENDS = list(itertools.accumulate(map(len, [HEADER, *LINES])))
"""Where the header and each run end."""


def by_blocks(parts):
    """*parts* as Zstandard data, each in a block of its own."""
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    blocks = [
        compressor.compress(part) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for part in parts
    ]
    return b"".join([*blocks, compressor.flush()])


COMPRESSED = {"gz": gzip.compress(STREAM, mtime=0), "zst": by_blocks([HEADER, *LINES, TRAILER])}
compressed = pytest.mark.parametrize("data", COMPRESSED.values(), ids=COMPRESSED.keys())


@pytest.fixture(scope="module")
def history(shelf):
    return History(shelf)


def faults(data):
    """Why *data* are refused, as far as the file alone can tell."""
    try:
        with (
            Source(io.BytesIO(data)) as source,
            reading(source, GATE, map(kind_of, BUNDLED)) as file,
        ):
            for _ in fail_if_damaged(file.items(), file):
                pass
    except DocumentError as error:
        return {problem.code for problem in error.problems}
    return set()


def codes(history, data, **options):
    """Why *data* are refused."""
    with pytest.raises(DocumentError) as caught:
        history.import_file(io.BytesIO(data), **options)
    return {problem.code for problem in caught.value.problems}


def first_problem(history, data, **options):
    """Line, code and text of the first problem with *data*, which are refused."""
    with pytest.raises(DocumentError) as caught:
        history.import_file(io.BytesIO(data), **options)
    [problem, *_] = caught.value.problems
    return problem.line, problem.code, problem.message


@pytest.fixture
def runs_by_one(tune):
    """Runs are written as soon as they are read, so that something has to be taken back."""
    tune(batch=1)


def stored(engine):
    with Session(engine) as session:
        count = sa.select(sa.func.count())
        return [session.scalar(count.select_from(model)) for model in (ProductionRun, AssemblyRun)]


def salvaged(engine, data, **options):
    """The report of an import of what is whole, in a borrowed session, and the runs that are there then."""
    with Session(engine) as session:
        report = HISTORY.import_file(io.BytesIO(data), allow_truncated=True, session=session, **options)
        found = HISTORY.export_document(session=session)
    return report, [*found["production_runs"], *found["assembly_runs"]]


def flipped(data, place):
    """*data* with one of the bits at *place* turned."""
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


# --- cut -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stream_that_is_cut_anywhere_is_truncated():
    assert {cut for cut in range(len(STREAM)) if faults(STREAM[:cut]) != {"truncated"}} == set()


@pytest.mark.slow
def test_a_document_that_is_cut_anywhere_is_truncated():
    end = len(DOCUMENT.rstrip())
    assert {cut for cut in range(end) if "truncated" not in faults(DOCUMENT[:cut])} == set()
    assert (faults(DOCUMENT[:end]), faults(STREAM)) == (set(), set())


@pytest.mark.slow
@compressed
def test_a_compressed_stream_that_is_cut_anywhere_is_truncated(data):
    assert {cut for cut in range(len(data)) if faults(data[:cut]) != {"truncated"}} == set()
    assert faults(data) == set()


@pytest.mark.slow
def test_nothing_of_what_is_cut_goes_in(shelf, history, runs_by_one):
    for data in (STREAM, DOCUMENT, *COMPRESSED.values()):
        for cut in [*range(0, len(data) - 2, 97), len(data) - 2]:
            assert "truncated" in codes(history, data[:cut])
            assert stored(shelf) == [0, 0]
        assert history.import_file(io.BytesIO(data), dry_run=True).imported == 6


@pytest.mark.slow
def test_what_is_whole_of_a_stream_that_is_cut_goes_in_where_that_is_asked_for(shelf):
    near = {end + by for end in ENDS for by in (-1, 0, 1)}
    for cut in sorted({*near, *range(len(HEADER), len(STREAM), 397), len(STREAM) - 1}):
        whole = sum(end - 1 <= cut for end in ENDS[1:])
        report, runs = salvaged(shelf, STREAM[:cut])
        assert (report.imported, report.rejected, report.truncated) == (whole, 0, True), cut
        assert runs == RUNS[:whole], cut
        assert [(each.severity, each.code) for each in report.warnings] == [("warning", "truncated")], cut
        assert report.warning_count == 1


@pytest.mark.slow
def test_what_is_whole_of_a_document_that_is_cut_goes_in_where_that_is_asked_for(shelf):
    ends = [DOCUMENT.index(text_of(run)) + len(text_of(run)) for run in RUNS]
    near = {end + by for end in ends for by in (-1, 0, 1)}
    begins = DOCUMENT.index(b"[") + 1
    for cut in sorted({*near, *range(begins, len(DOCUMENT) - 2, 397), len(DOCUMENT) - 2}):
        whole = sum(end <= cut for end in ends)
        report, runs = salvaged(shelf, DOCUMENT[:cut])
        assert (report.imported, report.rejected, report.truncated) == (whole, 0, True), cut
        assert runs == RUNS[:whole], cut
        assert [(each.severity, each.code) for each in report.warnings] == [("warning", "truncated")], cut


@pytest.mark.parametrize("cut", [0, 1, len(HEADER) - 2])
def test_of_a_stream_without_a_whole_header_nothing_can_be_read(history, cut):
    assert codes(history, STREAM[:cut], allow_truncated=True) == {"truncated"}


@pytest.mark.parametrize(
    "data",
    [
        DOCUMENT[:5],
        DOCUMENT[: DOCUMENT.index(b"production")],
        b'{"production_runs":[%s],"assembly_runs":[],"vers' % text_of(RUNS[0]),
    ],
)
def test_of_a_document_without_version_or_list_nothing_can_be_read(history, data):
    assert "truncated" in codes(history, data, allow_truncated=True)


@pytest.mark.slow
@compressed
def test_what_is_whole_of_a_compressed_stream_that_is_cut_goes_in(shelf, data):
    parts = [salvaged(shelf, data[:cut]) for cut in range(len(data) - 40, len(data), 5)]
    assert [runs for _, runs in parts] == [RUNS[: report.imported] for report, _ in parts]
    assert {report.truncated for report, _ in parts} == {True}
    assert parts[-1][0].imported == 6


# --- altered -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_bit_that_is_turned_anywhere_is_found():
    found = [faults(flipped(STREAM, place)) for place in range(len(STREAM))]
    assert [place for place, why in enumerate(found) if not why] == []
    assert set.union(*found) == {"corrupt", "truncated", "schema", "version"}


@pytest.mark.slow
@compressed
def test_a_bit_that_is_turned_in_a_compressed_stream_is_found_or_changes_nothing(data):
    # What gzip notes of the file's time and system is protected by nothing, and means nothing.
    places = [place for place in range(0, len(data), 2) if not faults(flipped(data, place))]
    assert len(places) < 10
    for place in places:
        with Source(io.BytesIO(flipped(data, place))) as source:
            assert source.open().read() == STREAM


@pytest.mark.slow
def test_nothing_of_a_stream_with_a_turned_bit_goes_in(shelf, history, runs_by_one):
    for place in range(0, len(STREAM), 97):
        assert codes(history, flipped(STREAM, place)) & {"corrupt", "truncated", "schema", "version"}
        assert stored(shelf) == [0, 0]


@pytest.mark.slow
def test_what_is_read_of_a_stream_with_a_turned_bit_is_told_to_be_unsure(shelf):
    for place in range(len(HEADER), len(STREAM), 211):
        report, runs = salvaged(shelf, flipped(STREAM, place))
        assert (report.truncated, report.imported) == (True, len(runs)), place
        assert report.imported + report.rejected in (5, 6), place
        assert {each.code for each in report.warnings} & {"corrupt", "truncated"}, place


PARTS = [HEADER, *LINES, TRAILER]
PLACES = range(len(PARTS))


def without_part(place):
    return b"".join(PARTS[:place] + PARTS[place + 1 :])


def doubled(place):
    return b"".join(PARTS[: place + 1] + PARTS[place:])


def swapped(one, other):
    parts = list(PARTS)
    parts[one], parts[other] = parts[other], parts[one]
    return b"".join(parts)


def test_a_line_that_is_missing_is_found(shelf, history):
    found = [codes(history, without_part(place)) for place in PLACES]
    assert found == [{"schema"}, *[{"corrupt"}] * 6, {"truncated"}]
    assert stored(shelf) == [0, 0]


def test_a_line_that_comes_twice_is_found(shelf, history):
    assert [codes(history, doubled(place)) for place in PLACES] == [{"corrupt"}] * 8
    assert stored(shelf) == [0, 0]


def test_lines_that_have_changed_places_are_found(shelf, history):
    of_header = [codes(history, swapped(0, place)) for place in PLACES[1:]]
    assert of_header == [{"schema"}] * 7
    pairs = itertools.combinations(PLACES[1:], 2)
    assert [codes(history, swapped(*pair)) for pair in pairs] == [{"corrupt"}] * 21
    assert stored(shelf) == [0, 0]


COUNTS = {"production_run": 3, "assembly_run": 3}


@pytest.mark.parametrize(
    ("trailer", "message"),
    [
        (
            {"counts": COUNTS | {"production_run": 4}},
            "counts 3 assembly_run, 4 production_run, the stream has",
        ),
        ({"counts": COUNTS | {"assembly_run": 0}}, "counts 3 production_run, the stream has"),
        ({"counts": {}}, "counts no runs, the stream has 3 assembly_run, 3 production_run"),
        ({"counts": COUNTS | {"assembly_run": -3}}, "minimum"),
        ({"counts": COUNTS | {"cake_run": 0}}, "Unknown field"),
        ({"counts": None}, "Must be object"),
        ({"sha256": "0" * 64}, "The runs have been changed"),
        ({"sha256": None}, "Must be string"),
        ({"sha256": "short"}, "pattern"),
        ({"header_sha256": "0" * 64}, "The header has been changed"),
        ({"more": 1}, "Unknown field"),
    ],
)
def test_a_forged_trailer_is_found(shelf, history, trailer, message):
    data = sealed(*LINES, header=HEADER, **trailer)
    line_, code, text = first_problem(history, data)
    assert (line_, code, stored(shelf)) == (8, "corrupt", [0, 0])
    assert message in text


@pytest.mark.parametrize(
    ("trailer", "message"),
    [
        (b'{"trailer":{}}\n', "Missing data for required field."),
        (b'{"trailer":null}\n', "Must be object, not None."),
        (b'{"trailer":[]}\n', "Must be object, not []."),
        (b'{"trailer":{"counts"}}\n', "The trailer is not JSON: "),
        (TRAILER.replace(b"}}", b'},"more":1}'), "Unknown field."),
        (TRAILER.replace(b"\n", b"{}\n"), "The trailer is not JSON: Extra data"),
    ],
)
def test_a_trailer_that_says_nothing_is_corrupt(shelf, history, trailer, message):
    line_, code, text = first_problem(history, b"".join([HEADER, *LINES, trailer]))
    assert (line_, code, stored(shelf)) == (8, "corrupt", [0, 0])
    assert message in text


OTHER = stream_of(document(production_run(7)))
HANDMADE = unsealed(*LINES)


@pytest.mark.parametrize(
    ("data", "line_", "code", "message"),
    [
        (b"", None, "truncated", "the file is empty."),
        (HEADER, 1, "truncated", "The stream ends after line 1, without its trailer."),
        (HEADER.rstrip(), 1, "truncated", "The stream ends after line 1, without its trailer."),
        (b"".join(LINES) + TRAILER, 1, "schema", "The first line of the file is not a header"),
        (TRAILER + HEADER + b"".join(LINES), 1, "schema", "The first line of the file is not a header"),
        (b"\n" + STREAM, 1, "schema", "The first line of the file is not a header"),
        (HEADER + b"\n" + b"".join(LINES) + TRAILER, 9, "corrupt", "The runs have been changed"),
        (STREAM + b"\n", 9, "corrupt", "The trailer is not the last line: it is followed by a blank line."),
        (STREAM + b"\r\n \n", 9, "corrupt", "followed by a blank line."),
        (STREAM + b" \t", 9, "corrupt", "followed by white space."),
        (STREAM + b"junk", 9, "corrupt", "followed by other data."),
        (STREAM + b"\0" * 512, 9, "corrupt", "followed by NUL bytes."),
        (STREAM + COMPRESSED["gz"], 9, "corrupt", "followed by compressed data."),
        (STREAM + DOCUMENT, 9, "corrupt", "followed by another document."),
        (STREAM + LINES[0], 9, "corrupt", "followed by a run."),
        (STREAM + TRAILER, 9, "corrupt", "followed by another trailer."),
        (STREAM + OTHER, 9, "corrupt", "another stream. Streams cannot be concatenated; use histio merge"),
        (STREAM + STREAM, 9, "corrupt", "another stream. Streams cannot be concatenated; use histio merge"),
        (DOCUMENT + b"\0" * 512, None, "schema", "not JSON: the document is followed by NUL bytes."),
        (DOCUMENT + DOCUMENT, None, "schema", "the document is followed by another document."),
        (DOCUMENT + STREAM, None, "schema", "the document is followed by another stream."),
        (COMPRESSED["gz"] + b"\0" * 512, 9, "corrupt", "NUL bytes after its gzip data."),
        (COMPRESSED["zst"] + b"\0" * 512, 9, "corrupt", "NUL bytes after its Zstandard data."),
        (COMPRESSED["zst"] + STREAM, 9, "corrupt", "another stream after its Zstandard data."),
        (gzip.compress(COMPRESSED["gz"]), None, "schema", "is compressed twice: decompress it once."),
        (gzip.compress(COMPRESSED["zst"]), None, "schema", "is compressed twice: decompress it once."),
        (zstandard.compress(COMPRESSED["zst"]), None, "schema", "is compressed twice: decompress it once."),
        (zstandard.compress(b"PK\x03\x04\x14\0\0\0"), None, "schema", "contains a zip archive"),
        (HANDMADE.replace(b'"sealed":false', b'"sealed":true'), 7, "truncated", "without its trailer"),
        (
            without_part(7) + OTHER,
            8,
            "corrupt",
            "A second header. Streams cannot be concatenated; use histio merge",
        ),
        (STREAM.replace(b"\n", b"\r\n"), 8, "corrupt", "Its lines end in CR LF: was it converted?"),
        (STREAM.replace(b'"1.0"', b'"2.0"'), 1, "version", "Format 2.0 is newer than 1.0"),
        (STREAM.replace(b'"kinds"', b'"kind"'), 1, "schema", "Unknown field."),
        (STREAM.decode().encode("utf-16"), None, "schema", "is UTF-16: save it as UTF-8"),
        (STREAM.decode().encode("latin-1", "replace"), 8, "corrupt", "The runs have been changed"),
        (STREAM.decode().replace(" ", "\xa0").encode(), 8, "corrupt", "The runs have been changed"),
    ],
)
def test_what_befalls_a_stream_is_called_by_its_name(shelf, history, data, line_, code, message):
    found = first_problem(history, data)
    assert message in found[2]
    assert (*found[:2], stored(shelf)) == (line_, code, [0, 0])


def test_a_blank_line_after_the_trailer_is_one_problem(shelf):
    report, _ = salvaged(shelf, STREAM + b"\n\0\n\n")
    assert (report.imported, report.rejected, report.warning_count) == (6, 0, 1)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_header_may_be_as_long_as_a_line(history, mark):
    kinds = ["production_run", "assembly_run"]
    long = json.dumps({"header": {"version": "1.0", "kinds": kinds}}).encode().replace(b" ", b" " * 20_000)
    data = mark + sealed(*LINES, header=long + b"\n")
    assert history.import_file(io.BytesIO(data), dry_run=True).imported == 6
    found = first_problem(history, data, max_line_bytes=len(long) - 1)
    assert found == (1, "out-of-range", f"The header is longer than max_line_bytes = {len(long) - 1}.")


def test_a_byte_order_mark_is_no_damage(history):
    assert history.import_file(io.BytesIO(b"\xef\xbb\xbf" + STREAM), dry_run=True).imported == 6


@pytest.mark.parametrize(("extra", "more"), [(b"junk", 0), (STREAM, 0), (OTHER, 1)])
def test_runs_that_come_after_the_trailer_are_not_lost_to_who_wants_all_that_is_whole(shelf, extra, more):
    report, _ = salvaged(shelf, STREAM + extra)
    assert (report.imported, report.rejected) == (6 + more, 0)
    assert "corrupt" in [problem.code for problem in report.warnings]


# --- what is there stays usable ------------------------------------------------------------------------

DAMAGED = [
    b"".join(PARTS[:-1]),
    STREAM[: ENDS[4] - 20],
    sealed(*LINES, header=HEADER, sha256="0" * 64),
    DOCUMENT[:-100],
]


@pytest.mark.parametrize("options", [{}, {"commit_every": 1}, {"atomic": True}, {"dry_run": True}], ids=str)
def test_nothing_of_a_damaged_file_goes_in_and_the_next_one_does(engine, runs_by_one, options):
    history = History(engine)
    assert [codes(history, data, **options) for data in DAMAGED] == [
        {"truncated"},
        {"truncated"},
        {"corrupt"},
        {"truncated"},
    ]
    assert stored(engine) == [0, 0]
    assert history.import_file(io.BytesIO(STREAM)).imported == 6


@pytest.mark.slow
def test_a_damaged_file_changes_nothing_that_is_there(engine, runs_by_one):
    history = History(engine)
    history.import_document(GIVEN)
    before = history.export_document(exported_at=MOMENT)
    changed = [line("production_run", production_run(n, notes="changed", consumptions=[])) for n in (1, 2, 3)]
    for options in ({"on_duplicate": "update"}, {"on_duplicate": "update", "commit_every": 1}):
        assert codes(history, HEADER + b"".join(changed), **options) == {"truncated"}
    assert history.export_document(exported_at=MOMENT) == before


@pytest.mark.parametrize("borrow", [Session, sa.Engine.connect])
def test_a_borrowed_session_keeps_the_work_of_the_caller_alone(engine, runs_by_one, borrow):
    with borrow(engine) as session:
        session.execute(sa.insert(Ingredient).values(display_name="Mine", slug="mine"))
        for data in DAMAGED:
            with pytest.raises(DocumentError):
                HISTORY.import_file(io.BytesIO(data), session=session)
            assert session.scalar(sa.select(sa.func.count()).select_from(ProductionRun)) == 0
        assert session.scalar(sa.select(Ingredient.slug).where(Ingredient.slug == "mine")) == "mine"
        assert HISTORY.import_file(io.BytesIO(STREAM), session=session).imported == 6
        session.commit()
    assert stored(engine) == [3, 3]


# --- lines that are no run -----------------------------------------------------------------------------

LONG = line("production_run", production_run(8, notes="x" * 7000))
BAD_LINES = [
    (b"\n", "schema", "", "The line is blank."),
    (b" \t \r\n", "schema", "", "The line is blank."),
    (b"nonsense\n", "schema", "", "The line is not JSON: Expecting value (column 1)."),
    (LINES[0][:-2] + b"\n", "schema", "", "The line is not JSON: Expecting ',' delimiter"),
    (LINES[0][:-1] + b",\n", "schema", "", "The line is not JSON: Extra data"),
    (LINES[0][:-1] + LINES[1], "schema", "", "The line is not JSON: Extra data"),
    (b'{"production_run":NaN}\n', "schema", "", "The line is not JSON: NaN is not JSON."),
    (b'{"production_run":%s1%s}\n' % (b"[" * 99, b"]" * 99), "schema", "", "nested more than 64 levels deep"),
    (b'{"production_run":%s}\n' % (b"9" * 5000), "schema", "", "The line is not JSON: "),
    (b'{"production_run":"\xe4"}\n', "schema", "", "not UTF-8 (byte 0xe4 at 20); is it Latin-1?"),
    (LONG, "out-of-range", "", "The line is longer than max_line_bytes = 6000."),
    (b"x" * 70_000 + b"\n", "out-of-range", "", "The line is longer than max_line_bytes = 6000."),
    (line("cake_run", {}), "schema", "", "the member production_run or assembly_run, not 'cake_run'."),
    (b"{}\n", "schema", "", "not {}."),
    (b"[]\n", "schema", "", "not []."),
    (b"null\n", "schema", "", "not None."),
    (b"3\n", "schema", "", "not 3."),
    (text_of({"production_run": RUNS[0], "more": 1}) + b"\n", "schema", "/more", "Unknown field."),
    (
        text_of({"production_run": RUNS[0], "assembly_run": RUNS[3]}) + b"\n",
        "schema",
        "/assembly_run",
        "Unknown field.",
    ),
    (line("unreadable", "{"), "schema", "", "The line was rejected before, and has not been corrected."),
    (line("unreadable", 3), "schema", "", "not 'unreadable'."),
    (line("production_run", None), "schema", "/production_run", "Invalid input type."),
]
bad_lines = pytest.mark.parametrize(("bad", "code", "pointer", "message"), BAD_LINES)


@bad_lines
def test_a_line_that_is_no_run_is_told_with_its_number_and_the_others_go_in(
    shelf, bad, code, pointer, message
):
    data = unsealed(*LINES[:2], bad, *LINES[2:])
    report, runs = salvaged(shelf, data, max_line_bytes=6000)
    [problem] = report.problems
    assert (problem.line, problem.code, problem.pointer) == (4, code, pointer)
    assert message in problem.message
    assert (report.imported, report.rejected, report.truncated, runs) == (6, 1, False, RUNS)


@bad_lines
def test_nothing_goes_in_with_a_line_that_is_no_run_where_all_or_nothing_should(
    shelf, bad, code, pointer, message
):
    data = unsealed(*LINES[:2], bad, *LINES[2:])
    report, runs = salvaged(shelf, data, max_line_bytes=6000, atomic=True)
    assert (report.imported, report.rejected, runs) == (0, 1, [])


@pytest.mark.slow
def test_a_line_that_was_sealed_though_it_is_no_run_is_no_damage(shelf):
    for bad, *_ in BAD_LINES:
        data = sealed(*LINES[:2], bad, *LINES[2:])
        with Session(shelf) as session:
            report = HISTORY.import_file(io.BytesIO(data), max_line_bytes=6000, session=session)
        assert (report.imported, report.rejected, report.truncated) == (6, 1, False), bad[:80]


def test_a_second_header_of_a_stream_without_seal_is_no_run(shelf):
    report, runs = salvaged(shelf, unsealed(*LINES[:2], line("header", {"version": "1.0"}), *LINES[2:]))
    [problem] = report.problems
    assert (problem.line, problem.code, runs) == (4, "schema", RUNS)
    assert "The line is not a run" in problem.message


@pytest.mark.parametrize("end", [b"", b"\n", b"\n" + TRAILER])
def test_a_stream_without_seal_may_end_in_any_way(shelf, end):
    report, runs = salvaged(shelf, HANDMADE.removesuffix(b"\n") + end)
    assert (report.imported, report.truncated, runs) == (6, False, RUNS)


def test_a_stream_without_seal_may_break_off_within_a_line_which_is_told(shelf):
    report, runs = salvaged(shelf, HANDMADE[:-10])
    assert (report.imported, report.rejected, report.problems[0].line, runs) == (5, 1, 7, RUNS[:5])


def test_a_compressed_stream_without_seal_that_is_cut_is_truncated(shelf, history):
    data = gzip.compress(HANDMADE, mtime=0)
    assert codes(history, data[:-30]) == {"truncated"}
    report, runs = salvaged(shelf, data[:-30])
    assert (report.truncated, runs) == (True, RUNS[: report.imported])


def test_lines_may_end_in_cr_lf_and_have_spaces_where_nothing_seals_them(shelf):
    spaced = [json.dumps(json.loads(each)).encode() + b" \r\n" for each in HANDMADE.splitlines()]
    assert salvaged(shelf, b"".join(spaced))[1] == RUNS
