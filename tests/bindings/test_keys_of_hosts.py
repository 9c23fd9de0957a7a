"""Whatever type an identity or a key has, runs take the fast path, and it gives the same result."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm

import histio
from histio import ExportError, History
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.columns import AN_UUID, Guid, Size, exported
from tests.support.reports import codes_of, outcomes


def shelf(*, identity=None, key=None, nullable=False):
    """Boxes on shelves, with things in them: the metadata, the models, and the kind."""
    base = orm.declarative_base()

    def model(name, **columns):
        names = {"__tablename__": f"{name.lower()}s", "id": sa.Column(sa.Integer, primary_key=True)}
        return type(name, (base,), names | columns)

    def own():
        return sa.Column(identity or sa.String(36), unique=True, nullable=False)

    place = model("Place", key=sa.Column(key or sa.String(20), unique=True))
    thing = model("Thing", uuid=own(), box_id=sa.Column(sa.ForeignKey("boxs.id"), nullable=False))
    box = model(
        "Box",
        uuid=own(),
        place_id=sa.Column(sa.ForeignKey("places.id"), nullable=nullable),
        place=orm.relationship(place),
        things=orm.relationship(thing, order_by=thing.id),
    )
    entries = type(
        "ThingSchema",
        (histio.RecordSchema,),
        {"Meta": type("Meta", (), {"model": thing}), "uuid": histio.RunUUID(required=True)},
    )
    meta = type("Meta", (), {"model": box, "kind": "box", "collection": "boxes", "timestamp": None})
    members = {
        "Meta": meta,
        "uuid": histio.RunUUID(required=True),
        "place": histio.Slug("place", key="key", allow_none=nullable),
        "things": Nested(entries, many=True),
    }
    return base.metadata, place, box, type("BoxSchema", (histio.RunSchema,), members)


def boxes(*places):
    return {
        "version": "1.0",
        "boxes": [
            {
                "uuid": number(n),
                "place": place,
                "things": [{"uuid": number(100 + n)}, {"uuid": number(50 + n)}],
            }
            for n, place in enumerate(places)
        ],
    }


def put(engine, model, *keys):
    with orm.Session(engine) as session:
        session.add_all([model(key=key) for key in keys])
        session.commit()


def told(history):
    return [
        line for line in history.explain().splitlines() if line.startswith(("box, export", "box, import"))
    ]


FAST = ["box, export: fast path", "box, import: fast path"]


@pytest.mark.turns
@pytest.mark.parametrize(
    "identity",
    [sa.CHAR(36), sa.CHAR(32), sa.String(40), sa.Uuid(), Guid()],
    ids=repr,
)
def test_an_identity_of_any_type_stays_on_the_fast_path(create, identity):
    metadata, place, _, kind = shelf(identity=identity)
    engine = create(metadata)
    put(engine, place, "a")
    history = History(engine, kind)
    assert told(history) == FAST
    given = boxes(*"aaa")
    assert outcomes(history.import_document(given)) == (3, 0, 0)
    assert exported(history)["boxes"] == given["boxes"]
    for full_path_only in (False, True):
        with tuned(full_path_only=full_path_only):
            assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 3, 0)
            assert exported(history)["boxes"] == given["boxes"]


KEYS = [
    (sa.Integer(), [1, 2], [1, 2]),
    (sa.Uuid(), [AN_UUID], None),
    (sa.CHAR(10), ["ab", "abc"], ["ab", "abc"]),
    (sa.Enum(Size, name="size"), ["SMALL", "LARGE"], [Size.SMALL, Size.LARGE]),
    (sa.String(255), ["a", "b"], ["a", "b"]),
]


@pytest.mark.turns
@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize(("key", "slugs", "stored"), KEYS)
def test_a_key_of_any_type_stays_on_the_fast_path(create, key, slugs, stored, nullable):
    metadata, place, _, kind = shelf(key=key, nullable=nullable)
    engine = create(metadata)
    put(engine, place, *(stored or map(UUID, slugs)))
    history = History(engine, kind)
    assert told(history) == FAST
    given = boxes(*slugs, *[None] * nullable)
    assert outcomes(history.import_document(given)) == (len(given["boxes"]), 0, 0)
    assert exported(history)["boxes"] == given["boxes"]
    for full_path_only in (False, True):
        with tuned(full_path_only=full_path_only):
            assert json.dumps(exported(history)["boxes"]) == json.dumps(given["boxes"])
            assert outcomes(history.import_document(given, on_duplicate="verify"))[1] == len(given["boxes"])


def test_an_unknown_key_that_is_no_text_rejects_its_run_by_either_path(sqlite_of):
    metadata, place, _, kind = shelf(key=sa.Integer())
    engine = sqlite_of(metadata)
    put(engine, place, 1)
    history = History(engine, kind)
    report = history.import_document(boxes(1, 2, 1))
    assert (outcomes(report), codes_of(report.problems)) == (
        (2, 0, 1),
        [("/boxes/1/place", "unknown-reference")],
    )
    with tuned(full_path_only=True):
        again = history.import_document(boxes(1, 2, 1), dry_run=True)
    assert again.problems == report.problems


@pytest.mark.parametrize("key", [sa.Integer(), sa.String(20)])
def test_a_reference_whose_row_is_missing_is_named_by_either_path(sqlite_of, key):
    metadata, _, _, kind = shelf(key=key, nullable=True)
    engine = sqlite_of(metadata)
    with engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("INSERT INTO boxs (uuid, place_id) VALUES (?, 9)", (number(1),))
        connection.commit()
    with pytest.raises(ExportError, match=f"box {number(1)}: ") as fast:
        History(engine, kind).export_document()
    with tuned(full_path_only=True), pytest.raises(ExportError) as full:
        History(engine, kind).export_document()
    assert str(fast.value) == str(full.value)
