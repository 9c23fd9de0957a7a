"""Connections, sessions, and what differs between databases."""
