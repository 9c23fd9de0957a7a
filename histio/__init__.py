"""histio moves an application's history between databases as portable, checked JSON."""

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
from histio.fields import FixedDecimal, Integer, RunUUID, Slug, Text, UtcTimestamp
from histio.history import History
from histio.report import Counts, ImportReport, Problem, Renaming
from histio.schemas import AssemblyRunSchema, ProductionRunSchema, RecordSchema, RunSchema

__all__ = [
    "AssemblyRunSchema",
    "BindingError",
    "Counts",
    "DocumentError",
    "ExportError",
    "FixedDecimal",
    "HistioError",
    "History",
    "ImportReport",
    "ImportResult",
    "Integer",
    "NotConfiguredError",
    "Problem",
    "ProductionRunSchema",
    "RecordSchema",
    "Renaming",
    "RunSchema",
    "RunUUID",
    "Slug",
    "Text",
    "UtcTimestamp",
    "configure",
    "create_engine",
    "export_assembly_history",
    "export_production_history",
    "import_assembly_history",
    "import_production_history",
]
