"""A demonstration: a year of a bakery moves to another database."""
