# Each target installs what it needs into .venv, once, and no more: .venv/histio is there when histio is installed
# with its dependencies, .venv/extras when its extras are too, and .venv/group-NAME when the group NAME is.
PYTHON ?= python3
# What one process has compiled, the others read: packages are installed without byte code, and pytest rewrites tests.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
# By uv where it is installed, in a tenth of the time; by pip where it is not, or fails.
install = uv pip install --quiet --python $(VENV)/bin/python $(1) 2>/dev/null || \
  $(VENV)/bin/pip install --quiet --disable-pip-version-check --no-compile $(1)
# Two processes, each with databases of its own.
PYTEST := $(VENV)/bin/pytest -n 2 --dist worksteal
# Without the tests that need the packages of other targets.
WITHOUT_OTHERS := tests --ignore tests/hosts --ignore tests/page/test_browser.py --ignore tests/docs/test_site.py
EXTRAS := postgresql,mariadb,asyncio,testing,urls,report,tables
WORDS := *.md docs histio examples benchmarks tools

.PHONY: demo quick test test-all trust hosts check format docs schema bench bench-asked bench-memory bench-cliffs bench-scale profile coverage dist try-index clean

demo: $(VENV)/histio
	$(VENV)/bin/histio demo

# Whether everything works at all, in 15 seconds: on SQLite, without a network or a browser. Some files of each room:
# to collect all tests takes longer than to run these.
QUICK := tests/test_*ro*.py tests/test_bound.py tests/test_facade.py tests/test_history.py tests/test_path_length.py \
  tests/kinds/test_a[cu]*.py tests/kinds/test_binding.py tests/kinds/test_schemas.py tests/kinds/test_walk.py \
  tests/database/test_bundled_models.py tests/resolving/test_natural_keys.py tests/files/test_[ft]*.py \
  tests/importing/test_import.py tests/importing/test_rejects.py tests/importing/test_updates.py \
  tests/exporting/test_export.py tests/exporting/test_pages.py tests/comparing/test_diff.py tests/comparing/test_merge.py \
  tests/inspecting/test_check.py tests/scaffold/test_scaffold.py tests/cli/test_commands.py tests/page/test_page.py
quick: $(VENV)/group-test
	$(PYTEST) --effort quick $(QUICK)

# What a change may break, in three minutes: some cells of each test, on every database whose server runs.
test: $(VENV)/group-test
	$(PYTEST) $(WITHOUT_OTHERS)

# Everything but the applications of `make hosts`: what CI runs.
test-all: $(VENV)/group-dev
	$(PYTEST) --effort thorough --ignore tests/hosts

# The attacks of tests/trust, at length: with another seed each time, printed at the end. CI makes few tries of each.
TIMES ?= 20
SEED ?= $(shell date +%s)
trust: $(VENV)/group-dev
	$(PYTEST) --effort thorough --times $(TIMES) --seed $(SEED) tests/trust

# Real applications, moved through all databases. They have many dependencies, so no other target installs them.
hosts: $(VENV)/group-dev $(VENV)/group-hosts
	$(VENV)/bin/pytest --effort thorough tests/hosts

check: $(VENV)/group-lint
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	PATH=$(VENV)/bin:$$PATH pyright --verifytypes histio --ignoreexternal > $(VENV)/types.txt || \
	  { grep --before-context 1 --after-context 1 error: $(VENV)/types.txt; exit 1; }
	$(VENV)/bin/codespell $(WORDS)
	$(VENV)/bin/python tools/plain_words.py

# The lines and branches of the package that the tests of `make quick` run, and those of what it leaves out; fails below
# the floor in pyproject.toml. With EFFORT=thorough COVERED='$(WITHOUT_OTHERS)', what all tests run, in half an hour.
EFFORT ?= quick
COVERED ?= $(QUICK) tests/test_[ac]*.py tests/cli/test_rejects_command.py tests/inspecting/test_f*.py \
  tests/testing/test_conformance.py
coverage: $(VENV)/group-coverage
	$(VENV)/bin/coverage erase
	$(PYTEST) --effort $(EFFORT) $(COVERED) --cov --cov-report=
	$(VENV)/bin/coverage report

format: $(VENV)/group-lint
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

# The documentation as a site, in build/site. Warnings are errors, such as links to pages that do not exist (--quiet
# would hide them). The variable silences a banner about the future of Material for MkDocs.
docs: $(VENV)/group-docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# Speed compared with other programs, on SQLite and the servers that run; benchmarks/README.md lists the options.
bench: $(VENV)/group-bench
	$(VENV)/bin/python benchmarks/speed.py

# Where imports and exports spend their time.
profile: $(VENV)/group-bench
	$(VENV)/bin/python benchmarks/stages.py

# What the habits of hosts cost, compared with a plain host.
bench-cliffs: $(VENV)/group-bench
	$(VENV)/bin/python benchmarks/cliffs.py

# What a second job gains, beside what a second busy loop gains.
bench-scale: $(VENV)/group-bench
	$(VENV)/bin/python benchmarks/scale.py

# What ten runs cost beside 10,000 and beside 1,000,000, on SQLite and the servers that run; takes minutes.
bench-asked: $(VENV)/group-bench
	$(VENV)/bin/python benchmarks/asked.py

# Memory used for histories of different sizes, on SQLite; benchmarks/README.md has other databases and sizes.
bench-memory: $(VENV)/group-bench
	$(VENV)/bin/python benchmarks/memory.py

# Writes the published schema, derived from the marshmallow schemas. A test compares the two.
schema: $(VENV)/histio
	$(VENV)/bin/python -c 'import json; from histio import schemas; from histio.kinds import json_schema; \
	  print(json.dumps(json_schema.derive(schemas.BUNDLED, schemas.BUNDLED_CATALOG), indent=2))' > schemas/history-1.0.schema.json

# The wheel and the source distribution, checked, in dist.
DIST := dist
dist: $(VENV)/group-package
	rm -rf $(DIST)
	$(VENV)/bin/python -m build --outdir $(DIST) . >/dev/null
	$(VENV)/bin/twine check --strict $(DIST)/*

# Installs what dist has by name, from an index in a folder, into build/try-index, and tries the extras and the README.
try-index: dist
	rm -rf build/try-index
	$(VENV)/bin/python tools/try_index.py $(DIST) build/try-index

clean:
	rm -rf $(VENV) dist build

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "histio needs Python 3.11 or newer: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/histio: pyproject.toml | $(VENV)/bin/python
	$(call install,--editable .)
	touch $@

$(VENV)/extras: pyproject.toml | $(VENV)/bin/python
	$(call install,--editable '.[$(EXTRAS)]')
	touch $@

# Groups can be installed by pip 25.1 or newer; Python may bring an older one.
$(VENV)/pip: | $(VENV)/bin/python
	$(call install,'pip>=25.1')
	touch $@

$(VENV)/group-%: $(VENV)/extras | $(VENV)/pip
	$(call install,--group $*)
	touch $@
