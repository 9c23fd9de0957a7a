"""Where a scaffold imports models from."""

from __future__ import annotations

import sys
import types

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from histio import cli
from histio.scaffold import scaffold
from tests.support.scaffolds import run


def models_made_in_a_function():
    """A model with a ledger and its ledger's model, neither of which their own module has."""
    base = orm.declarative_base()

    class Remark(base):
        __tablename__ = "remarks"
        id = sa.Column(sa.Integer, primary_key=True)
        text = sa.Column(sa.String(20))
        message_id = sa.Column(sa.ForeignKey("messages.id"), nullable=False)

    class Message(base):
        __tablename__ = "messages"
        id = sa.Column(sa.Integer, primary_key=True)
        code = sa.Column(sa.String(20), unique=True, nullable=False)
        remarks = orm.relationship(Remark)

    return Message, Remark


@pytest.fixture
def chat(monkeypatch):
    """A module that an application makes, still empty."""
    module = types.ModuleType("chat")
    monkeypatch.setitem(sys.modules, "chat", module)
    return module


@pytest.mark.parametrize(
    ("place", "ledger", "lines"),
    [
        ("Message", "Remark", ["from chat import Message, Remark"]),
        ("Message", "Note", ["from chat import Message, Note as Remark"]),
        ("Written", "Remark", ["from chat import Remark, Written as Message"]),
        ("Message", None, ["from chat import Message", 'Remark = mappers["Remark"].class_']),
        ("store.Message", None, ["import chat", "Message = chat.store.Message"]),
    ],
    ids=["both", "the ledger under another name", "under another name", "no ledger", "in an object"],
)
def test_models_are_imported_from_where_they_were_named(chat, capsys, place, ledger, lines):
    message, remark = models_made_in_a_function()
    chat.store = types.SimpleNamespace(Message=message)
    vars(chat).update({place: message, str(ledger): remark if ledger else None})
    assert cli.main(["scaffold", f"chat:{place}"]) == 0
    source = capsys.readouterr().out
    assert [line for line in lines if line not in source.splitlines()] == []
    assert run(source).history.kinds == ("message",)


def test_a_model_that_no_module_has_is_named_in_a_comment():
    source = scaffold(models_made_in_a_function()[0])
    assert "# Message: import it from where it is defined." in source.splitlines()
    assert "import Message" not in source
