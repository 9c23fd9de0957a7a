"""Paths that users choose lead to regular files in one folder, and nowhere else."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

import histio
from histio import cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with files of all types, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.json").write_text("{}")
    folder = tmp_path / "uploads"
    (folder / "below").mkdir(parents=True)
    (folder / "a.json").write_text("{}")
    (folder / "link.json").symlink_to("a.json")
    (folder / "out.json").symlink_to("../secret.json")
    (folder / "nothing.json").symlink_to("../nothing.json")
    (folder / "up").symlink_to("..")
    (folder / "stdin").symlink_to("/dev/stdin")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("uploads/socket")
    return folder


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("a.json", "a.json"),
        ("./below/../a.json", "a.json"),
        ("link.json", "a.json"),
        ("below/new.json", "below/new.json"),
        ("memory:/a.json", "memory:/a.json"),
        ("~", "~"),
    ],
)
def test_a_file_in_the_folder_is_accepted(folder, path, real):
    assert histio.local_path(path, within="uploads") == folder / real
    assert histio.local_path(Path(path), within=folder) == folder / real
    assert histio.local_path(folder / path) == folder / real


REFUSED = [
    ("../secret.json", "is outside of 'uploads'"),
    ("below/../../secret.json", "is outside of"),
    ("out.json", "is outside of"),
    ("nothing.json", "is outside of"),
    ("up/secret.json", "is outside of"),
    ("/etc/passwd", "is outside of"),
    ("/proc/self/environ", "is outside of"),
    ("/proc/self/fd/0", "is outside of"),
    ("/dev/zero", "is outside of"),
    ("stdin", "is outside of"),
    ("pipe", "is not a regular file"),
    ("socket", "is not a regular file"),
    ("below", "is not a regular file"),
    (".", "is not a regular file"),
    ("-", "is not the path of a local file"),
    ("", "is not the path of a local file"),
    ("a.json\0", "is not the path of a local file"),
    ("memory://a.json", "is a URL"),
    ("file:///etc/passwd", "is a URL"),
    ("zip://a.json::a.zip", "is a URL"),
    ("s3://me:s3cr3t@b/a.json", "^s3://b/a.json is a URL"),
]


@pytest.mark.parametrize(("path", "message"), REFUSED)
def test_everything_else_is_refused(folder, path, message):
    with pytest.raises(ValueError, match=message):
        histio.local_path(path, within="uploads")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "uploads/pipe", "uploads", "-", "memory://a"])
def test_without_a_folder_only_regular_files_are_accepted(folder, path):
    with pytest.raises(ValueError, match=r"is not a regular file|is not the path of|is a URL"):
        histio.local_path(path)
    assert histio.local_path("secret.json") == folder.parent / "secret.json"


COMMANDS = [
    ["check", "{}"],
    ["import", "{}", "--url=sqlite:///x.db"],
    ["import", "a.json", "--url=sqlite:///x.db", "--rejects={}"],
    ["import", "a.json", "--url=sqlite:///x.db", "--report={}"],
    ["export", "{}", "--url=sqlite:///x.db"],
    ["export", "b.json", "--url=sqlite:///x.db", "--differs-from={}"],
    ["diff", "a.json", "{}"],
    ["merge", "a.json", "-o", "{}"],
    ["report", "a.json", "--output={}"],
    ["flatten", "{}", "--to=tables"],
    ["flatten", "a.json", "--to={}"],
    ["references", "{}"],
    ["verify", "{}", "--url=sqlite:///x.db"],
    ["inspect", "{}"],
    ["audit", "{}"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_command_line_uses_only_files_in_the_folder(folder, capsys, monkeypatch, command, way):
    before = {"option": ["--within=uploads"], "variable": []}[way]
    monkeypatch.setenv("HISTIO_WITHIN", {"option": "", "variable": "uploads"}[way])
    for path, message in REFUSED:
        assert cli.main([*before, *(each.replace("{}", path) for each in command)]) == 2
        assert re.search(message.lstrip("^"), capsys.readouterr().err)


def test_a_file_of_renames_must_be_in_the_folder_too(folder, capsys):
    arguments = ["import", "a.json", "--url=sqlite:///x.db", "--rename=secret.json"]
    assert cli.main(["--within=uploads", *arguments]) == 2
    assert "renames" in capsys.readouterr().err


def test_a_command_finds_its_files_in_the_folder(folder, capsys):
    Path("uploads/b.json").write_text('{"version": "1.0", "production_runs": []}')
    assert cli.main(["--within=uploads", "check", "b.json"]) == 0
