"""Find the position of a run in the order of exports."""

from __future__ import annotations

import copy
import datetime as dt
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from marshmallow import ValidationError, missing

from histio.kinds.fields import Epoch, RunUUID, UtcTimestamp
from histio.kinds.table import Kind
from histio.report import Fault


class Position(NamedTuple):
    """The position of a run in the order of exports; positions sort as exports do.

    Attributes:
        kind: The 0-based index of its kind.
        time: Its time, as text that sorts as times do; empty for runs without a time.
        rank: Its identity, as text that sorts as identities do.
        identity: Its identity as text for people.
    """

    kind: int
    time: str
    rank: str
    identity: str


_USUAL_UUID = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch
_USUAL_TIME = re.compile(r"([0-9-]{10}T[0-9:]{8})(\.[0-9]{6})?Z").fullmatch


class Locator:
    """Finds the positions of runs of one kind.

    Args:
        kind: The kind.
        index: Its 0-based index among the kinds of the history.

    Attributes:
        kind: The kind.
    """

    def __init__(self, kind: Kind, index: int) -> None:
        self.kind = kind
        self._index = index
        table = kind.table
        self._hooked = table.schema.is_hooked
        members = [*kind.identity.members, *([] if kind.timestamp is None else [kind.timestamp])]
        self._members = [(member, table.names[member], table.fields[member]) for member in members]
        types = [type(field) for _, _, field in self._members]
        usual = types in ([RunUUID], [RunUUID, UtcTimestamp], [RunUUID, Epoch])
        self._is_usual = usual and kind.identity.is_uuid and not self._hooked

    def locate(self, record: Any) -> Position:
        """The position of *record*.

        Raises:
            ValidationError: The record has no valid identity.
        """
        usual = self._locate_usual(record) if self._is_usual and isinstance(record, dict) else None
        return self._locate_loaded(record) if usual is None else usual

    def identify(self, record: Any) -> Any:
        """The loaded identity of a *record* that has a position."""
        return self.kind.identity.read(self._load(record))

    def _locate_usual(self, record: dict[str, Any]) -> Position | None:
        """The position of a *record* as exports write it, read without loading; None: it has another form."""
        uuid, *times = (record.get(name) for _, name, _ in self._members)
        if not isinstance(uuid, str) or not _USUAL_UUID(uuid):
            return None
        usual = [_USUAL_TIME(time) for time in times if isinstance(time, str)]
        if len(usual) < len(times) or None in usual:
            return None
        [time] = [f"{found[1]}{found[2] or '.000000'}" for found in usual if found] or [""]
        return Position(self._index, time, uuid, uuid)

    def _locate_loaded(self, record: Any) -> Position:
        kind = self.kind
        values = self._load(record)
        absent = [member for member in kind.identity.members if _get(values, member) is None]
        if absent:
            fault = Fault("Missing data for required field.")
            raise ValidationError({kind.table.names[member]: [fault] for member in absent})
        identity, time = kind.identity.read(values), _get(values, kind.timestamp)
        field = kind.table.fields.get(kind.timestamp or "")
        time = field.moment(time) if isinstance(field, Epoch) and time is not None else time
        text = "" if time is None else _sortable(time, str(time))
        return Position(self._index, text, self._rank(identity), kind.format_identity(identity))

    def _rank(self, identity: Any) -> str:
        """*identity* as text that sorts by its parts, one after the other: no part holds a NUL."""
        own = self.kind.identity
        pairs = zip(own.parts, own.values(identity), strict=True)
        return "\0".join(_sortable(value, str(part.wire(value))) for part, value in pairs)

    def _load(self, record: Any) -> Mapping[str, Any]:
        """The identity and the time of *record*, and perhaps more of its values."""
        if self._hooked:
            return self._load_hooked(record)
        if not isinstance(record, Mapping):
            raise ValidationError([Fault("Invalid input type.")])
        values = {}
        for member, name, own in self._members:
            try:
                values[member] = own.deserialize(record.get(name, missing))
            except ValidationError as error:
                if member in self.kind.identity.members:
                    raise ValidationError({name: error.messages}) from None
        return values

    def _load_hooked(self, record: Any) -> Mapping[str, Any]:
        try:
            return self.kind.table.schema.load(copy.deepcopy(record))  # type: ignore[no-any-return]
        except ValidationError as error:
            valid = error.valid_data
            if isinstance(valid, dict) and valid.keys() >= set(self.kind.identity.members):
                return valid
            raise


def _get(values: Mapping[str, Any], member: str | None) -> Any:
    value = None if member is None else values.get(member)
    return None if value is missing else value


_MIDDLE, _WIDTH, _FRACTION = 10**110, 111, 10**40


def _sortable(value: Any, text: str) -> str:
    """*value* as text that sorts by code point as databases sort the value; *text* if the value is a text."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.timedelta):
        value = value // dt.timedelta(microseconds=1)
    if isinstance(value, int | float | Decimal):
        return f"{math.floor(Fraction(value) * _FRACTION) + _MIDDLE:0{_WIDTH}}"
    return text
