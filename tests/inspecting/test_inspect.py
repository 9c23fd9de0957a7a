"""What is in a file, and which rows of the catalog it needs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tracemalloc

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from marshmallow import pre_load
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

import histio
from histio import DocumentError, History, ReferencedRow, inspect_file, references
from histio.models import Ingredient, Product
from histio.testing import documents
from tests.support import shop
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
from tests.support.books import InvoiceSchema, SaleSchema, books
from tests.support.catalogs import ROWS, RUNS, write
from tests.support.hosts import document as runs_of
from tests.support.hosts import model, run, text, to
from tests.support.shop import order, orders
from tests.support.streams import (
    FAULTY,
    FORMS,
    MOMENT,
    WHOLE,
    line,
    piped,
    run_lines,
    sealed,
    stream_of,
    text_of,
    unsealed,
)


def inspected(data, history=None):
    return inspect_file(io.BytesIO(data), history=history)


def needed(data, history=None):
    return list(references(io.BytesIO(data), history=history))


def summarize(found):
    return [(each.member, each.slug, each.uses) for each in found]


@pytest.fixture(scope="module")
def history(shelf):
    return History(shelf)


@pytest.fixture
def shop_history(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    return History(engine, shop.OrderSchema, values={"shop_id": 7})


# --- what is in a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_file_in_any_form_tells_what_is_in_it(form):
    data = form(WHOLE)
    found = inspected(data)
    assert (found.version, found.unreadable, found.problems) == ("1.0", 0, ())
    production, assembly = found.kinds["production_run"], found.kinds["assembly_run"]
    assert (production.runs, assembly.runs) == (2, 2)
    assert (production.first, production.last) == ("2025-12-08T10:00:00Z", "2025-12-08T10:00:00.120000Z")
    assert production.entries == {"consumptions": 3}
    assert assembly.entries == {"finished_unit_consumptions": 1, "packaging_consumptions": 2}
    assert found.most_used == {
        "recipe_slug": {"cookies": 2},
        "finished_unit_slug": {"cookie": 3},
        "ingredient_slug": {"flour": 3},
        "finished_good_slug": {"gift-bag": 2},
        "product_slug": {"bag-100": 2},
    }
    assert inspected(data) == found


def test_a_file_tells_what_it_says_of_itself():
    names = {"follows": "0" * 64, "follows_header": "1" * 64}
    header = {"version": "1.0", "exported_at": "2025-12-09T12:00:00Z", **names}
    runs = run_lines(WHOLE)
    stream, document_ = inspected(sealed(*runs, header=line("header", header))), inspected(text_of(WHOLE))
    assert (stream.form, stream.sealed, stream.follows) == ("stream", True, "0" * 64)
    assert (document_.form, document_.sealed, document_.follows) == ("document", False, None)
    digest = hashlib.sha256(line("header", header)).hexdigest()
    assert (stream.follows_header, stream.header_sha256) == ("1" * 64, digest)
    assert (document_.follows_header, document_.header_sha256) == (None, None)
    assert stream.exported_at == document_.exported_at == "2025-12-09T12:00:00Z"
    bare = inspected(unsealed())
    assert (bare.form, bare.sealed, bare.exported_at, bare.kinds, bare.most_used) == (
        "stream",
        False,
        None,
        {},
        {},
    )


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_the_rows_of_a_catalog_are_counted_apart_from_the_runs(form):
    data, seal = write([*ROWS, *RUNS], form=form)
    found, bare = inspected(data), inspected(write(RUNS, form=form, catalog=[])[0])
    counts = {"ingredient": 2, "recipe": 1, "finished_unit": 1, "finished_good": 0, "product": 0}
    assert (found.catalog, found.catalog_sha256) == (counts, seal.catalog_sha256)
    assert (found.sha256, found.kinds, found.most_used) == (bare.sha256, bare.kinds, bare.most_used)
    assert (bare.catalog, bare.catalog_sha256) == ({}, None)


def test_a_pipe_is_read_once():
    with piped(stream_of(WHOLE)) as file:
        assert inspect_file(file) == inspected(stream_of(WHOLE))


def test_an_inspection_is_ready_for_json():
    found = inspected(stream_of(WHOLE)[:-5])
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain == found.to_dict()
    assert plain["kinds"]["production_run"]["entries"] == {"consumptions": 3}
    assert [each["code"] for each in plain["problems"]] == ["truncated"]


@pytest.mark.parametrize(
    ("data", "code", "sealed_", "runs"),
    [
        (stream_of(WHOLE)[:-5], "truncated", False, 2),
        (b"".join(stream_of(WHOLE).splitlines(keepends=True)[:2]), "truncated", False, 1),
        (stream_of(WHOLE).replace(b"Test", b"Best"), None, True, 2),
        (stream_of(WHOLE).replace(b'"num_batches":2', b'"num_batches":3'), "corrupt", False, 2),
        (gzip.compress(stream_of(WHOLE))[:-4], "truncated", False, 2),
        (text_of(WHOLE)[:-5], "truncated", False, 2),
    ],
)
def test_of_a_damaged_file_it_is_told_what_is_there(data, code, sealed_, runs):
    found = inspected(data)
    assert [each.code for each in found.problems] == [code] * (code is not None)
    assert (found.sealed, found.kinds["production_run"].runs) == (sealed_, runs)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": "9", "production_runs": []}', b"no JSON"])
def test_what_is_no_history_is_an_error(data):
    for look in (inspected, needed):
        with pytest.raises(DocumentError):
            look(data)


def test_runs_are_counted_as_they_stand_and_lines_that_are_none_apart():
    found = inspected(stream_of(FAULTY, ascii_only=True))
    assert (found.kinds["production_run"].runs, found.kinds["assembly_run"].runs, found.unreadable) == (
        21,
        7,
        3,
    )
    lines = [b"nonsense\n", b"\n", line("production_run", None), line("production_run", production_run(1))]
    found = inspected(unsealed(*lines))
    assert (found.unreadable, found.kinds["production_run"].runs) == (3, 1)


@pytest.mark.parametrize(
    ("times", "first", "last"),
    [
        (
            ["2025-12-08T10:00:00.500000Z", "2025-12-08T10:00:00Z"],
            "2025-12-08T10:00:00Z",
            "2025-12-08T10:00:00.500000Z",
        ),
        (
            ["2025-12-08T09:30:00Z", "2025-12-08T12:00:00+03:00"],
            "2025-12-08T09:00:00Z",
            "2025-12-08T09:30:00Z",
        ),
        (["2025-12-08T10:00:00", "2025-12-08T10:00:00.0Z"], "2025-12-08T10:00:00Z", "2025-12-08T10:00:00Z"),
        (["yesterday", "2025-12-08T10:00:00Z", 5], "2025-12-08T10:00:00Z", "2025-12-08T10:00:00Z"),
        ([None], None, None),
    ],
)
def test_the_first_and_the_last_time_are_told_in_utc(times, first, last):
    runs = [production_run(n, produced_at=time) for n, time in enumerate(times, 1)]
    found = inspected(text_of(document(*runs))).kinds["production_run"]
    assert (found.first, found.last) == (first, last)


def test_dates_are_told_as_dates_and_no_time_is_told_where_there_is_none():
    given = orders(
        order(1, placed_on="2025-12-09"), order(2, placed_on=None), order(3, placed_on="2025-11-30")
    )
    found = inspected(text_of(given), History(None, shop.OrderSchema)).kinds["order"]
    assert (found.first, found.last) == ("2025-11-30", "2025-12-09")
    kind = run(model(orm.declarative_base(), "Run"))
    found = inspected(text_of(runs_of({"id": 1})), History(None, kind)).kinds["run"]
    assert (found.runs, found.first, found.last, found.entries) == (1, None, None, {})


def test_entries_in_entries_and_single_ones_are_counted_by_their_paths():
    given = orders(order(1), order(2, shipment=None), order(3, lines=5, shipment=[]))
    found = inspected(text_of(given), History(None, shop.OrderSchema)).kinds["order"]
    assert found.entries == {"lines": 4, "lines.serials": 4, "shipment": 1}


# --- the digest ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.json.zst"])
def test_the_digest_is_that_of_the_export(sqlite, tmp_path, name):
    of = History(sqlite)
    assert of.import_document(WHOLE).imported == 4
    report = of.export_file(tmp_path / name, exported_at=MOMENT)
    found = inspect_file(tmp_path / name)
    assert (found.sha256, found.exported_at) == (report.sha256, report.exported_at)
    assert {kind: each.runs for kind, each in found.kinds.items()} == report.by_kind


def test_the_digest_of_numbers_of_any_size_is_that_of_the_export(shop_history, tmp_path):
    extra = {"big": 10**25, "small": 5e-324, "parts": [0.1, 1e16, -0.5, "é\u2028\U0001f36a"]}
    assert shop_history.import_document(orders(order(1, extra=extra), order(2))).imported == 2
    for name in ("a.jsonl", "a.json"):
        report = shop_history.export_file(tmp_path / name)
        assert inspect_file(tmp_path / name, history=shop_history).sha256 == report.sha256


@settings(
    max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(documents(History()))
def test_a_stream_is_sealed_with_the_digest_that_its_document_has(made_up):
    made_up |= {"exported_at": "2025-12-09T12:00:00Z"}
    data = stream_of(made_up)
    found, trailer = inspected(data), json.loads(data.splitlines()[-1])["trailer"]
    assert (found.sealed, found.sha256) == (True, trailer["sha256"])
    assert inspected(text_of(made_up)).sha256 == found.sha256
    assert {kind: each.runs for kind, each in found.kinds.items()} == trailer["counts"]


def test_the_digest_of_an_older_file_is_still_that_of_its_export(sqlite_of, tmp_path):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    before = History(engine, shop.OrderSchema, values={"shop_id": 7})
    before.import_document(orders(order(1), order(2)))
    report = before.export_file(tmp_path / "old.jsonl")
    upgrades = {"1.0": lambda record: record | {"weight": 9}}
    now = History(engine, shop.OrderSchema, values={"shop_id": 7}, version="2.0", upgrades=upgrades)
    found = inspect_file(tmp_path / "old.jsonl", history=now)
    assert (found.version, found.sha256, found.sealed) == ("1.0", report.sha256, True)


def test_text_that_is_no_unicode_has_no_digest():
    found = inspected(
        text_of(document(production_run(1, notes="\ud83d"), production_run(2)), ascii_only=True)
    )
    assert (found.sha256, found.kinds["production_run"].runs) == (None, 2)


# --- which slugs are used --------------------------------------------------------------------------------


def test_the_ten_slugs_that_most_records_name_are_told_most_used_first():
    slugs = [f"s-{20 - n}" for n in range(12) for _ in range(n)]
    runs = [production_run(n, recipe_slug=slug, consumptions=[]) for n, slug in enumerate(slugs)]
    found = inspected(text_of(document(*runs))).most_used["recipe_slug"]
    assert list(found.items()) == [(f"s-{20 - n}", n) for n in range(11, 1, -1)]


def test_a_member_of_one_name_in_several_tables_is_counted_once():
    bags = [without(packaging(n, ingredient_slug="flour"), "product_slug") for n in range(5)]
    runs = [production_run(1), production_run(2, consumptions=[consumption(9, ingredient_slug="salt")])]
    given = document(*runs, assembly=[assembly_run(1, packaging_consumptions=bags)])
    assert inspected(text_of(given)).most_used["ingredient_slug"] == {"flour": 6, "salt": 1}
    assert [each for each in needed(text_of(given)) if each.member == "ingredient_slug"] == [
        ReferencedRow("ingredient_slug", "Ingredient", "flour", 1, required=False),
        ReferencedRow("ingredient_slug", "Ingredient", "salt", 1, required=False),
        ReferencedRow("ingredient_slug", "Product", "flour", 5, required=True),
    ]


# --- which rows a file needs -----------------------------------------------------------------------------

NEEDY = document(
    production_run(1),
    production_run(2, recipe_slug="cooky"),
    production_run(3, recipe_slug="cooky", consumptions=[consumption(8, ingredient_slug="flower")]),
    assembly=[
        assembly_run(1),
        assembly_run(2, finished_unit_consumptions=[unit_consumption(5, finished_unit_slug="tart")]),
        assembly_run(3, packaging_consumptions=[without(packaging(6), "product_slug")]),
    ],
)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_row_that_is_named_is_told_with_what_is_found_of_it(form, history):
    found = needed(form(NEEDY), history)
    assert [(each.member, each.model, each.slug, each.uses, each.required, each.found) for each in found] == [
        ("recipe_slug", "Recipe", "cooky", 2, True, False),
        ("recipe_slug", "Recipe", "cookies", 1, True, True),
        ("finished_unit_slug", "FinishedUnit", "cookie", 5, True, True),
        ("finished_unit_slug", "FinishedUnit", "tart", 1, True, False),
        ("ingredient_slug", "Ingredient", "flour", 2, False, True),
        ("ingredient_slug", "Ingredient", "flower", 1, False, False),
        ("finished_good_slug", "FinishedGood", "gift-bag", 3, True, True),
        ("product_slug", "Product", "bag-100", 2, True, True),
        ("ingredient_slug", "Product", "bag", 1, True, True),
    ]
    assert [(each.message, each.hint) for each in found if not each.found] == [
        ("Recipe not found: cooky", "did you mean cookies?"),
        ("FinishedUnit not found: tart", None),
        ("Ingredient not found: flower", "did you mean flour?"),
    ]
    assert {(each.message, each.hint) for each in found if each.found} == {(None, None)}


def test_without_database_nobody_says_what_is_found():
    found = needed(text_of(NEEDY))
    assert {(each.found, each.message, each.hint) for each in found} == {(None, None, None)}
    assert len(found) == 9
    assert json.loads(json.dumps(found[0].to_dict()))["slug"] == "cooky"


def test_an_ambiguous_slug_is_not_found_and_says_why(sqlite):
    with Session(sqlite) as session:
        bag = session.scalars(sa.select(Ingredient).where(Ingredient.slug == "bag")).one()
        session.add(Product(product_name="More bags", slug="bag-500", ingredient=bag))
        session.commit()
    [*_, bags] = needed(text_of(NEEDY), History(sqlite))
    assert (bags.slug, bags.found, bags.message) == ("bag", False, "Product is ambiguous: 2 rows have bag")


@pytest.mark.parametrize("slug", [5, "", " x", ["a"], {"a": 1}, True])
def test_what_is_no_slug_is_not_found(slug, history):
    data = text_of(document(production_run(1, recipe_slug=slug)))
    rejected = [each for each in history.check(json.loads(data)) if each.pointer.endswith("/recipe_slug")]
    for of, found in ((history, False), (None, None)):
        [told_of] = [each for each in needed(data, of) if each.member == "recipe_slug"]
        assert (told_of.found, told_of.uses, told_of.message) == (found, 1, rejected[0].message)


def test_damage_is_an_error_before_anything_is_told(history):
    with pytest.raises(DocumentError, match="trailer"):
        next(references(io.BytesIO(stream_of(NEEDY)[:-5]), history=history))


def test_keys_of_hosts_are_told_and_runs_that_name_runs_are_not(shop_history):
    turned = {"number": 3, "city": "Ulm"}
    given = orders(
        order(1, parent=number(7)),
        order(2, warehouse=turned, customer="ACME", tags=["new"]),
        order(
            3, warehouse={"city": "Ulm", "number": 4}, customer="acne", tags=["nwe", "new"], parent=number(1)
        ),
    )
    found = needed(text_of(given), shop_history)
    assert [(*each, at.found) for each, at in zip(summarize(found), found, strict=True)] == [
        ("customer", "ACME", 1, True),
        ("customer", "acme", 1, True),
        ("customer", "acne", 1, False),
        ("warehouse", '{"city": "Ulm", "number": 3}', 2, True),
        ("warehouse", '{"city": "Ulm", "number": 4}', 1, False),
        ("tags", "new", 3, True),
        ("tags", "nwe", 1, False),
        ("tags", "old", 1, True),
        ("product", "Chai", 3, True),
        ("tag", "old", 3, True),
    ]
    given = books()
    given["invoices"][0]["items"][0]["sale"] = number(99)
    assert needed(text_of(given), History(None, SaleSchema, InvoiceSchema)) == []


def test_the_same_name_may_lead_to_a_model_by_several_keys(sqlite_of):
    base = orm.declarative_base()
    part = model(base, "Part", code=text(), name=text())
    host_line = model(base, "Line", run_id=to("runs"), part_id=to("parts"), part=relationship("Part"))
    host_run = model(base, "Run", part_id=to("parts"), part=relationship("Part"), lines=relationship("Line"))
    entry = type(
        "LineSchema",
        (histio.RecordSchema,),
        {
            "Meta": type("Meta", (), {"model": host_line}),
            "part": histio.Slug("part", key="name", required=True),
        },
    )
    kind = run(host_run, part=histio.Slug("part", key="code", required=True), lines=Nested(entry, many=True))
    history = History(sqlite_of(base.metadata, part(code="b", name="bolt")), kind)
    found = needed(
        text_of(runs_of({"id": 1, "part": "b", "lines": [{"part": "bolt"}, {"part": "b"}]})), history
    )
    assert [(each.slug, each.uses, each.found) for each in found] == [
        ("b", 1, True),
        ("b", 1, False),
        ("bolt", 1, True),
    ]


def test_older_records_are_told_as_they_are_brought_up():
    def renamed(record):
        return without(record, "buyer") | {"customer": record["buyer"]}

    history = History(None, shop.OrderSchema, version="2.0", upgrades={"1.0": renamed})
    given = orders(without(order(1), "customer") | {"buyer": "acme"})
    assert summarize(needed(text_of(given), history))[0] == ("customer", "acme", 1)
    assert inspected(text_of(given), history).most_used["customer"] == {"acme": 1}


def test_slugs_are_told_as_a_hook_reads_them(sqlite_of):
    @pre_load
    def lower(_schema, data, **_):
        return data | {"customer": data["customer"].lower()}

    kind = type("Lower", (shop.OrderSchema,), {"lower": lower})
    history = History(sqlite_of(shop.Base.metadata, *shop.catalog()), kind)
    found = needed(text_of(orders(order(1, customer="Acme"), order(2, customer="acme"))), history)
    assert (summarize(found)[0], found[0].found) == (("customer", "acme", 2), True)


# --- the same as imports ---------------------------------------------------------------------------------

SLUGS = {
    "recipe_slug": ["cookies", "bread", "gone"],
    "finished_unit_slug": ["cookie", "loaf", "gone"],
    "finished_good_slug": ["gift-bag", "gone"],
    "product_slug": ["bag-100", "gone"],
    "ingredient_slug": ["bag", "flour", "gone"],
}


def test_what_is_required_and_not_found_is_what_an_import_rejects(history):
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(history, slugs=SLUGS))
    def alike(made_up):
        found = needed(text_of(made_up), history)
        report = history.import_document(made_up, dry_run=True)
        for problems, required in ((report.problems, True), (report.warnings, False)):
            missing = [each for each in found if not each.found and each.required is required]
            of_references = [each for each in problems if each.code == "unknown-reference"]
            assert {each.message for each in missing} == {each.message for each in of_references}
            assert sum(each.uses for each in missing) == len(of_references)

    alike()


# --- in constant memory, and with a constant number of statements ----------------------------------------


def many(count, of):
    """A stream of runs that name as many recipes, each in its turn, or so few of them."""
    runs = (production_run(n, recipe_slug=f"r-{n % of}", consumptions=[]) for n in range(count))
    return unsealed(*(line("production_run", each) for each in runs))


def test_rows_are_looked_up_once_however_many_runs_name_them(shelf, history, count_statements):
    statements = count_statements(shelf)
    counts = []
    for runs, of in ((10, 10), (1000, 10), (1000, 400)):
        statements.clear()
        assert len(needed(many(runs, of), history)) == of + 1
        counts.append(len(statements.matching("SELECT")))
    assert len(set(counts)) == 1


def test_memory_is_the_same_for_any_number_of_runs(tune):
    tune(keys_in_memory=50)

    def peak(look, count):
        data = many(count, count)
        tracemalloc.start()
        look(data)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    def count(data):
        return sum(1 for _ in references(io.BytesIO(data)))

    for look in (inspected, count):
        peak(look, 10)
        assert peak(look, 800) < peak(look, 200) * 1.2
