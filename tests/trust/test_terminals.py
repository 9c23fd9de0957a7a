"""Terminals of all kinds, closed streams and signals: none changes what a command does, or its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

import histio
from histio import cli
from histio.cli.exit_codes import ExitCode
from histio.models import Base
from tests.support.bakery import assembly_run, document, production_run, stock

ROOT = Path(histio.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "HISTIO_DATABASE_URL": "", "PYTHONUTF8": "1"}
NOTES = "crème brûlée 🎂\u2028\x9b31m\u202e"
NO_TEXT = os.fsdecode(b"caf\xe9-\xff.jsonl")
"""The name of a file in another encoding."""

SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

TERMINALS = {
    "output closed": '"$@" >&-',
    "errors closed": '"$@" 2>&-',
    "input closed": '"$@" <&-',
    "all closed": '"$@" >&- 2>&- <&-',
    "output read by nobody": '"$@" | true; exit ${PIPESTATUS[0]}',
    "errors read by nobody": '{ "$@" 2>&1 >&3 | true; exit ${PIPESTATUS[0]}; } 3>&1',
    "errors to a full disk": '"$@" 2>/dev/full',
    "a terminal": f'"$1" -c "{SPAWN}" "$@"',
    "a narrow terminal": f'COLUMNS=1 LINES=1 "$1" -c "{SPAWN}" "$@"',
    "a dumb terminal": 'TERM=dumb "$@"',
    "no terminal at all": 'env -u TERM "$@"',
    "colours forced": 'FORCE_COLOR=1 TTY_COMPATIBLE=1 COLUMNS=1 "$@"',
    "no colours": 'NO_COLOR=1 "$@"',
    "the C locale": 'PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 LC_ALL=C "$@"',
    "only ASCII": 'PYTHONIOENCODING=ascii "$@"',
    "ASCII, strictly": 'PYTHONIOENCODING=ascii:strict "$@"',
    "UTF-16": 'PYTHONIOENCODING=utf-16 "$@"',
    "nohup": 'nohup "$@"',
    "no signals": 'trap "" INT TERM HUP PIPE; "$@"',
    "pipes end the process": '(trap - PIPE; "$@")',
}
"""What a shell makes of a command, which is in ``$@``."""

FULL = '"$@" >/dev/full'

BRANCH = "--url=sqlite:///branch.db"
RESULTS = {
    "an import": (["import", "history.jsonl", BRANCH], ExitCode.DONE),
    "an import with a progress bar in JSON": (["import", "history.jsonl", BRANCH, "--json"], ExitCode.DONE),
    "an import in parts": (["import", "history.jsonl", BRANCH, "--commit-every=2"], ExitCode.DONE),
    "an import with rejects": (["import", NO_TEXT, BRANCH, "--rejects=rejects.jsonl"], ExitCode.REJECTS),
    "an import of all or nothing": (["import", NO_TEXT, BRANCH, "--atomic"], ExitCode.BAD),
    "an import with a page": (["import", "history.jsonl", BRANCH, "--report=page.html"], ExitCode.DONE),
    "an import of no file": (["import", "none.jsonl", BRANCH], ExitCode.USAGE),
    "an export": (["export", "out.jsonl.gz", "--url=sqlite:///bakery.db"], ExitCode.DONE),
    "an export to no database": (["export", "out.jsonl", "--url=sqlite://///"], ExitCode.FAILED),
    "a merge": (["merge", "history.jsonl", "-o", "out.jsonl"], ExitCode.DONE),
    "a page": (["report", "history.jsonl", "-o", "page.html"], ExitCode.DONE),
    "flat tables": (["flatten", "history.jsonl", "--to=tables"], ExitCode.DONE),
    "new tables": (["init", "--url=sqlite:///new.db"], ExitCode.DONE),
}
"""Commands that write something, and their exit codes."""

ANSWERS = {
    "a check": (["check", "history.jsonl"], ExitCode.DONE),
    "a check of a bad file": (["check", NO_TEXT, "--json"], ExitCode.BAD),
    "a difference": (["diff", "history.jsonl", NO_TEXT], ExitCode.BAD),
    "an overview": (["inspect", NO_TEXT], ExitCode.DONE),
    "references": (["references", NO_TEXT], ExitCode.DONE),
    "a schema": (["schema"], ExitCode.DONE),
    "help": (["--help"], ExitCode.DONE),
    "no command": (["nonsense\x9b"], ExitCode.USAGE),
}
"""Commands that print their result, and their exit codes."""

COMMANDS = RESULTS | ANSWERS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bakery that has runs, a branch that has none, and two files."""
    folder = tmp_path_factory.mktemp("made")
    runs = [production_run(n, notes=NOTES) for n in range(5)]
    for name in ("bakery", "branch"):
        engine = histio.create_engine(f"sqlite:///{folder}/{name}.db")
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            session.add_all(stock())
        engine.dispose()
    with histio.History(f"sqlite:///{folder}/bakery.db") as history:
        history.import_document(document(*runs, assembly=[assembly_run(1)]))
        history.export_file(folder / "history.jsonl")
    text = (
        (folder / "history.jsonl")
        .read_text("utf-8")
        .replace('"recipe_slug":"cookies"', f'"recipe_slug":"{NOTES}"', 1)
    )
    lines = text.split("\n")
    (folder / NO_TEXT).write_text(
        "\n".join(['{"header":{"version":"1.0","sealed":false}}', *lines[1:-2], ""]), "utf-8"
    )
    return folder


@pytest.fixture
def home(made, tmp_path):
    return shutil.copytree(made, tmp_path / "home")


def histio_in(folder, terminal, *arguments, **options):
    """Run a command line of histio in a terminal."""
    command = ["bash", "-c", terminal, "bash", sys.executable, "-m", "histio", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        **options,
    )


def left(folder):
    """The runs in the databases, and the names of all files."""
    with histio.History(f"sqlite:///{folder}/branch.db") as branch:
        runs = branch.export_document()
    return runs["production_runs"], runs["assembly_runs"], sorted(path.name for path in folder.iterdir())


@pytest.fixture
def expected(made, tmp_path, monkeypatch):
    """What a command leaves where nothing is unusual, by its name."""

    def expected(name):
        home = shutil.copytree(made, tmp_path / "usual")
        monkeypatch.chdir(home)
        arguments, code = COMMANDS[name]
        assert cli.main(arguments) == code
        found = left(home)
        shutil.rmtree(home)
        return found

    return expected


def try_command(made, tmp_path, expected, terminal, name):
    home = shutil.copytree(made, tmp_path / "home")
    arguments, code = COMMANDS[name]
    done = histio_in(home, terminal, *arguments)
    shown = done.stdout + done.stderr
    found = left(home)
    shutil.rmtree(home)
    assert (done.returncode, b"Traceback" in shown, found) == (code, False, expected(name)), (done, name)


def test_a_terminal_changes_no_result(made, tmp_path, expected, tries):
    for each in tries(6):
        with each as chance:
            terminal, name = chance.choice(list(TERMINALS)), chance.choice(list(COMMANDS))
            try_command(made, tmp_path, expected, TERMINALS[terminal], name)


def test_a_result_that_is_written_counts_even_if_its_report_cannot_be_printed(
    made, tmp_path, expected, tries
):
    for each in tries(4):
        with each as chance:
            try_command(made, tmp_path, expected, FULL, chance.choice(list(RESULTS)))


def test_an_answer_that_cannot_be_printed_is_a_failure(made, tries):
    for each in tries(3):
        with each as chance:
            arguments, _ = chance.choice([each for each in ANSWERS.values() if each[1] != ExitCode.USAGE])
            done = histio_in(made, FULL, *arguments)
            assert (done.returncode, done.stderr) == (ExitCode.FAILED, b"Error: No space left on device\n")


@pytest.mark.cells(2)
@pytest.mark.parametrize(
    ("terminal", "message"),
    [
        ('"$@" >&-', b"Error: standard output is closed\n"),
        ('"$@" >/dev/full', b"Error: No space left on device\n"),
        ('"$@" | true; exit ${PIPESTATUS[0]}', b"Error: The output: Broken pipe\n"),
    ],
)
def test_an_export_to_standard_output_that_is_lost_is_a_failure(home, terminal, message):
    done = histio_in(home, terminal, "export", "-", "--url=sqlite:///bakery.db")
    assert (done.returncode, done.stderr) == (ExitCode.FAILED, message)


# --- signals -------------------------------------------------------------------------------------------

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
MOMENTS = {
    "before a run is written": "event == 'sqlite' and args[0].startswith('INSERT')",
    "before the commit": "event == 'sqlite' and args[0] == 'COMMIT'",
    "before the file is in place": "event == 'os.link'",
    "after the file is in place": "event == 'os.remove'",
}
SCRIPT = """
import os, sys
import sqlalchemy as sa
from histio.cli import main

def hook(event, args):
    if {moment}:
        os.kill(os.getpid(), {number})

sys.addaudithook(hook)
sa.event.listen(sa.Engine, 'before_cursor_execute', lambda *call: hook('sqlite', [call[2]]))
sa.event.listen(sa.Engine, 'commit', lambda *_: hook('sqlite', ['COMMIT']))
sys.exit(main())
"""


def signalled(folder, number, moment, *arguments, trap="-"):
    """Run a command that gets a signal at a moment; *trap* is what it does with it, ``-`` for the default."""
    script = SCRIPT.format(moment=MOMENTS[moment], number=int(number))

    def handle():  # whatever the terminal in which the tests run does with them
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL if trap == "-" else signal.SIG_IGN)

    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, check=False, preexec_fn=handle
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_takes_an_import_back(home, number):
    done = signalled(home, number, "before a run is written", "import", "history.jsonl", BRANCH)
    assert (done.returncode, done.stdout) == (ExitCode.INTERRUPTED, b"")
    assert left(home)[0] == []


@pytest.mark.slow
@pytest.mark.cells(2)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_was_ignored_from_the_start_stays_ignored(home, number):
    done = signalled(home, number, "before a run is written", "import", "history.jsonl", BRANCH, trap="")
    assert (done.returncode, len(left(home)[0])) == (ExitCode.DONE, 5)


AFTER = [
    (["import", "history.jsonl", BRANCH], "before the commit", ExitCode.DONE, 5),
    (["import", NO_TEXT, BRANCH], "before the commit", ExitCode.REJECTS, 4),
    (
        ["export", "history.jsonl.gz", "--url=sqlite:///bakery.db"],
        "before the file is in place",
        ExitCode.DONE,
        0,
    ),
    (
        ["export", "history.jsonl.gz", "--url=sqlite:///bakery.db"],
        "after the file is in place",
        ExitCode.DONE,
        0,
    ),
    (["merge", "history.jsonl", "-o", "out.jsonl"], "after the file is in place", ExitCode.DONE, 0),
]


@pytest.mark.slow
@pytest.mark.cells(3)
@pytest.mark.parametrize(("arguments", "moment", "code", "count"), AFTER)
def test_a_signal_that_comes_too_late_changes_no_exit_code(home, arguments, moment, code, count):
    done = signalled(home, signal.SIGTERM, moment, *arguments)
    assert (done.returncode, b"interrupted" in done.stderr, len(left(home)[0])) == (code, False, count)


@pytest.mark.slow
def test_the_next_export_removes_what_a_killed_one_has_left(home):
    arguments = ["export", "out.jsonl", "--url=sqlite:///bakery.db"]
    before = left(home)
    assert signalled(home, signal.SIGKILL, "before the file is in place", *arguments).returncode < 0
    assert len(left(home)[2]) == len(before[2]) + 1
    assert histio_in(home, '"$@"', *arguments).returncode == ExitCode.DONE
    assert left(home)[2] == sorted([*before[2], "out.jsonl"])
