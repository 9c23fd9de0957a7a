"""Open URLs with fsspec, and explain its errors."""

from __future__ import annotations

import errno
import hashlib
import importlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard, TypeVar

from histio.extras import install_command
from histio.files.temporaries import open_temporary
from histio.log import log_handled
from histio.redact import redact, strip_secrets
from histio.wire import quote

_Path = TypeVar("_Path")

_WITHOUT_NUMBER = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
}


def is_url(path: object) -> TypeGuard[str]:
    """Whether *path* is a URL, and not a path or an open file."""
    return isinstance(path, str) and "://" in path


def strip_file_scheme(path: _Path) -> _Path | str:
    """The path in a URL of a local file, which is read and written as any local file; else *path* itself."""
    scheme = re.match("(file|local)://", path) if isinstance(path, str) else None
    return path if scheme is None or "::" in str(path) else str(path)[scheme.end() :]


def join(folder: str | os.PathLike[str], name: str) -> str:
    """The path or URL of the file called *name* in a *folder*, which is a path or a URL."""
    if not is_url(folder):
        return os.path.join(folder, name)  # noqa: PTH118 - any path-like object
    first, *others = folder.split("::")
    path, mark, query = first.partition("?") if first.startswith(("http://", "https://")) else (first, "", "")
    return "::".join((f"{path.rstrip('/')}/{name}{mark}{query}", *others))


def parent_of(url: str, name: str) -> str | None:
    """The URL of the folder, if that of the file called *name* in it is *url*; otherwise None."""
    first, *others = url.split("::")
    path = first.partition("?")[0]
    if not path.endswith(f"/{name}"):
        return None
    return "::".join((path.removesuffix(f"/{name}") + first[len(path) :], *others))


def list_folder(url: str) -> dict[str, int | None] | None:
    """The names of the files in the folder at *url*, with their sizes if known; None: it cannot be listed."""
    if url.startswith(("http://", "https://")):
        return None
    with explaining(url):
        system, path = open_system(url)
        system.invalidate_cache()  # another process may have written there
        try:
            found = system.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError, NotImplementedError):
            return None
    files = (each for each in found if each.get("type") != "directory")
    return {each["name"].rstrip("/").rpartition("/")[2]: each.get("size") for each in files}


def load_fsspec() -> Any:
    """Import fsspec, which opens URLs.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise ImportError(f"URLs need fsspec: {install_command('urls')}") from error


class RemoteFile(io.RawIOBase, BinaryIO):
    """The file at a URL, open to read.

    Attributes:
        size: The size in bytes; None: not known.

    Raises:
        OSError: It cannot be read; the error names the URL, without secrets.
        ValueError: fsspec cannot open such a URL.
        ImportError: A package is not installed.
    """

    mode = "rb"

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        with explaining(url):
            self._system, path = open_system(url)  # an archive is closed with its last reference
            self._file: Any = self._system.open(path, "rb")
            self.size: int | None = getattr(self._file, "size", None)
            if self.size == 0 and self._system.isdir(path):  # some protocols open folders as empty files
                raise IsADirectoryError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        # Files of unknown size claim to be seekable, and fail to seek.
        return self.size is not None and bool(self._file.seekable())

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, place: int, start: int = os.SEEK_SET, /) -> int:
        with explaining(self._url):
            return int(self._file.seek(place, start))

    def read(self, size: int = -1, /) -> bytes:
        with explaining(self._url):
            data: bytes = self._file.read(size)
        return data

    def close(self) -> None:
        if not self.closed:
            super().close()
            try:
                self._file.close()
            except Exception as error:  # noqa: BLE001 - nothing is lost of a file that was only read
                log_handled("a URL could not be closed", error)


@contextmanager
def upload(url: str, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a local file that is uploaded to *url* in the end.

    Raises:
        FileExistsError: There is such a file.
        OSError: It cannot be written; the error names the URL, without secrets.
        ValueError: fsspec cannot write to such a URL.
        ImportError: A package is not installed.
    """
    with explaining(url):
        if "http://" in url or "https://" in url:
            raise NotImplementedError("HTTP can only be read")
        system, path = open_system(url)
        _check_absent(system, path, url, overwrite=overwrite)
    name = f"upload-{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    with open_temporary(Path(tempfile.gettempdir(), name), 0o600) as (file, temporary):
        try:
            yield file
            file.close()
            with explaining(url):
                _check_absent(system, path, url, overwrite=overwrite)
                system.put_file(str(temporary), path)
        finally:
            file.close()
            temporary.unlink(missing_ok=True)


def _check_absent(system: Any, path: str, url: str, *, overwrite: bool) -> None:
    if not overwrite and system.exists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), strip_secrets(url))


def open_system(url: str) -> tuple[Any, str]:
    """The file system of *url*, and the path in it.

    Raises:
        ValueError: fsspec does not know a protocol; it would take the URL for a local path.
    """
    fsspec = load_fsspec()
    known = {*fsspec.available_protocols(), *fsspec.registry}
    first, *others = url.split("::")
    for link in (first, *(other for other in others if "://" in other)):
        protocol = link.partition("://")[0]
        if protocol not in known:
            raise ValueError(f"there is no protocol {quote(protocol)}")
    system, path = fsspec.core.url_to_fs(url)
    return system, path


@contextmanager
def explaining(url: str) -> Iterator[None]:
    """Turn whatever fsspec raises in the block into an error that names *url*, without its secrets."""
    name = strip_secrets(url)
    try:
        yield
    except ImportError:
        raise
    except OSError as error:
        number = _WITHOUT_NUMBER.get(type(error))
        if error.errno is not None:
            error.filename = redact(str(error.filename or name), [url])
            raise
        if number is not None:
            raise type(error)(number, os.strerror(number), name) from error
        raise OSError(errno.EIO, redact(str(error), [url]), name) from error
    except (ValueError, NotImplementedError) as error:
        why = redact(str(error), [url]) or type(error).__name__
        raise ValueError(f"{name}: fsspec cannot open this URL: {why}") from error
    except (TypeError, AttributeError, LookupError, AssertionError) as error:
        why = f"its protocol may need options that a URL cannot have ({redact(str(error), [url])})"
        raise ValueError(f"{name}: fsspec cannot open this URL: {why}") from error
    except Exception as error:  # protocols raise whatever their clients do
        why = f"{type(error).__name__}: {redact(str(error), [url])}"
        raise OSError(errno.EIO, why, name) from error
