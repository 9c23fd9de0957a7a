"""Compress and decompress gzip and Zstandard, in bounded memory even for malicious data."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Literal, Protocol

import zstandard

from histio.files.leftovers import GZIP, ZSTD, describe_leftover
from histio.report import Code

Compression = Literal["gz", "zst"]

MAX_WINDOW = 2**27
"""The largest window of a Zstandard frame, in bytes: 128 MiB, as the zstd tool allows."""

_CHUNK = 2**16
_STEP = 2**20
_GZIP_FORMAT = zlib.MAX_WBITS + 16
_RLE = 1


class DamageError(Exception):
    """A file is damaged: it cannot be read, or only up to a point.

    Attributes:
        code: ``truncated``, ``corrupt``, ``schema`` or ``out-of-range``.
        message: A sentence that names the file.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class Decompress(Protocol):
    """Decompresses *file*, to its end or to the damage; messages call it *name*.

    Raises:
        DamageError: The file is damaged; all bytes before the damage have been yielded.
    """

    def __call__(self, file: io.BufferedReader, name: str) -> Iterator[bytes]: ...


def choose_decompressor(beginning: bytes) -> Decompress:
    """Choose how to read a file by its *beginning*; four bytes are enough."""
    if _begins(beginning, GZIP):
        return gunzip
    if _begins(beginning, ZSTD) or _is_skippable(beginning):
        return unzstd
    return plain


def _begins(beginning: bytes, magic: bytes) -> bool:
    """Whether *beginning* starts with the *magic* number, or with a part of it and then ends."""
    return bool(beginning) and magic.startswith(beginning[: len(magic)])


def plain(file: io.BufferedReader, name: str) -> Iterator[bytes]:  # noqa: ARG001 - a Decompress
    """Read a file that is not compressed."""
    return iter(partial(file.read1, _CHUNK), b"")


def gunzip(file: io.BufferedReader, name: str) -> Iterator[bytes]:
    """Decompress all members of a gzip file."""
    data = file.read1(_CHUNK)
    while data:
        if not _begins(data, GZIP):
            raise DamageError("corrupt", f"{name} has {describe_leftover(data)} after its gzip data.")
        member = zlib.decompressobj(_GZIP_FORMAT)
        while not member.eof:
            before = member.copy()
            try:
                piece = member.decompress(data, _STEP)
            except zlib.error as error:
                yield from _before_damage(before, data)
                raise DamageError("corrupt", f"{name} has damaged gzip data: {error}.") from None
            if piece:
                yield piece
            elif not data and not member.eof:
                raise DamageError("truncated", f"{name} ends within its gzip data.")
            data = member.unused_data or member.unconsumed_tail or file.read1(_CHUNK)


def _before_damage(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Decompress *data* byte by byte until *member* fails, because the failing call returns nothing."""
    try:
        for place in range(len(data)):
            yield member.decompress(data[place : place + 1])
    except zlib.error:
        return


def unzstd(file: io.BufferedReader, name: str) -> Iterator[bytes]:
    """Decompress all frames of a Zstandard file."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        while magic := file.read(len(ZSTD)):
            if _is_skippable(magic):
                _skip(file)
            elif _begins(magic, ZSTD):
                yield from _frame(decompressor.decompressobj(), magic, file, name)
            else:
                left = describe_leftover(magic + file.read1(_CHUNK))
                raise DamageError("corrupt", f"{name} has {left} after its Zstandard data.")
    except EOFError:
        raise DamageError("truncated", f"{name} ends within its Zstandard data.") from None
    except zstandard.ZstdError as error:
        raise DamageError("corrupt", f"{name} has damaged Zstandard data: {error}.") from None


def _is_skippable(magic: bytes) -> bool:
    return bool(magic) and 0x50 <= magic[0] <= 0x5F and _begins(magic[1:], b"\x2a\x4d\x18")  # noqa: PLR2004 - defined by the format


def _skip(file: io.BufferedReader) -> None:
    left = int.from_bytes(_exactly(file, 4), "little")
    while left:
        left -= len(_exactly(file, min(left, _CHUNK)))


def _frame(
    frame: zstandard.ZstdDecompressionObj, magic: bytes, file: io.BufferedReader, name: str
) -> Iterator[bytes]:
    """Decompress a frame block by block, as a block is at most 128 KiB when decompressed.

    The library's own methods are not safe: a call may return gigabytes for a few kilobytes, and its reader
    ends without an error if a frame is truncated.
    """
    header = magic + _exactly(file, len(ZSTD) + 1 - len(magic))
    header += _exactly(file, zstandard.frame_header_size(header) - len(header))
    parameters = zstandard.get_frame_parameters(header)
    if parameters.window_size > MAX_WINDOW:
        text = (
            f"{name} needs a Zstandard window of {parameters.window_size} bytes; the limit is {MAX_WINDOW}."
        )
        raise DamageError("out-of-range", text)
    frame.decompress(header)
    is_last = False
    while not is_last:
        block = _exactly(file, 3)
        bits = int.from_bytes(block, "little")
        is_last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
        stored = 1 if kind == _RLE else size
        content = file.read(stored)
        yield frame.decompress(block + content)
        if len(content) < stored:
            raise EOFError
    if parameters.has_checksum:
        frame.decompress(_exactly(file, 4))


def _exactly(file: io.BufferedReader, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


class Compressor(Protocol):
    """Compresses a file piece by piece; the same content always becomes the same file."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def compressor(compression: Compression | None) -> Compressor:
    """A compressor for *compression*; None: it does not compress."""
    if compression == "gz":
        return zlib.compressobj(6, zlib.DEFLATED, _GZIP_FORMAT)
    if compression == "zst":
        return zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
    return _Plain()
