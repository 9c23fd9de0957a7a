"""What differs between databases: transactions, snapshots, limits, and which errors are a row's own fault."""

from histio.dialects.bulk import Driver, binds, counts_up, driver_of, insert_rows, is_plain, next_key
from histio.dialects.faults import RowFaultError, row_fault
from histio.dialects.limits import Limit, check_kind, limits
from histio.dialects.raw import Form, raw
from histio.dialects.reading import as_sorted, order_key, sort_key, unreadable
from histio.dialects.transactions import (
    advance_sequence,
    check_deferred,
    check_engines,
    commit,
    create_engine,
    ensure_transaction,
    hides_rivals,
    latest,
    quiet_pipelines,
    reading_options,
    refresh_statistics,
    savepoint,
    set_up,
    strict,
    writing_options,
)

__all__ = [
    "Driver",
    "Form",
    "Limit",
    "RowFaultError",
    "advance_sequence",
    "as_sorted",
    "binds",
    "check_deferred",
    "check_engines",
    "check_kind",
    "commit",
    "counts_up",
    "create_engine",
    "driver_of",
    "ensure_transaction",
    "hides_rivals",
    "insert_rows",
    "is_plain",
    "latest",
    "limits",
    "next_key",
    "order_key",
    "quiet_pipelines",
    "raw",
    "reading_options",
    "refresh_statistics",
    "row_fault",
    "savepoint",
    "set_up",
    "sort_key",
    "strict",
    "unreadable",
    "writing_options",
]
