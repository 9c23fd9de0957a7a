"""Kinds of run: their schemas, tables, columns and JSON Schema."""
