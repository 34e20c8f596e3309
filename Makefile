# Everything here needs Python 3.11 or newer, make and a package registry.
# PYTHON chooses the interpreter, VENV where its environment is built, ARGS is
# passed to what is run: pytest, the benchmarks, the chaos run, the server...

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
# Where pyenv keeps interpreters, if there is pyenv: for `make test-all`.
PYENV := $(shell ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin 2>/dev/null | tr '\n' ':')

.PHONY: help demo serve test test-sqlite test-postgresql test-all lint bench chaos \
	conformance conformance-all conformance-third-party

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 26

demo: $(VENV)/.demo ## stock Django and django-evergreen side by side, on real data
	$(BIN)/python example/demo.py

serve: $(VENV)/.demo ## run the example on http://127.0.0.1:8000
	$(BIN)/python example/serve.py $(ARGS)

# Development mode, but not its memory allocator, which takes twice as long.
test: $(VENV)/.test ## every test, on SQLite and on a real PostgreSQL; with -j2, side by side
	@# The longer one first.
	@$(MAKE) --no-print-directory --keep-going test-postgresql test-sqlite

test-sqlite test-postgresql: test-%: $(VENV)/.test
	@echo "== pytest --database $*"
	@PYTHONMALLOC=default $(BIN)/python -X dev -m pytest --database $* $(ARGS)

test-all: $(VENV)/.matrix ## every test on each Python and Django that is supported
	PATH="$$PATH:$(PYENV)" $(BIN)/tox run --skip-missing-interpreters true $(ARGS)

lint: $(VENV)/.lint ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.bench ## measure, side by side with stock Django
	$(BIN)/python -m benchmarks $(ARGS)

chaos: $(VENV)/.test ## ten minutes of transfers while tasks, sessions and servers are killed
	PYTHONMALLOC=default $(BIN)/python -X dev -m chaos $(ARGS)

conformance: $(VENV)/.conformance ## Django's own test suite, on stock and on ours, compared
	$(BIN)/python -m conformance $(ARGS)

conformance-all: $(VENV)/.matrix ## the same on each Django that is supported
	PATH="$$PATH:$(PYENV)" $(BIN)/tox run -e conformance-dj52,conformance-dj60,conformance-dj61 $(ARGS)

conformance-third-party: $(VENV)/.conformance-third-party ## the suites of eight packages
	$(BIN)/python -m conformance --third-party $(ARGS)

# One stamp for each dependency group, renewed when the requirements change.
$(VENV)/.demo $(VENV)/.test $(VENV)/.bench $(VENV)/.matrix $(VENV)/.lint $(VENV)/.conformance $(VENV)/.conformance-third-party: $(VENV)/.%: pyproject.toml | $(BIN)/python
	@# The first pip that knows dependency groups. Here, where it is tried again
	@# if the registry failed.
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group $*
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "$(PYTHON) could not make a virtual environment. Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
