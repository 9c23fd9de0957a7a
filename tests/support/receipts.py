"""What tests read in receipts."""

from __future__ import annotations

import functools
import hashlib
import json

from jsonschema import Draft202012Validator

from histio import History
from histio.wire import encode


@functools.cache
def _rule():
    schema = History().json_schema()
    return Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/receipt_line"})


def lines_of(path, *, kinds=None):
    """The lines of a receipt, after a check with the JSON Schema; *kinds*: those of a host, unchecked."""
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert kinds or all(map(_rule().is_valid, found))
    return found


def digest(record):
    return hashlib.sha256(encode(record).encode()).hexdigest()


def result_of(path):
    """What a receipt amounts to: by run, what was done to it first, and its last digest."""
    result = {}
    for line in lines_of(path)[1:]:
        [(action, run)] = line.items()
        key = run["kind"], encode(run["identity"])
        first, _ = result.get(key, ((action, run.get("before")), None))
        result[key] = first, run["sha256"]
    return result
