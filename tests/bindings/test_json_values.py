"""JSON values come back as they were, and numbers are compared as JSON Schema compares them."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

import histio
from histio import History, Json
from histio.tuning import tuned
from histio.wire import equal
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
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY.map(lambda value: {"value": value}), min_size=1, max_size=4))
def test_all_databases_give_the_same_bytes(databases, values):
    texts = set()
    for dialect in ("sqlite", "postgresql", "mariadb"):
        metadata, kind = host(JSONB, required(Json))
        engine = databases.of_host(dialect)(metadata)
        into(engine, kind, *values)
        texts.add(json.dumps(exported(History(engine, kind))))
    assert texts == {json.dumps(things(*map(Json().to_wire, values)))}


def test_functions_of_the_hosts_for_json_take_the_full_path(tmp_path):
    metadata, kind = host(sa.JSON(), required(Json))
    own = {"json_serializer": lambda value: json.dumps([value])}
    engine = sa.create_engine(f"sqlite:///{tmp_path}/own.db", **own)
    metadata.create_all(engine)
    assert "have to be written by SQLAlchemy" in History(engine, kind).explain()
    engine.dispose()
