"""Which characters the character sets of databases have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL

_ISO = {2: "2", 3: "3", 4: "4", 5: "9", 6: "10", 7: "13", 8: "14", 9: "15", 10: "16"}
_POSTGRESQL = {
    "LATIN1": "latin-1",
    **{f"LATIN{number}": f"iso8859-{part}" for number, part in _ISO.items()},
    **{f"ISO_8859_{part}": f"iso8859-{part}" for part in range(5, 9)},
    **{f"WIN{page}": f"cp{page}" for page in (866, 874, *range(1250, 1259))},
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    "EUC_CN": "gb2312",
}
_MYSQL = {
    "ascii": "ascii",
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "hebrew": "iso8859-8",
    "greek": "iso8859-7",
    **{name: name for name in ("cp850", "cp852", "cp866", "cp932", "cp1250", "cp1251", "cp1256", "cp1257")},
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "macce": "mac_latin2",
    "macroman": "mac_roman",
    "tis620": "tis-620",
    "big5": "cp950",
    "sjis": "shift_jis",
    "euckr": "cp949",
    "gb2312": "gb2312",
    "gbk": "gbk",
}
_CODECS = _POSTGRESQL | _MYSQL
"""By the database's name, the codec of Python. For other character sets, only the database knows."""

_FURTHER = {
    "latin1": "\x81\x8d\x8f\x90\x9d",
    "hebrew": "‾",
    "greek": "\u02bc\u02bd",
    "cp866": "²ⁿ",
    "koi8u": "•",
}
"""Characters that MariaDB's character set has, and the codec of Python lacks."""

_BASIC = ("utf8", "utf8mb3", "ucs2")
"""MariaDB's character sets that have all characters of up to three bytes in UTF-8, and no others."""

_LAST_BASIC = "\uffff"


_EXACT = {*_POSTGRESQL, "ascii", "latin1", *_BASIC} - {"EUC_CN"}
"""The character sets of which it is known exactly which characters they have."""


_ASKED = 100
"""The largest number of texts about which one statement asks."""

_UNTRANSLATABLE = "22P05"
"""PostgreSQL's SQLSTATE for a character that has no equivalent."""


def encode_as(text: str, charset: str | None) -> bytes:
    """*text* in bytes of the database's character set *charset*; None: UTF-8.

    Raises:
        UnicodeEncodeError: The character set lacks a character of *text*.
    """
    if charset in _BASIC:
        beyond = next((place for place, each in enumerate(text) if each > _LAST_BASIC), None)
        if beyond is not None:
            raise UnicodeEncodeError("utf-8", text, beyond, beyond + 1, "beyond three bytes")
    for further in _FURTHER.get(charset or "", ""):
        text = text.replace(further, "?")
    return text.encode(_CODECS.get(charset or "", "utf-8"))


def select_lacking(connection: Connection, charset: str, texts: Iterable[str]) -> set[str]:
    """Those of *texts* with a character that the database's *charset* lacks."""
    if charset in _EXACT:
        return {text for text in texts if not _can_encode(text, charset)}
    some = list(texts)
    find = _lacking_in_mysql if connection.dialect.name in MYSQL else _lacking_in_postgresql
    parts = (some[start : start + _ASKED] for start in range(0, len(some), _ASKED))
    return {text for part in parts for text in find(connection, charset, part)}


def _lacking_in_mysql(connection: Connection, charset: str, texts: Sequence[str]) -> Iterator[str]:
    """Those of *texts* that change if the server converts them to *charset* and back."""
    converted = (
        f"CONVERT(CONVERT(:text{place} USING {charset}) USING utf8mb4)" for place in range(len(texts))
    )
    statement = sa.text(f"SELECT {', '.join(converted)}")
    given = {f"text{place}": text for place, text in enumerate(texts)}
    kept = connection.execute(statement, given).one()
    return (text for text, each in zip(texts, kept, strict=True) if text != each)


def _lacking_in_postgresql(connection: Connection, charset: str, texts: Sequence[str]) -> Iterator[str]:
    """Those of *texts* that the server cannot convert to *charset*, found by halving."""
    encoded = sa.literal("".join(texts).encode(), sa.LargeBinary)
    try:
        with connection.begin_nested():
            connection.execute(sa.select(sa.func.convert(encoded, "UTF8", charset)))
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _UNTRANSLATABLE:
            raise
        half = len(texts) // 2
        if half == 0:
            yield texts[0]
            return
        yield from _lacking_in_postgresql(connection, charset, texts[:half])
        yield from _lacking_in_postgresql(connection, charset, texts[half:])


def _can_encode(text: str, charset: str) -> bool:
    try:
        encode_as(text, charset)
    except UnicodeEncodeError:
        return False
    return True
