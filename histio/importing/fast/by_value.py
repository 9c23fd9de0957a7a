"""Fill columns by calls of their fields, a value at a time, where no shorter way is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import marshmallow
import sqlalchemy as sa
from marshmallow import ValidationError
from marshmallow.fields import Field

from histio.database.dialects import Limit
from histio.exporting.fast.columns import DeclinedError
from histio.exporting.fast.obstacles import is_plain
from histio.importing.row_builder import as_parameter
from histio.log import log_handled

Records: TypeAlias = Sequence[Mapping[str, Any]]

Defaults: TypeAlias = Mapping[str, Callable[[], Any]]
"""By column key, functions that make values for what records leave out; see `RowBuilder.defaults`."""


Filler: TypeAlias = Callable[[Defaults, int], Iterable[Any]]
"""Makes a number of parameters for a column that no member fills."""


def is_called(field: Field[Any]) -> bool:
    """Whether *field* has to be called for each record to load its value."""
    return not is_plain(field) or field.load_default is not marshmallow.missing


def load_values(field: Field[Any], name: str, records: Records) -> list[Any]:
    """What *field* loads from the member *name* of each of *records*; `marshmallow.missing`: nothing.

    Raises:
        DeclinedError: It refuses a value.
    """
    try:
        return [field.deserialize(record.get(name, marshmallow.missing), name, record) for record in records]
    except ValidationError:
        raise DeclinedError from None
    except Exception as error:  # fields of a host may raise anything
        log_handled(f"{name} cannot be loaded", error)
        raise DeclinedError from error


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlan:
    """How a column is filled with values that its field loads one by one.

    Attributes:
        name: The member's name on the wire.
        field: The field.
        column: The column.
        limit: What the column cannot keep of what the field allows; None: it keeps all.
        bind: Converts a loaded value to a parameter; None: it is one already.
        absent: Makes parameters for records without the member; None: these need the full path.
    """

    name: str
    field: Field[Any]
    column: sa.Column[Any]
    limit: Limit | None
    bind: Callable[[Any], Any] | None
    absent: Filler | None

    @property
    def key(self) -> str:
        """The column's key."""
        return self.column.key

    def fill(self, records: Records, defaults: Defaults) -> Iterable[Any]:
        """The parameters of the column.

        Raises:
            DeclinedError: A record needs the full path.
        """
        loaded = load_values(self.field, self.name, records)
        present = [value for value in loaded if value is not marshmallow.missing]
        if self.limit is not None:
            self._check(self.limit, present)
        parameters = self._bound(present)
        if len(present) == len(loaded):
            return parameters
        if self.absent is None:
            raise DeclinedError
        bound, absent = iter(parameters), iter(self.absent(defaults, len(loaded) - len(present)))
        return [next(absent if value is marshmallow.missing else bound) for value in loaded]

    def _check(self, limit: Limit, loaded: Iterable[Any]) -> None:
        """Raise DeclinedError if the column does not keep one of the *loaded* values."""
        for value in loaded:
            if limit.null if value is None else limit.check(value):
                raise DeclinedError

    def _bound(self, loaded: Sequence[Any]) -> Sequence[Any]:
        values = [as_parameter(self.column, each) for each in loaded]
        try:
            return values if self.bind is None else list(map(self.bind, values))
        except Exception as error:  # types of a host may raise anything
            log_handled(f"{self.name} cannot be bound", error)
            raise DeclinedError from error
