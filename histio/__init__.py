"""histio moves an application's history between databases as portable, checked JSON."""

from histio.async_history import AsyncHistory, create_async_engine
from histio.dialects import create_engine
from histio.diff import Change, Difference, diff
from histio.errors import BindingError, DocumentError, ExportError, HistioError, NotConfiguredError
from histio.facade import (
    ImportResult,
    configure,
    export_assembly_history,
    export_production_history,
    import_assembly_history,
    import_production_history,
)
from histio.fields import (
    Boolean,
    Choice,
    Date,
    FixedDecimal,
    Integer,
    Json,
    Number,
    RunRef,
    RunUUID,
    Slug,
    SlugList,
    Text,
    UtcTimestamp,
)
from histio.history import History
from histio.merge import merge
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
    "BindingError",
    "Boolean",
    "Change",
    "Choice",
    "Counts",
    "Date",
    "Difference",
    "DocumentError",
    "EntryCounts",
    "ExportError",
    "ExportReport",
    "FixedDecimal",
    "HistioError",
    "History",
    "ImportReport",
    "ImportResult",
    "Integer",
    "Json",
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
    "UtcTimestamp",
    "configure",
    "create_async_engine",
    "create_engine",
    "diff",
    "export_assembly_history",
    "export_production_history",
    "import_assembly_history",
    "import_production_history",
    "merge",
]
