# Every target sets itself up: a virtual environment in .venv, which the next call reuses.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed

.PHONY: demo test hosts check format docs schema bench bench-memory profile clean

demo: $(INSTALLED)
	$(VENV)/bin/histio demo

# In two processes, each with databases of its own.
test: $(INSTALLED)
	$(VENV)/bin/pytest -n 2 --dist worksteal

# Applications of others, moved through all databases. Their packages are many, so that only this target installs them.
hosts: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --group hosts
	$(VENV)/bin/pytest tests/hosts

check: $(INSTALLED)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

# The documentation as a site, in build/site. Warnings are errors, links that lead nowhere among them (--quiet would let
# them pass); the banner that is silenced speaks of the future of Material for MkDocs.
docs: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --group docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# Speed beside other programs, on SQLite and the servers that answer; benchmarks/README.md tells of the options.
bench: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --group bench
	$(VENV)/bin/python benchmarks/speed.py

# Where the time of an import and of an export goes.
profile: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --group bench
	$(VENV)/bin/python benchmarks/stages.py

# Memory from few runs to many, on SQLite; benchmarks/README.md tells of other databases and sizes.
bench-memory: $(INSTALLED)
	$(VENV)/bin/python benchmarks/memory.py

# The published schema is derived from the marshmallow schemas; a test holds the two together.
schema: $(INSTALLED)
	$(VENV)/bin/python -c 'import json; from histio import schemas; from histio.kinds import json_schema; \
	  print(json.dumps(json_schema.derive(schemas.BUNDLED), indent=2))' > schemas/history-1.0.schema.json

clean:
	rm -rf $(VENV) dist build

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "histio needs Python 3.11 or newer: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(VENV)/bin/pip install --quiet --editable '.[postgresql,mariadb,asyncio,testing,urls,report]' --group dev
	touch $@
