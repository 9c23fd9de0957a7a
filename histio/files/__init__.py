"""Read and write files of history: documents and streams, compressed or not."""

from histio.files.chain import Predecessor
from histio.files.folders import open_source
from histio.files.limits import MAX_BYTES, MAX_DEPTH, MAX_LINE_BYTES, GiB, Limits, MiB, check_positive
from histio.files.local import local_path
from histio.files.reading import check_damage, check_follows, fail_if_damaged, reading
from histio.files.rejects import open_rejects
from histio.files.sources import FilePath, Source, is_same_file, list_files
from histio.files.streams import stream_header
from histio.files.targets import choose_format, target
from histio.files.writing import build_export_report, format_header_time, write_runs

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LINE_BYTES",
    "FilePath",
    "GiB",
    "Limits",
    "MiB",
    "Predecessor",
    "Source",
    "build_export_report",
    "check_damage",
    "check_follows",
    "check_positive",
    "choose_format",
    "fail_if_damaged",
    "format_header_time",
    "is_same_file",
    "list_files",
    "local_path",
    "open_rejects",
    "open_source",
    "reading",
    "stream_header",
    "target",
    "write_runs",
]
