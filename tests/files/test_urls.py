"""URLs that fsspec opens in its own way, or not at all."""

from __future__ import annotations

import errno
import tempfile
import zipfile
from importlib.util import find_spec

import fsspec
import pytest

from histio.files.sources import Source
from histio.files.targets import target
from histio.files.urls import RemoteFile

TEXT = b'{"version": "1.0"}\n' * 10_000
SECRET = "s3cr3t"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a file, also in an archive."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_bytes(TEXT)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write("a.json")
    return tmp_path


@pytest.mark.parametrize(
    "url",
    [
        "file://{}/a.json",
        "local://a.json",
        "zip://a.json::a.zip",
        "zip://a.json::file://{}/a.zip",
        "simplecache::file://{}/a.json",
        "filecache::file://{}/a.json",
        "simplecache::zip://a.json::a.zip",
    ],
)
def test_a_file_is_read_through_every_chain(folder, url):
    with Source(url.format(folder)) as source:
        assert source.head(10) == TEXT[:10]
        assert source.open(again=True).read() == TEXT


NOT_THERE = [
    ("memory://none.json", FileNotFoundError, "No such file or directory"),
    ("zip://none.json::a.zip", FileNotFoundError, "No such file or directory"),
    ("memory://", IsADirectoryError, "Is a directory"),
    ("tar://a.json::a.zip", OSError, "ReadError"),
    (f"ftp://me:{SECRET}@127.0.0.1:1/a.json", OSError, "Connection refused"),
]
NOT_URLS = [
    ("none://a.json", ValueError, "fsspec cannot open this URL: there is no protocol 'none'"),
    ("://a.json", ValueError, "there is no protocol ''"),
    ("a::b://a.json", ValueError, "there is no protocol 'a'"),
    ("zip://a.json::none://a.zip", ValueError, "there is no protocol 'none'"),
    ("a.json://", ValueError, "there is no protocol 'a.json'"),
    ("dir://a.json", ValueError, "its protocol may need options that a URL cannot have"),
    ("reference://a.json", ValueError, "its protocol may need options that a URL cannot have"),
    pytest.param(
        "github://a.json",
        ValueError,
        "its protocol may need options that a URL cannot have",
        marks=pytest.mark.skipif(find_spec("requests") is None, reason="fsspec needs requests for it"),
    ),
    (f"data://me:{SECRET}@b", ValueError, "fsspec cannot open this URL"),
    ("generic://a.json", ValueError, "fsspec cannot open this URL"),
]


@pytest.mark.parametrize(("url", "error", "message"), [*NOT_THERE, *NOT_URLS])
def test_a_url_that_cannot_be_read_is_an_error_with_its_name(folder, url, error, message):
    with pytest.raises(error, match=message) as caught:
        Source(url)
    assert SECRET not in str(caught.value)
    assert url.partition("://")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        *NOT_URLS,
        ("http://127.0.0.1:1/a.json", ValueError, "HTTP can only be read"),
        (f"simplecache::https://me:{SECRET}@127.0.0.1/a.json", ValueError, "HTTP can only be read"),
        ("zip://b.json::a.zip", OSError, "reading or writing, not both"),
        ("memory://", FileExistsError, "File exists"),
    ],
)
def test_a_url_that_cannot_be_written_is_an_error_with_its_name(folder, url, error, message):
    with pytest.raises(error, match=message) as caught, target(url, compression=None) as file:
        file.write(b"{}")
    assert SECRET not in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.zip"]


@pytest.mark.parametrize("scheme", ["file://{}/", "local://"])
def test_the_url_of_a_local_file_is_complete_or_not_there(folder, scheme):
    url = f"{scheme.format(folder)}b.json"
    with target(url, compression=None) as file:
        file.write(TEXT)
        file.finish()
        assert not (folder / "b.json").exists()
    assert (folder / "b.json").read_bytes() == TEXT


def test_what_a_killed_upload_has_left_is_removed_by_the_next_one_to_the_same_url(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with target("memory://a.json", compression=None, overwrite=True):
        [upload] = tmp_path.iterdir()
        assert upload.stat().st_mode & 0o777 == 0o600
    left = upload.with_name(f"{upload.name[:-16]}0000")
    left.touch()
    with target("memory://b.json", compression=None, overwrite=True):
        assert left.exists()
    with target("memory://a.json", compression=None, overwrite=True):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


class Broken:
    """A file whose connection is lost."""

    size = None

    def __init__(self, error):
        self._error = error

    def read(self, _size):
        raise self._error

    def close(self):
        pass


class ClientError(Exception):
    """What a library for HTTP raises."""


@pytest.mark.parametrize(
    ("error", "number", "text"),
    [
        (ClientError(f"lost http://me:{SECRET}@h"), errno.EIO, "ClientError: lost http://***@h"),
        (OSError("gone"), errno.EIO, "gone"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), errno.ECONNRESET, "reset"),
        (PermissionError(errno.EACCES, "no", "memory://a.json"), errno.EACCES, "no"),
    ],
)
def test_an_error_while_a_url_is_read_has_its_name(monkeypatch, error, number, text):
    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "open", lambda *_: Broken(error))
    with pytest.raises(OSError, match=r".") as caught:
        RemoteFile("memory://a.json").read()
    found = caught.value
    assert (found.errno, found.strerror, found.filename) == (number, text, "memory://a.json")
