"""JSON values come back as they were, and numbers are compared as JSON Schema compares them."""

from __future__ import annotations

import io
import json

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import fields
from sqlalchemy.dialects import postgresql

import histio
from histio import History, Json, cli
from histio.kinds.json_text import json_text, stored_text
from histio.tuning import tuned
from histio.wire import encode, equal
from tests.support.bakery import number
from tests.support.columns import exported, host, things
from tests.support.effort import examples
from tests.support.special_columns import into, required, rows_of, same_by_either_path

JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
KEPT = [
    {"a": 2.0, "b": 2, "c": [1.5, -3.0, 0.0, 1e-07, 123456789.0, 1e15]},
    {"big": 10**16, "bigger": int(1e22), "least": 5e-324, "most": 17976931348623157 * 10**292},
    [True, False, None, "é", "\u2028", {"": {}}],
    "x",
    5,
    True,
]


@pytest.mark.parametrize("column_type", [sa.JSON(), JSONB])
def test_json_is_the_same_by_either_path(create, column_type):
    metadata, kind = host(column_type, required(Json))
    same_by_either_path(create, metadata, kind, KEPT)
    assert "full path" not in History(create(metadata), kind).explain()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"b": 1, "a": 2.0}, {"a": 2.0, "b": 1}),
        ([1e16, -1e22], [10**16, -(10**22)]),
        ([-0.0], [0.0]),
    ],
)
def test_what_databases_do_not_keep_is_made_alike(create, value, kept):
    metadata, kind = host(JSONB, required(Json))
    engine = create(metadata)
    into(engine, kind, value)
    assert json.dumps(exported(History(engine, kind))) == json.dumps(things(kept))
    with tuned(full_path_only=True):
        into(engine, kind, value)
        assert json.dumps(exported(History(engine, kind))) == json.dumps(things(kept))


@pytest.mark.parametrize("none_as_null", [True, False])
def test_null_is_stored_as_the_column_says_by_either_path(create, none_as_null):
    metadata, kind = host(sa.JSON(none_as_null=none_as_null), Json(), nullable=True)
    engine = create(metadata)
    assert into(engine, kind, None, [None]).imported == 2
    stored = rows_of(engine, kind)
    with tuned(full_path_only=True):
        into(engine, kind, None, [None])
        assert [row[1:] for row in rows_of(engine, kind)] == [row[1:] for row in stored]
    assert exported(History(engine, kind)) == things(None, [None])


@pytest.mark.turns
@pytest.mark.parametrize(
    ("stored", "given", "same"),
    [
        ({"a": 2}, {"a": 2.0}, True),
        ([1], [True], False),
        ([0], [False], False),
        ({"a": [1]}, {"a": [1, 1]}, False),
        ({"a": None}, {}, False),
        (["1"], [1], False),
    ],
)
def test_verify_update_and_diff_say_the_same_of_two_values(create, tmp_path, stored, given, same):
    metadata, kind = host(sa.JSON(), required(Json))
    engine = create(metadata)
    into(engine, kind, stored)
    history = History(engine, kind)
    (tmp_path / "given.json").write_text(json.dumps(things(given)))
    assert bool(list(histio.diff(tmp_path / "given.json", history))) is not same
    verified = history.import_document(things(given), on_duplicate="verify", dry_run=True)
    assert [problem.code for problem in verified.problems] == ["conflict"] * (not same)
    updated = history.import_document(things(given), on_duplicate="update")
    assert (updated.updated, updated.skipped) == ((0, 1) if same else (1, 0))
    found = exported(history)["things"]
    assert equal(found, [{"uuid": number(0), "value": given}])


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(ANY)
def test_what_is_made_alike_is_equal_to_what_it_was_and_stays(value):
    field = Json()
    once = field.to_wire(value)
    assert equal(once, value)
    assert json.dumps(field.to_wire(once)) == json.dumps(once)


@pytest.mark.thorough
def test_all_databases_give_the_same_bytes(databases):
    metadata, kind = host(JSONB, required(Json))

    @settings(max_examples=examples(60))
    @given(st.lists(ANY.map(lambda value: {"value": value}), min_size=1, max_size=4))
    def check(values):
        engines = [databases.of_host(dialect)(metadata) for dialect in ("sqlite", "postgresql", "mariadb")]
        for engine in engines:
            into(engine, kind, *values)
        texts = {json.dumps(exported(History(engine, kind))) for engine in engines}
        assert texts == {json.dumps(things(*map(Json().to_wire, values)))}

    check()


def test_functions_of_the_hosts_for_json_are_called(tmp_path):
    metadata, kind = host(sa.JSON(), required(Json))
    own = {"json_serializer": lambda value: json.dumps([value])}
    engine = sa.create_engine(f"sqlite:///{tmp_path}/own.db", **own)
    metadata.create_all(engine)
    history = History(engine, kind)
    told = "ThingSchema.value is kept in JSON(): its field is called for each value"
    assert history.explain().count(told) == 2
    assert history.import_document(things({"b": 1, "a": 2})).imported == 1
    assert rows_of(engine, kind)[0][-1] == '[{"a": 2, "b": 1}]'
    assert exported(history) == things([{"a": 2, "b": 1}])
    engine.dispose()


# --- numbers with more digits than a double ---------------------------------------------------------------

LONG = "12345678901234567890.123456789"
ROUNDED = {
    '{"price": 12345678901234567890.123456789}': "/price",
    '[1, {"a/b": [0.1000000000000000055511151231257827]}]': "/1/a~1b/0",
    "1e400": "",
    "[-1e999]": "/0",
    "1e-400": "",
    "0.100000000000000012": "",
    '{"_schema": 123456789.12345678901}': "/_schema",
}
EXACT = [
    *("0.1", "0.10000000000000001", "0.30000000000000004", "1E+2", "-0.0", "1e22", "1.7976931348623157e308"),
    # All digits of the double.
    *("0.1000000000000000055511151231257827021181583404541015625", "100000000000000000000000.000"),
]


def document_of(*texts):
    runs = [f'{{"uuid": "{number(n)}", "value": {text}}}' for n, text in enumerate(texts)]
    return io.BytesIO(f'{{"version": "1.0", "things": [{",".join(runs)}]}}'.encode())


def stream_of(*texts):
    header = '{"header":{"version":"1.0","kinds":["thing"],"sealed":false}}\n'
    lines = [f'{{"thing":{{"uuid":"{number(n)}","value":{text}}}}}\n' for n, text in enumerate(texts)]
    return io.BytesIO((header + "".join(lines)).encode())


@pytest.fixture
def of_json(sqlite_of):
    """A history of runs with any JSON in SQLite, and what it is written to."""
    metadata, kind = host(sa.JSON(), required(Json))
    return History(sqlite_of(metadata), kind)


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize("make", [document_of, stream_of])
def test_a_number_that_a_double_cannot_hold_is_a_problem_at_its_place(of_json, make, full):
    rejects = io.BytesIO()
    with tuned(full_path_only=full):
        report = of_json.import_file(make(*ROUNDED, *EXACT), rejects=rejects)
    checked = [problem.pointer for problem in histio.check_file(make(*ROUNDED), history=of_json)]
    assert {problem.code for problem in report.problems} == {"precision"}
    assert [problem.pointer.partition("/value")[2] for problem in report.problems] == [*ROUNDED.values()]
    assert [pointer.partition("/value")[2] for pointer in checked] == [*ROUNDED.values()]
    assert (report.imported, report.rejected) == (len(EXACT), len(ROUNDED))
    assert all(text.replace(" ", "").encode() in rejects.getvalue() for text in ROUNDED)
    found = [each["value"] for each in exported(of_json)["things"]]
    assert list(map(float, found)) == [float(text) for text in EXACT]


def test_the_problem_says_what_would_be_stored(of_json):
    report = of_json.import_file(document_of(LONG, "1e400"))
    assert [problem.message for problem in report.problems] == [
        f"A double cannot hold {LONG}: it would be stored as 1.2345678901234567e+19.",
        "A double cannot hold 1e400: it would be stored as inf.",
    ]


def test_verify_and_diff_see_digits_that_are_not_stored_and_merge_writes_no_others(of_json):
    of_json.import_document(things({"price": 12345678901234567890.0}))
    given = f'{{"price": {LONG}}}'
    assert [
        each.code for each in of_json.import_file(document_of(given), on_duplicate="verify").problems
    ] == ["precision"]
    [found] = histio.diff(document_of(given), of_json)
    [change] = found.changes
    assert (change.pointer, change.a) == ("/value", {"price": LONG})
    assert list(histio.diff(document_of(given), stream_of(given), history=of_json)) == []
    assert len(list(histio.diff(document_of(given), stream_of(f"{given[:-1]}1}}"), history=of_json))) == 1
    with pytest.raises(histio.ExportError, match="has a number that a double cannot hold"):
        histio.merge([document_of(given)], io.BytesIO(), history=of_json)


def test_the_command_line_refuses_such_numbers(tmp_path, capsys):
    (tmp_path / "given.json").write_bytes(document_of(LONG).getvalue())
    of_kind = ["--history", f"{__name__}:JSON"]
    assert cli.main(["check", str(tmp_path / "given.json"), *of_kind]) == 1
    assert f"A double cannot hold {LONG}" in capsys.readouterr().out


JSON = History(None, host(sa.JSON(), required(Json))[1])


def test_a_measured_number_is_still_the_nearest_double(sqlite_of):
    metadata, kind = host(sa.JSON(), required(Json), ratio=sa.Column(sa.Double, nullable=False))
    kind = type("Kind", (kind,), {"ratio": required(histio.Number)})
    history = History(sqlite_of(metadata), kind)
    run = f'"uuid": "{number(0)}", "value": 1, "ratio": 0.1000000000000000055511151231257827'
    given = f'{{"version": "1.0", "things": [{{{run}}}]}}'.encode()
    assert history.import_file(io.BytesIO(given)).imported == 1
    assert exported(history)["things"][0]["ratio"] == 0.1
    assert history.import_file(io.BytesIO(given), on_duplicate="verify").skipped == 1
    assert list(histio.diff(io.BytesIO(given), history)) == []


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
def test_a_single_integer_that_sqlite_would_turn_into_another_is_a_problem(of_json, full):
    given = things(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**22, 10**400, "9223372036854775808", 1e16)
    with tuned(full_path_only=full):
        report = of_json.import_document(given)
    pointers = [f"/things/{place}/value" for place in (1, 3, 5)]
    assert [(each.code, each.pointer) for each in report.problems] == [("precision", at) for at in pointers]
    assert [each.pointer for each in of_json.check(given)] == pointers
    kept = [2**63 - 1, -(2**63), 10**22, "9223372036854775808", 10**16]
    assert [each["value"] for each in exported(of_json)["things"]] == kept


@pytest.mark.parametrize(
    ("field", "rejected"),
    [
        (fields.Dict(required=True), ["/things/0/value/price"]),
        (fields.Raw(required=True, metadata={"json_schema": {}}), ["/things/0/value/price"]),
        (fields.Dict(values=fields.Float(), required=True), []),
    ],
)
def test_a_field_of_the_host_for_json_stores_no_other_number_either(sqlite_of, field, rejected):
    metadata, kind = host(sa.JSON(), field)
    history = History(sqlite_of(metadata), kind)
    given = document_of(f'{{"price": {LONG}}}', '{"price": 0.30000000000000004}')
    report = history.import_file(given)
    assert [each.pointer for each in report.problems] == rejected
    assert (report.imported, report.rejected) == (2 - len(rejected), len(rejected))


INTEGERS = [2**53 + 1, 2**63, -(2**64) - 1, 10**29 + 1, 10**400 + 1]


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
def test_integers_of_any_size_are_stored_digit_by_digit(create, full):
    metadata, kind = host(JSONB, required(Json))
    history = History(create(metadata), kind)
    with tuned(full_path_only=full):
        report = history.import_file(stream_of(*(f"[{each}]" for each in INTEGERS)))
        assert (report.imported, report.problems) == (len(INTEGERS), ())
        assert [each["value"] for each in exported(history)["things"]] == [[each] for each in INTEGERS]
        file = io.BytesIO()
        history.export_file(file)
    assert all(str(each).encode() in file.getvalue() for each in INTEGERS)


class JsonText(sa.types.TypeDecorator):
    """JSON that the application keeps as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value if value is None else json.dumps(value)

    def process_result_value(self, value, _dialect):
        return value if value is None else json.loads(value)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), [10**4300], [-(10**5000)]])
def test_a_number_of_python_that_json_cannot_say_is_a_problem_of_its_run(of_json, value):
    given = things(1, {"a": value}, [10**4299])
    report = of_json.import_document(given)
    assert [(each.code, each.pointer) for each in report.problems] == [("schema", "/things/1/value")]
    assert [(each.code, each.pointer) for each in of_json.check(given)] == [("schema", "/things/1/value")]
    assert [each["value"] for each in exported(of_json)["things"]] == [1, [10**4299]]


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize("column_type", [sa.JSON(), JSONB, JsonText()])
def test_a_stored_number_with_more_digits_is_exported_as_read_with_a_warning(create, full, column_type):
    metadata, kind = host(column_type, Json(), nullable=True)
    engine = create(metadata)
    stored = [f'{{"price": {LONG}}}', "[0.30000000000000004, 17976931348623157e292]", None]
    with engine.begin() as connection:
        for n, text in enumerate(stored):
            insert = sa.text("INSERT INTO things (uuid, value) VALUES (:uuid, :text)")
            connection.execute(insert, {"uuid": number(n), "text": text})
    history, file = History(engine, kind), io.BytesIO()
    with tuned(full_path_only=full):
        report = history.export_file(file)
        exact = history.export_file(io.BytesIO(), exact=True, on_unreadable="skip")
    assert exported(history)["things"][0]["value"] == {"price": 12345678901234567000}
    assert [(each.code, each.pointer, each.uuid) for each in report.warnings] == [
        ("precision", "/value", number(0))
    ]
    assert f"is stored with {LONG}, which is read as 1.2345678901234567e+19." in report.warnings[0].message
    assert (report.exported, report.warning_count) == (3, 1)
    assert [(each.code, each.uuid) for each in exact.problems] == [("precision", number(0))]
    assert (exact.exported, exact.skipped, exact.warning_count) == (2, 1, 0)
    updated = history.import_file(io.BytesIO(file.getvalue()), on_duplicate="update")
    assert (updated.skipped, [each.code for each in updated.warnings]) == (3, ["precision"])


@pytest.mark.parametrize("make", [document_of, stream_of])
@pytest.mark.parametrize(
    ("column_type", "field", "text", "message"),
    [
        (sa.BigInteger, histio.Integer, "1e400", "Not an integer."),
        (sa.BigInteger, histio.Integer, "-1e400", "Not an integer."),
        (sa.BigInteger, histio.Integer, "1e30", "Must be from"),
        (sa.Double, histio.Number, "1e400", "Not a finite number."),
    ],
)
def test_a_number_beyond_its_field_is_a_problem_at_its_place(
    sqlite_of, make, column_type, field, text, message
):
    metadata, kind = host(column_type(), field(required=True))
    report = History(sqlite_of(metadata), kind).import_file(make(text, "1e1"))
    [problem] = report.problems
    assert (problem.pointer.rpartition("/")[2], report.imported) == ("value", 1)
    assert problem.message.startswith(message)


# --- the fast encoder -------------------------------------------------------------------------------------

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANY_JSON)
@example({"b": -0.0, "a": [1e16, 1e-7, 123456789012345678901234567890]})
@example({"\x00": "\\u0000"})
@example("e+ and -0.0")
def test_the_fast_encoder_writes_json_as_the_field_does_or_not_at_all(value):
    wire = Json().to_wire(value)
    assert json_text(json.dumps(value)) in (None, encode(wire))
    assert stored_text(value) in (None, json.dumps(wire))
