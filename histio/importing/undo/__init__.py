"""Undo imports: remove what they have created, and put back what they have updated."""
