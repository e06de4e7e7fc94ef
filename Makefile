# The two commands: `make demo` and `make test`. Both make the environment first where it is missing.
# `make test-all` runs the tests over five seconds too, those of faults and those that need servers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-random test-all check format defaults lock images clean

demo: $(READY)
	$(BIN)/bigfusion demo

# One thread a process: small tensors gain nothing from more. Byte code is kept, whatever the surroundings say: without
# it every process of the suite spends seconds on compiling what it imports.
test test-slow: export OMP_NUM_THREADS = 1
test test-slow: export PYTHONDONTWRITEBYTECODE =
MARKS := not slow and not services and not gpu
PROCESSES := 2

test: $(READY)
	$(BIN)/pytest --numprocesses $(PROCESSES) -m "$(MARKS)"

# The slow tests wait much, for servers above all, so three processes keep two cores busy (98 %). In one run with the
# others these fill the time in which they wait. Four took 6 % longer: each imports the whole suite.
test-all:
	$(MAKE) test MARKS="not gpu" PROCESSES=3

# To collect the other files costs each process eleven seconds.
test-slow: $(READY)
	$(BIN)/pytest --numprocesses 4 -m "(slow or services) and not gpu" \
		$(shell grep -rlE "mark\.(slow|services)" tests --include="test_*.py" | sort)

# The property tests with new random examples, in place of the fixed ones.
test-random: $(READY)
	$(BIN)/pytest --numprocesses 2 -m "not services and not gpu" --hypothesis-profile random \
		$(shell grep -rl "from hypothesis import" tests)

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
# Byte code is made at once: without it what starts first takes three times as long, every time where none is kept.
$(READY): requirements.lock requirements-uv.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps --no-build-isolation --editable .
	@touch $@

# New locks from pyproject.toml's ranges and the exact versions in requirements.in; the images have no tests to run.
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11
lock: $(READY)
	$(COMPILE) --extra demo --extra dev --extra faces --extra production --extra ray --extra speech --extra timm --extra tune \
		--extra mlflow --extra app pyproject.toml requirements.in \
		--output-file requirements.lock
	$(COMPILE) --extra demo --extra production --constraint requirements.lock pyproject.toml requirements.in \
		--output-file docker/requirements.lock
	$(COMPILE) --extra demo --extra production --extra ray --constraint requirements.lock pyproject.toml requirements.in \
		--output-file docker/requirements-ray.lock

# The image `cpu`, by whatever builds images here; `make images TARGETS="cpu gpu"` for both (docker/build.sh).
images:
	sh docker/build.sh

clean:
	rm -rf $(VENV) demo build *.egg-info
