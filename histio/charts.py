"""Charts that a report shows of a kind's runs, for ``Meta.charts``."""

from histio.kinds.charts import Compare

__all__ = ["Compare"]
