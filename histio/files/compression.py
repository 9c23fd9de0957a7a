"""gzip and Zstandard as streams, a step of bounded memory at a time, whatever the data demand."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Literal, Protocol

import zstandard

from histio.report import Code

Compression = Literal["gz", "zst"]

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

MAX_WINDOW = 2**27
"""Bytes that a Zstandard frame may want to be remembered: 128 MiB, as much as the zstd tool allows."""

_CHUNK = 2**16
_STEP = 2**20
_GZIP_FORMAT = zlib.MAX_WBITS + 16
_RLE = 1


class DamageError(Exception):
    """A file cannot be read, or no further.

    Attributes:
        code: ``truncated``, ``corrupt``, ``schema`` or ``out-of-range``.
        message: One sentence, which names the file.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class Decompress(Protocol):
    """The uncompressed bytes of *file*, which messages call *name*, to the end or the damage.

    Raises:
        DamageError: After everything before the damage was given.
    """

    def __call__(self, file: io.BufferedReader, name: str) -> Iterator[bytes]: ...


def decompress_for(beginning: bytes) -> Decompress:
    """What reads a file with this *beginning*, of which four bytes are enough."""
    if _begins(beginning, GZIP):
        return gunzip
    if _begins(beginning, ZSTD) or _is_skippable(beginning):
        return unzstd
    return plain


def _begins(beginning: bytes, magic: bytes) -> bool:
    """Whether *beginning* is the *magic*, or as much of it as there can be in so short a file."""
    return bool(beginning) and magic.startswith(beginning[: len(magic)])


def plain(file: io.BufferedReader, name: str) -> Iterator[bytes]:  # noqa: ARG001 - a Decompress
    """What is not compressed."""
    return iter(partial(file.read1, _CHUNK), b"")


def gunzip(file: io.BufferedReader, name: str) -> Iterator[bytes]:
    """All members of a gzip file."""
    data = file.read1(_CHUNK)
    while data:
        if not _begins(data, GZIP):
            raise DamageError("corrupt", f"{name} has something else after its gzip data.")
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
                raise DamageError("truncated", f"{name} ends before its gzip data do.")
            data = member.unused_data or member.unconsumed_tail or file.read1(_CHUNK)


def _before_damage(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What *member* makes of *data* until it fails, byte by byte: the call that fails gives nothing."""
    try:
        for place in range(len(data)):
            yield member.decompress(data[place : place + 1])
    except zlib.error:
        return


def unzstd(file: io.BufferedReader, name: str) -> Iterator[bytes]:
    """All frames of a Zstandard file."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        while magic := file.read(len(ZSTD)):
            if _is_skippable(magic):
                _skip(file)
            elif _begins(magic, ZSTD):
                yield from _frame(decompressor.decompressobj(), magic, file, name)
            else:
                raise DamageError("corrupt", f"{name} has something else after its Zstandard data.")
    except EOFError:
        raise DamageError("truncated", f"{name} ends before its Zstandard data do.") from None
    except zstandard.ZstdError as error:
        raise DamageError("corrupt", f"{name} has damaged Zstandard data: {error}.") from None


def _is_skippable(magic: bytes) -> bool:
    return bool(magic) and 0x50 <= magic[0] <= 0x5F and _begins(magic[1:], b"\x2a\x4d\x18")  # noqa: PLR2004 - of the format


def _skip(file: io.BufferedReader) -> None:
    left = int.from_bytes(_exactly(file, 4), "little")
    while left:
        left -= len(_exactly(file, min(left, _CHUNK)))


def _frame(
    frame: zstandard.ZstdDecompressionObj, magic: bytes, file: io.BufferedReader, name: str
) -> Iterator[bytes]:
    """The content of a frame.

    It is fed by blocks, of which none makes more than 128 KiB. The library's own ways are not safe: what a
    call gives has no bound, be it gigabytes for some kilobytes, and its reader ends in silence where a frame
    is cut.
    """
    header = magic + _exactly(file, len(ZSTD) + 1 - len(magic))
    header += _exactly(file, zstandard.frame_header_size(header) - len(header))
    parameters = zstandard.get_frame_parameters(header)
    if parameters.window_size > MAX_WINDOW:
        text = (
            f"{name} demands a Zstandard window of {parameters.window_size} bytes; {MAX_WINDOW} are allowed."
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
    """Makes a compressed file of the bytes it is given, piece by piece; of equal bytes an equal file."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def compressor(compression: Compression | None) -> Compressor:
    """What compresses by *compression*."""
    if compression == "gz":
        return zlib.compressobj(6, zlib.DEFLATED, _GZIP_FORMAT)
    if compression == "zst":
        return zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
    return _Plain()
