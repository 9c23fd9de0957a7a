"""Flat tables of a history, for spreadsheets and data frames."""
