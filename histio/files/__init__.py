"""History in files: bytes, and what is read from and written to them."""

from histio.files.decoding import MAX_DEPTH, MAX_LINE_BYTES, check_positive
from histio.files.reading import check_damage, check_follows, reading, undamaged
from histio.files.sources import MAX_BYTES, FilePath, Source, is_same_file
from histio.files.streams import stream_header
from histio.files.targets import format_of, target
from histio.files.writing import header_time, rejecting, report_on, write_runs

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LINE_BYTES",
    "FilePath",
    "Source",
    "check_damage",
    "check_follows",
    "check_positive",
    "format_of",
    "header_time",
    "is_same_file",
    "reading",
    "rejecting",
    "report_on",
    "stream_header",
    "target",
    "undamaged",
    "write_runs",
]
