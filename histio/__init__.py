"""histio moves an application's history between databases as portable, checked JSON.

`History` and `AsyncHistory` export and import the runs of a database. For applications with one database and
the models of `histio.models`, there are four functions, such as `export_production_history`, and `configure`.

`check_file`, `inspect_file`, `references` and `audit` examine files before you import them. `verify`
checks that a database has what a file has, `diff` compares histories, `merge` joins files, `report_page`
writes an HTML report, and `flatten` writes tables for spreadsheets and data frames.

Subclass `RunSchema`, `RecordSchema` and `CatalogSchema` to describe your own kinds of run, their ledgers, and
the rows that they refer to. `histio.audits` has rules for their numbers, `histio.charts` has charts for the
report, and `histio.testing` tests a binding. What is wrong with a document is reported as a `Problem`; errors
are subclasses of `HistioError`.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histio.async_history import AsyncHistory, create_async_engine
    from histio.auto import AutoCatalogSchema, AutoRecordSchema, AutoRunSchema
    from histio.comparing.changes import Change
    from histio.comparing.diff import Difference, diff
    from histio.comparing.merge import merge
    from histio.comparing.verify import verify
    from histio.copying import copy
    from histio.database.dialects import create_engine, is_conflict
    from histio.errors import (
        BindingError,
        BindingFault,
        DocumentError,
        ExportError,
        HistioError,
        NotConfiguredError,
        ReceiptError,
    )
    from histio.facade import (
        ImportSummary,
        configure,
        export_assembly_history,
        export_production_history,
        import_assembly_history,
        import_production_history,
    )
    from histio.files.limits import GiB, MiB
    from histio.files.local import local_path
    from histio.history import History
    from histio.inspecting.audit import audit
    from histio.inspecting.check import check_file
    from histio.inspecting.flatten import FlattenReport, WrittenTable, flatten
    from histio.inspecting.inspect import Inspection, KindInspection, inspect_file
    from histio.inspecting.references import ReferencedRow, references
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
    from histio.records import CatalogSchema, RecordSchema, RunSchema
    from histio.report import (
        Counts,
        EntryCounts,
        ExportReport,
        ImportReport,
        Problem,
        Renaming,
        Revision,
        UndoCounts,
        UndoReport,
    )
    from histio.schemas import (
        AssemblyFinishedUnitConsumptionSchema,
        AssemblyPackagingConsumptionSchema,
        AssemblyRunSchema,
        FinishedGoodSchema,
        FinishedUnitSchema,
        IngredientSchema,
        ProductionConsumptionSchema,
        ProductionRunSchema,
        ProductSchema,
        RecipeSchema,
    )
    from histio.typing import (
        AssemblyFinishedUnitConsumptionRecord,
        AssemblyHistory,
        AssemblyPackagingConsumptionRecord,
        AssemblyRunRecord,
        CompleteHistory,
        FinishedGoodRecord,
        FinishedUnitRecord,
        HistoryDocument,
        IngredientRecord,
        ProductionConsumptionRecord,
        ProductionHistory,
        ProductionRunRecord,
        ProductRecord,
        RecipeRecord,
    )

__all__ = [
    "AssemblyFinishedUnitConsumptionRecord",
    "AssemblyFinishedUnitConsumptionSchema",
    "AssemblyHistory",
    "AssemblyPackagingConsumptionRecord",
    "AssemblyPackagingConsumptionSchema",
    "AssemblyRunRecord",
    "AssemblyRunSchema",
    "AsyncHistory",
    "AutoCatalogSchema",
    "AutoRecordSchema",
    "AutoRunSchema",
    "BindingError",
    "BindingFault",
    "Boolean",
    "Bytes",
    "CatalogSchema",
    "Change",
    "Choice",
    "CompleteHistory",
    "Counts",
    "Date",
    "Difference",
    "DocumentError",
    "Duration",
    "EntryCounts",
    "Epoch",
    "ExportError",
    "ExportReport",
    "FinishedGoodRecord",
    "FinishedGoodSchema",
    "FinishedUnitRecord",
    "FinishedUnitSchema",
    "FixedDecimal",
    "FlattenReport",
    "GiB",
    "HistioError",
    "History",
    "HistoryDocument",
    "ImportReport",
    "ImportSummary",
    "IngredientRecord",
    "IngredientSchema",
    "Inspection",
    "Integer",
    "Json",
    "KindInspection",
    "MiB",
    "NotConfiguredError",
    "Number",
    "Problem",
    "ProductRecord",
    "ProductSchema",
    "ProductionConsumptionRecord",
    "ProductionConsumptionSchema",
    "ProductionHistory",
    "ProductionRunRecord",
    "ProductionRunSchema",
    "Progress",
    "ReceiptError",
    "RecipeRecord",
    "RecipeSchema",
    "RecordSchema",
    "ReferencedRow",
    "Renaming",
    "Revision",
    "RunRef",
    "RunSchema",
    "RunUUID",
    "Slug",
    "SlugList",
    "Text",
    "Time",
    "UndoCounts",
    "UndoReport",
    "UtcTimestamp",
    "WrittenTable",
    "audit",
    "check_file",
    "configure",
    "copy",
    "create_async_engine",
    "create_engine",
    "diff",
    "export_assembly_history",
    "export_production_history",
    "flatten",
    "import_assembly_history",
    "import_production_history",
    "inspect_file",
    "is_conflict",
    "local_path",
    "merge",
    "references",
    "report_page",
    "verify",
]

# Where each name is defined. A module is imported when one of its names is used, so `import histio` is fast.
_PLACES = {
    "histio.async_history": ("AsyncHistory", "create_async_engine"),
    "histio.auto": ("AutoCatalogSchema", "AutoRecordSchema", "AutoRunSchema"),
    "histio.inspecting.audit": ("audit",),
    "histio.inspecting.check": ("check_file",),
    "histio.copying": ("copy",),
    "histio.database.dialects": ("create_engine", "is_conflict"),
    "histio.comparing.changes": ("Change",),
    "histio.comparing.diff": ("Difference", "diff"),
    "histio.errors": (
        "BindingError",
        "BindingFault",
        "DocumentError",
        "ExportError",
        "HistioError",
        "NotConfiguredError",
        "ReceiptError",
    ),
    "histio.facade": (
        "ImportSummary",
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
    "histio.files.limits": ("GiB", "MiB"),
    "histio.files.local": ("local_path",),
    "histio.history": ("History",),
    "histio.inspecting.flatten": ("FlattenReport", "WrittenTable", "flatten"),
    "histio.inspecting.inspect": ("Inspection", "KindInspection", "inspect_file"),
    "histio.inspecting.references": ("ReferencedRow", "references"),
    "histio.comparing.merge": ("merge",),
    "histio.comparing.verify": ("verify",),
    "histio.page": ("report_page",),
    "histio.progress": ("Progress",),
    "histio.records": ("CatalogSchema", "RecordSchema", "RunSchema"),
    "histio.report": (
        "Counts",
        "EntryCounts",
        "ExportReport",
        "ImportReport",
        "Problem",
        "Renaming",
        "Revision",
        "UndoCounts",
        "UndoReport",
    ),
    "histio.schemas": (
        "AssemblyFinishedUnitConsumptionSchema",
        "AssemblyPackagingConsumptionSchema",
        "AssemblyRunSchema",
        "FinishedGoodSchema",
        "FinishedUnitSchema",
        "IngredientSchema",
        "ProductionConsumptionSchema",
        "ProductionRunSchema",
        "ProductSchema",
        "RecipeSchema",
    ),
    "histio.typing": (
        "AssemblyFinishedUnitConsumptionRecord",
        "AssemblyHistory",
        "AssemblyPackagingConsumptionRecord",
        "AssemblyRunRecord",
        "CompleteHistory",
        "FinishedGoodRecord",
        "FinishedUnitRecord",
        "HistoryDocument",
        "IngredientRecord",
        "ProductionConsumptionRecord",
        "ProductionHistory",
        "ProductionRunRecord",
        "ProductRecord",
        "RecipeRecord",
    ),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}

_RENAMED = {"ImportResult": "ImportSummary", "Needed": "ReferencedRow"}
"""Names that are deprecated, and those to use instead."""


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        warnings.warn(f"histio.{name} is now histio.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(__name__), _RENAMED[name])
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
