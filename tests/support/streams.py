"""Histories in files: streams, seals, pipes, and faults that they may have."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import json
import os
import threading
from contextlib import contextmanager, suppress

import zstandard

from histio.files.sources import DamageError, Source
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)


@contextmanager
def piped(data):
    """The reading end of a pipe through which *data* come."""
    read, write = os.pipe()

    def feed():
        with suppress(BrokenPipeError), os.fdopen(write, "wb") as file:
            file.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(read, "rb") as file:
        yield file
    feeder.join()


def drained(reader, size=4096):
    """All that *reader* gives, and the damage after it."""
    pieces = []
    try:
        while piece := reader.read(size):
            pieces.append(piece)
    except DamageError as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


def read(data, **options):
    return drained(Source(io.BytesIO(data), **options).open())


MOMENT = dt.datetime(2025, 12, 9, 12, tzinfo=dt.UTC)


KINDS = {"production_runs": "production_run", "assembly_runs": "assembly_run"}


WHOLE = document(
    production_run(1, notes='Größe "XL" ☕\n\t\u2028', consumptions=[consumption(n) for n in (13, 12, 11)]),
    production_run(2, produced_at="2025-12-08T10:00:00.120000Z", notes=None, consumptions=[]),
    assembly=[assembly_run(1), assembly_run(2, finished_unit_consumptions=[])],
) | {"exported_at": "2025-12-09T12:00:00Z"}
"""Something of everything, in canonical form and order."""


def text_of(value, *, ascii_only=False):
    """*value* as compact JSON."""
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()


def line(member, value, **options):
    """A line of a stream."""
    return text_of({member: value}, **options) + b"\n"


def run_lines(given, **options):
    return [line(kind, run, **options) for name, kind in KINDS.items() for run in given.get(name, ())]


def seal_of(header, runs, **members):
    """The trailer of a stream of these lines, with some of its members replaced."""
    counts = {kind: sum(run.startswith(b'{"%s"' % kind.encode()) for run in runs) for kind in KINDS.values()}
    counts = {kind: count for kind, count in counts.items() if count}
    digests = [hashlib.sha256(each).hexdigest() for each in (b"".join(runs), header)]
    return {"counts": counts, "sha256": digests[0], "header_sha256": digests[1]} | members


def sealed(*runs, header=None, **members):
    """A sealed stream of these lines, with some members of its trailer replaced."""
    first = header or line("header", {"version": "1.0", "exported_at": WHOLE["exported_at"]})
    return first + b"".join(runs) + line("trailer", seal_of(first, runs, **members))


def unsealed(*runs):
    """A stream as people write it by hand."""
    return line("header", {"version": "1.0", "sealed": False}) + b"".join(runs)


def stream_of(given, **options):
    """A document as the sealed stream that histio writes."""
    names = ("version", "exported_at")
    header = {name: given[name] for name in names} | {"kinds": list(KINDS.values())}
    return sealed(*run_lines(given, **options), header=line("header", header))


def document_of(given):
    """A document as the file that histio writes."""
    lists = [
        b'"%s":[%s\n]' % (name.encode(), b",".join(b"\n" + text_of(run) for run in given[name]))
        for name in KINDS
    ]
    rest = text_of({name: given[name] for name in ("version", "exported_at")})
    return b",\n".join([rest[:-1], *lists]) + b"}\n"


FORMS = {
    "a document": lambda given: text_of(given, ascii_only=True),
    "an indented document": lambda given: json.dumps(given, indent=2).encode(),
    "a compressed document": lambda given: gzip.compress(text_of(given, ascii_only=True)),
    "a sealed stream": lambda given: stream_of(given, ascii_only=True),
    "an unsealed stream": lambda given: unsealed(*run_lines(given, ascii_only=True)),
    "a compressed stream": lambda given: zstandard.compress(stream_of(given, ascii_only=True)),
}


FAULTY = document(
    production_run(1),
    production_run(2, notes="changed"),
    production_run(2),
    production_run(3, recipe_slug="cooky", finished_unit_slug="loaves"),
    production_run(4, recipe_slug="bread"),
    production_run(5, total_ingredient_cost="5.25001", num_batches=0, colour="red"),
    production_run(6, uuid=number(0xABC).upper(), produced_at="2025-12-08T12:30:00+02:30", num_batches=2.0),
    production_run(7, uuid=f"urn:{number(7)}"),
    production_run(8, expected_yield=True, actual_yield="92", num_batches=10**30),
    production_run(9, notes="a\0b"),
    production_run(10, notes="\ud83d"),
    production_run(11, notes="\U0001f36a é \\ud83d", consumptions=[consumption(1), consumption(1)]),
    production_run(12, consumptions=[consumption(1_000_001)]),
    production_run(13, consumptions=[consumption(13, ingredient_slug="saffron", unit="")]),
    production_run(14, consumptions=[consumption(14, ingredient_slug="saffron"), 3, None, []]),
    without(production_run(15), "uuid"),
    without(production_run(16), "notes", "created_at", "updated_at", "consumptions"),
    {},
    [],
    None,
    "a run",
    production_run(17, consumptions={}),
    production_run(18, consumptions=None),
    production_run(19, consumptions=[consumption(19, ingredient_slug="saffron")]),
    assembly=[
        assembly_run(1),
        assembly_run(2, packaging_consumptions=[packaging(1, ingredient_slug="flour")]),
        assembly_run(3, packaging_consumptions=[without(packaging(2), "product_slug", "ingredient_slug")]),
        assembly_run(4, packaging_consumptions=[packaging(3, product_slug=None)]),
        assembly_run(5, finished_unit_consumptions=[unit_consumption(4, finished_unit_slug="cooky")]),
        assembly_run(
            6, finished_unit_consumptions=[without(unit_consumption(5), "unit_cost_at_consumption")]
        ),
        without(assembly_run(7), "assembled_at", "finished_good_slug"),
    ],
)


def below(problem):
    """A problem in words that are the same for documents and streams."""
    steps = problem.pointer.split("/")[2 if problem.line else 3 :]
    return problem.severity, problem.code, problem.message, steps, problem.kind, problem.uuid, problem.hint
