"""Files that are changed at random: what goes in is what another reader sees, and all else is told."""

from __future__ import annotations

import collections
import io
from contextlib import suppress

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy.orm import Session

import histio
from histio import DocumentError, HistioError, History, cli
from histio.cli.exit_codes import ExitCode
from histio.files import Source, fail_if_damaged, reading
from histio.files.raw_runs import RawRun
from histio.tuning import tuned
from tests.support import judge, shop
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
from tests.support.catalogs import CATALOG, COLLECTIONS, ROWS, RUNS, write
from tests.support.mutants import COMPRESSIONS, mutated, mutated_bytes, to_text
from tests.support.streams import MOMENT, document_of, line, run_lines, seal_of, sealed, stream_of, unsealed

HISTORY = History()
GIVEN = document(
    production_run(1, consumptions=[consumption(11), consumption(12, ingredient_slug="no-such-slug")]),
    production_run(2, notes='Größe "XL" ☕\n', produced_at="2025-12-08T12:00:00.120000+02:00"),
    production_run(3, consumptions=[], notes=None),
    assembly=[
        assembly_run(4, finished_unit_consumptions=[unit_consumption(41), unit_consumption(42)]),
        assembly_run(5, packaging_consumptions=[packaging(51), without(packaging(52), "product_slug")]),
    ],
)
CODES = {
    *[
        "schema",
        "precision",
        "out-of-range",
        "version",
        "unknown-reference",
        "ambiguous-reference",
        "duplicate",
    ],
    *["duplicate-in-document", "conflict", "constraint", "truncated", "corrupt"],
}
"""The codes of errors."""

MAX_MESSAGE = 1000
LINES = [{"header": {"version": "1.0", "sealed": False}}] + [
    {kind: run} for kind, run in judge.items_of(GIVEN)
]


def judged_document(data):
    """The runs of a document, as another reader sees them; None: it is none."""
    value = judge.read(data)
    return judge.items_of(value) if judge.has_valid_envelope(value) else None


def judged_stream(data):
    """The lines of a stream without a seal, as another reader sees them; None: it is none."""
    header, *lines = data.removesuffix(b"\n").split(b"\n")
    is_one = judge.begins_unsealed(judge.read(header))
    return [judge.item_of(judge.read(line)) for line in lines] if is_one else None


class Outcome:
    """What has become of an import, with what is stored then and nothing else.

    Attributes:
        report: The report; None: the file was refused.
        problems: The problems of its runs, or of the file.
        found: What is stored, by kind and UUID.
    """

    def __init__(self, engine, given):
        with Session(engine) as session:
            try:
                if isinstance(given, bytes | list):
                    files = [given] if isinstance(given, bytes) else given
                    self.report = HISTORY.import_file(map(io.BytesIO, files), session=session)
                else:
                    self.report = HISTORY.import_document(given, session=session)
                self.problems = self.report.problems
            except DocumentError as error:
                self.report, self.problems = None, error.problems
            stored = HISTORY.export_document(session=session)
        self.found = {(kind, run["uuid"]): run for kind, run in judge.items_of(stored)}
        assert {problem.code for problem in self.problems} <= CODES
        assert [problem.message for problem in self.problems if len(problem.message) > MAX_MESSAGE] == []
        assert self.report or (self.problems and not self.found)

    def check(self, items):
        """Check that what is right of *items* is stored as it is, and that all others are told of."""
        report = self.report
        assert report.imported + report.skipped + report.rejected == len(items)
        assert report.rejected == len({place(problem) for problem in self.problems})
        assert report.imported == len(self.found)
        right = [item for item in items if judge.is_right(*item)]
        given = collections.defaultdict(list)
        for kind, run in right:
            given[kind, run["uuid"].lower()].append(run)
        for identity, run in self.found.items():
            assert any(judge.is_same(one, run) for one in given[identity]), run
        owned = collections.Counter(name for item in items for name in judge.identities(*item))
        own = [judge.identities(*item) for item in right]
        certain = {names[0] for names in own if all(owned[name] == 1 for name in names)}
        assert certain <= set(self.found)


def place(problem):
    """The run that a problem is about."""
    return problem.line or tuple(problem.pointer.split("/")[1:3])


def told(engine, data):
    """The runs that the check of a file tells of, or its damage."""
    problems = histio.check_file(io.BytesIO(data), history=History(engine))
    return {place(problem) for problem in problems if problem.severity == "error"}


@pytest.mark.slow
def test_of_a_changed_document_what_is_right_goes_in_and_all_else_is_told(engine, tries, tune):
    for each in tries(15):
        with each as chance:
            tune(full_path_only=chance.random() < 0.3, chunk=chance.choice([1000, 2**18]))
            text = to_text(chance, mutated(chance, GIVEN), indent=chance.choice([None, None, 2]))
            data = text.encode(errors="surrogatepass")
            items = judged_document(data)
            compress, _ = COMPRESSIONS[chance.choice([*COMPRESSIONS])]
            given = chance.choice([compress(data), judge.read(data)])
            outcome = Outcome(engine, compress(data) if given is judge.NO_JSON else given)
            assert (outcome.report is None) == (items is None)
            if items is not None:
                outcome.check(items)
            assert bool(outcome.problems) == bool(told(engine, compress(data)))


@pytest.mark.slow
def test_of_a_changed_stream_what_is_right_goes_in_and_all_else_is_told(engine, tries, tune):
    for each in tries(15):
        with each as chance:
            tune(full_path_only=chance.random() < 0.3)
            lines = mutated(chance, LINES)
            data = b"".join(to_text(chance, line).encode(errors="surrogatepass") + b"\n" for line in lines)
            items = judged_stream(data)
            compress, _ = COMPRESSIONS[chance.choice([*COMPRESSIONS])]
            outcome = Outcome(engine, compress(data))
            assert (outcome.report is None) == (items is None)
            if items is not None:
                outcome.check(items)
                assert {place(problem) for problem in outcome.problems} == told(engine, compress(data))


FORMS = {
    "a document": (document_of(GIVEN), judged_document),
    "an unsealed stream": (unsealed(*run_lines(GIVEN)), judged_stream),
    "a sealed stream": (stream_of(GIVEN), lambda _: judge.items_of(GIVEN)),
}
"""Files, and how another reader reads them: a seal is unbroken only where nothing has changed."""


@pytest.mark.slow
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(("data", "read"), FORMS.values(), ids=FORMS)
def test_a_file_of_which_bytes_have_changed_is_refused_or_read_as_it_is(
    shelf, tries, data, read, compression
):
    compress, decompress = COMPRESSIONS[compression]
    for each in tries(40):
        with each as chance:
            changed = mutated_bytes(chance, compress(data))
            outcome = Outcome(shelf, changed)
            assert bool(outcome.problems) == bool(told(shelf, changed))
            if outcome.report:
                outcome.check(read(decompress(changed)))


ONE, OTHER = (
    line("production_run", production_run(1, notes="old")),
    line("production_run", production_run(2)),
)
LATER = line("header", {"version": "1.0", "follows": seal_of(b"", [ONE, OTHER])["sha256"]})
CHAIN = [sealed(ONE, OTHER), sealed(OTHER, header=LATER), stream_of(GIVEN)]
"""Files, one of which follows another one."""


@pytest.mark.slow
def test_of_several_files_all_go_in_or_the_changed_one_is_named(shelf, tries):
    for each in tries(60):
        with each as chance:
            files = [COMPRESSIONS[chance.choice([*COMPRESSIONS])][0](data) for data in CHAIN]
            place = chance.randrange(len(files))
            files[place] = mutated_bytes(chance, files[place])
            chance.shuffle(files)
            outcome = Outcome(shelf, files)
            assert len(outcome.found) == (5 if outcome.report else 0)
            assert len({problem.file for problem in outcome.problems}) == (0 if outcome.report else 1)


ORDERS = shop.orders(
    shop.order(1, extra={"a": [1, None, 2.5, "x"], "b": True}),
    shop.order(2, parent=number(1), customer="a", lines=[shop.line(2, quantity="3.5"), shop.line(1)]),
    shop.order(3, parent=number(4), warehouse=None, tags=["old"], shipment=None),
    shop.order(4, customer=None, placed_on=None, gift=True, weight=-1e-7, total="-5.25", doubled=-1050),
)


def allowed(data, validator):
    """The UUIDs of the orders that the published schema allows, as another reader sees them."""
    value = judge.read(data)
    orders = value.get("orders") if isinstance(value, dict) else None
    return {order["uuid"].lower() for order in orders or () if validator.is_valid(order)}


def taken(history, engine, data, **tuning):
    """What becomes of a file of orders: counts, the codes of its problems, and what is stored."""
    with Session(engine) as session, tuned(**tuning):
        try:
            report = history.import_file(io.BytesIO(data), session=session)
            end, problems = (report.imported, report.skipped, report.rejected), report.problems
        except DocumentError as error:
            end, problems = (0, 0, 0), error.problems
        stored = history.export_document(session=session, exported_at=MOMENT)["orders"]
    assert end[0] == len(stored)
    return end, sorted({(place(problem), problem.code) for problem in problems}, key=str), stored


@pytest.mark.slow
def test_of_changed_orders_both_paths_take_the_same_and_only_what_the_schema_allows(create, tries):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    schema = history.json_schema()
    validator = Draft202012Validator({"$ref": "#/$defs/order", "$defs": schema["$defs"]})
    for each in tries(8):
        with each as chance:
            data = to_text(chance, mutated(chance, ORDERS)).encode(errors="surrogatepass")
            end, problems, stored = taken(history, engine, data)
            assert (end, problems, stored) == taken(history, engine, data, full_path_only=True)
            assert {order["uuid"] for order in stored} <= allowed(data, validator)


def run_command(*arguments):
    """Run a command, which never fails in a way that nobody expected."""

    def run(path):
        code = cli.main([*arguments, str(path)])
        assert code in {ExitCode.DONE, ExitCode.BAD, ExitCode.REJECTS}

    return run


CATALOG_FORMS = [write([*ROWS, *RUNS], form=form)[0] for form in ("json", "jsonl")]
CATALOG_LINES = [
    {"header": {"version": "1.0", "sealed": False, "catalog": CATALOG}},
    *({kind: record} for kind, record in [*ROWS, *RUNS]),
]
CATALOG_DOCUMENT = GIVEN | {COLLECTIONS[kind]: [record] for kind, record in ROWS}


def read_items(data):
    """The catalog rows and runs of a file; None: it has errors."""
    errors = [each for each in histio.check_file(io.BytesIO(data)) if each.severity == "error"]
    with Source(io.BytesIO(data)) as source, suppress(DocumentError):
        with reading(source, HISTORY.bound.gate, HISTORY.bound.all_kinds) as file:
            items = list(fail_if_damaged(file.items(), file))
        assert errors or all(isinstance(item, RawRun) for item in items)
        return None if errors else [(item.kind, item.record) for item in items]
    assert errors
    return None


@pytest.mark.slow
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_sealed_catalog_of_which_bytes_have_changed_is_refused_or_as_it_was(tries, compression):
    compress, _ = COMPRESSIONS[compression]
    for each in tries(60):
        with each as chance:
            changed = mutated_bytes(chance, compress(CATALOG_FORMS[1]))
            assert read_items(changed) in (None, [*ROWS, *RUNS])


@pytest.mark.slow
def test_of_a_changed_catalog_each_row_that_the_schema_allows_is_read(tries):
    validators = {
        kind: Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": judge.SCHEMA["$defs"]})
        for kind in COLLECTIONS
    }
    for each in tries(20):
        with each as chance:
            changed = [CATALOG_LINES[0], *mutated(chance, CATALOG_LINES[1:])]
            data = "".join(to_text(chance, line) + "\n" for line in changed).encode(errors="surrogatepass")
            for kind, record in read_items(data) or ():
                assert validators[kind].is_valid(record), record


READERS = {
    "check": lambda path: [*histio.check_file(path)],
    "inspect": histio.inspect_file,
    "references": lambda path: [*histio.references(path)],
    "audit": lambda path: [*histio.audit(path)],
    "diff": lambda path: [*histio.diff(path, path.with_name("given"))],
    "merge": lambda path: histio.merge([path, path], path.with_name("merged.jsonl"), overwrite=True),
    "report": lambda path: histio.report_page(path, path.with_name("report.html"), overwrite=True),
    "tables": lambda path: histio.flatten(path, path.with_name("tables"), overwrite=True),
    "check at the command line": run_command("check", "--jsonl"),
    "inspect at the command line": run_command("inspect"),
    "references at the command line": run_command("references"),
    "audit at the command line": run_command("audit"),
}
"""What reads a file at a path."""


@pytest.mark.slow
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_changed_file_is_read_or_refused_by_every_reader(tries, tmp_path, tune, capsys, read):
    tune(chunk=1000, keys_in_memory=2)
    path = tmp_path / "changed"
    (tmp_path / "given").write_bytes(stream_of(GIVEN))
    for each in tries(20):
        with each as chance:
            documents = [GIVEN, CATALOG_DOCUMENT]
            texts = [to_text(chance, mutated(chance, given)) for given in documents]
            for stream in (LINES, CATALOG_LINES):
                texts += ["\n".join(to_text(chance, line) for line in mutated(chance, stream))]
            compress, _ = COMPRESSIONS[chance.choice([*COMPRESSIONS])]
            structural = [compress(text.encode(errors="surrogatepass")) for text in texts]
            files = [*(data for data, _ in FORMS.values()), *CATALOG_FORMS]
            bytewise = [mutated_bytes(chance, compress(data)) for data in files]
            path.write_bytes(chance.choice([*structural, *bytewise]))
            with suppress(HistioError):
                read(path)
            capsys.readouterr()
