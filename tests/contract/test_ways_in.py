"""Numbers and repeated names mean the same on every way in: dicts, files and streams, checked or imported."""

from __future__ import annotations

import io
import re
from contextlib import suppress

import pytest
from sqlalchemy.orm import Session

import histio
from histio import DocumentError, History
from histio.files import Source, reading
from histio.schemas import BUNDLED, BUNDLED_CATALOG
from histio.tuning import tuned
from tests.support import shop
from tests.support.corpus import CASES, VALID, has_repeated_name
from tests.support.streams import line

KINDS = [cls.Meta.kind for cls in BUNDLED]
LISTS = [cls.Meta.collection for cls in BUNDLED]
CATALOG = [cls.Meta.kind for cls in BUNDLED_CATALOG]
DEPENDING = [case for case in CASES if not case.portable or case.name.startswith("integer")]
"""Documents that parsers of JSON may read differently."""

HISTORIES = {"bundled": BUNDLED, "with JSON": (*BUNDLED, shop.OrderSchema)}
"""The kinds of histories. If one has members of JSON, numbers of files are decoded by another decoder."""


BOUND = History().bound


def as_stream(text):
    """The rows and runs of a document as a stream, each as its text has it; None: it is no document."""
    with suppress(DocumentError), reading(Source(io.BytesIO(text)), BOUND.gate, BOUND.all_kinds) as file:
        lines = [
            b'{"%s":%s}\n' % (each.kind.encode(), each.text.replace("\n", " ").encode())
            for each in file.items()
        ]
        return line("header", {"version": "1.0", "sealed": False, "catalog": CATALOG}) + b"".join(lines)


def faults(problems):
    """What is wrong with runs and rows: kind, index, code, and the pointer below the run."""
    return sorted(
        (each.kind, each.index, each.code, re.sub(rf"^/([a-z_]+/[0-9]+|{each.kind})", "", each.pointer))
        for each in problems
        if each.severity == "error" and each.kind
    )


def without_times(value):
    """A record or list without the times that an import adds."""
    if isinstance(value, list):
        return [without_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    added = ("created_at", "updated_at")
    return {name: without_times(inner) for name, inner in value.items() if name not in added}


def outcome(history, session, given, *, full):
    """The faults of an import, and the runs that are stored then; nothing is kept."""
    options = {"session": session, "catalog": "create"}
    try:
        with tuned(full_path_only=full):
            if isinstance(given, bytes):
                report = history.import_file(io.BytesIO(given), **options)
            else:
                report = history.import_document(given, **options)
        stored = history.export_document(session=session, kinds=KINDS)
        return faults(report.problems), [without_times(stored[name]) for name in LISTS]
    except DocumentError as error:
        return sorted((each.pointer, each.code) for each in error.problems)
    finally:
        session.rollback()


@pytest.mark.slow
@pytest.mark.parametrize("name", HISTORIES)
def test_every_way_in_finds_the_same_faults_and_stores_the_same_runs(name, sqlite):
    history, different = History(sqlite, *HISTORIES[name], catalog=BUNDLED_CATALOG), []
    with Session(sqlite) as session:
        for case in DEPENDING:
            data, document = case.text.encode(), case.document
            files = [data, *filter(None, [as_stream(data)])]
            checked = [
                history.check(document),
                *(histio.check_file(io.BytesIO(each), history=history) for each in files),
            ]
            found = [faults(each) for each in checked]
            outcomes = [
                outcome(history, session, given, full=full)
                for given in (document, *files)
                for full in (False, True)
            ]
            different += [(case.name, found)] * any(each != found[0] for each in found)
            different += [(case.name, outcomes)] * any(each != outcomes[0] for each in outcomes)
    assert different == []


def test_a_repeated_name_in_a_valid_document_is_a_warning():
    found = {case.name: histio.check_file(io.BytesIO(case.text.encode())) for case in VALID}
    codes = {name: {(each.severity, each.code) for each in problems} for name, problems in found.items()}
    warned = [name for name in codes if ("warning", "duplicate-member") in codes[name]]
    assert warned == [case.name for case in VALID if has_repeated_name(case.text)]
