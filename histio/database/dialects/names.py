"""The names under which SQLAlchemy knows a database."""

MYSQL = frozenset(("mysql", "mariadb"))
"""MariaDB and MySQL, under whichever of its names a URL has them."""
