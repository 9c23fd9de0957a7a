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
from histio.importing.row_builder import as_parameter
from histio.log import log_handled

Records: TypeAlias = Sequence[Mapping[str, Any]]

Defaults: TypeAlias = Mapping[str, Callable[[], Any]]
"""By column key, functions that make values for what records leave out; see `RowBuilder.defaults`."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlan:
    """How a column is filled with values that its field loads one by one.

    Attributes:
        name: The member's name on the wire.
        field: The field.
        column: The column.
        limit: What the column cannot keep of what the field allows; None: it keeps all.
        bind: Converts a loaded value to a parameter; None: it is one already.
    """

    name: str
    field: Field[Any]
    column: sa.Column[Any]
    limit: Limit | None
    bind: Callable[[Any], Any] | None

    def fill(self, records: Records, defaults: Defaults) -> Iterable[Any]:
        """The parameters of the column.

        Raises:
            DeclinedError: A record needs the full path.
        """
        name, column, bind = self.name, self.column, self.bind
        try:
            loaded = [
                self.field.deserialize(record.get(name, marshmallow.missing), name, record)
                for record in records
            ]
            if self.limit is not None:
                self._check(self.limit, loaded)
            if marshmallow.missing in loaded:
                loaded = [self._default(defaults) if each is marshmallow.missing else each for each in loaded]
            values = [as_parameter(column, each) for each in loaded]
            return values if bind is None else list(map(bind, values))
        except (DeclinedError, ValidationError):
            raise DeclinedError from None
        except Exception as error:  # fields and types of a host may raise anything
            log_handled(f"{name} cannot be loaded", error)
            raise DeclinedError from error

    def _check(self, limit: Limit, loaded: Sequence[Any]) -> None:
        """Raise DeclinedError if the column does not keep one of the *loaded* values."""
        for value in loaded:
            if value is not marshmallow.missing and (limit.null if value is None else limit.check(value)):
                raise DeclinedError

    def _default(self, defaults: Defaults) -> Any:
        if self.column.key not in defaults:
            raise DeclinedError
        return defaults[self.column.key]()
