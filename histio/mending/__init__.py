"""Mend what an import has rejected: find what is wrong, correct it, and write what can be imported."""
