"""verify, update and diff compare the rows that slugs name, not the slugs."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import histio
from histio import History, cli
from histio.models import Base
from tests.support import parts
from tests.support import slug_lists as lists
from tests.support.bakery import assembly_run, packaging, stock, without
from tests.support.reports import codes_of, outcomes

# What a file may say of a part, and what an export says of it.
SPELLINGS = [
    ({"sku": "mother"}, {"sku": "nut"}),
    ({"sku": "bolt"}, {"ean": "401", "sku": "bolt", "maker": "acme"}),
    ({"ean": "401"}, {"ean": "401", "sku": "bolt", "maker": "acme"}),
    ({"maker": "bell"}, {"maker": "bell"}),
    ({"ean": None, "sku": "bolt"}, {"ean": "401", "sku": "bolt", "maker": "acme"}),
    ({"ean": "402", "sku": "gone"}, {"ean": "402", "maker": "acme"}),
]


@pytest.fixture
def engine(create):
    return create(parts.Base.metadata, *parts.stock())


@pytest.fixture
def history(engine):
    return History(engine, parts.kind(**parts.three(allow_none=True)))


def written(path, document):
    path.write_text(json.dumps(document))
    return path


def changes(file, history):
    """Pointers and values of all that a file and a database have otherwise."""
    found = histio.diff(file, history)
    return [(each.pointer, each.a, each.b) for difference in found for each in difference.changes]


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize(("part", "stored"), SPELLINGS)
def test_a_run_whose_file_names_the_row_otherwise_is_the_same_run(history, tmp_path, part, stored):
    given = parts.document(parts.repair(1, part))
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert history.export_document()["repairs"] == [parts.repair(1, stored)]
    file = written(tmp_path / "repairs.json", given)
    for on_duplicate in ("verify", "update"):
        assert outcomes(history.import_document(given, on_duplicate=on_duplicate)) == (0, 1, 0)
        assert outcomes(history.import_file(file, on_duplicate=on_duplicate)) == (0, 1, 0)
    assert list(histio.diff(file, history)) == list(histio.diff(history, file)) == []
    assert list(histio.verify(file, history)) == []


@pytest.mark.turns
@pytest.mark.parametrize(("part", "stored"), SPELLINGS)
def test_a_run_that_names_another_row_differs_and_is_updated(history, tmp_path, part, stored):
    other = {"ean": "403"}
    add_part(history, ean="403")
    history.import_document(parts.document(parts.repair(1, other)))
    given = parts.document(parts.repair(1, part))
    report = history.import_document(given, on_duplicate="verify")
    assert (outcomes(report), {each.code for each in report.problems}) == ((0, 0, 1), {"conflict"})
    names = sorted({*stored, "ean"})
    assert sorted(changes(written(tmp_path / "repairs.json", given), history)) == [
        (f"/uses/0/{name}", stored.get(name), other.get(name)) for name in names
    ]
    report = history.import_document(given, on_duplicate="update")
    assert (report.updated, report.entries.changed) == (1, 1)
    assert history.export_document()["repairs"] == [parts.repair(1, stored)]


def add_part(history, **keys):
    with history.bound.database.bind() as session:
        session.add(parts.Part(**keys))
        session.commit()


def test_an_update_of_something_else_leaves_the_row_that_a_fallback_names(history, engine):
    history.import_document(parts.document(parts.repair(1, {"sku": "mother"}, {"ean": "401"})))
    given = parts.document(parts.repair(1, {"sku": "mother"}, {"ean": "401"}))
    given["repairs"][0]["uses"][1]["pieces"] = 7
    report = history.import_document(given, on_duplicate="update")
    assert (report.updated, report.entries.changed) == (1, 1)
    with Session(engine) as session:
        assert sorted(session.scalars(sa.select(parts.Use.pieces))) == [1, 7]


@pytest.mark.parametrize("part", [{"sku": "unheard-of"}, {"maker": "acme"}])
def test_a_slug_that_names_no_row_or_several_is_compared_as_text(history, tmp_path, part):
    history.import_document(parts.document(parts.repair(1, {"sku": "nut"})))
    given = parts.document(parts.repair(1, part))
    report = history.import_document(given, on_duplicate="verify")
    assert codes_of(report.problems) == [("/repairs/0", "conflict")]
    assert len(list(histio.diff(written(tmp_path / "repairs.json", given), history))) == 1


@pytest.mark.slow
def test_of_two_files_the_slugs_are_compared(history, tmp_path):
    a, b = (
        written(tmp_path / f"{place}.json", parts.document(parts.repair(1, part)))
        for place, part in enumerate(SPELLINGS[0])
    )
    [difference] = histio.diff(a, b, history=history)
    assert [(each.pointer, each.a, each.b) for each in difference.changes] == [
        ("/uses/0/sku", "mother", "nut")
    ]


@pytest.mark.slow
def test_lists_are_compared_by_their_rows(create, tmp_path):
    history = History(create(lists.Base.metadata), lists.UserSchema, lists.RoleSchema)
    roles = [lists.role("admin", title="Administrator"), lists.role("cook", title="Aide")]
    given = {"version": "1.0", "roles": roles, "users": [lists.user("ada", "Aide", "Administrator")]}
    history.import_document(given)
    assert history.export_document()["users"] == [lists.user("ada", "admin", "cook")]
    for on_duplicate in ("verify", "update"):
        assert outcomes(history.import_document(given, on_duplicate=on_duplicate)) == (0, 3, 0)
    file = written(tmp_path / "users.json", given)
    assert list(histio.diff(file, history)) == []
    given["users"] = [lists.user("ada", "Aide")]
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 2, 1)
    assert changes(written(file, given), history) == [("/roles", ["cook"], ["admin", "cook"])]


# --- the bundled kinds, and the command line -----------------------------------------------------------


def run_of(**members):
    entry = without(packaging(), "product_slug", "ingredient_slug") | members
    return {"version": "1.0", "assembly_runs": [assembly_run(1, packaging_consumptions=[entry])]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "members",
    [
        {"product_slug": "bag-100"},
        {"ingredient_slug": "bag"},
        {"product_slug": "bag-100", "ingredient_slug": "box"},
    ],
)
def test_the_command_line_compares_rows(tmp_path, capsys, members):
    url = f"sqlite:///{tmp_path}/bakery.db"
    engine = histio.create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(stock())
        session.commit()
    assert outcomes(History(engine).import_document(run_of(**members))) == (1, 0, 0)
    file = written(tmp_path / "runs.json", run_of(**members))
    assert cli.main(["verify", str(file), "--url", url]) == 0
    assert "The database has all runs, unchanged." in capsys.readouterr().err
    assert cli.main(["diff", str(file), "--url", url]) == 0
