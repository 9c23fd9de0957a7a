"""Lists of slugs that name rows which the same import writes."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

import histio
from histio import History
from tests.support.reports import codes_of, outcomes
from tests.support.slug_lists import Base, RoleSchema, UserSchema, role, user

ROLES = [role("admin"), role("cook"), role("guest")]
USERS = [
    user("ada", "admin", "cook", mentors=["bob", "eve"]),
    user("bob", mentors=["eve"]),
    user("eve", "guest"),
]
DOCUMENT = {"version": "1.0", "users": USERS, "roles": ROLES}


@pytest.fixture(params=["bulk", "unit of work"])
def history(request, create):
    session = sessionmaker(create(Base.metadata))
    listening = {"bulk": (), "unit of work": ("after_flush",)}[request.param]
    for event in listening:
        sa.event.listen(session, event, lambda *_: None)
    return History(session, UserSchema, RoleSchema)


def test_kinds_that_lists_name_come_first():
    assert History(None, UserSchema, RoleSchema).kinds == ("role", "user")


def test_a_list_names_rows_that_the_same_document_brings(history):
    assert history.check(DOCUMENT) == []
    assert outcomes(history.import_document(DOCUMENT)) == (6, 0, 0)
    document = history.export_document()
    assert (document["users"], document["roles"]) == (USERS, ROLES)
    for again in ("skip", "verify", "update"):
        assert outcomes(history.import_document(DOCUMENT, on_duplicate=again)) == (0, 6, 0)


def test_a_list_names_rows_that_the_same_stream_brings_later(history, tmp_path):
    path = tmp_path / "users.jsonl"
    lines = [{"header": {"version": "1.0", "sealed": False}}]
    lines += [{"user": each} for each in USERS] + [{"role": each} for each in ROLES]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert list(histio.check_file(path, history=history)) == []
    assert outcomes(history.import_file(path, commit_every=1)) == (6, 0, 0)
    assert history.export_document()["users"] == USERS


def test_an_update_names_rows_that_the_same_document_brings(history):
    history.import_document({"version": "1.0", "users": [user("ada")]})
    report = history.import_document(DOCUMENT, on_duplicate="update")
    assert (report.imported, report.updated) == (5, 1)
    assert history.export_document()["users"] == USERS


def test_a_row_that_is_rejected_is_not_there_for_lists_either(history):
    broken = DOCUMENT | {"roles": [*ROLES[:2], role("guest", title="x" * 41)]}
    assert codes_of(history.check(broken)) == [
        ("/roles/2/title", "out-of-range"),
        ("/users/0/mentors", "unknown-reference"),
        ("/users/0/mentors", "unknown-reference"),
        ("/users/1/mentors", "unknown-reference"),
        ("/users/2/roles", "unknown-reference"),
    ]
    report = history.import_document(broken)
    assert report.by_kind["role"].imported == 2
    assert report.by_kind["user"].rejected == 3  # ada and bob name eve, who names the guest


def test_lists_of_runs_are_no_needs_of_a_file(history, tmp_path):
    path = tmp_path / "users.json"
    path.write_text(json.dumps(DOCUMENT))
    assert list(histio.references(path, history=history)) == []


def test_two_names_of_one_row_are_one_link(history):
    history.import_document({"version": "1.0", "roles": [role("admin", title="Administrator")]})
    given = {"version": "1.0", "users": [user("ada", "Administrator", "admin")]}
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert history.export_document()["users"] == [user("ada", "admin")]
