"""histio moves an application's history between databases as portable, checked JSON.

`History` (and `AsyncHistory`) exports and imports the runs of a database. The four functions and `configure`
do so for applications with one database and the models of `histio.models`.

`check_file`, `inspect_file`, `references` and `audit` look at files before they are imported; `diff` and
`merge` hold histories against each other and put files together; `report_page` writes a page to look at.

`RunSchema`, `RecordSchema` and the fields describe kinds of run of your own; `histio.audits` has rules for
their numbers, and `histio.testing` holds a binding to what histio promises. What goes wrong is told as a
`Problem`, or raised as a `HistioError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histio.async_history import AsyncHistory, create_async_engine
    from histio.auto import AutoRecordSchema, AutoRunSchema
    from histio.comparing.changes import Change
    from histio.comparing.diff import Difference, diff
    from histio.comparing.merge import merge
    from histio.database.dialects import create_engine
    from histio.errors import (
        BindingError,
        BindingFault,
        DocumentError,
        ExportError,
        HistioError,
        NotConfiguredError,
    )
    from histio.facade import (
        ImportResult,
        configure,
        export_assembly_history,
        export_production_history,
        import_assembly_history,
        import_production_history,
    )
    from histio.history import History
    from histio.inspecting.check import audit, check_file
    from histio.inspecting.inspect import Inspection, KindInspection, Needed, inspect_file, references
    from histio.kinds.fields import (
        Boolean,
        Bytes,
        Choice,
        Date,
        Duration,
        Epoch,
        FixedDecimal,
        Integer,
        Json,
        Number,
        RunRef,
        RunUUID,
        Slug,
        SlugList,
        Text,
        Time,
        UtcTimestamp,
    )
    from histio.page import report_page
    from histio.progress import Progress
    from histio.records import RecordSchema, RunSchema
    from histio.report import Counts, EntryCounts, ExportReport, ImportReport, Problem, Renaming
    from histio.schemas import (
        AssemblyFinishedUnitConsumptionSchema,
        AssemblyPackagingConsumptionSchema,
        AssemblyRunSchema,
        ProductionConsumptionSchema,
        ProductionRunSchema,
    )

__all__ = [
    "AssemblyFinishedUnitConsumptionSchema",
    "AssemblyPackagingConsumptionSchema",
    "AssemblyRunSchema",
    "AsyncHistory",
    "AutoRecordSchema",
    "AutoRunSchema",
    "BindingError",
    "BindingFault",
    "Boolean",
    "Bytes",
    "Change",
    "Choice",
    "Counts",
    "Date",
    "Difference",
    "DocumentError",
    "Duration",
    "EntryCounts",
    "Epoch",
    "ExportError",
    "ExportReport",
    "FixedDecimal",
    "HistioError",
    "History",
    "ImportReport",
    "ImportResult",
    "Inspection",
    "Integer",
    "Json",
    "KindInspection",
    "Needed",
    "NotConfiguredError",
    "Number",
    "Problem",
    "ProductionConsumptionSchema",
    "ProductionRunSchema",
    "Progress",
    "RecordSchema",
    "Renaming",
    "RunRef",
    "RunSchema",
    "RunUUID",
    "Slug",
    "SlugList",
    "Text",
    "Time",
    "UtcTimestamp",
    "audit",
    "check_file",
    "configure",
    "create_async_engine",
    "create_engine",
    "diff",
    "export_assembly_history",
    "export_production_history",
    "import_assembly_history",
    "import_production_history",
    "inspect_file",
    "merge",
    "references",
    "report_page",
]

# Where each name is at home: `import histio` takes no time, and what is used takes its own.
_PLACES = {
    "histio.async_history": ("AsyncHistory", "create_async_engine"),
    "histio.auto": ("AutoRecordSchema", "AutoRunSchema"),
    "histio.inspecting.check": ("audit", "check_file"),
    "histio.database.dialects": ("create_engine",),
    "histio.comparing.changes": ("Change",),
    "histio.comparing.diff": ("Difference", "diff"),
    "histio.errors": (
        "BindingError",
        "BindingFault",
        "DocumentError",
        "ExportError",
        "HistioError",
        "NotConfiguredError",
    ),
    "histio.facade": (
        "ImportResult",
        "configure",
        "export_assembly_history",
        "export_production_history",
        "import_assembly_history",
        "import_production_history",
    ),
    "histio.kinds.fields": (
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
    ),
    "histio.history": ("History",),
    "histio.inspecting.inspect": ("Inspection", "KindInspection", "Needed", "inspect_file", "references"),
    "histio.comparing.merge": ("merge",),
    "histio.page": ("report_page",),
    "histio.progress": ("Progress",),
    "histio.records": ("RecordSchema", "RunSchema"),
    "histio.report": ("Counts", "EntryCounts", "ExportReport", "ImportReport", "Problem", "Renaming"),
    "histio.schemas": (
        "AssemblyFinishedUnitConsumptionSchema",
        "AssemblyPackagingConsumptionSchema",
        "AssemblyRunSchema",
        "ProductionConsumptionSchema",
        "ProductionRunSchema",
    ),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
