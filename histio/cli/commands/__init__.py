"""The commands, one to a module."""
