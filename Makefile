# The two commands: `make demo` and `make test`. Both make the environment first where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format defaults lock clean

demo: $(READY)
	$(BIN)/bigfusion demo

test: $(READY)
	$(BIN)/pytest -m "not gpu" --numprocesses 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# New settings' first defaults, which decide what a changed default makes stale; those that are there stay.
defaults: $(READY)
	$(BIN)/python -m tests.helpers.first_defaults

# uv installs the hashed lock several times faster than pip; plain `pip install --require-hashes` does the same.
$(READY): requirements.lock requirements-uv.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# New locks from pyproject.toml's ranges and the exact versions in requirements.in; the images have no tests to run.
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11
lock: $(READY)
	$(COMPILE) --extra demo --extra dev --extra faces --extra production --extra ray pyproject.toml requirements.in \
		--output-file requirements.lock
	$(COMPILE) --extra production --extra ray --constraint requirements.lock pyproject.toml requirements.in \
		--output-file docker/requirements.lock

clean:
	rm -rf $(VENV) demo build *.egg-info
