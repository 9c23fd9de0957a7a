"""The demonstration: a bakery with a year of runs."""
