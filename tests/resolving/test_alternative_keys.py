"""Several slugs of one relationship, of which any can name the row."""

from __future__ import annotations

import logging

import jsonschema
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import ExportError, History, Slug
from tests.support.bakery import number
from tests.support.conformance import check_host
from tests.support.parts import Base, Maker, Part, Repair, Use, document, kind, repair, stock, three
from tests.support.reports import codes_of, outcomes

PARTS = [
    {"ean": "401", "sku": "bolt", "maker": "acme"},
    {"ean": "402", "maker": "acme"},
    {"sku": "nut"},
    {"maker": "bell"},
]


@pytest.fixture
def engine(create):
    return create(Base.metadata, *stock())


@pytest.fixture
def history(engine):
    return History(engine, kind(**three()))


def part_of(engine, n=1):
    with Session(engine) as session:
        part = session.scalars(sa.select(Part).join(Use).join(Repair).where(Repair.uuid == number(n))).one()
        return part.ean or part.sku or part.maker.slug


# --- exports -------------------------------------------------------------------------------------------


def test_an_export_writes_the_keys_that_the_row_has(history):
    given = document(repair(1, *PARTS), repair(2, *reversed(PARTS)))
    assert outcomes(history.import_document(given)) == (2, 0, 0)
    assert history.export_document()["repairs"] == given["repairs"]
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 2, 0)


def test_rows_that_lack_a_key_are_exported_straight(history, caplog):
    history.import_document(document(repair(1, *PARTS)))
    with caplog.at_level(logging.DEBUG, "histio"):
        assert list(history.iter_runs("repair")) == [repair(1, *PARTS)]
    assert "full path" not in caplog.text


def test_both_paths_write_the_same(history, engine):
    history.import_document(document(repair(1, *PARTS)))
    with Session(engine) as session:
        row = session.scalars(sa.select(Repair)).one()
        assert kind(**three())().dump(row) == next(history.iter_runs("repair"))


@pytest.mark.parametrize("allow_none", [False, True])
def test_a_row_without_any_of_the_keys_is_named_and_not_exported(engine, allow_none):
    history = History(engine, kind(**three(allow_none=allow_none)))
    history.import_document(document(repair(1, *PARTS), repair(2, {"sku": "nut"})))
    with engine.begin() as connection:
        connection.execute(sa.update(Part).where(Part.sku == "nut").values(sku=None))
    with pytest.raises(ExportError) as caught:
        history.export_document()
    assert [(each.uuid, each.pointer) for each in caught.value.problems] == [
        *((number(1), f"/uses/2/{name}") for name in ("ean", "sku", "maker")),
        *((number(2), f"/uses/0/{name}") for name in ("ean", "sku", "maker")),
    ]
    assert "The related row has no ean" in str(caught.value)


def test_a_key_that_is_required_is_not_left_out(engine):
    history = History(engine, kind(**three(required=True)))
    with Session(engine) as session:
        nut = session.scalars(sa.select(Part).where(Part.sku == "nut")).one()
        session.add(Repair(uuid=number(1), uses=[Use(part=nut, pieces=1)]))
        session.commit()
    with pytest.raises(ExportError, match="The related row has no ean"):
        history.export_document()


def test_a_row_without_a_part_has_null_where_all_may_be_null(engine):
    slugs = {name: Slug("part", key=name, allow_none=True) for name in ("ean", "sku")}
    history = History(engine, kind(**slugs))
    nothing = {"ean": None, "sku": None}
    given = document(repair(1, nothing, {"ean": "402"}, {"sku": "nut"}, {"ean": "401", "sku": "bolt"}))
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert list(history.iter_runs("repair")) == given["repairs"]


# --- imports -------------------------------------------------------------------------------------------


@pytest.mark.turns
@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"ean": "401"}, "401"),
        ({"sku": "bolt"}, "401"),
        ({"sku": "mother"}, "nut"),
        ({"maker": "bell"}, "bell"),
        ({"ean": None, "sku": "bolt"}, "401"),
    ],
)
def test_the_first_that_is_present_and_not_null_decides(engine, part, found):
    history = History(engine, kind(**three(allow_none=True)))
    assert codes_of(history.check(document(repair(1, part)))) == []
    assert outcomes(history.import_document(document(repair(1, part)))) == (1, 0, 0)
    assert part_of(engine) == found


@pytest.mark.parametrize("later", [{"sku": "nut"}, {"sku": "gone"}, {"maker": "bell"}])
def test_a_later_one_that_names_another_row_is_a_warning(engine, history, later):
    report = history.import_document(document(repair(1, {"ean": "402", **later})))
    assert outcomes(report) == (1, 0, 0)
    [member] = later
    assert codes_of(report.warnings) == [(f"/repairs/0/uses/0/{member}", "mismatched-reference")]
    assert part_of(engine) == "402"


def test_a_later_one_may_name_the_row_by_another_of_its_keys(engine):
    history = History(engine, kind(maker=Slug("part", key="maker.slug"), sku=three()["sku"]))
    with engine.begin() as connection:
        connection.execute(sa.update(Part).where(Part.ean.is_(None)).values(sku="nut", old_sku="mother"))
    report = history.import_document(document(repair(1, {"maker": "bell", "sku": "mother"})))
    assert (outcomes(report), report.warnings) == ((1, 0, 0), ())


@pytest.mark.parametrize(
    ("part", "code"),
    [({"ean": "gone", "sku": "bolt"}, "unknown-reference"), ({"maker": "acme"}, "ambiguous-reference")],
)
def test_an_unknown_or_ambiguous_first_one_rejects_the_run(history, part, code):
    report = history.import_document(document(repair(1, part)))
    assert (outcomes(report), [each.code for each in report.problems]) == ((0, 0, 1), [code])


# --- form ----------------------------------------------------------------------------------------------


@pytest.mark.turns
@pytest.mark.parametrize(
    ("options", "part", "pointers"),
    [
        ({}, {}, ["/repairs/0/uses/0/ean"]),
        ({}, {"ean": None}, ["/repairs/0/uses/0/ean"]),
        ({}, {"ean": None, "sku": "nut"}, ["/repairs/0/uses/0/ean"]),
        ({"allow_none": True}, {}, ["/repairs/0/uses/0/ean"]),
        ({"allow_none": True}, {"ean": None}, ["/repairs/0/uses/0/ean"]),
        ({"allow_none": True}, {"ean": None, "sku": "nut"}, []),
        ({"allow_none": True}, {"sku": "nut"}, []),
        ({"required": True}, {"sku": "nut"}, ["/repairs/0/uses/0/ean"]),
        ({"required": True}, {"ean": "401"}, []),
        ({"required": True, "allow_none": True}, {"ean": None}, ["/repairs/0/uses/0/ean"]),
        ({"required": True, "allow_none": True}, {"ean": None, "sku": "nut"}, []),
    ],
)
def test_a_record_needs_one_that_is_not_null(engine, options, part, pointers):
    history = History(engine, kind(**three(**options)))
    given = document(repair(1, part))
    assert [problem.pointer for problem in history.check(given)] == pointers
    assert jsonschema.Draft202012Validator(history.json_schema()).is_valid(given) == (not pointers)


def test_where_all_may_be_null_none_is_needed(engine):
    history = History(
        engine, kind(**{name: Slug("part", key=name, allow_none=True) for name in ("ean", "sku")})
    )
    given = document(repair(1, {}, {"ean": None}))
    assert history.check(given) == []
    assert "not" not in history.json_schema()["$defs"]["use"]


# --- the conformance kit -------------------------------------------------------------------------------


def make_repairs(session, count):
    for n in range(count):
        maker = Maker(slug=f"maker-{n}")
        parts = [
            Part(ean=f"ean-{n}", sku=f"sku-{n}", maker=maker),
            Part(sku=f"only-{n}"),
            Part(maker=Maker(slug=f"alone-{n}")),
        ]
        session.add(Repair(uuid=number(n), uses=[Use(part=part, pieces=n) for part in parts]))


@pytest.mark.slow
@pytest.mark.parametrize("allow_none", [False, True])
def test_the_conformance_kit_knows_alternatives(create, allow_none):
    history = History(create(Base.metadata), kind(**three(allow_none=allow_none)))
    check_host(history, make_runs=make_repairs)
