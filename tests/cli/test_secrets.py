"""Passwords and tokens never appear, wherever a URL is written and whatever it looks like."""

from __future__ import annotations

import logging
import shutil
import traceback
from pathlib import Path

import pytest

import histio
from histio import cli
from histio.redact import redact

SECRET = "s3cr3t"

DATABASES = [
    "postgresql://me:{}@127.0.0.1:1/db",
    "postgresql+psycopg://me:{}/x@127.0.0.1:1/db",
    "postgresql://me:x/{}@127.0.0.1:1/db",
    "postgresql://me:x@{}@127.0.0.1:1/db",
    "postgresql://me:x:{}@127.0.0.1:1/db",
    "postgresql://me:x {} y@127.0.0.1:1/db",
    "postgresql://me:x#{}@127.0.0.1:1/db",
    "postgresql://me:x?{}@127.0.0.1:1/db",
    "postgresql://me:x%40{}@127.0.0.1:1/db",
    "postgresql://me:'{}\"@127.0.0.1:1/db",
    "postgresql://me:x\n{}@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?user=me&password={}",
    "postgresql://127.0.0.1:1/db?pwd={}",
    "postgresql://127.0.0.1:1/db?sslpassword={}&sslmode=disable",
    "postgresql://127.0.0.1:1/db?password=x {}",
    "mysql://127.0.0.1:1/db?passwd={}",
    "mariadb://me:{}@127.0.0.1:port/db",
    "sqlite://me:{}@127.0.0.1/db",
    "sqlite:///none.db?token={}",
    "postgres:/me:{}@127.0.0.1/db",
    "oracle://me:{}@127.0.0.1/db",
    "none+at+all://me:{}@127.0.0.1/db",
    "me:{}@127.0.0.1/db",
    "me:x/{}@127.0.0.1/db",
    "me:x {}@127.0.0.1/db",
    "host=127.0.0.1 password={}",
]
FILES = [
    "s3://key:{}@bucket/a.jsonl",
    "s3://key:x/{}@bucket/a.jsonl",
    "http://me:{}@127.0.0.1:1/a.jsonl",
    "http://{}@127.0.0.1:1/a.jsonl",
    "http://127.0.0.1:1/a.jsonl?X-Amz-Signature={}",
    "http://127.0.0.1:1/a.jsonl?v=1&sig={}#top",
    "ftp://me:{}@127.0.0.1:1/a.jsonl",
    "sftp://me:{}@127.0.0.1:1/a.jsonl",
    "zip://a.jsonl::http://me:{}@127.0.0.1:1/a.zip",
    "simplecache::http://me:{}@127.0.0.1:1/a.jsonl",
    "memory://me:{}@none/a.jsonl",
    "none://me:{}@127.0.0.1/a.jsonl",
]
URLS = [*DATABASES, *FILES]

PLACES = [
    ["check", "{}"],
    ["import", "{}", "--url=sqlite:///branch.db"],
    ["import", "history.jsonl", "--url", "{}"],
    ["import", "history.jsonl", "--url={}", "--json"],
    ["import", "history.jsonl", "--url=sqlite:///branch.db", "--rejects={}", "--dry-run"],
    ["import", "history.jsonl", "--url=sqlite:///branch.db", "--rename={}", "--dry-run"],
    ["import", "history.jsonl", "--url=sqlite:///branch.db", "--on-duplicate={}"],
    ["export", "{}", "--url=sqlite:///branch.db"],
    ["export", "{}", "--url=sqlite:///branch.db", "--format=json"],
    ["export", "-", "--url={}"],
    ["export", "a.json", "--url=sqlite:///branch.db", "--differs-from={}"],
    ["init", "--url={}"],
    ["diff", "history.jsonl", "{}"],
    ["merge", "history.jsonl", "{}", "-o", "{}", "--format=jsonl"],
    ["report", "history.jsonl", "-o", "{}"],
    ["report", "{}", "-o", "page.html"],
    ["flatten", "{}", "--to", "tables"],
    ["flatten", "history.jsonl", "--to", "{}"],
    ["references", "{}", "--json"],
    ["audit", "--url={}"],
    ["explain", "--url={}"],
    ["inspect", "history.jsonl", "--history={}"],
    ["--url={}"],
    ["{}"],
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with histio.History(f"sqlite:///{folder}/branch.db") as history:
        histio.models.Base.metadata.create_all(history.bound.database.bind.kw["bind"])
        history.export_file(folder / "history.jsonl")
    return folder


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "home"))


@pytest.mark.cells(12)
@pytest.mark.parametrize("as_traceback", ["", "1"])
@pytest.mark.parametrize("url", URLS)
def test_no_command_prints_a_secret(home, capsys, caplog, monkeypatch, url, as_traceback):
    monkeypatch.setenv("HISTIO_TRACEBACK", as_traceback)
    caplog.set_level(logging.DEBUG, logger="histio")
    for place in PLACES:
        arguments = [each.replace("{}", url.format(SECRET)) for each in place]
        assert (cli.main(arguments) in range(5), arguments) == (True, arguments)
        assert SECRET not in "".join(capsys.readouterr()), arguments
    assert SECRET not in caplog.text
    written = (path for path in Path().rglob("*") if path.is_file())
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_of_the_environment_is_no_exception(home, capsys, monkeypatch, url):
    monkeypatch.setenv("HISTIO_DATABASE_URL", url.format(SECRET).replace("\n", " "))
    assert cli.main(["import", "history.jsonl"]) in {2, 4}
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "use",
    [
        lambda url: histio.History(url.replace("+psycopg", "+asyncpg")),
        lambda url: histio.AsyncHistory(url.replace("postgresql+psycopg", "mariadb+pymysql")),
        lambda url: histio.History(url.encode()),
        lambda url: histio.History([url]),
        lambda url: histio.History(Path(url)),
        lambda url: histio.History().export_document(session=url),
    ],
    ids=["History", "AsyncHistory", "bytes", "a list", "a path", "a session"],
)
@pytest.mark.parametrize("query", ["", "?password=s3cr3t"])
def test_what_cannot_be_bound_is_told_without_secrets(use, query):
    with pytest.raises((histio.BindingError, AttributeError)) as caught:
        use(f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/db{query}")
    assert SECRET not in traceback.format_exception_only(caught.value)[-1]


@pytest.mark.parametrize("url", [DATABASES[0], DATABASES[11]])
def test_a_history_is_shown_without_secrets(url):
    with histio.History(url.format(SECRET).replace("postgresql:", "postgresql+psycopg:")) as history:
        assert SECRET not in repr(history) + str(history) + repr(history.bound)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("see https://me:pw@host/a?b=c&d=e#f.", "see https://***@host/a?b=***&d=***"),
        ("a://b:c@d is no file: pass --url a://b:c@d", "a://***@d is no file: pass --url a://***@d"),
        ("http://host/mail@example.org", "http://host/mail@example.org"),
        ("http://host/a b@c", "http://host/a b@c"),
        ("line 3: me@example.org", "line 3: me@example.org"),
        (r"C:\folder\a@b", r"C:\folder\a@b"),
        ("12:30 at 10:15@noon", "12:30 at ***@noon"),
        ("password = 'a b' user=me", "password = *** user=me"),
        ("API_KEY=abc;PWD=def;Database=x", "API_KEY=***;PWD=***;Database=x"),
        ("what? a=b", "what? a=b"),
    ],
)
def test_only_what_is_secret_is_hidden(text, hidden):
    assert redact(text).removesuffix("#f.") == hidden


@pytest.mark.parametrize(
    ("url", "text", "hidden"),
    [
        ("a://me:one/two 2@h/db", "no host one, no port two", "no host one, no port two"),
        (
            "a://me:first/second@h/db",
            'no host "first", database "second@h/db"',
            'no host "***", database "***@h/db"',
        ),
        ("a://me:b%61kery@h/db", "no user bakery, b%61kery", "no user ***, ***"),
        ("a://bakery:bakery@bakery/bakery", "no database bakery", "no database bakery"),
        ("me:first@h", "first", "***"),
        ("first@second.json", "first second", "first second"),
        ("a://h/db?user=me&password=first&second", "first, second", "***, ***"),
        ("a://h/db?password=first@second", "first, second", "***, ***"),
        ("a://h/db?password='first \"second", "first, second", "***, ***"),
        ("host=h password=first;second,third", "first, second, third", "***, ***, ***"),
        ("host=h password='first second@third", "first, second, third", "***, ***, ***"),
        ("--url=a://token1234@h", "token1234", "***"),
    ],
)
def test_pieces_of_a_secret_are_hidden_unless_they_are_short_or_known(url, text, hidden):
    assert redact(text, [url]) == hidden
