"""A file is there as a whole, or all is as it was."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sys
import tempfile
import threading
from pathlib import Path
from unittest.mock import Mock

import fsspec
import pytest
import zstandard

from histio.files.targets import FORMATS, Format, choose_format, target
from tests.support.disks import file_limit

LINES = [b'{"number": %d}\n' % n for n in range(20_000)]
TEXT = b"".join(LINES)
compressions = pytest.mark.parametrize(
    ("compression", "decompress"),
    [
        (None, bytes),
        ("gz", gzip.decompress),
        ("zst", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
faults = pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])


def write(path, *, compression=None, **options):
    with target(path, compression=compression, **options) as file:
        file.writelines(LINES)
    return file


def fail(path, fault, **options):
    with target(path, compression="gz", **options) as file:
        file.writelines(LINES)
        raise fault


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.jsonl"


# What it is called


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("ending", "compression"), [("", None), (".gz", "gz"), (".zst", "zst"), (".GZ", "gz")]
)
def test_the_ending_or_the_format_tells_how_a_file_is_written(name, ending, compression):
    expected = Format(name, compression)
    for path in (
        f"some/a.b.{name}{ending}",
        Path(f"a.{name.upper()}{ending}"),
        f"s3://me@a/b.{name}{ending}?v=1#x",
    ):
        assert choose_format(path) == expected
    for told in (f"{name}{ending}", f".{name}{ending}"):
        assert {choose_format(path, told) for path in ("a.txt", "-", io.BytesIO())} == {expected}


def test_a_format_counts_more_than_an_ending():
    assert choose_format("a.json.gz", "jsonl") == Format("jsonl", None)


def test_what_has_no_name_is_a_stream(tmp_path):
    with (tmp_path / "a.txt").open("wb") as other, tempfile.TemporaryFile() as nameless:
        for each in ("-", io.BytesIO(), other, nameless):
            assert choose_format(each) == Format("jsonl", None)


def test_a_file_that_has_a_name_is_written_by_it(tmp_path):
    with (tmp_path / "a.json.gz").open("wb") as file:
        assert choose_format(file) == Format("json", "gz")


@pytest.mark.parametrize(
    "path", ["a", "a.ndjson", "a.gz", "ajson", "a.json.bz2", "/dev/null", "s3://a/b?c=.json"]
)
def test_a_path_without_a_known_ending_needs_a_format(path):
    with pytest.raises(
        ValueError, match=r"no known suffix \(\.json or \.jsonl, followed by \.gz or \.zst .* format="
    ):
        choose_format(path)


@pytest.mark.parametrize("told", ["", "csv", "gz", "json.bz2", "jsonl.", "a.json", "..json", "json\n"])
def test_there_are_no_other_formats(told):
    with pytest.raises(ValueError, match="unknown format "):
        choose_format("a.json", told)


# What is in it


@compressions
def test_a_file_holds_what_was_written(path, compression, decompress):
    file = write(path, compression=compression)
    assert decompress(path.read_bytes()) == TEXT
    assert file.stored == path.stat().st_size
    assert names(path.parent) == [path.name]


@compressions
def test_a_file_may_be_empty(path, compression, decompress):
    with target(path, compression=compression):
        pass
    assert decompress(path.read_bytes()) == b""


@compressions
def test_equal_bytes_make_equal_files_however_they_come_and_are_called(tmp_path, compression, decompress):
    write(tmp_path / "a", compression=compression)
    with target(tmp_path / "b", compression=compression) as file:
        file.write(memoryview(bytearray(TEXT)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_gzip_file_has_neither_name_nor_time(path):
    write(path, compression="gz")
    assert path.read_bytes()[3:8] == bytes(5)


def test_a_zstandard_file_has_a_checksum(path):
    write(path, compression="zst")
    assert zstandard.get_frame_parameters(path.read_bytes()).has_checksum


def test_what_is_stored_is_counted_meanwhile(path):
    with target(path, compression=None) as file:
        assert [file.write(b"12345"), file.stored, file.write(b"678"), file.stored] == [5, 5, 3, 8]


def test_a_text_file_may_be_wrapped_around_it(path):
    with target(path, compression="gz") as file, io.TextIOWrapper(file, "utf-8") as text:
        text.write("Käse")
    assert gzip.decompress(path.read_bytes()) == "Käse".encode()


@pytest.mark.parametrize("data", ["text", 5, None])
def test_only_bytes_are_written(path, data):
    with pytest.raises(TypeError), target(path, compression=None) as file:
        file.write(data)
    assert names(path.parent) == []


def test_nothing_is_written_after_the_end(path):
    file = write(path)
    with pytest.raises(ValueError, match="closed file"):
        file.write(b"more")


# All or nothing


@faults
def test_a_block_that_fails_leaves_nothing(path, fault):
    with pytest.raises(fault):
        fail(path, fault)
    assert names(path.parent) == []


@faults
def test_a_block_that_fails_leaves_the_file_that_was_there(path, fault):
    path.write_bytes(b"before")
    with pytest.raises(fault):
        fail(path, fault, overwrite=True)
    assert (names(path.parent), path.read_bytes()) == ([path.name], b"before")


def test_a_generator_that_is_given_up_leaves_nothing(path):
    def lines():
        with target(path, compression="zst") as file:
            while True:
                file.write(TEXT)
                yield

    started = lines()
    next(started)
    assert len(names(path.parent)) == 1
    started.close()
    assert names(path.parent) == []


def temporaries_of(path):
    """The beginning of the names of the temporary files of *path*."""
    before = names(path.parent)
    with target(path, compression=None):
        [name] = set(names(path.parent)) - set(before)
    path.unlink()
    return name[:-16]


def test_what_killed_processes_left_of_the_same_file_is_swept_and_nothing_else(path):
    prefix = temporaries_of(path)
    (path.parent / f"{prefix}0000").write_bytes(TEXT)
    (path.parent / f"{prefix}0001").write_bytes(b"")
    (path.parent / "precious").touch()
    (path.parent / f"{prefix}link").symlink_to("precious")
    (path.parent / f"{prefix}folder").mkdir()
    os.mkfifo(path.parent / f"{prefix}pipe")
    others = ["history.json", "history.jsonl.gz", "history", "HISTORY.jsonl", "history.jsonl "]
    for other in others:
        (path.parent / f"{temporaries_of(path.with_name(other))}0000").touch()
    before = set(names(path.parent))
    write(path)
    after = set(names(path.parent))
    assert (before - after, after - before) == ({f"{prefix}0000", f"{prefix}0001"}, {"history.jsonl"})


def test_what_a_living_process_writes_is_never_swept(path):
    with target(path, compression=None) as file:
        file.write(b"mine")
        write(path)
        path.unlink()
    assert (names(path.parent), path.read_bytes()) == (["history.jsonl"], b"mine")


def test_what_was_left_of_the_file_of_a_link_is_swept(path, tmp_path):
    left = path.parent / f"{temporaries_of(path)}0000"
    left.touch()
    (tmp_path / "link.jsonl").symlink_to(path)
    write(tmp_path / "link.jsonl")
    assert not left.exists()


def test_the_file_is_not_there_before_the_end(path):
    with target(path, compression=None) as file:
        file.write(TEXT)
        assert not path.exists()
    assert path.exists()


def test_a_file_is_not_overwritten(path):
    path.write_bytes(b"before")
    reached = []
    with pytest.raises(FileExistsError, match=path.name), target(path, compression=None):
        reached.append(True)
    assert (reached, path.read_bytes()) == ([], b"before")


def test_a_file_that_came_meanwhile_is_not_overwritten(path):
    with pytest.raises(FileExistsError, match=path.name), target(path, compression=None):
        path.write_bytes(b"meanwhile")
    assert (names(path.parent), path.read_bytes()) == ([path.name], b"meanwhile")


def linkless(*_, **__):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_without_hard_links_a_file_is_put_in_place_all_the_same(path, monkeypatch):
    monkeypatch.setattr(os, "link", linkless)
    write(path)
    assert (names(path.parent), path.read_bytes()) == ([path.name], TEXT)


def test_without_hard_links_a_file_that_came_meanwhile_is_not_overwritten(path, monkeypatch):
    monkeypatch.setattr(os, "link", linkless)
    with pytest.raises(FileExistsError, match=path.name), target(path, compression=None):
        path.write_bytes(b"meanwhile")
    assert (names(path.parent), path.read_bytes()) == ([path.name], b"meanwhile")


def test_a_directory_that_cannot_be_synced_is_no_fault(path, monkeypatch):
    of_file, of_directory = None, OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    sync = Mock(side_effect=[of_file, of_directory])
    monkeypatch.setattr(os, "fsync", sync)
    write(path)
    assert (sync.call_count, path.read_bytes()) == (2, TEXT)


def test_a_file_is_overwritten_on_demand(path):
    path.write_bytes(b"before")
    write(path, overwrite=True)
    assert (names(path.parent), path.read_bytes()) == ([path.name], TEXT)


def test_who_has_the_old_file_open_keeps_it(path):
    path.write_bytes(b"before")
    with path.open("rb") as old:
        write(path, overwrite=True)
        assert old.read() == b"before"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_a_file_keeps_the_mode_of_the_one_it_replaces(path, mode):
    path.touch()
    path.chmod(mode)
    write(path, overwrite=True)
    assert path.stat().st_mode & 0o777 == mode


def test_what_replaces_a_secret_is_secret_from_the_beginning(path):
    path.touch()
    path.chmod(0o600)
    with target(path, compression=None, overwrite=True):
        assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_a_new_file_has_the_mode_of_new_files(path, umask, mode):
    before = os.umask(umask)
    try:
        write(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    real, link = tmp_path / "there" / "real", tmp_path / "link"
    real.parent.mkdir()
    real.write_bytes(b"before")
    link.symlink_to("there/real")
    write(link, overwrite=True)
    assert (link.is_symlink(), real.read_bytes(), names(real.parent)) == (True, TEXT, ["real"])


def test_a_symbolic_link_to_nothing_gets_its_file(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("real")
    write(link)
    assert (link.is_symlink(), names(tmp_path)) == (True, ["link", "real"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing/a", FileNotFoundError),
        ("", IsADirectoryError),
        ("file/a", NotADirectoryError),
        ("loop", OSError),
        ("n" * 300, OSError),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_where_nothing_can_be_written_is_told_before_the_block(tmp_path, name, error, overwrite):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    reached = []
    with pytest.raises(error), target(tmp_path / name, compression=None, overwrite=overwrite):
        reached.append(True)
    assert (reached, names(tmp_path)) == ([], ["file", "loop"])


def test_a_name_of_the_greatest_length_is_fine(tmp_path):
    write(tmp_path / ("n" * 255))
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("size", [len(TEXT) - 1, 10_000])
def test_a_full_disk_leaves_the_file_that_was_there(path, size):
    path.write_bytes(b"before")
    with file_limit(size), pytest.raises(OSError, match="too large"):
        write(path, overwrite=True)
    assert (names(path.parent), path.read_bytes()) == ([path.name], b"before")


# Where it goes


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@compressions
def test_a_full_device_is_told(compression, decompress):
    with pytest.raises(OSError, match="No space left"):
        write("/dev/full", compression=compression)


def test_a_device_is_written_to():
    write("/dev/null")
    assert Path("/dev/null").is_char_device()


@compressions
def test_a_named_pipe_is_written_to(path, compression, decompress):
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write(path, compression=compression)
    reader.join()
    assert (decompress(read[0]), path.is_fifo()) == (TEXT, True)


@compressions
def test_standard_output_is_written_to_and_left_open(capfdbinary, compression, decompress):
    sys.stdout.write("before\n")
    file = write("-", compression=compression)
    assert not sys.stdout.closed
    out = capfdbinary.readouterr().out
    assert decompress(out.removeprefix(b"before\n")) == TEXT
    assert file.stored == len(out) - 7


@compressions
def test_a_file_is_written_to_where_it_stands_and_left_open(compression, decompress):
    file = io.BytesIO(b"before, and what is overwritten")
    file.seek(7)
    write(file, compression=compression)
    assert decompress(file.getvalue().removeprefix(b"before,")) == TEXT


def test_a_file_that_was_open_is_flushed(path):
    with path.open("wb") as file:
        write(file)
        assert path.read_bytes() == TEXT


def test_a_file_that_takes_little_at_a_time_gets_it_all():
    class Slow(io.RawIOBase):
        taken = b""

        def write(self, data):
            self.taken += bytes(data[:1000])
            return min(len(data), 1000)

    file = Slow()
    write(file)
    assert file.taken == TEXT


def test_a_file_that_does_not_say_what_it_took_took_it():
    class Silent:
        taken = b""

        def write(self, data):
            self.taken += data

        def flush(self):
            pass

    file = Silent()
    write(file)
    assert file.taken == TEXT


def test_a_raw_file_that_would_have_to_wait_is_a_fault():
    read, end = os.pipe()
    os.set_blocking(end, False)
    with os.fdopen(read, "rb"), os.fdopen(end, "wb", 0) as file, pytest.raises(BlockingIOError):
        write(file)


def test_text_files_are_refused(tmp_path):
    with (tmp_path / "a").open("w") as plain, tempfile.NamedTemporaryFile("w") as wrapped:
        for file in (plain, wrapped, io.StringIO()):
            with pytest.raises(TypeError, match="open it in a binary mode"):
                write(file)


@pytest.fixture
def url():
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    return "memory://user:secret@host/targets/history.jsonl"


def stored(url):
    with fsspec.open(url, "rb") as file:
        return file.read()


@compressions
def test_a_url_is_uploaded_to(url, tmp_path, monkeypatch, compression, decompress):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = write(url, compression=compression)
    assert decompress(stored(url)) == TEXT
    assert file.stored == len(stored(url))
    assert names(tmp_path) == []


@faults
def test_nothing_is_uploaded_when_the_block_fails(url, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(fault):
        fail(url, fault)
    assert not fsspec.filesystem("memory").store
    assert names(tmp_path) == []


def test_a_url_is_not_overwritten_unless_that_is_demanded(url):
    write(url)
    reached = []
    with pytest.raises(FileExistsError, match="memory://host/") as caught, target(url, compression=None):
        reached.append(True)
    assert (reached, "secret" in str(caught.value)) == ([], False)
    with target(url, compression=None, overwrite=True) as file:
        file.write(b"after")
    assert stored(url) == b"after"


def test_a_url_that_came_meanwhile_is_not_overwritten(url):
    with pytest.raises(FileExistsError), target(url, compression=None), fsspec.open(url, "wb") as file:
        file.write(b"meanwhile")
    assert stored(url) == b"meanwhile"


def test_urls_need_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"URLs need fsspec: pip install .*\[urls\]"):
        write("memory://file")
