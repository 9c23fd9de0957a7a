"""The media types of histories, and what OpenAPI says of bodies that have them."""

from __future__ import annotations

from typing import Any, Literal

Form = Literal["json", "jsonl", "jsonl.gz", "jsonl.zst"]

DOCUMENT = "application/vnd.histio+json"
STREAM = "application/vnd.histio.stream+jsonl"
MEDIA_TYPES: dict[Form, str] = {
    "json": DOCUMENT,
    "jsonl": STREAM,
    "jsonl.gz": "application/gzip",
    "jsonl.zst": "application/zstd",
}
"""By the ending of the path, what a download is."""

_HISTORY: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/History"}}
_LINES: dict[str, Any] = {
    "schema": {"type": "string", "description": "Lines of JSON: each is a `stream_line` of the components."}
}
_BYTES: dict[str, Any] = {}
_DESCRIBED = {DOCUMENT: _HISTORY, STREAM: _LINES}

DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"content": {media_type: _DESCRIBED.get(media_type, _BYTES) for media_type in MEDIA_TYPES.values()}}
}
"""The answer to a download."""

UPLOAD: dict[str, Any] = {
    "requestBody": {
        "description": "A history. Its content decides what it is, and whether it is compressed.",
        "required": True,
        "content": {
            DOCUMENT: _HISTORY,
            "application/json": _HISTORY,
            STREAM: _LINES,
            "application/jsonl": _LINES,
            "application/x-ndjson": _LINES,
            "application/gzip": _BYTES,
            "application/zstd": _BYTES,
            "application/octet-stream": _BYTES,
        },
    }
}
"""The body of an upload, which may have any of these media types, or none."""
