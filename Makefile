# What people and machines call. `make install` and everything after it needs Python and this file;
# `make test` also the programs that tests/rig/install.py names when they are missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := install
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/tools
INSTALLED := $(VENV)/installed
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv --quiet --no-progress
DIR ?=
FILE ?=
DEMO ?=

.PHONY: install demo test test-fast check traces vectors mutants bench stubs check-stubs lock check-locks servers

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements/uv.lock requirements/dev.lock
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) or sys.exit(1)' || { echo "Python 3.11 or newer with its venv module is needed (Debian: apt-get install python3 python3-venv); PYTHON=... chooses one" >&2; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/uv.lock
	$(UV) pip sync --python $(BIN)/python --require-hashes requirements/uv.lock requirements/dev.lock
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# DEMO="--speed 4" and the like are handed to the command.
demo: install
	$(BIN)/kubearmor-monitor demo $(DEMO)

# The thorough tests go through thousands of histories: being watched for coverage would slow them.
test: install
	$(MAKE) --no-print-directory check servers
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not servers and not thorough" -n 2
	$(BIN)/coverage run -m pytest -m servers -n 2 --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered
	$(BIN)/pytest -m "thorough and not servers" -n 2

test-fast: install
	$(BIN)/pytest -m "not servers and not thorough" -n 2 -q

check: install check-stubs check-locks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The real servers of the tests: built or fetched once, kept outside the tree.
servers: install
	$(BIN)/python -m tests.rig.install

# DIR="FOLDER..." judges those recordings instead of the bundled ones.
traces: install
	$(BIN)/python -m tests.traces.judge $(DIR)

# FILE=... holds the model of a daemon against those answers of KubeArmor, not the bundled ones.
vectors: install
	$(BIN)/python -m tests.vectors $(FILE)

# Breaks each decision of the core once; exit code 1 if the tests notice fewer than 95 %.
mutants: install
	$(BIN)/python -m tests.mutation

bench: install
	$(BIN)/python -m tests.bench

$(TOOLS)/installed: requirements/tools.lock | install
	$(UV) venv --clear --python $(BIN)/python $(TOOLS)
	$(UV) pip sync --python $(TOOLS)/bin/python --require-hashes requirements/tools.lock
	@touch $@

stubs: $(TOOLS)/installed
	PATH="$(abspath $(TOOLS))/bin:$$PATH" sh requirements/generate-stubs

check-stubs: $(TOOLS)/installed
	@stage=$$(mktemp -d); trap 'rm -rf "$$stage"' EXIT; \
	PATH="$(abspath $(TOOLS))/bin:$$PATH" sh requirements/generate-stubs "$$stage"; \
	for stub in "$$stage"/*; do diff -u "monitor/wire/pb/$${stub##*/}" "$$stub" || { echo "the stubs are not those of proto/: make stubs" >&2; exit 1; }; done

lock: install
	UV=$(abspath $(BIN))/uv sh requirements/lock

check-locks: install
	@stage=$$(mktemp -d); trap 'rm -rf "$$stage"' EXIT; \
	cp -r pyproject.toml requirements "$$stage"; \
	(cd "$$stage" && UV=$(abspath $(BIN))/uv sh requirements/lock); \
	diff -ru requirements "$$stage/requirements" || { echo "the lock files are not those of pyproject.toml: make lock" >&2; exit 1; }
