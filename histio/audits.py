"""Rules that the numbers of a run should keep, for ``Meta.audits``."""

from histio.kinds.audits import AtMost, Audit, NotEmpty, PerUnit, Sum

__all__ = ["AtMost", "Audit", "NotEmpty", "PerUnit", "Sum"]
