"""Histories to compare, as files and in databases."""

from __future__ import annotations

import io
import json

from histio import History
from tests.support.reports import outcomes


def stream(*runs, version="1.0", **header):
    """A stream without seal, as people write it, of runs and their kinds."""
    lines = [{"header": {"version": version, "sealed": False} | header}]
    lines += [{kind: record} for kind, record in runs]
    return io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode())


def production(*records):
    return stream(*(("production_run", record) for record in records))


def whole(given):
    """A document as a file."""
    return io.BytesIO(json.dumps(given).encode())


def imported(engine, given):
    history = History(engine)
    assert outcomes(history.import_document(given))[2] == 0
    return history
