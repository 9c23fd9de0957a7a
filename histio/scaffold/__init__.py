"""A first binding of a host's models, as source to edit."""

from histio.scaffold.source import scaffold

__all__ = ["scaffold"]
