# make demo | test | test-all | check   each creates .venv when it is missing and refreshes it when the pins change

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2
OUTPUT ?= demo

# The first interpreter that is new enough and can make environments; `make PYTHON=... ` names another.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$name -c '$(USABLE)' >/dev/null 2>&1; then echo $$name; break; fi; done)

# Workers share the cores: more threads than that only wait for each other.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(JOBS)

.PHONY: demo test test-all check install clean

demo: install
	$(BIN)/gazecut demo --output $(OUTPUT)

test: install
	$(PYTEST) -m "not slow and not gpu and not weights"

test-all: install
	$(PYTEST) -m "not gpu and not weights"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt requirements-sam2.txt
	@test -n "$(PYTHON)" || { echo "Gazecut needs Python 3.11 or newer with the venv module; name one with: make PYTHON=/path/to/python" >&2; exit 2; }
	$(BIN)/python -c '$(USABLE)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --constraint constraints.txt --group dev --editable ".[all]"
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --no-build-isolation --no-deps --require-hashes --requirement requirements-sam2.txt || \
	echo "Package sam2 could not be installed: the tests that need it are skipped" >&2
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
