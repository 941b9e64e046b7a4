# make demo and make test do everything on a fresh machine: environment, installation, run.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# One more than processors: tests that start commands wait for them.
TESTERS := $(shell expr $$(nproc) + 1)
STAMP := $(VENV)/.installed
# Stages of dvc.yaml call `qmend`.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Tests run commands in their own process; `qmend` sets this by itself.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint ui data clean

demo: $(STAMP)
	$(BIN)/qmend demo

test: lint
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(STAMP)
	$(BIN)/qmend ui

data: $(STAMP)
	$(BIN)/dvc repro

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# Made again when what is to be installed has changed; a half-made environment has no stamp.
$(STAMP): pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "qmend needs $(PYTHON); install it or set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
