"""Write a first binding of a host's models, as source code to edit."""

from histio.scaffold.source import scaffold

__all__ = ["scaffold"]
