"""The limits of everything that reads files, and files that must have a seal."""

import asyncio
import gzip
import io
import tempfile
from pathlib import Path

import pytest

import histio
from histio import AsyncHistory, DocumentError, History, cli
from tests.support.bakery import document, production_run
from tests.support.streams import line, stream_of, text_of, unsealed

GIVEN = document(production_run(1), production_run(2))
STREAM = stream_of(GIVEN)
LIMITS = {"max_bytes": len(STREAM) - 1, "max_line_bytes": 300, "max_depth": 2}


@pytest.fixture
def history(shelf):
    return History(shelf)


def problems_of(read, *arguments, **options):
    """The problems of what *read* finds or raises."""
    try:
        found = read(*arguments, **options)
        return list(found.problems if isinstance(found, histio.ImportReport | histio.Inspection) else found)
    except DocumentError as error:
        return list(error.problems)


def merged(data, history, **limits):
    return histio.merge([data], io.BytesIO(), history=history, **limits).problems


def reported(data, history, **limits):
    return histio.report_page(data, io.BytesIO(), history=history, **limits)


def tabled(data, history, **limits):
    with tempfile.TemporaryDirectory() as folder:
        histio.flatten(data, Path(folder, "tables"), history=history, **limits)


READERS = {
    "import_file": lambda data, history, **limits: history.import_file(data, dry_run=True, **limits),
    "check_file": lambda data, history, **limits: histio.check_file(data, history=history, **limits),
    "audit": lambda data, history, **limits: histio.audit(data, history=history, **limits),
    "inspect_file": lambda data, history, **limits: histio.inspect_file(data, history=history, **limits),
    "references": lambda data, history, **limits: histio.references(data, history=history, **limits),
    "diff": histio.diff,
    "diff of b": lambda data, history, **limits: histio.diff(history, data, **limits),
    "merge": merged,
    "report_page": reported,
    "flatten": tabled,
}
LONG_FILE = ("out-of-range", f"the file is longer than max_bytes = {LIMITS['max_bytes']} bytes.")


@pytest.mark.cells(len(READERS))
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_file_of_more_than_max_bytes(history, reader):
    read = READERS[reader]
    *_, problem = problems_of(read, io.BytesIO(STREAM), history, max_bytes=len(STREAM) - 1)
    assert (problem.code, problem.message.split(": ")[-1]) == LONG_FILE


@pytest.mark.cells(2 * len(READERS))
@pytest.mark.parametrize("limit", ["max_line_bytes", "max_depth"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_document_with_a_run_beyond_a_limit(history, reader, limit):
    read = READERS[reader]
    *_, problem = problems_of(read, io.BytesIO(text_of(GIVEN)), history, **{limit: LIMITS[limit]})
    assert str(LIMITS[limit]) in problem.message


@pytest.mark.cells(len(READERS))
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_checks_that_limits_are_positive_integers(history, reader):
    with pytest.raises(ValueError, match="max_depth must be a positive integer, not 0"):
        list(READERS[reader](io.BytesIO(STREAM), history, max_depth=0) or ())


COMMANDS = {
    "import": "import {file} --url {url}",
    "verify": "verify {file} --url {url}",
    "check": "check {file}",
    "inspect": "inspect {file}",
    "references": "references {file}",
    "diff": "diff {file} {file}",
    "merge": "merge {file} -o {out}.jsonl",
    "audit": "audit {file}",
    "report": "report {file} -o {out}.html",
    "flatten": "flatten {file} --to {out}",
}


@pytest.mark.cells(3 * len(COMMANDS))
@pytest.mark.parametrize("option", LIMITS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_files_has_options_for_limits(shelf, tmp_path, capsys, command, option):
    path = tmp_path / "history.json"
    path.write_bytes(text_of(GIVEN))
    arguments = COMMANDS[command].format(file=path, url=shelf.url, out=tmp_path / "out").split()
    limit = min(LIMITS[option], 300)
    assert cli.main([*arguments, f"--{option.replace('_', '-')}", str(limit)]) == 1
    output, errors = capsys.readouterr()
    assert str(limit) in output + errors


# --- members outside of lists ----------------------------------------------------------------------------


def test_the_members_of_a_document_outside_of_its_lists_are_limited_together(history):
    names = {f"x{number}": "a" * 100 for number in range(20)}
    data = text_of(GIVEN | names)
    *_, problem = problems_of(history.import_file, io.BytesIO(data), max_line_bytes=1_500)
    assert (problem.code, problem.line) == ("out-of-range", None)
    assert problem.message.endswith("what is not in its lists is longer than max_line_bytes = 1500.")
    assert "Unknown field" in problems_of(history.import_file, io.BytesIO(data))[0].message


# --- blank lines -----------------------------------------------------------------------------------------


def blank_lines(count):
    return STREAM.replace(b"\n", b"\n" * (count + 1), 1)


@pytest.mark.parametrize(
    "reader", ["import_file", "check_file", "audit", "inspect_file", "references", "merge"]
)
def test_a_stream_with_very_many_blank_lines_is_refused(history, reader):
    bomb = gzip.compress(blank_lines(1_000_000))
    *_, problem = problems_of(READERS[reader], io.BytesIO(bomb), history)
    assert (problem.code, problem.line) == ("out-of-range", 1_002)
    assert problem.message.endswith("has more than 1,000 blank lines.")


def test_blank_lines_are_errors_up_to_their_limit(sqlite):
    history = History(sqlite)
    report = history.import_file(io.BytesIO(blank_lines(1_000)), allow_truncated=True)
    assert (report.imported, report.problem_count, report.problems[0].line) == (2, 1_000, 2)
    found = [
        problem for problem in histio.check_file(io.BytesIO(blank_lines(1_000))) if problem.line <= 1_001
    ]
    assert [problem.message for problem in found] == ["The line is blank."] * 1_000


# --- files that must have a seal -------------------------------------------------------------------------

CUT = STREAM.rpartition(b'{"trailer"')[0]
UNSEALED = {
    "a document": (text_of(GIVEN), "schema", "", "the file is not sealed: it is not a stream."),
    "an unsealed stream": (
        unsealed(line("production_run", production_run(1))),
        "schema",
        "/header/sealed",
        'the file is not sealed: its header has "sealed": false.',
    ),
    "a truncated stream": (CUT, "truncated", "", "The stream ends after line 3, without its trailer."),
}


async def imported_in_a_loop(data):
    async with AsyncHistory("sqlite+aiosqlite://") as history:
        return await history.import_file(data, sealed=True)


SEALED = {
    "import_file": lambda data, history: history.import_file(data, sealed=True),
    "import_file, in parts": lambda data, history: history.import_file(data, sealed=True, commit_every=1),
    "AsyncHistory": lambda data, _: asyncio.run(imported_in_a_loop(data)),
    "check_file": lambda data, history: histio.check_file(data, history=history, sealed=True),
    "merge": lambda data, history: merged(data, history, sealed=True),
}


@pytest.mark.cells(len(UNSEALED) * len(SEALED))
@pytest.mark.parametrize("name", UNSEALED)
@pytest.mark.parametrize("reader", SEALED)
def test_a_file_without_a_seal_is_refused_before_anything_is_written(history, name, reader):
    data, code, pointer, text = UNSEALED[name]
    *_, problem = problems_of(SEALED[reader], io.BytesIO(data), history)
    assert (problem.code, problem.pointer) == (code, pointer)
    assert problem.message.endswith(text)
    assert history.export_document()["production_runs"] == []


def test_a_sealed_stream_is_imported_and_checked(sqlite):
    report = History(sqlite).import_file(io.BytesIO(STREAM), sealed=True)
    assert report.imported == 2
    found = histio.check_file(io.BytesIO(STREAM), sealed=True)
    assert "error" not in {problem.severity for problem in found}
    assert merged(io.BytesIO(STREAM), History(), sealed=True) == ()


def test_a_seal_excludes_truncated_files(history):
    with pytest.raises(ValueError, match="sealed excludes allow_truncated"):
        history.import_file(io.BytesIO(STREAM), sealed=True, allow_truncated=True)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("import {file} --url {url} --sealed", 1, "is not sealed"),
        ("import {file} --url {url} --sealed --allow-truncated", 2, "cannot be combined"),
        ("check {file} --sealed", 1, "is not sealed"),
        ("merge {file} --sealed -o {out}.jsonl", 1, "is not sealed"),
    ],
)
def test_commands_refuse_a_file_without_a_seal(shelf, tmp_path, capsys, command, code, text):
    path = tmp_path / "history.json"
    path.write_bytes(text_of(GIVEN))
    assert cli.main(command.format(file=path, url=shelf.url, out=tmp_path / "out").split()) == code
    output, errors = capsys.readouterr()
    assert text in output + errors
