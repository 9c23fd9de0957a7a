"""Text from files, paths and databases never steers a terminal, and is the same in JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex

import pytest
from sqlalchemy.orm import Session

import histio
from histio import cli
from histio.cli.printing import escape
from histio.models import Base, Recipe
from tests.support.bakery import consumption, document, production_run, stock

CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
FORMATS = [
    0xAD,
    0x61C,
    0x180E,
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
]
OTHERS = [0xD800, 0xFFF9, 0xDFFF, 0xFFFE, 0xE0001, 0xE0041, 0x10FFFF]
HOSTILE = "".join(map(chr, [*CONTROLS, *FORMATS, *OTHERS]))
MARKUP = "[red]a[/red][link=file:///etc/passwd]b[/link][/] :cake: \\["
SHORT = "\x9b31m\u202ered\x1b]8;;http://evil\x07\u2028\x7f\ud800"

FILES = {
    "slugs": [production_run(1, recipe_slug=HOSTILE), production_run(2, recipe_slug=MARKUP + SHORT)],
    "members": [production_run(1, **{HOSTILE: 1, MARKUP: 2})],
    "identities": [production_run(1, uuid=HOSTILE), production_run(2, uuid=MARKUP)],
    "values": [production_run(1, num_batches=HOSTILE, unit=MARKUP, produced_at=SHORT, notes=HOSTILE)],
    "ledgers": [production_run(1, consumptions=[consumption(1, ingredient_slug=MARKUP, unit=SHORT)])],
    "runs": [HOSTILE, [MARKUP], {SHORT: SHORT}],
}
HEADERS = {
    "version": {"version": HOSTILE},
    "kinds": {"version": "1.0", "kinds": [HOSTILE, MARKUP]},
    "exported_at": {"version": "1.0", "exported_at": HOSTILE, SHORT: MARKUP},
    "follows": {"version": "1.0", "follows": HOSTILE, "sealed": False},
}


def stream(header, runs):
    lines = [{"header": header}, *({"production_run": run} for run in runs), {HOSTILE: MARKUP}]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode() + f'{{"{SHORT}'.encode(
        "utf-8", "replace"
    )


DOCUMENTS = ("slugs", "identities", "ledgers")
CONTENTS = {
    **{name: json.dumps(document(*FILES[name])).encode() for name in DOCUMENTS},
    **{
        name: stream({"version": "1.0", "sealed": False}, runs)
        for name, runs in FILES.items()
        if name not in DOCUMENTS
    },
    **{f"{name} of a header": stream(header, FILES["slugs"]) for name, header in HEADERS.items()},
    "no JSON": HOSTILE.encode("utf-8", "replace"),
}
NAME = os.fsdecode(b"a\xc2\x9b31m\xe2\x80\xaeb\x1b[31m\xffc[red]d[bold]\nspoofed.json")
COMMANDS = [
    "check {file}",
    "check {file} {url}",
    "import {file} {url} --dry-run",
    "import {file} {url} --rejects {name}.jsonl",
    "rejects {name}.jsonl {url}",
    "rejects {name}.jsonl --json",
    "import history.jsonl {file} {url} --allow-truncated --dry-run",
    "import {file} {file} {url}",
    "import {file} {url} --rename {name}:b=c --dry-run",
    "inspect {file}",
    "references {file}",
    "references {file} {url}",
    "audit {file}",
    "diff {file} history.jsonl",
    "diff history.jsonl {file}",
    "verify {file} {url}",
    "merge {file} -o {name}.jsonl --force",
    "export out.jsonl {url} --where recipe_slug={name} --force",
    "export out.jsonl {url} --kind {name} --force",
    "export {name}.jsonl {url} --force",
    "init --url sqlite:///{name}.db",
    "{name}",
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = histio.create_engine("sqlite:///branch.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all([*stock(), Recipe(name="a", slug=MARKUP)])
    with histio.History(engine) as history:
        history.export_file("history.jsonl")
    engine.dispose()
    return tmp_path


@pytest.mark.cells(3)
@pytest.mark.parametrize("option", ["", " --json"])
@pytest.mark.parametrize("content", CONTENTS)
def test_no_command_prints_what_steers_a_terminal(home, capsys, monkeypatch, content, option):
    (home / NAME).write_bytes(CONTENTS[content])
    values = {"file": shlex.quote(NAME), "name": shlex.quote(NAME), "url": "--url sqlite:///branch.db"}
    for command in COMMANDS:
        line = command.format(**values) + option
        assert (cli.main(shlex.split(line)) in range(5), line) == (True, line)
        printed = "".join(capsys.readouterr())
        assert {char for char in printed if not char.isprintable()} <= {"\n"}, line
        assert ("Unexpected error" in printed, "\nspoofed" in printed) == (False, False), line


def test_what_is_printed_as_json_has_the_same_value(home, capsys):
    (home / "a.json").write_bytes(CONTENTS["members"])
    cli.main(["check", "a.json", "--json"])
    shown = json.loads(capsys.readouterr().out)["problems"]
    assert shown == [dataclasses.asdict(problem) for problem in histio.check_file("a.json")]
    assert any(HOSTILE in problem["pointer"] for problem in shown)
    cli.main(["check", "a.json", "--jsonl"])
    assert shown == [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_changes_of_an_update_never_steer_a_terminal_and_markup_is_shown_as_it_is(home, capsys):
    with histio.History("sqlite:///branch.db") as history:
        history.import_document(document(production_run(1), production_run(2, notes=SHORT[:-1])))
    runs = [production_run(1, notes=MARKUP[:28]), production_run(2, notes=HOSTILE[1:97], consumptions=[])]
    lines = [{"header": {"version": "1.0", "sealed": False}}, *({"production_run": run} for run in runs)]
    (home / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    cli.main(shlex.split("import a.jsonl --url sqlite:///branch.db --on-duplicate update --dry-run"))
    printed = capsys.readouterr().out
    assert f"/notes: 'Test batch' → {MARKUP[:28]!r}" in printed
    assert f"/notes: {SHORT[:-1]!r} → " in printed
    assert {char for char in printed if not char.isprintable()} == {"\n"}


def test_markup_is_shown_as_it_is(home, capsys):
    (home / "a.json").write_bytes(CONTENTS["slugs"])
    cli.main(["references", "a.json"])
    assert MARKUP + escape(SHORT) in capsys.readouterr().out


@pytest.mark.parametrize("char", CONTROLS + FORMATS + OTHERS)
def test_each_character_that_steers_is_escaped(char):
    assert escape(chr(char)).isascii()
    assert escape(chr(char)).isprintable()
