"""``histio rejects``: what an import has rejected is listed, and mended at a terminal."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
import zstandard
from sqlalchemy.orm import Session

import histio
from histio import History, cli
from histio.cli.exit_codes import ExitCode
from histio.models import Base, Recipe
from tests.support.bakery import assembly_run, document, number, production_run, stock
from tests.support.markdown import Page
from tests.support.streams import line, unsealed
from tests.support.terminal import Terminal

BRANCH = "--url=sqlite:///branch.db"
STALE = [line("production_run", production_run(n, recipe_slug="cookys")) for n in (1, 2, 3)]
GONE = [line("production_run", production_run(n, recipe_slug="zzz")) for n in (4, 5)]
ZERO = line("production_run", production_run(6, num_batches=0, notes="\x1b[31m\u202e"))
BROKEN = b'{"production_run": {"uuid": 7}\n'
ALL = [*STALE, *GONE, ZERO]
ASKED = "What to do"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of the test, with a database, and a file of rejects from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
    engine = histio.create_engine("sqlite:///branch.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all(stock())
    engine.dispose()
    reject(*ALL)
    return tmp_path


def reject(*lines, name="rejects.jsonl"):
    """Write the rejects of *lines*, all of which are."""
    Path("in.jsonl").write_bytes(unsealed(*lines))
    with History("sqlite:///branch.db") as history:
        assert history.import_file("in.jsonl", rejects=name).imported == 0


@pytest.fixture
def run(capsys):
    """Run a command line; gives its exit code, its output and its errors."""

    def run(command):
        code = cli.main(shlex.split(command))
        return code, *capsys.readouterr()

    return run


def at_terminal(*arguments, edit="", file="rejects.jsonl"):
    """``histio rejects`` at a terminal; *edit* is what the editor does to the ``text``, in Python."""
    editor = Path("editor.py")
    editor.write_text(
        "import os, pathlib, signal, sys, time\n"
        "path = pathlib.Path(sys.argv[-1])\n"
        "text = path.read_text('utf-8')\n"
        f"{edit}\n"
        "path.write_text(text, 'utf-8')\n"
    )
    environment = {"VISUAL": f"{sys.executable} {editor.absolute()}", "TMPDIR": str(Path.cwd())}
    return Terminal(["rejects", file, *arguments], environment=environment)


def records(name):
    """The header of a stream, and the values of its lines."""
    header, *lines = [json.loads(text) for text in Path(name).read_bytes().splitlines()]
    return header["header"], [value for each in lines for value in each.values()]


def uuids(name):
    return [record["uuid"] for record in records(name)[1]]


def names():
    return {path.name for path in Path().iterdir()} - {"branch.db", "in.jsonl", "editor.py"}


# --- the list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", BRANCH, f"{BRANCH} --list"])
def test_without_a_terminal_problems_are_listed_those_of_most_runs_first(home, run, options):
    code, printed, errors = run(f"rejects rejects.jsonl {options}")
    assert (code, errors) == (ExitCode.REJECTS, "")
    first, *groups = printed.splitlines()
    meant = "(did you mean cookies?)"
    assert first == "rejects.jsonl: 6 rejected"
    assert groups[:3] == [
        f"      3  recipe_slug: Recipe not found: cookys {meant} [unknown-reference], lines 2, 3, 4",
        "      2  recipe_slug: Recipe not found: zzz [unknown-reference], lines 5, 6",
        "      1  num_batches: Must be from 1 to 2147483647. [out-of-range], line 7",
    ]
    assert names() == {"rejects.jsonl"}


def test_the_list_is_an_object_for_programs(home, run):
    code, printed, _ = run(f"rejects rejects.jsonl {BRANCH} --json")
    found = json.loads(printed)
    assert code == ExitCode.REJECTS
    assert (found["rejected"], found["mended"], found["left"], found["group_count"]) == (6, 0, 6, 3)
    assert found["codes"] == {"unknown-reference": 5, "out-of-range": 1}
    assert found["groups"][0] == {
        "code": "unknown-reference",
        "member": "recipe_slug",
        "message": "Recipe not found: cookys",
        "hint": "did you mean cookies?",
        "runs": 3,
        "lines": [2, 3, 4],
    }


def test_problems_that_differ_only_in_the_uuid_are_alike(home, run):
    with History("sqlite:///branch.db") as history:
        history.import_document(document(production_run(1), production_run(2)))
        history.export_file("history.jsonl")
        history.import_file("history.jsonl", rejects="rejects.jsonl", on_duplicate="error")
    printed = run(f"rejects rejects.jsonl {BRANCH}")[1]
    assert "      2  uuid: Duplicate UUID: … [duplicate], lines 2, 3" in printed.splitlines()


def test_what_the_database_has_by_now_is_no_problem_any_more(home, run):
    engine = histio.create_engine("sqlite:///branch.db")
    with Session(engine) as session, session.begin():
        session.add(Recipe(name="Z", slug="zzz"))
    engine.dispose()
    assert json.loads(run(f"rejects rejects.jsonl {BRANCH} --json")[1])["mended"] == 2
    assert json.loads(run("rejects rejects.jsonl --json")[1])["mended"] == 0


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [
        ("rejects history.jsonl", ExitCode.USAGE, "history.jsonl is not a file of rejects"),
        ("rejects history.json", ExitCode.USAGE, "history.json is not a file of rejects"),
        ("rejects branch.db", ExitCode.BAD, "the file of a database"),
        ("rejects none.jsonl", ExitCode.USAGE, "none.jsonl: No such file"),
        ("rejects -", ExitCode.USAGE, "not the path of a local file"),
        ("rejects https://user:secret@example.org/a.jsonl", ExitCode.USAGE, "is a URL"),
        ("rejects parts", ExitCode.USAGE, "is not a regular file"),
        ("rejects rejects.jsonl -o out.json", ExitCode.USAGE, "must end with .jsonl"),
        ("rejects rejects.jsonl -o ./rejects.jsonl --force", ExitCode.USAGE, "name another file"),
        ("rejects rejects.jsonl --url sqlite:///none.db", ExitCode.USAGE, "none.db does not exist"),
        ("--within parts rejects ../rejects.jsonl", ExitCode.USAGE, "is outside of"),
        ("rejects rejects.jsonl --max-line-bytes 830", ExitCode.BAD, "Line 2 is longer than"),
    ],
)
def test_what_cannot_be_mended_is_refused_in_one_line(home, run, command, code, why):
    with History("sqlite:///branch.db") as history:
        history.export_file("history.jsonl")
        history.export_file("history.json")
        history.export_parts("parts", jobs=1)
    found, printed, errors = run(command)
    assert (found, printed) == (code, "")
    assert why in errors
    assert "secret" not in errors


# --- at a terminal -------------------------------------------------------------------------------------


def test_a_run_is_edited_and_checked_and_written(home, run):
    before = Path("rejects.jsonl").read_bytes()
    edit = "text = text.replace('\"num_batches\": 0', '\"num_batches\": 1')"
    with at_terminal(BRANCH, edit=edit) as terminal:
        terminal.answer(ASKED, "a")
        terminal.answer(ASKED, "a")
        shown = terminal.answer(ASKED, "e")
        code, printed = terminal.end()
    assert f"6 of 6, line 7: production_run {number(6)}" in shown
    assert "/num_batches 0: Must be from 1 to 2147483647." in shown
    assert code == ExitCode.REJECTS
    assert "histio import rejects-mended.jsonl --url sqlite:///branch.db" in printed
    assert "5 runs left" in printed
    assert Path("rejects.jsonl").read_bytes() == before
    assert records("rejects-mended.jsonl")[1] == [production_run(6, num_batches=1, notes="\x1b[31m\u202e")]
    assert run(f"import rejects-mended.jsonl {BRANCH}")[0] == ExitCode.DONE


@pytest.mark.slow
def test_the_editor_gets_the_problems_first_and_nothing_that_steers_a_terminal(home):
    reject(ZERO)
    with at_terminal(BRANCH, edit="pathlib.Path('seen.json').write_text(text, 'utf-8')") as terminal:
        terminal.answer(ASKED, "e")
        assert "Nothing was changed." in terminal.answer(ASKED, "q")
        assert terminal.end()[0] == ExitCode.REJECTS
    text = Path("seen.json").read_text("utf-8")
    assert text.startswith('{\n  "problems": [\n    {\n      "message": "Must be from 1 to 2147483647.",\n')
    assert json.loads(text)["production_run"] == json.loads(ZERO)["production_run"]
    assert text.replace("\n", "").isprintable()
    assert "\x1b" not in terminal.printed.replace("\x1b[", "")
    assert names() == {"rejects.jsonl", "seen.json"}


def test_a_slug_is_renamed_in_all_runs(home, run):
    with at_terminal(BRANCH) as terminal:
        assert "r = rename recipe_slug cookys to cookies in all runs" in terminal.answer(ASKED, "r")
        assert "3 runs mended" in terminal.expect("Mended.")
        terminal.answer(ASKED, "r")
        terminal.answer("Rename recipe_slug zzz to", "bread")
        terminal.answer(ASKED, "q")
        code, printed = terminal.end()
    assert code == ExitCode.REJECTS
    assert "5 mended runs" in printed
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3, 4, 5)]
    assert {record["recipe_slug"] for record in records("rejects-mended.jsonl")[1]} == {"cookies", "bread"}
    assert run(f"import rejects-mended.jsonl {BRANCH}")[0] == ExitCode.DONE


@pytest.mark.slow
def test_a_slug_that_is_renamed_to_an_unknown_one_is_a_problem_still(home):
    reject(*GONE)
    with at_terminal(BRANCH) as terminal:
        terminal.answer(ASKED, "r")
        terminal.answer("Rename recipe_slug zzz to", "breed")
        assert "Recipe not found: breed (did you mean bread?)" in terminal.answer(ASKED, "r")
        terminal.expect("2 runs mended.")
        assert terminal.end()[0] == ExitCode.DONE
    assert {record["recipe_slug"] for record in records("rejects-mended.jsonl")[1]} == {"bread"}


@pytest.mark.slow
def test_a_slug_that_was_edited_can_be_renamed_in_the_other_runs_too(home):
    with at_terminal(BRANCH, edit="text = text.replace('cookys\"', 'bread\"')") as terminal:
        terminal.answer(ASKED, "e")
        terminal.answer("Rename recipe_slug cookys to bread in 2 other runs, too?", "y")
        assert "2 runs mended" in terminal.answer(ASKED, "q")
        terminal.end()
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3)]


def test_an_unreadable_line_is_edited_as_text(home):
    reject(BROKEN, line("production_run", production_run(7)).rstrip()[:-1] + b"\n")
    with at_terminal(BRANCH, edit="text = text.rstrip() + '}'") as terminal:
        terminal.answer(ASKED, "e")
        assert "/uuid 7: " in terminal.answer(ASKED, "s")
        terminal.answer(ASKED, "e")
        terminal.expect("Mended.")
        assert terminal.end()[0] == ExitCode.REJECTS
    assert records("rejects-mended.jsonl")[1] == [production_run(7)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ("text = text[:-3]", "The text is not JSON: line 3"),
        ("text = text.replace('[', '[NaN,', 1)", "The text is not JSON: NaN is not JSON"),
        ("text = text.replace('production_run', 'cake_run')", "The line is not a run"),
        ("text = '[]'", "The line is not a run"),
        ("text = '{\"trailer\": {}}'", "The line is not a run"),
        ("text = ''", "Nothing was changed."),
        ("path.write_bytes(b'\\xff'); sys.exit()", "cannot be read"),
        ("path.unlink(); sys.exit()", "cannot be read"),
        ("sys.exit(3)", "Editing failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Editing failed"),
    ],
)
def test_an_editor_that_saves_nonsense_or_fails_loses_nothing(home, edit, why):
    reject(*STALE[:1], ZERO)
    with at_terminal(BRANCH, edit=edit) as terminal:
        terminal.answer(ASKED, "r")
        terminal.answer(ASKED, "e")
        assert why in terminal.answer(ASKED, "q")
        assert terminal.end()[0] == ExitCode.REJECTS
    assert uuids("rejects-mended.jsonl") == [number(1)]


@pytest.mark.slow
def test_a_text_that_is_not_json_says_where_when_it_comes_again(home):
    reject(ZERO)
    with at_terminal(BRANCH, edit="text = text[:-3]") as terminal:
        terminal.answer(ASKED, "e")
        terminal.answer(ASKED, "q")
        terminal.end()
    with at_terminal(BRANCH) as terminal:
        assert "The text is not JSON: line 3" in terminal.answer(ASKED, "q")
        terminal.end()


@pytest.mark.slow
def test_an_edited_text_in_another_encoding_is_kept_and_named(home):
    edit = "path.write_bytes('crème'.encode('latin-1')); sys.exit()"
    with at_terminal(BRANCH, edit=edit) as terminal:
        terminal.answer(ASKED, "e")
        told = terminal.answer(ASKED, "q")
    [kept] = home.glob("histio-*/*")
    assert f"The edited text in {kept} cannot be read" in told
    assert kept.read_bytes() == "crème".encode("latin-1")


@pytest.mark.slow
def test_what_was_saved_before_the_editor_failed_counts(home):
    reject(ZERO)
    edit = "path.write_text(text.replace('\"num_batches\": 0', '\"num_batches\": 1'), 'utf-8'); sys.exit(1)"
    with at_terminal(BRANCH, edit=edit) as terminal:
        terminal.answer(ASKED, "e")
        assert "Editing failed" in terminal.expect("Mended.")
        assert terminal.end()[0] == ExitCode.DONE
    assert uuids("rejects-mended.jsonl") == [number(6)]


@pytest.mark.slow
def test_text_that_is_not_json_is_edited_again_as_it_was_left(home):
    reject(ZERO)
    edit = (
        "again = pathlib.Path('again')\n"
        "text = text.replace(': 0', ': 1') + '}' if again.exists() else text[:-2]\n"
        "again.touch()"
    )
    with at_terminal(BRANCH, edit=edit) as terminal:
        terminal.answer(ASKED, "e")
        terminal.answer(ASKED, "e")
        terminal.expect("Mended.")
        assert terminal.end()[0] == ExitCode.DONE
    assert records("rejects-mended.jsonl")[1][0]["num_batches"] == 1


@pytest.mark.slow
def test_the_guide_shows_what_is_printed(tmp_path, monkeypatch):
    page = Page("docs/how-to/mend-rejects.md")
    for ran in page.run(tmp_path):
        monkeypatch.chdir(ran.folder)
        command, *shown = page.code("text")[0].code.splitlines()
        edit = "text = text.replace('\"num_batches\": 0', '\"num_batches\": 1')"
        with at_terminal("--url", "sqlite:///branch.db", edit=edit) as terminal:
            terminal.answer(ASKED, "r")
            terminal.answer(ASKED, "e")
            assert terminal.end()[0] == ExitCode.DONE
        assert command == "$ histio rejects rejects.jsonl --url sqlite:///branch.db"
        assert terminal.printed.splitlines() == shown


# --- ended and continued -------------------------------------------------------------------------------


def mend_two(home):
    """A terminal that has mended three runs by a rename and one by an edit, and asks what to do next."""
    edit = "text = text.replace('zzz', 'bread')"
    terminal = at_terminal(BRANCH, edit=edit)
    terminal.answer(ASKED, "r")
    terminal.answer(ASKED, "e")
    terminal.answer("in 1 other run, too?", "n")
    terminal.expect("Mended.")
    terminal.expect(ASKED)
    return terminal


@pytest.mark.slow
@pytest.mark.parametrize("number_of_signal", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_process_the_corrections_are_kept(home, number_of_signal):
    with mend_two(home) as terminal:
        terminal.interrupt(number_of_signal)
        code, printed = terminal.end()
    assert code in (ExitCode.INTERRUPTED, -signal.SIGKILL)
    assert ("To continue, repeat the command." in printed) == (code == ExitCode.INTERRUPTED)
    assert names() == {"rejects.jsonl", "rejects-mended.jsonl.corrections"}
    with at_terminal(BRANCH) as terminal:
        assert "rejects.jsonl: 6 rejected, 4 of them mended" in terminal.expect("5 of 6")
        terminal.answer(ASKED, "q")
        assert terminal.end()[0] == ExitCode.REJECTS
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3, 4)]


@pytest.mark.slow
def test_a_process_that_is_killed_while_the_editor_is_open_loses_no_correction(home):
    with at_terminal(BRANCH, edit="print('The editor is open.', flush=True); time.sleep(1)") as terminal:
        terminal.answer(ASKED, "r")
        terminal.answer(ASKED, "e")
        terminal.expect("The editor is open.")
        terminal.kill()
    with at_terminal(BRANCH) as terminal:
        terminal.answer(ASKED, "q")
        terminal.end()
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3)]


@pytest.mark.slow
def test_a_last_correction_that_was_written_in_part_is_left_out(home):
    with mend_two(home) as terminal:
        terminal.kill()
    path = Path("rejects-mended.jsonl.corrections")
    path.write_bytes(path.read_bytes()[:-20])
    with at_terminal(BRANCH) as terminal:
        terminal.answer(ASKED, "q")
        terminal.end()
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3)]


@pytest.mark.slow
def test_the_command_is_repeated_until_all_is_mended(home, run):
    with mend_two(home) as terminal:
        terminal.type("q")
        assert terminal.end()[0] == ExitCode.REJECTS
    edit = f"text = {line('production_run', production_run(8)).decode()!r}"
    with at_terminal(BRANCH, edit=edit) as terminal:
        terminal.answer(ASKED, "r")
        terminal.answer("Rename recipe_slug zzz to", "cookies")
        terminal.answer(ASKED, "e")
        code, printed = terminal.end()
    assert (code, "6 mended runs" in printed) == (ExitCode.DONE, True)
    assert names() == {"rejects.jsonl", "rejects-mended.jsonl"}
    assert run(f"import rejects-mended.jsonl {BRANCH}")[0] == ExitCode.DONE


def test_nothing_is_overwritten_that_the_command_has_not_written(home):
    Path("rejects-mended.jsonl").write_text("of somebody else")
    with at_terminal(BRANCH) as terminal:
        code, printed = terminal.end()
    assert (code, "rejects-mended.jsonl exists; --force replaces it" in printed) == (ExitCode.USAGE, True)
    with at_terminal(BRANCH, "--force") as terminal:
        terminal.answer(ASKED, "r")
        terminal.answer(ASKED, "q")
        terminal.end()
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3)]
    with Path("rejects-mended.jsonl").open("a") as file:
        file.write("changed by somebody else\n")
    with at_terminal(BRANCH) as terminal:
        assert terminal.end()[0] == ExitCode.USAGE


@pytest.mark.slow
def test_corrections_of_other_rejects_are_never_applied(home):
    with mend_two(home) as terminal:
        terminal.kill()
    reject(*reversed(ALL))
    with at_terminal(BRANCH) as terminal:
        code, printed = terminal.end()
    assert (code, "has the corrections of another file" in printed) == (ExitCode.USAGE, True)
    with at_terminal(BRANCH, "--force") as terminal:
        terminal.answer(ASKED, "q")
        assert "6 runs left. To continue" in terminal.end()[1]
    assert names() == {"rejects.jsonl"}


@pytest.mark.slow
def test_two_people_cannot_mend_the_same_rejects(home, run):
    with mend_two(home):
        code, _, errors = run(f"rejects rejects.jsonl {BRANCH}")
    assert (code, "another process uses the file" in errors) == (ExitCode.FAILED, True)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"line": 2, "text": "{}\\n{}"}',
        '{"line": 2, "text": "\\ud800"}',
        '{"rename": {"recipe_slug": 5}}',
        '{"rename": {"recipe_slug": {"cookys": null}}}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_correction_is_refused_in_one_line(home, run, content):
    digest = hashlib.sha256(Path("rejects.jsonl").read_bytes()).hexdigest()
    header = json.dumps({"corrections_of": digest}) if content else ""
    Path("rejects-mended.jsonl.corrections").write_text(f"{header}\n{content}\n")
    code, _, errors = run("rejects rejects.jsonl --list")
    assert code == ExitCode.USAGE
    assert errors == "Error: rejects-mended.jsonl.corrections is not a file of corrections.\n"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_corrections_are_read_from_a_regular_file_only(home, run, make):
    make(Path("rejects-mended.jsonl.corrections"))
    code, _, errors = run("rejects rejects.jsonl --list")
    assert (code, "is not a file of corrections" in errors) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("name", ["rejects-mended.jsonl", "rejects-mended.jsonl.corrections"])
def test_files_that_the_command_names_itself_must_be_in_the_folder_too(home, run, name):
    folder = home / "inside"
    folder.mkdir()
    Path("rejects.jsonl").rename(folder / "rejects.jsonl")
    (folder / name).symlink_to(home / "elsewhere.jsonl")
    code, _, errors = run("--within inside rejects rejects.jsonl --list")
    assert (code, "is outside of" in errors) == (ExitCode.USAGE, True)


# --- files of all kinds --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "compress", "decompress"),
    [
        (".gz", gzip.compress, gzip.decompress),
        (".zst", zstandard.compress, lambda data: zstandard.decompress(data, max_output_size=2**20)),
    ],
)
def test_compressed_rejects_become_compressed_files(home, suffix, compress, decompress):
    name = f"rejects.jsonl{suffix}"
    Path(name).write_bytes(compress(Path("rejects.jsonl").read_bytes()))
    with at_terminal(BRANCH, file=name) as terminal:
        terminal.answer(ASKED, "r")
        terminal.answer(ASKED, "q")
        terminal.end()
    data = decompress(Path(f"rejects-mended.jsonl{suffix}").read_bytes())
    assert [json.loads(each)["production_run"]["uuid"] for each in data.splitlines()[1:]] == [
        number(n) for n in (1, 2, 3)
    ]


@pytest.mark.slow
def test_rows_of_the_catalog_are_carried_along(home, run):
    rows = [{"recipe": {"slug": "cake", "name": "Cake"}}, {"recipe": {"slug": "pie", "name": 7}}]
    run_ = line("production_run", production_run(1, recipe_slug="cake", num_batches=0))
    header = b'{"header": {"version": "1.0", "catalog": ["recipe"], "sealed": false}}\n'
    Path("in.jsonl").write_bytes(b"".join([header, *(f"{json.dumps(row)}\n".encode() for row in rows), run_]))
    with History("sqlite:///branch.db") as history:
        history.import_file("in.jsonl", rejects="rejects.jsonl")
    assert "Recipe not found: cake" in run(f"rejects rejects.jsonl {BRANCH}")[1]
    edit = "text = text.replace('_batches\": 0', '_batches\": 1').replace(': 7', ': \"Pie\"')"
    with at_terminal(BRANCH, "--create-catalog", edit=edit) as terminal:
        terminal.answer(ASKED, "e")
        terminal.expect("Mended.")
        terminal.answer(ASKED, "e")
        code, printed = terminal.end()
    assert (code, "--create-catalog" in printed) == (ExitCode.DONE, True)
    assert run(f"import rejects-mended.jsonl {BRANCH} --create-catalog")[0] == ExitCode.DONE


@pytest.mark.slow
def test_numbers_and_escapes_stay_as_they_were(home):
    text = json.dumps(production_run(1, recipe_slug="cookys", notes="\u00e4"), separators=(",", ":"))
    text = text.replace('"num_batches":2', '"num_batches":2.000')
    reject(f'{{"production_run":{text}}}\n'.encode())
    with at_terminal(BRANCH) as terminal:
        terminal.answer(ASKED, "r")
        assert terminal.end()[0] == ExitCode.DONE
    [_, mended] = Path("rejects-mended.jsonl").read_text("utf-8").splitlines()
    assert mended == f'{{"production_run":{text}}}'.replace("cookys", "cookies")


def test_without_a_database_a_reference_counts_as_mended_once_it_has_changed(home, run):
    with at_terminal() as terminal:
        assert "References are checked only with a database" in terminal.answer(ASKED, "r")
        terminal.answer(ASKED, "q")
        terminal.end()
    assert uuids("rejects-mended.jsonl") == [number(n) for n in (1, 2, 3)]
    assert json.loads(run("rejects rejects.jsonl --json")[1])["left"] == 3


@pytest.mark.slow
def test_rejects_without_problems_are_no_work(home, run):
    reject(line("assembly_run", assembly_run(1, finished_good_slug="cake")))
    Path("rejects.jsonl").write_text('{"header": {"version": "1.0", "sealed": false}}\n')
    with at_terminal(BRANCH) as terminal:
        assert terminal.end()[0] == ExitCode.DONE
    assert names() == {"rejects.jsonl"}
