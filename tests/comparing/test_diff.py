"""In what two histories differ: run by run, member by member, wherever they are kept."""

from __future__ import annotations

import copy
import gzip
import io
import json
import tracemalloc

import pytest
import sqlalchemy as sa
from marshmallow import fields, pre_load
from sqlalchemy import orm

import histio
from histio import DocumentError, ExportError, History, NotConfiguredError
from histio.comparing.changes import Change
from histio.comparing.diff import Difference, diff
from histio.models import ProductionRun
from tests.support import shop
from tests.support.bakery import (
    TIME,
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.databases import stocked
from tests.support.differences import imported, production, stream, whole
from tests.support.hosts import model, run, word
from tests.support.jobs import TENANT, UPGRADES, JobSchema, jobs
from tests.support.reports import outcomes

LATER = "2025-12-08T11:00:00Z"
RUN = production_run(1)


def changes(a, b, **options):
    """Pointers and both values of what differs in the one run that does."""
    [difference] = diff(a, b, **options)
    return [(each.pointer, each.a, each.b) for each in difference.changes]


def summarize(differences):
    return [(each.kind, each.uuid, each.only_in) for each in differences]


# --- databases -------------------------------------------------------------------------------------------


SOME = document(
    *(production_run(n, produced_at=f"2025-12-0{n % 7 + 1}T10:00:00Z") for n in range(1, 30)),
    assembly=[assembly_run(n) for n in range(1, 5)],
)


@pytest.mark.slow
def test_databases_with_the_same_runs_do_not_differ(engine, other_engine):
    assert list(diff(imported(engine, SOME), imported(other_engine, SOME))) == []


@pytest.mark.slow
def test_a_database_of_any_kind_is_compared_with_any_other_and_with_its_export(engine, databases, tmp_path):
    history = imported(engine, SOME)
    history.export_file(tmp_path / "export.jsonl.gz")
    history.export_file(tmp_path / "export.json")
    others = imported(stocked(databases("sqlite", 2)), SOME), tmp_path / "export.jsonl.gz"
    for other in (*others, str(tmp_path / "export.json")):
        assert list(diff(history, other)) == []
        assert list(diff(other, history)) == []


@pytest.mark.slow
def test_what_databases_have_differently_is_told_once(engine, other_engine):
    mine, theirs = copy.deepcopy(SOME), copy.deepcopy(SOME)
    del mine["production_runs"][3], theirs["assembly_runs"][0]
    theirs["production_runs"][7] |= {"produced_at": "2025-12-20T10:00:00Z"}
    theirs["production_runs"][8] |= {"notes": "other"}
    a, b = imported(engine, mine), imported(other_engine, theirs)
    assert list(diff(a, b)) == [
        Difference("production_run", number(9), None, (Change("/notes", "Test batch", "other"),)),
        Difference(
            "production_run",
            number(8),
            None,
            (Change("/produced_at", "2025-12-02T10:00:00Z", "2025-12-20T10:00:00Z"),),
        ),
        Difference("production_run", number(4), "b"),
        Difference("assembly_run", number(1), "a"),
    ]


@pytest.mark.slow
def test_rows_that_cannot_be_exported_are_told_and_no_run_of_their_kind_is_missed(sqlite):
    history = imported(sqlite, document(production_run(1), production_run(2), production_run(3)))
    with sqlite.begin() as connection:
        spoilt = sa.text("UPDATE production_runs SET per_unit_cost = 'x' WHERE uuid = :uuid")
        connection.execute(spoilt, {"uuid": number(2)})
    found = diff(history, production(production_run(1, notes="other"), production_run(2)))
    assert next(found).uuid == number(1)
    with pytest.raises(ExportError, match=number(2)):
        next(found)


def test_a_history_without_database_cannot_be_compared():
    with pytest.raises(NotConfiguredError):
        list(diff(History(), production(RUN)))


# --- files -----------------------------------------------------------------------------------------------


def test_only_what_one_side_has_is_told_in_the_order_of_exports():
    a = production(production_run(3), production_run(1, produced_at=LATER), production_run(2))
    b = stream(("production_run", production_run(4)), ("assembly_run", assembly_run(5)))
    assert summarize(diff(a, b)) == [
        ("production_run", number(2), "a"),
        ("production_run", number(3), "a"),
        ("production_run", number(4), "b"),
        ("production_run", number(1), "a"),
        ("assembly_run", number(5), "b"),
    ]


def test_documents_streams_and_compressed_files_are_compared(tmp_path):
    given = document(RUN, assembly=[assembly_run(2)])
    text = json.dumps(given).encode()
    paths = tmp_path / "a.json", tmp_path / "b.json.gz"
    paths[0].write_bytes(text)
    paths[1].write_bytes(gzip.compress(text))
    assert list(diff(*paths)) == []
    both = ("assembly_run", assembly_run(2)), ("production_run", RUN)
    assert list(diff(paths[1], stream(*both))) == []


@pytest.mark.parametrize(
    ("member", "other"),
    [
        ("total_ingredient_cost", "5.25"),
        ("produced_at", "2025-12-08T11:00:00+01:00"),
        ("produced_at", "2025-12-08T10:00:00.000"),
        ("num_batches", 2.0),
    ],
)
def test_another_spelling_is_no_difference(member, other):
    assert list(diff(production(RUN), production(RUN | {member: other}))) == []
    assert list(diff(production(RUN | {member: other}), production(RUN))) == []


def test_a_uuid_in_upper_case_is_the_same():
    upper = {"uuid": "ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB"}
    lower = {"uuid": upper["uuid"].lower()}
    entries = ([consumption(**each)] for each in (upper, lower))
    a, b = (RUN | each | {"consumptions": entry} for each, entry in zip((upper, lower), entries, strict=True))
    assert list(diff(production(a), production(b))) == []


@pytest.mark.parametrize("absent", [{"notes": None}, {"consumptions": []}])
def test_absent_null_and_empty_are_the_same(absent):
    record = without(RUN, *absent)
    assert list(diff(production(RUN | absent), production(record))) == []
    assert list(diff(production(record), production(RUN | absent))) == []


def test_the_order_of_members_is_none_of_the_content():
    assert list(diff(production(RUN), production(dict(reversed(RUN.items()))))) == []


def test_a_member_that_one_side_lacks_is_null_there():
    a, b = RUN | {"notes": None}, RUN
    assert changes(production(a), production(b)) == [("/notes", None, "Test batch")]
    assert changes(production(RUN), production(without(RUN, "created_at"))) == [("/created_at", TIME, None)]


def test_values_are_told_in_wire_form():
    b = RUN | {"total_ingredient_cost": "6.5", "num_batches": 3.0}
    assert changes(production(RUN), production(b)) == [
        ("/num_batches", 2, 3),
        ("/total_ingredient_cost", "5.2500", "6.5000"),
    ]


@pytest.mark.parametrize("other", [{"num_batches": "2"}, {"surprise": {"x": 1}}, {"consumptions": [1]}])
def test_a_record_that_cannot_be_loaded_is_compared_as_it_is(other):
    b = RUN | other
    assert changes(production(RUN), production(b)) == [
        (f"/{name}", RUN.get(name), value) for name, value in other.items()
    ]
    assert list(diff(production(b), production(b))) == []


def test_names_are_escaped_in_pointers():
    assert changes(production(RUN), production(RUN | {"a/b~c": 1})) == [("/a~1b~0c", None, 1)]


def test_another_time_is_one_difference():
    a = production(production_run(2), RUN | {"produced_at": LATER, "notes": None})
    b = production(RUN, production_run(2))
    [difference] = diff(a, b)
    assert (difference.uuid, difference.only_in) == (number(1), None)
    assert [each.pointer for each in difference.changes] == ["/produced_at", "/notes"]


def test_runs_that_differ_come_before_those_that_one_side_lacks():
    a = production(*(production_run(n) for n in (1, 2, 3)))
    b = production(*(production_run(n, notes=None) for n in (2, 3, 4)))
    assert summarize(diff(a, b)) == [
        ("production_run", number(n), side) for n, side in ((2, None), (3, None), (1, "a"), (4, "b"))
    ]


# --- ledgers ---------------------------------------------------------------------------------------------


def with_entries(*entries):
    return production(production_run(1, consumptions=list(entries)))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            [consumption(1), consumption(2)],
            [consumption(1), consumption(2, quantity_consumed="5")],
            [("/consumptions/1/quantity_consumed", "4.000", "5.000")],
        ),
        ([consumption(1)], [], [("/consumptions/0", consumption(1), None)]),
        ([], [consumption(1)], [("/consumptions/0", None, consumption(1))]),
        (
            [consumption(1), consumption(2)],
            [consumption(3), consumption(2), consumption(4)],
            [
                ("/consumptions/0", consumption(1), None),
                ("/consumptions/0", None, consumption(3)),
                ("/consumptions/2", None, consumption(4)),
            ],
        ),
        (
            [consumption(1), consumption(2), consumption(3)],
            [consumption(2, unit="g"), consumption(1), consumption(3)],
            [
                ("/consumptions/1/unit", "cups", "g"),
                (
                    "/consumptions",
                    [number(1), number(2), number(3)],
                    [number(2), number(1), number(3)],
                ),
            ],
        ),
    ],
    ids=["changed", "only in a", "only in b", "others", "moved"],
)
def test_entries_are_matched_by_their_identity(ours, theirs, expected):
    assert changes(with_entries(*ours), with_entries(*theirs)) == expected


def test_entries_whose_identity_comes_twice_are_matched_by_their_place():
    ours, theirs = [consumption(1), consumption(1, unit="g")], [consumption(1), consumption(1, unit="kg")]
    assert changes(with_entries(*ours), with_entries(*theirs)) == [("/consumptions/1/unit", "g", "kg")]


def test_both_ledgers_of_an_assembly_are_compared():
    a = assembly_run(1)
    b = a | {
        "finished_unit_consumptions": [unit_consumption(2_000_001, quantity_consumed=61)],
        "packaging_consumptions": [packaging(3_000_001, unit="box")],
    }
    assert changes(stream(("assembly_run", a)), stream(("assembly_run", b))) == [
        ("/finished_unit_consumptions/0/quantity_consumed", 60, 61),
        ("/packaging_consumptions/0/unit", "each", "box"),
    ]


# --- equal means the same sha256 --------------------------------------------------------------------------


def mutations():
    """Records that differ from RUN in one way each."""
    others = {"num_batches": 3, "notes": "test batch", "per_unit_cost": "0.0572", "produced_at": LATER}
    yield from ({name: value} for name, value in others.items())
    [entry] = RUN["consumptions"]
    yield {"notes": None}
    yield {"consumptions": []}
    yield {"consumptions": [entry, consumption(5)]}
    yield from ({"consumptions": [entry | each]} for each in ({"unit": "Cups"}, {"updated_at": LATER}))


@pytest.mark.slow
@pytest.mark.parametrize("other", list(mutations()))
def test_exports_differ_exactly_if_their_digests_do(databases, tmp_path, other):
    digests = []
    for place, record in enumerate((RUN, RUN, RUN | other)):
        history = imported(stocked(databases("sqlite")), document(record, production_run(2)))
        digests.append(history.export_file(tmp_path / f"{place}.jsonl").sha256)
    assert digests[0] == digests[1] != digests[2]
    assert list(diff(tmp_path / "0.jsonl", tmp_path / "1.jsonl")) == []
    assert summarize(diff(tmp_path / "0.jsonl", tmp_path / "2.jsonl")) == [
        ("production_run", number(1), None)
    ]


def test_entries_recorded_in_another_order_have_another_digest_and_differ(databases, tmp_path):
    for place, entries in enumerate(([1, 2], [2, 1])):
        given = document(production_run(1, consumptions=[consumption(n) for n in entries]))
        imported(stocked(databases("sqlite")), given).export_file(tmp_path / f"{place}.jsonl")
    assert changes(tmp_path / "0.jsonl", tmp_path / "1.jsonl") == [
        ("/consumptions", [number(1), number(2)], [number(2), number(1)])
    ]


# --- files that are not as exports are --------------------------------------------------------------------


def test_a_file_in_any_order_is_compared():
    records = [
        ("production_run", production_run(n, produced_at=f"2025-12-{n:02}T10:00:00Z")) for n in range(1, 20)
    ]
    records += [("assembly_run", assembly_run(n)) for n in range(1, 20)]
    shuffled = records[::2] + records[1::2]
    assert list(diff(stream(*records), stream(*shuffled))) == []
    assert list(diff(stream(*reversed(records)), stream(*shuffled))) == []


def test_of_a_run_that_comes_several_times_the_last_counts():
    twice = [production_run(1, notes="first"), production_run(2), RUN]
    moved = [production_run(1, produced_at=LATER), production_run(2), RUN]
    for given in (twice, moved, [RUN, RUN, production_run(2)]):
        assert list(diff(production(*given), production(RUN, production_run(2)))) == []
        assert list(diff(production(RUN, production_run(2)), production(*given))) == []


def test_a_repetition_in_another_place_of_a_sorted_file_is_found():
    given = [RUN, production_run(2), RUN | {"produced_at": LATER}]
    assert changes(production(RUN, production_run(2)), production(*given)) == [("/produced_at", TIME, LATER)]


def test_a_damaged_file_is_told_before_anything_is_given(sqlite, tmp_path):
    path = tmp_path / "cut.jsonl"
    imported(sqlite, SOME).export_file(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    for sides in ((production(RUN), path), (path, production(RUN))):
        found = diff(*sides)
        with pytest.raises(
            DocumentError, match=r"cut\.jsonl: The stream ends after line .* without its trailer"
        ):
            next(found)


def test_a_document_that_breaks_off_is_told():
    cut = io.BytesIO(json.dumps(document(RUN)).encode()[:-5])
    with pytest.raises(DocumentError, match="the document is cut off"):
        list(diff(production(RUN), cut))


def test_all_that_is_no_run_is_told():
    file = stream(
        ("production_run", RUN),
        ("order", {}),
        ("production_run", without(RUN, "uuid")),
        ("production_run", {"uuid": "1"}),
        ("assembly_run", None),
        ("unreadable", "{"),
    )
    with pytest.raises(DocumentError) as caught:
        list(diff(production(RUN), file))
    assert [(each.line, each.pointer, each.kind) for each in caught.value.problems] == [
        (3, "", None),
        (4, "/production_run/uuid", "production_run"),
        (5, "/production_run/uuid", "production_run"),
        (6, "/assembly_run", "assembly_run"),
        (7, "", None),
    ]
    assert all(each.message.startswith("the file: ") for each in caught.value.problems)


def test_problems_without_end_are_told_in_part():
    with pytest.raises(DocumentError) as caught:
        list(diff(production(RUN), production(*[{}] * 3000)))
    assert len(caught.value.problems) == 1000


def test_what_is_no_history_is_named(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"version": "9.0", "production_runs": []}')
    with pytest.raises(DocumentError, match=r"x\.json: Format 9\.0 is newer than 1\.0"):
        list(diff(production(RUN), path))


def test_a_run_with_an_unreadable_time_is_compared_all_the_same():
    a, b = (production(production_run(2), RUN | {"produced_at": time}) for time in ("yesterday", TIME))
    assert changes(a, b) == [("/produced_at", "yesterday", TIME)]


# --- hosts -----------------------------------------------------------------------------------------------


@pytest.fixture
def shops(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    return History(engine, shop.OrderSchema, values={"shop_id": 7})


def orders(*records, **header):
    return stream(*(("order", record) for record in records), **header)


@pytest.mark.slow
def test_the_kinds_of_files_are_those_of_the_history_on_the_other_side(shops):
    records = [shop.order(n, placed_on=day) for n, day in ((2, None), (3, None), (1, "2025-12-07"))]
    assert outcomes(shops.import_document(shop.orders(*records))) == (3, 0, 0)
    assert list(diff(shops, orders(*records))) == []
    assert list(diff(orders(*reversed(records)), shops)) == []
    assert list(diff(orders(*records), whole(shop.orders(*records)), history=shops)) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"extra": {"b": True, "a": [1.0, None]}, "total": "5.250", "tags": ["old", "new"]}, []),
        ({"extra": {"a": [True, None], "b": 1}}, ["/extra"]),
        ({"weight": 0.2, "gift": True}, ["/weight", "/gift"]),
        ({"warehouse": None}, ["/warehouse"]),
        ({"shipment": None}, ["/shipment"]),
        ({"shipment": {"sent_at": "2025-12-09T09:00:00Z"}}, ["/shipment/sent_at"]),
        (
            {"lines": [shop.line(1, serials=[{"text": "x"}, {"text": "b"}])]},
            ["/lines/0/serials/1/text", "/lines/1"],
        ),
        ({"lines": [shop.line(1, serials=[{"text": "x"}])]}, ["/lines/0/serials/1", "/lines/1"]),
    ],
)
def test_whatever_a_host_has_is_compared(other, expected):
    found = diff(orders(shop.order()), orders(shop.order(**other)), history=History(None, shop.OrderSchema))
    assert [each.pointer for difference in found for each in difference.changes] == expected


def test_entries_without_identity_are_matched_by_the_members_of_their_key():
    a = shop.order(lines=[shop.line(1), shop.line(2)])
    b = shop.order(lines=[shop.line(2, quantity="9.00"), shop.line(1)])
    history = History(None, shop.OrderSchema)
    quantity = a["lines"][1]["quantity"]
    assert changes(orders(a), orders(b), history=history) == [("/lines/1/quantity", quantity, "9.00")]
    assert list(diff(orders(a), orders(a | {"lines": a["lines"][::-1]}), history=history)) == []


def test_entries_that_nothing_tells_apart_are_matched_by_their_position():
    texts = ("one", "two", "three", "four"), ("one", "three", "4", "5")
    a, b = (shop.order(lines=[shop.line(1, serials=[{"text": text} for text in some])]) for some in texts)
    assert changes(orders(a), orders(b), history=History(None, shop.OrderSchema)) == [
        ("/lines/0/serials/1/text", "two", "three"),
        ("/lines/0/serials/2/text", "three", "4"),
        ("/lines/0/serials/3/text", "four", "5"),
    ]
    c = shop.order(lines=[shop.line(1, serials=[{"text": text} for text in ("one", "three", "four")])])
    assert changes(orders(a), orders(c), history=History(None, shop.OrderSchema)) == [
        ("/lines/0/serials/1", {"text": "two"}, None)
    ]
    assert changes(orders(c), orders(a), history=History(None, shop.OrderSchema)) == [
        ("/lines/0/serials/1", None, {"text": "two"})
    ]


def test_runs_without_time_are_compared(create):
    history = History(create(JobSchema.Meta.model.metadata), JobSchema, values=TENANT)
    a, b = (whole(jobs(*numbers)) for numbers in ((1, 2, 4), (4, 3, 2)))
    assert summarize(diff(a, b, history=history)) == [("job", number(1), "a"), ("job", number(3), "b")]


def identified(field):
    """The kind of runs known by a ``name`` in *field*."""
    base = orm.declarative_base()
    host = model(base, "Run", name=sa.Column(field[0], unique=True), said=sa.Column(sa.String(20)))
    return base, run(host, {"identity": "name"}, name=field[1], said=word())


@pytest.mark.turns
@pytest.mark.parametrize(
    ("column", "field", "names"),
    [
        (sa.Integer, histio.Integer(required=True), [-10, -9, 2, 10]),
        (sa.String(20), histio.Text(required=True), ["10", "9", "B", "a", "é", "\uffff", "😀"]),
        (
            sa.Numeric(8, 2),
            histio.FixedDecimal(required=True, signed=True),
            ["-2.50", "-2.00", "9.75", "10.00"],
        ),
        (sa.Date, histio.Date(required=True), ["2024-12-31", "2025-01-01"]),
    ],
    ids=["integers", "texts", "decimals", "days"],
)
def test_runs_with_any_identity_are_compared_in_the_order_of_exports(create, tmp_path, column, field, names):
    base, kind = identified((column, field))
    history = History(create(base.metadata), kind)
    records = [{"name": name, "said": "x"} for name in names]
    given = {"version": "1.0", "exported_at": TIME, "runs": records[::-1]}
    assert outcomes(history.import_document(given)) == (len(names), 0, 0)
    history.export_file(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["runs"] == records
    assert list(diff(history, whole(given))) == []
    without_last = stream(*(("run", each) for each in records[:-1]))
    assert summarize(diff(history, without_last)) == [("run", str(names[-1]), "a")]


class Hooked(histio.ProductionRunSchema):
    """Reads what was called otherwise once, and dumps what it does not read."""

    label = fields.String(dump_only=True, attribute="notes")

    @pre_load
    def rename(self, data, **_):
        return {{"id": "uuid", "when": "produced_at"}.get(name, name): value for name, value in data.items()}


@pytest.mark.slow
def test_hooks_of_the_hosts_say_what_a_record_means(sqlite):
    history = History(sqlite, Hooked.bind(ProductionRun))
    assert outcomes(history.import_document(without(document(RUN, production_run(2)), "assembly_runs"))) == (
        2,
        0,
        0,
    )
    old = without(RUN, "uuid", "produced_at") | {"id": RUN["uuid"].upper(), "when": TIME}
    labelled = [record | {"label": "Test batch"} for record in (production_run(2), old)]
    assert list(diff(history, production(*labelled))) == []
    unlabelled = production(labelled[0], labelled[1] | {"label": "x"})
    assert changes(history, unlabelled) == [("/label", "Test batch", "x")]
    with pytest.raises(DocumentError, match="Missing data for required field"):
        list(diff(history, production({})))


def test_older_records_are_brought_up():
    history = History(None, shop.OrderSchema, version="2.1", upgrades=UPGRADES)
    old = without(shop.order(colour="red"), "total", "weight") | {"dollars": 5}
    new = shop.order(total="5.00", weight=1.5)
    assert list(diff(orders(old), orders(new, version="2.1"), history=history)) == []
    with pytest.raises(DocumentError, match=r"Cannot be brought up from 1\.0: KeyError: 'dollars'"):
        list(diff(orders(shop.order()), orders(new, version="2.1"), history=history))


def test_histories_of_different_kinds_are_refused_at_once(shops, sqlite):
    with pytest.raises(ValueError, match=r"different kinds, .*: production_run, assembly_run and order"):
        diff(History(sqlite), shops)
    with pytest.raises(ValueError, match="different kinds"):
        diff(shops, orders(), history=History())
    with pytest.raises(ValueError, match=r"formats of different versions: 2\.1, 1\.0"):
        diff(shops, orders(), history=History(None, shop.OrderSchema, version="2.1"))


# --- what is given ---------------------------------------------------------------------------------------


def test_a_difference_reads_like_a_sentence():
    a = production(RUN | {"notes": None}, production_run(2))
    b = production(RUN | {"num_batches": 3, "notes": "x" * 200, "consumptions": []})
    changed, lacking = map(str, diff(a, b))
    assert lacking == f"production_run {number(2)}: only in a"
    first, *lines = changed.splitlines()
    assert first == f"production_run {number(1)}:"
    assert lines[0] == "  /num_batches: a 2, b 3"
    assert lines[1].startswith("  /notes: a nothing, b 'xxx")
    assert lines[2].startswith("  /consumptions/0: a {")
    assert max(map(len, lines)) < 200


def test_differences_are_values():
    one, other = (list(diff(production(RUN), production())) for _ in range(2))
    assert one == other
    with pytest.raises(AttributeError, match="cannot assign"):
        one[0].kind = "x"


@pytest.mark.thorough
@pytest.mark.parametrize("step", [1, -1], ids=["in order", "backwards"])
def test_memory_does_not_grow_with_the_runs(tmp_path, step):
    path = tmp_path / "many.jsonl"
    with path.open("w") as file:
        file.write('{"header": {"version": "1.0", "sealed": false}}\n')
        for n in range(4000)[::step]:
            file.write(json.dumps({"production_run": production_run(n)}) + "\n")
    other = production(*(production_run(n, notes="x") for n in range(100)))
    found = diff(path, other)
    next(found)
    tracemalloc.start()
    assert sum(1 for _ in found) == 3999
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
