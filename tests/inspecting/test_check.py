"""All that is wrong with a file, told before anything is imported."""

from __future__ import annotations

import gzip
import io
import json
import re
import tracemalloc
from dataclasses import replace

import pytest
import sqlalchemy as sa
import zstandard
from hypothesis import HealthCheck, given, settings
from marshmallow import ValidationError, pre_load, validates
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

import histio
from histio import DocumentError, History, check_file, create_engine
from histio.models import Base, Ingredient, Product, ProductionRun, Recipe
from histio.testing import documents, near_documents
from tests.support import shop
from tests.support.bakery import (
    ASSEMBLY,
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.books import InvoiceSchema, LedgerBase, SaleSchema, books
from tests.support.columns import host, things
from tests.support.effort import examples
from tests.support.hosts import (
    CUT,
    INSTANT,
    PARTS,
    WHOLE,
    entry,
    ledger,
    model,
    run,
    text,
    to,
    word,
)
from tests.support.hosts import document as runs_of
from tests.support.shop import order, orders
from tests.support.streams import FAULTY, FORMS, below, line, piped, sealed, stream_of, text_of, unsealed

FITTING = {"total_ingredient_cost": "2.5000", "per_unit_cost": "0.0272"}
"""What breaks no rule."""


def fitting(n=1, **members):
    return production_run(n, **FITTING | members)


def checked(data, history=None, **options):
    """What is told; of runs in documents without the line, as those here have but one."""
    found = check_file(io.BytesIO(data), history=history, **options)
    return [replace(each, line=None) if re.match(r"/\w+/\d+", each.pointer) else each for each in found]


def problems_in(data, history=None, **options):
    """Code, pointer and line of each problem."""
    return [(each.code, each.pointer, each.line) for each in checked(data, history, **options)]


def of_document(given, history=None):
    """Code and pointer of each problem in a document."""
    return [(code, where) for code, where, _ in problems_in(text_of(given), history)]


@pytest.fixture(scope="module")
def shelf(shelf):
    """Checks leave nothing there."""
    yield shelf
    with Session(shelf) as session:
        assert session.scalars(sa.select(ProductionRun)).all() == []


@pytest.fixture(scope="module")
def history(shelf):
    return History(shelf)


def shopping(engine, kind=shop.OrderSchema, **options):
    return History(engine, kind, values={"shop_id": 7}, **options)


@pytest.fixture(scope="module")
def shop_history(tmp_path_factory):
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('shop')}/shop.db")
    shop.Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(shop.catalog())
        session.commit()
    yield shopping(engine)
    engine.dispose()


# --- what is told, and where -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_of_a_good_file_in_any_form_nothing_is_told(form, history):
    data = form(document(fitting(1), fitting(2), assembly=[ASSEMBLY]))
    assert checked(data) == checked(data, history) == []


@pytest.mark.parametrize(
    ("members", "code", "where"),
    [
        ({"notes": 5}, "schema", "notes"),
        ({"colour": "red"}, "schema", "colour"),
        ({"total_ingredient_cost": "2.50001"}, "precision", "total_ingredient_cost"),
        ({"num_batches": 0}, "out-of-range", "num_batches"),
        ({"consumptions": [consumption(unit=5, total_cost="2.5")]}, "schema", "consumptions/0/unit"),
        ({"consumptions": []}, "audit", "consumptions"),
        ({"per_unit_cost": "0.03"}, "audit", "per_unit_cost"),
        (
            {"consumptions": [consumption(2, total_cost="1.25")] * 2},
            "duplicate-in-document",
            "consumptions/1/uuid",
        ),
    ],
)
def test_a_problem_says_its_code_and_its_place_in_document_and_stream(members, code, where):
    given = document(fitting(1), fitting(2, **members), fitting(3))
    assert problems_in(text_of(given)) == [(code, f"/production_runs/1/{where}", None)]
    assert problems_in(stream_of(given)) == [(code, f"/production_run/{where}", 3)]
    [problem] = checked(stream_of(given))
    assert (problem.kind, problem.uuid, problem.index) == ("production_run", number(2), 1)
    assert problem.severity == ("warning" if code == "audit" else "error")


def test_a_problem_in_a_document_says_the_line_where_its_value_begins():
    wrong = fitting(2, notes=5, consumptions=[consumption(unit="a\nb", colour="red")])
    text = json.dumps(
        document(fitting(1), wrong, fitting(3, **{"a/b": {}}), without(fitting(4), "notes", "uuid")), indent=1
    )
    lines = dict(zip(map(str.strip, text.splitlines()), range(1, 1_000), strict=False))
    begins = [n for n, each in enumerate(text.splitlines(), 1) if each == "  {"]
    found = [
        (each.pointer.removeprefix("/production_runs"), each.line)
        for each in check_file(io.BytesIO(text.encode()))
    ]
    assert found == [
        ("/1/notes", lines['"notes": 5,']),
        ("/1/consumptions/0/colour", lines['"colour": "red"']),
        ("/2/a~1b", lines['"a/b": {}']),
        ("/3/uuid", begins[3]),
    ]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_runs_are_told_the_same_in_every_form(form, history):
    for of in (None, history):
        expected = [below(each) for each in checked(text_of(FAULTY, ascii_only=True), of)]
        found = [below(each) for each in checked(form(FAULTY), of)]
        assert [each[1:] for each in found if "first in" not in each[2]] == [
            each[1:] for each in expected if "first in" not in each[2]
        ]
        assert len(found) == len(expected)


def test_problems_come_in_the_order_of_the_file_and_damage_comes_last():
    lines = [
        line("assembly_run", assembly_run(1, colour="red")),
        b"{]\n",
        line("production_run", fitting(1, notes=5, num_batches=0)),
        line("production_run", fitting(2, per_unit_cost="1", consumptions=[])),
        b"\n",
    ]
    assert problems_in(sealed(*lines)[:-30]) == [
        ("schema", "/assembly_run/colour", 2),
        ("schema", "", 3),
        ("out-of-range", "/production_run/num_batches", 4),
        ("schema", "/production_run/notes", 4),
        ("audit", "/production_run/consumptions", 5),
        ("audit", "/production_run/per_unit_cost", 5),
        ("schema", "", 6),
        ("truncated", "", 7),
    ]


def test_a_pipe_is_read_once(history):
    given = document(fitting(1), fitting(1))
    with piped(stream_of(given)) as file:
        assert [each.code for each in check_file(file, history=history)] == ["duplicate-in-document"]


def test_rejects_are_told_what_they_were_rejected_for(shelf, history, tmp_path):
    lines = [
        line("production_run", fitting(1, recipe_slug="cooky")),
        b"nonsense\n",
        line("production_run", fitting(2, notes=5, consumptions=[consumption(102), consumption(102)])),
        line("assembly_run", ASSEMBLY | {"packaging_consumptions": [packaging(total_cost="x")]}),
    ]
    with shelf.connect() as connection:
        report = history.import_file(
            io.BytesIO(unsealed(*lines)), rejects=tmp_path / "rejects.jsonl.zst", session=connection
        )
        connection.rollback()
    found = list(check_file(tmp_path / "rejects.jsonl.zst", history=history))
    unread = {
        "The line is not JSON: Expecting value (column 1).": (
            "The line was rejected before, and has not been corrected."
        )
    }
    assert sorted((each.code, each.message) for each in found if each.severity == "error") == sorted(
        (each.code, unread.get(each.message, each.message)) for each in report.problems
    )
    assert len(report.problems) == 5


# --- files that are none, or not whole -------------------------------------------------------------------

GOOD = stream_of(document(fitting(1), fitting(2)))
CHANGED = GOOD.replace(b"Test batch", b"Best batch", 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", [("truncated", "", None)]),
        (b" \n", [("truncated", "", None)]),
        (b"no JSON", [("schema", "", None)]),
        (b"[]", [("schema", "", None)]),
        (b'{"version": "1.0"', [("truncated", "", None), ("schema", "", None)]),
        (b'{"version": "9.9", "production_runs": []}', [("version", "/version", None)]),
        (b'{"version": "1.0", "production_runs": [], "more": 1}', [("schema", "/more", None)]),
        (b'{"version": "1.0", "production_runs": 5}', [("schema", "/production_runs", None)]),
        (b'{"version": "1.0", "production_runs": []} []', [("schema", "", None)]),
        (b'{"version": "1.0", "production_runs": [\xff]}', [("schema", "", None)]),
        (line("header", {"version": "9.9"}), [("version", "/header/version", 1)]),
        (line("production_run", fitting()), [("schema", "", 1)]),
        (GOOD[:200], [("truncated", "", 2)]),
        (b"".join(GOOD.splitlines(keepends=True)[:-1]), [("truncated", "", 3)]),
        (CHANGED, [("corrupt", "/trailer/sha256", 4)]),
        (GOOD + GOOD, [("corrupt", "", 5)]),  # what comes after the trailer is not counted
        (gzip.compress(GOOD, mtime=0)[:-1], [("truncated", "", 5)]),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, [("corrupt", "", 5)]),
        (zstandard.compress(GOOD)[:-1], [("truncated", "", None)]),
        (gzip.compress(GOOD, mtime=0)[:12], [("truncated", "", None)]),
    ],
)
def test_a_file_that_is_none_or_not_whole_is_told_and_never_raised(data, expected, history):
    assert [each for each in problems_in(data) if each[0] != "duplicate-in-document"] == expected
    assert problems_in(data) == problems_in(data, history)


def test_of_a_truncated_document_the_whole_runs_are_told_first():
    data = text_of(document(fitting(1, notes=5), fitting(2)))
    assert problems_in(data[: data.index(number(2).encode())]) == [
        ("schema", "/production_runs/0/notes", None),
        ("truncated", "", None),
    ]


def test_a_file_that_is_not_there_raises():
    with pytest.raises(FileNotFoundError):
        list(check_file("nowhere.jsonl"))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({}, [("schema", "/production_run/notes", 3)]),
        ({"max_bytes": 1400}, [("schema", "/production_run/notes", 3), ("out-of-range", "", 5)]),
        ({"max_line_bytes": 590}, [("out-of-range", "", 3)]),
        ({"max_depth": 9}, [("schema", "", 3)]),
    ],
)
def test_limits_are_kept_and_what_is_beyond_them_is_told(limit, expected):
    deep = [[[[[[[[[[]]]]]]]]]]
    lines = [line("production_run", fitting(n, notes=notes)) for n, notes in enumerate(("", deep), 1)]
    assert problems_in(sealed(*lines), **limit) == expected


@pytest.mark.parametrize("limit", ["max_bytes", "max_line_bytes", "max_depth"])
@pytest.mark.parametrize("value", [0, -1, "5", None, True])
def test_limits_that_make_no_sense_are_refused(limit, value):
    with pytest.raises(ValueError, match=f"{limit} must be a positive integer"):
        list(check_file(io.BytesIO(GOOD), **{limit: value}))


# --- what comes twice ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([fitting(1), fitting(1)], [("warning", "production_runs/1/uuid", "production_runs/0")]),
        (
            [fitting(0xAB), fitting(1, uuid=number(0xAB).upper())],
            [("warning", "production_runs/1/uuid", "production_runs/0")],
        ),
        (
            [fitting(1), fitting(2), fitting(1), fitting(1)],
            [
                ("warning", "production_runs/2/uuid", "production_runs/0"),
                ("warning", "production_runs/3/uuid", "production_runs/0"),
            ],
        ),
        (
            [fitting(1), fitting(2, consumptions=[consumption(1_000_001)])],
            [("error", "production_runs/1/consumptions/0/uuid", "production_runs/0")],
        ),
        # What is not imported leaves its UUIDs to others: copies, runs of wrong form, runs with an error.
        (
            [
                fitting(1),
                fitting(1, consumptions=[consumption(7)]),
                fitting(2, consumptions=[consumption(7)]),
            ],
            [("warning", "production_runs/1/uuid", "production_runs/0")],
        ),
        ([fitting(1, notes=5), fitting(1), fitting(2), fitting(2, notes=5)], []),
        (
            [
                fitting(1),
                fitting(2, consumptions=[consumption(i, total_cost="1.25") for i in (8, 1_000_001)]),
                fitting(2, consumptions=[consumption(8)]),
            ],
            [("error", "production_runs/1/consumptions/1/uuid", "production_runs/0")],
        ),
    ],
)
def test_uuids_that_come_twice_are_told_with_their_first_place(runs, expected, history):
    for of in (None, history):
        found = [each for each in checked(text_of(document(*runs)), of) if each.code != "schema"]
        assert [each.code for each in found] == ["duplicate-in-document"] * len(expected)
        assert [
            (each.severity, each.pointer[1:], each.message.rpartition(", first in /")[2]) for each in found
        ] == (expected)


def test_in_a_stream_the_first_place_is_its_line():
    [problem] = checked(stream_of(document(fitting(1), fitting(2), fitting(1))))
    assert problem.message == f"Duplicate UUID: {number(1)}, first in line 2"
    assert str(problem) == f"line 4: /production_run/uuid: {problem.message}"


def test_runs_and_entries_of_other_tables_may_have_the_same_uuid(history):
    same = {"uuid": number(1)}
    entries = {"finished_unit_consumptions": [unit_consumption(1)], "packaging_consumptions": [packaging(1)]}
    given = document(fitting(1, consumptions=[consumption(1)]), assembly=[ASSEMBLY | same | entries])
    assert of_document(given) == of_document(given, history) == []


def test_a_run_that_is_rejected_for_its_references_leaves_its_uuids_to_others(history):
    given = document(fitting(1, recipe_slug="gone"), fitting(1), fitting(2, consumptions=[consumption(9)]))
    assert of_document(given, history) == [("unknown-reference", "/production_runs/0/recipe_slug")]
    assert of_document(given) == [("duplicate-in-document", "/production_runs/1/uuid")]


def test_identities_that_are_no_uuids_are_told_by_their_names(sqlite_of):
    history = History(sqlite_of(LedgerBase.metadata), SaleSchema, InvoiceSchema)
    given = books()
    again = given["invoices"][0] | {"number": 7.0}
    given["invoices"] = [again, {"number": 8, "due": "2025-12-31"}, *given["invoices"]]
    for of in (history, History(None, SaleSchema, InvoiceSchema)):
        [problem] = checked(text_of(given), of)
        assert (problem.severity, problem.pointer) == ("warning", "/invoices/2/number")
        assert problem.message == "Duplicate number: 7, first in /invoices/0"
        assert problem.uuid == "7"


def test_entries_known_only_within_their_run_may_come_in_others_and_not_twice_in_their_own():
    base = orm.declarative_base()
    serial = model(base, "Serial", line_id=to("lines"), code=text())
    place = sa.Column(sa.Integer, nullable=False)
    host_line = model(base, "Line", run_id=to("runs"), place=place, serials=relationship("Serial"))
    host_run = model(base, "Run", lines=relationship("Line"))
    serials = ledger(serial, {"identity": "code"}, code=word())
    lines = ledger(host_line, {"identity": "place"}, place=histio.Integer(required=True), serials=serials)
    one, two = ({"place": n, "serials": [{"code": "a"}]} for n in (1, 2))
    twice = {"place": 3, "serials": [{"code": "b"}, {"code": "a"}, {"code": "b"}]}
    given = runs_of({"id": 1, "lines": [one, two, one | {"place": 1.0}]}, {"id": 2, "lines": [one, twice]})
    assert of_document(given, History(None, run(host_run, lines=lines))) == [
        ("duplicate-in-document", "/runs/0/lines/2/place"),
        ("duplicate-in-document", "/runs/1/lines/1/serials/2/code"),
    ]


def with_bill(**options):
    """A kind whose runs have one entry, which has a UUID."""
    base = orm.declarative_base()
    bill = model(base, "Bill", run_id=to("runs", unique=True), uuid=text(36, unique=True))
    host_run = model(base, "Run", bill=relationship("Bill", uselist=False))
    of = Nested(entry(bill, uuid=histio.RunUUID(required=True)), allow_none=True)
    return base.metadata, run(host_run, options, bill=of)


def test_the_only_entry_of_a_ledger_has_its_place():
    given = runs_of({"id": 1, "bill": {"uuid": number(1)}}, {"id": 2}, {"id": 3, "bill": {"uuid": number(1)}})
    assert of_document(given, History(None, with_bill()[1])) == [
        ("duplicate-in-document", "/runs/2/bill/uuid")
    ]


def test_uuids_in_any_kind_of_column_are_the_same_in_any_case():
    metadata, kind = host(sa.Integer(), histio.Integer(required=True), uuid=sa.Column(sa.Uuid()))
    given = things(1, 2)
    given["things"][0]["uuid"], given["things"][1]["uuid"] = number(0xAB), number(0xAB).upper()
    assert of_document(given, History(None, kind)) == [("duplicate-in-document", "/things/1/uuid")]
    assert "things" in metadata.tables


# --- member names that come twice ------------------------------------------------------------------------

RUN = text_of(fitting(1)).decode()
TWICE = RUN.replace('"notes":', '"notes":"first","notes":')
IN_ENTRY = RUN.replace('"unit":', '"unit":"first","unit":')


def lined(*lines):
    return unsealed(*(each.encode() + b"\n" for each in lines))


@pytest.mark.parametrize(
    ("data", "where", "number"),
    [
        (f'{{"version":"1.0","version":"1.0","production_runs":[{RUN}]}}', "/version", None),
        (f'{{"version":"1.0","production_runs":[5],"production_runs":[{RUN}]}}', "/production_runs", None),
        (f'{{"version":"1.0","production_runs":[{TWICE}]}}', "/production_runs/0/notes", None),
        (
            f'{{"version":"1.0","production_runs":[{IN_ENTRY}]}}',
            "/production_runs/0/consumptions/0/unit",
            None,
        ),
        ('{"header":{"version":"9","version":"1.0","sealed":false}}', "/header/version", 1),
        ('{"header":{"version":"1.0"},"header":{"version":"1.0","sealed":false}}', "/header", 1),
        (lined(f'{{"production_run":{TWICE}}}'), "/production_run/notes", 2),
        (lined(f' {{ "production_run" : {IN_ENTRY} }} '), "/production_run/consumptions/0/unit", 2),
        (lined(f'{{"production_run":5,"production_run":{RUN}}}'), "/production_run", 2),
        (lined(f'{{"production_run":{TWICE},"problems":[]}}'), "/production_run/notes", 2),
        (lined(f'{{"problems":["}}"], "production_run":{TWICE} }}'), "/production_run/notes", 2),
        (lined(f'{{"production_run":5,"problems":[],"production_run":{RUN}}}'), "/production_run", 2),
        (lined(f'{{"production\\u005frun":{TWICE},"problems":[]}}'), "/production_run/notes", 2),
    ],
)
def test_a_name_that_comes_twice_is_told_where_it_stands(data, where, number, history):
    data = data if isinstance(data, bytes) else data.encode()
    for of in (None, history):
        [problem] = checked(data, of)
        assert (problem.severity, problem.code) == ("warning", "duplicate-member")
        assert (problem.pointer, problem.line) == (where, number)
        name = where.rpartition("/")[2]
        assert problem.message == f"The name {name} is repeated in its object; the last one counts."


def test_each_name_that_comes_twice_is_told_once_and_what_is_wrong_with_the_last_one_too():
    text_ = RUN.replace('"notes":', '"a/b":1,"notes":1,"a/b":2,"notes":2,"notes":').replace(
        '"Test batch"', "5"
    )
    assert problems_in(lined(f'{{"production_run":{text_}}}')) == [
        ("schema", "/production_run/notes", 2),
        ("schema", "/production_run/a~1b", 2),
        ("duplicate-member", "/production_run/a~1b", 2),
        ("duplicate-member", "/production_run/notes", 2),
        ("duplicate-member", "/production_run/notes", 2),
    ]


def test_names_in_objects_of_values_and_keys_are_told_too(shop_history):
    given = text_of(orders(order(extra={"a": [{"b": 1}]}))).decode()
    given = given.replace('"b":1', '"b":1,"b":2').replace('"city":"Ulm"', '"city":"Bonn","city":"Ulm"')
    assert problems_in(given.encode(), shop_history) == [
        ("duplicate-member", "/orders/0/warehouse/city", None),
        ("duplicate-member", "/orders/0/extra/a/0/b", None),
    ]


def test_the_same_name_in_several_objects_and_in_texts_is_no_repetition():
    notes = json.dumps('"a":1,"a":2')
    given = RUN.replace('"Test batch"', notes)
    assert (
        problems_in(lined(f'{{"production_run":{given}}}', f'{{"assembly_run":{json.dumps(ASSEMBLY)}}}'))
        == []
    )


def test_deep_objects_are_told_and_never_raised():
    for depth in (10, 60, 700):
        deep = '{"a":1,"a":' * depth + "1" + "}" * depth
        found = problems_in(lined(f'{{"production_run":{deep}}}'), max_depth=5000)
        assert found.count(("duplicate-member", "/production_run/a", 2)) == 1


# --- versions --------------------------------------------------------------------------------------------


def renamed(record):
    return without(record, "buyer") | {"customer": record["buyer"]}


def bought_by(*customers):
    """Orders of an older version, in which customers were called buyers."""
    records = [without(order(n), "customer") | {"buyer": name} for n, name in enumerate(customers, 1)]
    return orders(*records)


def test_older_records_are_checked_as_they_are_brought_up(sqlite_of, tune):
    tune(batch=1)
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = shopping(engine, version="2.0", upgrades={"1.0": renamed})
    given = bought_by("acme", "acme", "acne", 5)
    given["orders"].append({"uuid": number(9)})
    assert of_document(given, history) == [
        ("unknown-reference", "/orders/2/customer"),
        ("schema", "/orders/3/customer"),
        ("schema", "/orders/4"),
    ]
    assert checked(text_of(given), history)[-1].message == "Cannot be brought up from 1.0: KeyError: 'buyer'"


# --- what hosts say by themselves ------------------------------------------------------------------------


def test_what_only_the_code_of_a_host_refuses_is_told():
    @validates("weight")
    def light(_schema, value, **_):
        if value > 9:
            raise ValidationError("Too heavy.")

    kind = type("Light", (shop.OrderSchema,), {"light": light})
    given = orders(order(1), order(2, weight=10))
    [problem] = checked(text_of(given), History(None, kind))
    assert (problem.message, problem.pointer) == ("Too heavy.", "/orders/1/weight")


def test_references_are_looked_up_as_a_hook_reads_them(sqlite_of, tune):
    tune(batch=1)

    @pre_load
    def lower(_schema, data, **_):
        return data | {"customer": data["customer"].lower()}

    kind = type("Lower", (shop.OrderSchema,), {"lower": lower})
    history = shopping(sqlite_of(shop.Base.metadata, *shop.catalog()), kind)
    given = orders(order(1, customer="Acme"), order(2, customer="ACNE"), order(3, customer="acne"))
    found = checked(text_of(given), history)
    assert [(each.pointer, each.hint) for each in found] == [
        (f"/orders/{n}/customer", "did you mean acme?") for n in (1, 2)
    ]


def test_what_the_database_would_round_is_told(sqlite_of, tune):
    tune(batch=1)
    metadata, kind = host(CUT, INSTANT)
    given = things(WHOLE, WHOLE, PARTS)
    assert of_document(given, History(sqlite_of(metadata), kind)) == [("precision", "/things/2/value")]
    assert of_document(given, History(None, kind)) == []


# --- references ------------------------------------------------------------------------------------------


def test_references_are_looked_up_where_there_is_a_database(sqlite):
    with Session(sqlite) as session:
        bag = session.scalars(sa.select(Ingredient).where(Ingredient.slug == "bag")).one()
        session.add(Product(product_name="More bags", slug="bag-500", ingredient=bag))
        session.commit()
    bags = without(packaging(7), "product_slug")
    given = document(
        fitting(1, recipe_slug="cooky", finished_unit_slug="tart"),
        fitting(2, recipe_slug="bread"),
        fitting(3, consumptions=[consumption(33, ingredient_slug="flower")]),
        assembly=[ASSEMBLY | {"packaging_consumptions": [packaging(6, ingredient_slug="flour"), bags]}],
    )
    found = checked(stream_of(given), History(sqlite))
    assert [(each.severity[0], each.code, each.pointer, each.line, each.hint) for each in found] == [
        ("e", "unknown-reference", "/production_run/recipe_slug", 2, "did you mean cookies?"),
        ("e", "unknown-reference", "/production_run/finished_unit_slug", 2, None),
        ("w", "mismatched-reference", "/production_run/finished_unit_slug", 3, None),
        (
            "w",
            "unknown-reference",
            "/production_run/consumptions/0/ingredient_slug",
            4,
            "did you mean flour?",
        ),
        ("e", "ambiguous-reference", "/assembly_run/packaging_consumptions/1/ingredient_slug", 5, None),
        ("w", "mismatched-reference", "/assembly_run/packaging_consumptions/0/ingredient_slug", 5, None),
        ("w", "audit", "/assembly_run/total_component_cost", 5, None),
    ]
    assert problems_in(stream_of(given)) == [("audit", "/assembly_run/total_component_cost", 5)]


def test_a_run_of_wrong_form_has_its_references_looked_up_too(history):
    assert of_document(document(fitting(1, notes=5, recipe_slug="gone")), history) == [
        ("schema", "/production_runs/0/notes"),
        ("unknown-reference", "/production_runs/0/recipe_slug"),
    ]


@pytest.mark.slow
def test_each_run_is_told_what_those_before_it_were_told_already(history):
    wrong = [fitting(n, recipe_slug="gone") for n in range(1, 600)]
    warned = [fitting(n, finished_unit_slug="loaf") for n in range(600, 1200)]
    found = problems_in(stream_of(document(*wrong, *warned)), history)
    assert [code for code, _, _ in found] == ["unknown-reference"] * 599 + ["mismatched-reference"] * 600


def test_keys_of_several_columns_and_lists_of_slugs_are_looked_up(shop_history):
    gone = {"city": "Ulm", "number": 4}
    given = orders(order(1), order(2, warehouse=gone), order(3, tags=["new", "nwe"]), order(4, tags=[]))
    assert [(each.pointer, each.hint) for each in checked(text_of(given), shop_history)] == [
        ("/orders/1/warehouse", None),
        ("/orders/2/tags", "did you mean new?"),
    ]


def test_references_are_looked_for_among_the_rows_of_a_tenant(sqlite_of):
    base = orm.declarative_base()
    tenant = sa.Column(sa.Integer, nullable=False)
    part = model(base, "Part", tenant_id=tenant, slug=text())
    host_run = model(
        base, "Run", tenant_id=sa.Column(sa.Integer), part_id=to("parts"), part=relationship("Part")
    )
    kind = run(host_run, part=histio.Slug("part", required=True))
    engine = sqlite_of(base.metadata, part(tenant_id=7, slug="bolt"), part(tenant_id=8, slug="nut"))
    given = runs_of({"id": 1, "part": "bolt"}, {"id": 2, "part": "nut"})
    found = {t: of_document(given, History(engine, kind, values={"tenant_id": t})) for t in (7, 8)}
    assert found == {t: [("unknown-reference", f"/runs/{n}/part")] for t, n in ((7, 1), (8, 0))}


# --- runs that name runs ---------------------------------------------------------------------------------


def bare(n, **members):
    return order(n, lines=[], tags=[], shipment=None) | members


CHAINS = [
    ([bare(1, parent=number(2)), bare(2)], []),
    ([bare(1, parent=number(9))], [0]),
    ([bare(1), bare(2, parent=number(1)), bare(3, parent=number(2))], []),
    ([*(bare(n, parent=number(n + 1)) for n in range(1, 9)), bare(9)], []),
    ([*(bare(n, parent=number(n + 1)) for n in range(1, 9)), bare(9, parent=number(99))], list(range(9))),
    ([bare(1, parent=number(1))], []),
    ([bare(1, parent=number(2)), bare(2, parent=number(1)), bare(3, parent=number(2)), bare(4)], []),
    (
        [bare(1, parent=number(2)), bare(2, parent=number(1), customer="gone"), bare(3, parent=number(1))],
        [0, 1, 2],
    ),
    ([bare(1, parent=number(2)), bare(2, customer="gone"), bare(3)], [0, 1]),
    ([bare(1, parent=number(2)), bare(2, colour="GREEN"), bare(3)], [0, 1]),
    ([bare(2, customer="gone"), bare(1, parent=number(2)), bare(2)], [0]),
]


@pytest.mark.parametrize("window", [1, 2, 500])
@pytest.mark.parametrize(("records", "rejected"), CHAINS)
def test_a_run_may_name_any_run_of_the_file_that_goes_in(records, rejected, window, shop_history, tune):
    tune(batch=window)
    given = orders(*records)
    for data in (text_of(given), unsealed(*(line("order", each) for each in records))):
        found = [each for each in checked(data, shop_history) if each.severity == "error"]
        assert sorted({each.index for each in found}) == rejected
    assert shop_history.import_document(given, dry_run=True).rejected == len(rejected)


def test_who_names_a_rejected_run_is_told_where_that_stands(shop_history):
    lines = [line("order", each) for each in (bare(1, parent=number(2)), bare(2, customer="gone"))]
    [named, _] = checked(unsealed(*lines), shop_history)
    assert (named.pointer, named.line, named.code) == ("/order/parent", 2, "unknown-reference")
    assert named.hint == "line 3 has it, but is rejected"


def test_a_run_may_name_one_that_is_stored(sqlite_of):
    history = shopping(sqlite_of(shop.Base.metadata, *shop.catalog()))
    history.import_document(orders(bare(1)))
    given = orders(bare(2, parent=number(1)), bare(3, parent=number(4)))
    assert of_document(given, history) == [("unknown-reference", "/orders/1/parent")]


def test_of_a_stream_that_cannot_be_read_to_its_end_the_runs_before_are_told(shop_history):
    data = unsealed(line("order", bare(1, customer="gone")), *(line("order", bare(n)) for n in range(2, 40)))
    found = problems_in(data, shop_history, max_bytes=10_000)
    assert (found[0], found[-1][0]) == (("unknown-reference", "/order/customer", 2), "out-of-range")


def test_without_database_nothing_is_told_of_references():
    given = orders(bare(1, parent=number(9), customer="gone"))
    assert of_document(given, History(None, shop.OrderSchema)) == []


# --- the same as of documents, and as of imports -----------------------------------------------------------

OF_FORM = {"schema", "precision", "out-of-range", "duplicate-in-document"}
FEW = [number(n) for n in range(5)]
OF_BAKERY = {
    "uuid": FEW,
    "recipe_slug": ["cookies", "bread", "gone"],
    "finished_unit_slug": ["cookie", "loaf"],
    "finished_good_slug": ["gift-bag"],
    "product_slug": ["bag-100"],
    "ingredient_slug": ["bag", "flour", "gone"],
}
OF_SHOP = {
    "uuid": FEW,
    "parent": FEW,
    "customer": ["acme", "gone"],
    "warehouse": [{"city": "Ulm", "number": 3}],
    "product": ["Chai"],
    "tag": ["new"],
    "tags": ["new", "old"],
}
CASES = settings(
    max_examples=examples(25), derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def put_together(one, other):
    """Two documents as one, in which UUIDs come twice."""
    lists = [name for name, runs in other.items() if isinstance(runs, list)]
    return one | {name: one[name] + other[name] for name in lists if isinstance(one.get(name), list)}


@pytest.fixture(params=["bakery", "shop"])
def hosted(request, history, shop_history):
    """A history with database, the same without, and slugs of which the database has most."""
    hosts = {
        "bakery": (history, History(), OF_BAKERY),
        "shop": (shop_history, History(None, shop.OrderSchema), OF_SHOP),
    }
    return hosts[request.param]


@pytest.mark.slow
def test_a_file_is_told_what_its_document_is_and_its_import_finds_no_further_fault_of_form(hosted):
    history, alone, slugs = hosted
    valid, near = documents(history, slugs=slugs), near_documents(history, slugs=slugs)

    @CASES
    @given(valid | near, valid)
    def alike(one, other):
        data = json.dumps(put_together(one, other)).encode()
        found = [each for each in checked(data, history) if each.code not in ("audit", "duplicate-member")]
        assert found == history.check(json.loads(data))
        errors = {each.code for each in checked(data, alone) if each.severity == "error"}
        try:
            rejected = {
                each.code for each in history.import_document(json.loads(data), dry_run=True).problems
            }
        except DocumentError as error:
            rejected = {each.code for each in error.problems}
        # A run that is rejected for its references leaves its UUIDs to others, which no file can tell.
        assert errors or "unknown-reference" in rejected or not OF_FORM & rejected

    alike()


def test_files_with_every_fault_are_told_what_their_documents_are(history):
    data = text_of(FAULTY, ascii_only=True)
    found = [each for each in checked(data, history) if each.code != "audit"]
    assert found == history.check(json.loads(data))


# --- in constant memory, and with a constant number of statements ----------------------------------------


def many(count):
    """Runs as a stream, with the same references, in which nothing is wrong."""
    return unsealed(*(line("production_run", fitting(n)) for n in range(1, count + 1)))


@pytest.mark.slow
def test_runs_that_name_the_same_rows_cost_no_further_statement(shelf, history, count_statements):
    statements = count_statements(shelf)
    counts = []
    for runs in (1, 520, 1040):
        statements.clear()
        assert checked(many(runs), history) == []
        counts.append(len(statements.matching("SELECT")))
    assert len(set(counts)) == 1
    assert counts[0] <= 4


@pytest.mark.thorough
def test_memory_is_the_same_for_any_number_of_runs(history, tune):
    tune(batch=20)

    def peak(count):
        data = many(count)
        tracemalloc.start()
        assert checked(data, history) == []
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(1000) < peak(300) * 1.2


def test_nothing_is_held_when_nobody_asks_on(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/a.db", poolclass=sa.pool.QueuePool)
    Base.metadata.create_all(engine)
    found = check_file(io.BytesIO(stream_of(FAULTY, ascii_only=True)), history=History(engine))
    assert next(found).code == "unknown-reference"
    assert engine.pool.checkedout() == 1
    found.close()
    assert engine.pool.checkedout() == 0
    engine.dispose()


def test_a_session_of_the_callers_is_used_and_left_alone(sqlite):
    with Session(sqlite) as session:
        session.add(Recipe(name="Tart", slug="tart"))
        given = text_of(document(fitting(recipe_slug="tart")))
        assert [each.code for each in check_file(io.BytesIO(given), history=History(session))] == [
            "mismatched-reference"
        ]
        session.rollback()
    assert problems_in(given, History(sqlite)) == [
        ("unknown-reference", "/production_runs/0/recipe_slug", None)
    ]
