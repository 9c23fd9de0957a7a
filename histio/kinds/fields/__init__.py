"""marshmallow fields with the wire rules of the format.

Their patterns mean the same in every regular expression engine: `histio.kinds.fields.patterns` says how.
"""

from histio.kinds.fields.binary import Bytes
from histio.kinds.fields.durations import Duration
from histio.kinds.fields.epochs import Epoch
from histio.kinds.fields.numbers import Boolean, FixedDecimal, Integer, Number
from histio.kinds.fields.references import RunRef, Slug
from histio.kinds.fields.slug_lists import SlugList
from histio.kinds.fields.texts import Choice, Json, RunUUID, Text
from histio.kinds.fields.times import Date, Time, UtcTimestamp

__all__ = [
    "Boolean",
    "Bytes",
    "Choice",
    "Date",
    "Duration",
    "Epoch",
    "FixedDecimal",
    "Integer",
    "Json",
    "Number",
    "RunRef",
    "RunUUID",
    "Slug",
    "SlugList",
    "Text",
    "Time",
    "UtcTimestamp",
]
