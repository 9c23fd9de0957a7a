"""histio moves an application's history between databases as portable, checked JSON."""

from histio.async_history import AsyncHistory
from histio.dialects import create_engine
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
from histio.records import RecordSchema, RunSchema
from histio.report import Counts, ImportReport, Problem, Renaming
from histio.schemas import AssemblyRunSchema, ProductionRunSchema

__all__ = [
    "AssemblyRunSchema",
    "AsyncHistory",
    "BindingError",
    "Boolean",
    "Choice",
    "Counts",
    "Date",
    "DocumentError",
    "ExportError",
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
    "ProductionRunSchema",
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
    "create_engine",
    "export_assembly_history",
    "export_production_history",
    "import_assembly_history",
    "import_production_history",
]
