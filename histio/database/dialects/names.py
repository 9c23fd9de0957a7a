"""The names of databases in SQLAlchemy."""

MYSQL = frozenset(("mysql", "mariadb"))
"""MariaDB and MySQL, by either name."""
