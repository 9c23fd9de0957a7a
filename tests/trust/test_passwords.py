"""Passwords of any characters, in URLs of any kind: no command prints a word of them."""

from __future__ import annotations

import shutil
import string

import pytest

import histio
from histio import cli
from histio.models import Base

SPECIAL = [*"/@:?#&=%+ ;,'\"[]()!$*^~`|\\<>{}._-\té", "%40", "%2F", "::", "://"]

URLS = [
    "postgresql://me:{}@127.0.0.1:1/db",
    "mariadb://me:{}@127.0.0.1:1/db",
    "postgresql:/me:{}@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?user=me&password={}",
    "sqlite:///none.db?password={}",
    "none://me:{}@127.0.0.1/db",
    "me:{}@127.0.0.1/db",
    "host=127.0.0.1 port=1 password={}",
    "s3://key:{}@bucket/a.jsonl",
    "memory://me:{}@none/a.jsonl",
    "ftp://me:{}@127.0.0.1:1/a.jsonl",
    "zip://a.jsonl::memory://me:{}@none/a.zip",
]

COMMANDS = [
    ["check", "{}"],
    ["import", "history.jsonl", "--url={}"],
    ["import", "history.jsonl", "--url", "{}"],
    ["import", "history.jsonl", "--url=sqlite:///branch.db", "--rename={}", "--dry-run"],
    ["export", "{}", "--url=sqlite:///branch.db", "--format=json", "--force"],
    ["merge", "history.jsonl", "-o", "{}"],
    ["init", "--url={}"],
    ["copy", "--from", "{}", "--to=sqlite:///branch.db"],
    ["copy", "--from=sqlite:///branch.db", "--to={}"],
    ["inspect", "history.jsonl", "--history={}"],
    ["{}"],
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = histio.create_engine("sqlite:///branch.db")
    Base.metadata.create_all(engine)
    with histio.History(engine) as history:
        history.export_file("history.jsonl")
    engine.dispose()
    shutil.copy("branch.db", "none.db")


def make_password(chance):
    """Some words, and a password of them with special characters in between."""
    letters = string.ascii_lowercase + string.digits
    words = ["".join(chance.choices(letters, k=chance.randint(6, 10))) for _ in range(chance.randint(1, 4))]
    password = chance.choice(["", *SPECIAL])
    for word in words:
        password += word + chance.choice(SPECIAL) * chance.randint(1, 2)
    return words, chance.choice([password, password.rstrip("".join(SPECIAL))])


def test_no_word_of_a_password_is_printed(home, capsys, tries):
    for each in tries(200):
        with each as chance:
            words, password = make_password(chance)
            url = chance.choice(URLS).format(password)
            arguments = [part.replace("{}", url) for part in chance.choice(COMMANDS)]
            assert cli.main(arguments) in range(5)
            printed = "".join(capsys.readouterr())
            assert [word for word in words if word in printed] == [], (arguments, printed)
