"""The bytes of a history: plain or compressed, from anywhere, whole or damaged, more than once."""

from __future__ import annotations

import gzip
import io
import os
import random
import sys
import tempfile
import threading
import tracemalloc
import zlib
from pathlib import Path

import fsspec
import pytest
import zstandard

from histio.files.compression import MAX_WINDOW
from histio.files.sources import DamageError, Source
from tests.support.streams import drained, piped, read

LINES = [
    b'{"number": %d, "%s": 0}\n' % (n, random.Random(n).randbytes(8).hex().encode()) for n in range(9000)
]
TEXT = b"".join(LINES)
MEMBERS = gzip.compress(TEXT[:5000], mtime=0) + gzip.compress(b"") + gzip.compress(TEXT[5000:], mtime=0)
SKIPPED = b"\x50\x2a\x4d\x18" + (70_000).to_bytes(4, "little") + bytes(70_000)
CHECKED = zstandard.ZstdCompressor(write_checksum=True)
FRAMES = CHECKED.compress(TEXT[:5000]) + SKIPPED + CHECKED.compress(b"") + CHECKED.compress(TEXT[5000:])
STORED = {"plain": TEXT, "gzip": MEMBERS, "zstd": FRAMES, "skippable first": SKIPPED + FRAMES}
COMPRESSED = {"gzip": gzip.compress(TEXT, mtime=0), "zstd": CHECKED.compress(TEXT)}
stored = pytest.mark.parametrize("data", STORED.values(), ids=STORED.keys())
compressed = pytest.mark.parametrize("data", COMPRESSED.values(), ids=COMPRESSED.keys())


# What it is


@stored
def test_a_file_is_read_whatever_it_is_compressed_by(tmp_path, data):
    path = tmp_path / "named.anything"
    path.write_bytes(data)
    with Source(path) as source:
        assert source.open().read() == TEXT
        assert source.open().readlines() == LINES
        assert drained(source.open(), 100) == (TEXT, None)


@stored
def test_a_head_is_the_beginning_and_uses_nothing_up(data):
    with piped(data) as file, Source(file) as source:
        assert source.head(1000) == TEXT[:1000]
        assert source.head() == TEXT[:65536]
        assert source.head(2**20) == TEXT
        assert source.open().read() == TEXT


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0), zstandard.compress(b""), SKIPPED])
def test_a_file_may_be_empty(data):
    with Source(io.BytesIO(data)) as source:
        assert source.head() == b""
        assert source.open().read() == b""


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_a_byte_order_mark_is_dropped(compress):
    with Source(io.BytesIO(compress(b"\xef\xbb\xbf{}\n"))) as source:
        assert source.head(2) == b"{}"
        assert source.open().readline() == b"{}\n"
        assert source.open().read() == b"{}\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{}\n".encode("utf-16"), "the file is UTF-16: save it as UTF-8."),
        ("{}\n".encode("utf-16-le"), "UTF-16-LE"),
        ("{}\n".encode("utf-16-be"), "UTF-16-BE"),
        ("{}\n".encode("utf-32"), "UTF-32"),
        ("{}\n".encode("utf-32-be"), "UTF-32-BE"),
        (gzip.compress("{}\n".encode("utf-16"), mtime=0), "UTF-16"),
        (bytes(1000), "NUL bytes"),
        (b"{}\0\0", "NUL bytes"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\0\0\4", "xz"),
        (b"PK\x03\x04\x14\0\0\0", "zip"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
    ],
)
@pytest.mark.parametrize("begin", [Source.head, Source.open])
def test_what_is_no_utf_8_is_called_by_its_name(begin, data, message):
    with pytest.raises(DamageError, match=message) as caught:
        begin(Source(io.BytesIO(data)))
    assert caught.value.code == "schema"


# What is damaged


@compressed
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_gives_all_there_is_before_it_says_so(data, share):
    given, damage = read(data[: int(len(data) * share)])
    assert TEXT.startswith(given)
    assert len(given) >= len(TEXT) * share - 2**17 - 20_000
    assert damage.code == "truncated"


@pytest.mark.parametrize("compress", [gzip.compress, CHECKED.compress])
def test_a_file_that_is_cut_anywhere_says_so(compress):
    whole = compress(TEXT[:300])
    results = [read(whole[:size]) for size in range(1, len(whole))]
    assert {damage.code for _, damage in results} == {"truncated"}
    assert all(TEXT.startswith(given) for given, _ in results)
    assert results[-1][0] == TEXT[:300]


@pytest.mark.parametrize(
    ("data", "parts"),
    [(MEMBERS, gzip.compress(TEXT[5000:], mtime=0)), (FRAMES, CHECKED.compress(TEXT[5000:]))],
)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 10])
def test_a_file_that_is_cut_in_the_head_of_a_later_part_says_so(data, parts, size):
    given, damage = read(data[: len(data) - len(parts) + size])
    assert (given, damage.code) == (TEXT[:5000], "truncated")


def test_a_file_that_is_cut_within_what_is_skipped_says_so():
    assert read(SKIPPED[:-1])[1].code == "truncated"


def test_of_a_block_that_is_cut_its_beginning_is_given():
    noise = b"{" + random.Random(0).randbytes(100_000)
    given, damage = read(zstandard.compress(noise)[:50_000])
    assert noise.startswith(given)
    assert (len(given) > 49_000, damage.code) == (True, "truncated")


@compressed
def test_a_wrong_checksum_is_told_after_all_bytes(data):
    wrong = bytearray(data)
    wrong[-1] ^= 1
    given, damage = read(bytes(wrong))
    assert (given, damage.code) == (TEXT, "corrupt")


@compressed
def test_damage_in_the_middle_is_told_after_what_comes_before_it(data):
    middle = len(data) // 2
    given, damage = read(data[:middle] + b"\xff" * 1000 + data[middle + 1000 :])
    assert damage.code in {"corrupt", "truncated"}
    assert len(given) >= len(TEXT) // 2 - 2**17
    assert given[: len(TEXT) // 2 - 2**17] == TEXT[: len(TEXT) // 2 - 2**17]


@compressed
@pytest.mark.parametrize("trailing", [b"x", b"rubbish", bytes(512), b"\x1f\x8crubbish", b"(\xb5/\xferubbish"])
def test_what_follows_compressed_data_is_damage(data, trailing):
    given, damage = read(data + trailing)
    assert (given, damage.code) == (TEXT, "corrupt")


@pytest.mark.parametrize("seed", range(40))
@compressed
def test_no_damage_passes_unseen_or_as_another_error(data, seed):
    chance = random.Random(seed)
    spoilt = bytearray(data)
    for _ in range(3):
        spoilt[chance.randrange(10, len(data))] ^= 1 << chance.randrange(8)
    given, damage = read(bytes(spoilt))
    assert damage is not None or given == TEXT


def test_damage_is_raised_by_every_way_to_read_and_stays():
    reader = Source(io.BytesIO(gzip.compress(b"{}\n{}\n[")[:-4])).open()
    assert [reader.readline(), reader.readline(100), reader.readline(), reader.read(0)] == [
        b"{}\n",
        b"{}\n",
        b"[",
        b"",
    ]
    for again in (
        lambda: reader.read(1),
        reader.read,
        reader.read1,
        reader.readline,
        reader.peek,
        lambda: next(reader),
        lambda: reader.readinto(bytearray(1)),
        lambda: reader.readinto1(bytearray(1)),
    ):
        with pytest.raises(DamageError, match="the file ends within its gzip data"):
            again()


def test_reading_everything_of_a_damaged_file_raises_rather_than_give_a_part():
    with pytest.raises(DamageError, match="ends within"):
        Source(io.BytesIO(gzip.compress(TEXT)[:-1])).open().read()


@compressed
def test_a_head_stops_at_damage_in_silence(data):
    with Source(io.BytesIO(data[:200])) as source:
        head = source.head()
        assert TEXT.startswith(head)
        assert drained(source.open())[0] == head


# What is too much


@stored
def test_a_file_of_max_bytes_is_read(data):
    assert read(data, max_bytes=len(TEXT)) == (TEXT, None)


@stored
def test_a_longer_file_is_read_up_to_max_bytes(data):
    given, damage = read(data, max_bytes=len(TEXT) - 1)
    assert (given, damage.code) == (TEXT[:-1], "out-of-range")
    assert damage.message == f"the file is longer than max_bytes = {len(TEXT) - 1} bytes."


def rle_bomb(blocks):
    """A Zstandard frame of *blocks* of 128 KiB, in four bytes each."""
    header = b"\x28\xb5\x2f\xfd\x00\x58"
    block = (2**17 << 3 | 1 << 1).to_bytes(3, "little") + b"{"
    return header + block * (blocks - 1) + (2**17 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"{"


def zeros():
    compressor = zstandard.ZstdCompressor().compressobj()
    return b"".join([compressor.compress(b" " * 2**20) for _ in range(200)]) + compressor.flush()


def gzip_zeros():
    compressor = zlib.compressobj(wbits=31)
    return b"".join([compressor.compress(b" " * 2**20) for _ in range(200)]) + compressor.flush()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bomb", "size"), [(zeros, 200 * 2**20), (gzip_zeros, 200 * 2**20), (lambda: rle_bomb(4096), 2**29)]
)
def test_a_bomb_is_read_in_little_memory(bomb, size):
    reader = Source(io.BytesIO(bomb())).open()
    tracemalloc.start()
    total = sum(len(piece) for piece in iter(lambda: reader.read(2**16), b""))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == size
    assert peak < 2**23


def test_a_window_of_gigabytes_is_refused():
    header = b"\x28\xb5\x2f\xfd\x00\xa8"
    given, damage = read(header + rle_bomb(1)[6:])
    assert (given, damage.code) == (b"", "out-of-range")
    assert damage.message == (
        f"the file needs a Zstandard window of {2**31} bytes; the limit is {MAX_WINDOW}."
    )


def test_the_largest_window_of_the_zstd_tool_is_allowed():
    given, damage = read(b"\x28\xb5\x2f\xfd\x00\x88" + rle_bomb(1)[6:])
    assert (given, damage) == (b"{" * 2**17, None)


# Where it comes from


@stored
def test_a_pipe_is_read_once_and_again_on_demand(data):
    with piped(data) as file, Source(file) as source:
        assert source.open(again=True).read() == TEXT
        assert source.open(again=True).read() == TEXT
        assert source.open().read() == TEXT


@stored
def test_a_pass_that_was_given_up_is_read_again_too(data):
    with piped(data) as file, Source(file) as source:
        assert source.open(again=True).read(10) == TEXT[:10]
        assert source.open(again=True).read() == TEXT
        assert source.open(again=True).read(10) == TEXT[:10]
        assert source.open().read() == TEXT


@pytest.mark.parametrize("begin", [Source.open, Source.head])
def test_a_pipe_that_was_not_kept_cannot_be_read_again(begin):
    with piped(TEXT) as file, Source(file) as source:
        assert source.open().read() == TEXT
        with pytest.raises(io.UnsupportedOperation, match="can be read only once"):
            begin(source)


def test_a_long_pipe_is_kept_in_a_temporary_file_that_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    noise = b"{" + random.Random(0).randbytes(2**22)
    with piped(noise) as file, Source(file) as source:
        assert source.open(again=True).read() == noise
        assert source.open(again=True).read() == noise
        assert list(tmp_path.iterdir()) == []


def test_a_pipe_gives_what_has_come_without_waiting_for_more():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as file, os.fdopen(write, "wb", 0) as feeder, Source(file) as source:
        feeder.write(b'{"header": {}}\n')
        assert source.open().readline() == b'{"header": {}}\n'


@pytest.mark.slow
def test_bytes_that_come_one_by_one_are_recognized():
    class Slow(io.RawIOBase):
        def __init__(self, data):
            self._data = io.BytesIO(data)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self._data.readinto(memoryview(buffer)[:1])

    with Source(Slow(COMPRESSED["gzip"])) as source:
        assert source.open().read() == TEXT


def test_whatever_can_be_read_is_a_file():
    class Bare:
        def __init__(self, data):
            self.read = io.BytesIO(data).read

    with Source(Bare(TEXT)) as source:
        assert source.open(again=True).read() == TEXT
        assert source.open().read() == TEXT


def test_a_named_pipe_is_read_again_on_demand(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    feeder = threading.Thread(target=path.write_bytes, args=(TEXT,))
    feeder.start()
    with Source(path) as source:
        assert source.size is None
        assert source.open(again=True).read() == TEXT
        assert source.open().read() == TEXT
    feeder.join()


def test_a_file_is_read_from_where_it_stands_and_left_open():
    file = io.BytesIO(b"before" + TEXT)
    file.seek(6)
    with Source(file) as source:
        assert (source.name, source.size) == ("the file", len(TEXT))
        assert source.open().read() == TEXT
        assert source.open().read() == TEXT
        assert source.position == len(TEXT)
    assert not file.closed


def test_a_file_without_a_size_of_its_own_is_read(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(TEXT))
    with gzip.open(path) as file, Source(file) as source:
        assert (source.name, source.size) == (str(path), None)
        assert source.open().read() == TEXT
        assert source.open().read() == TEXT


def test_standard_input_is_read(monkeypatch):
    with piped(TEXT) as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        with Source("-") as source:
            assert (source.name, source.size) == ("standard input", None)
            assert source.head(10) == TEXT[:10]
            assert source.open().read() == TEXT
        assert not sys.stdin.buffer.closed


def test_a_file_called_minus_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(TEXT)
    with Source(Path("-")) as source:
        assert source.open().read() == TEXT


@stored
def test_a_url_is_read(data):
    url = "memory://sources/file.jsonl"
    with fsspec.open(url, "wb") as file:
        file.write(data)
    with Source(url) as source:
        assert (source.name, source.size) == (url, len(data))
        assert source.open().read() == TEXT
        assert source.open().read() == TEXT


def test_a_url_of_unknown_size_is_read_again_on_demand(monkeypatch):
    class Streaming(io.BytesIO):
        size = None

        def seek(self, *_):
            raise ValueError("Cannot seek streaming HTTP file")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "open", lambda *_: Streaming(TEXT))
    with Source("memory://sources/streaming") as source:
        assert source.open(again=True).read() == TEXT
        assert source.open().read() == TEXT


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("memory://me:pa@ss@host/a.json", "memory://host/a.json"),
        ("memory://me:pa/ss@host/a.json", "memory://host/a.json"),
        ("memory://token@host/a.json", "memory://host/a.json"),
        ("memory://me:pa\nss@host/a.json", "memory://host/a.json"),
        ("memory://host/a@b.json", "memory://host/a@b.json"),
        ("memory://host/a.json?signature=secret", "memory://host/a.json"),
    ],
)
def test_a_url_is_named_without_its_secrets(url, name):
    with fsspec.open(url, "wb") as file:
        file.write(b"{}")
    assert Source(url).name == name


def test_urls_need_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"URLs need fsspec: pip install .*\[urls\]"):
        Source("memory://file")


@pytest.mark.parametrize(
    ("path", "error"),
    [("missing.json", FileNotFoundError), (".", IsADirectoryError), ("memory://missing", FileNotFoundError)],
)
def test_what_is_not_there_is_told_when_the_source_is_made(path, error):
    with pytest.raises(error):
        Source(path)


def test_text_files_are_refused(tmp_path):
    with (
        (tmp_path / "a").open("w+") as plain,
        tempfile.NamedTemporaryFile("w+") as wrapped,
        tempfile.SpooledTemporaryFile(mode="w+") as spooled,
    ):
        for file in (plain, wrapped, spooled, io.StringIO()):
            with pytest.raises(TypeError, match="open it in a binary mode"):
                Source(file)


def test_what_only_wraps_a_binary_file_is_read():
    with tempfile.NamedTemporaryFile() as file, tempfile.SpooledTemporaryFile() as spooled:
        for each in (file, spooled):
            each.write(TEXT)
            each.seek(0)
            assert Source(each).open().read() == TEXT


# How often, and how far


def test_passes_read_the_file_that_was_opened_also_when_another_took_its_place(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(TEXT)
    other.write_bytes(b"[]")
    with Source(path) as source:
        assert source.open().read(10) == TEXT[:10]
        other.replace(path)
        assert source.open().read() == TEXT


def test_a_pass_is_over_when_the_next_begins():
    with Source(io.BytesIO(TEXT)) as source:
        reader = source.open()
        source.open()
        with pytest.raises(ValueError, match="closed file"):
            reader.read(1)


@stored
def test_the_position_tells_how_much_of_the_stored_file_was_read(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(data)
    with Source(path) as source:
        reader = source.open()
        positions = [source.position for _ in reader]
        assert positions == sorted(positions)
        assert source.position == source.size == len(data)
        source.open()
        assert source.position < len(data)


def test_closing_is_for_ever_and_for_what_was_opened_here(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(TEXT)
    source = Source(path)
    reader = source.open()
    source.close()
    source.close()
    with pytest.raises(ValueError, match="closed file"):
        reader.read(1)
    with pytest.raises(ValueError, match="closed file"):
        source.open()
