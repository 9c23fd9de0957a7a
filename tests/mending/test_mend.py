"""Rejects are checked again, with what was corrected, and what is right by then is written."""

from __future__ import annotations

import json

import pytest

from histio.files import Limits
from histio.mending.corrections import Corrections, digest_of
from histio.mending.lines import open_rejects_file, read_line
from histio.mending.mend import Mending
from histio.mending.survey import Survey
from tests.support import tickets
from tests.support.bakery import number

HEADER = '{"header": {"version": "1.0", "sealed": false}}'


@pytest.fixture
def mending(sqlite_of, tmp_path):
    """Rejected tickets: the second one names the first one as its cause, and a third one that is missing."""
    history = tickets.history(sqlite_of(tickets.Base.metadata))
    wrong = tickets.ticket(1) | {"code": 7}
    runs = [wrong, tickets.ticket(2, cause=1), tickets.ticket(3, cause=9)]
    source, path = tmp_path / "in.jsonl", tmp_path / "rejects.jsonl"
    source.write_text(
        "".join(f"{line}\n" for line in [HEADER, *(json.dumps({"ticket": run}) for run in runs)])
    )
    assert history.import_file(source, rejects=path).rejected == 3
    file = open_rejects_file(path, history.bound, Limits())
    kept = Corrections(tmp_path / "corrections", digest_of(path))
    with kept as corrections, Survey() as survey:
        mending = Mending(file, corrections, history, create_catalog=False, survey=survey)
        mending.check()
        yield mending


def test_a_run_may_refer_to_another_one_that_is_mended(mending, tmp_path):
    lines = {mending.line(line).value["uuid"]: line for line in (2, 3, 4)}
    assert mending.survey.left == 3
    first = lines[number(1)]
    assert mending.correct(first, json.dumps({"ticket": tickets.ticket(1)})) == []
    assert mending.survey.next_left(0) == lines[number(3)]
    mending.write(tmp_path / "mended.jsonl")
    header, *mended = map(json.loads, (tmp_path / "mended.jsonl").read_text().splitlines())
    assert header["header"]["sealed"] is False
    assert {each["ticket"]["uuid"] for each in mended} == {number(1), number(2)}


@pytest.mark.parametrize(
    ("listed", "messages"),
    [
        (["x", 7, None], ["'x'", "7", "None"]),
        ([{"message": "M", "code": ["schema"], "pointer": 3, "hint": {}, "uuid": 1}], ["M"]),
        ([{"message": 5}, {}], ["{'message': 5}", "{}"]),
        ([{"message": "M", "severity": "warning"}], []),
        ([{"message": "M"}] * 1_000, ["M"] * 101),
        ({"message": "M"}, []),
    ],
)
def test_whatever_people_have_written_as_problems_can_be_read(listed, messages):
    line = read_line(json.dumps({"problems": listed, "ticket": {"uuid": 7}}), 64)
    assert (line.kind, [problem.message for problem in line.problems]) == ("ticket", messages)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("/tickets/3/code", "/ticket/code"),
        ("/ticket/code", "/ticket/code"),
        ("", "/ticket"),
        ("/3", "/ticket"),
        ("/a~1b/x", "/ticket"),
    ],
)
def test_pointers_into_documents_become_pointers_into_the_line(pointer, expected):
    line = read_line(json.dumps({"ticket": {}, "problems": [{"message": "M", "pointer": pointer}]}), 64)
    assert [problem.pointer for problem in line.problems] == [expected]
