# Two commands set everything up on a fresh machine: make repro, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: repro test fuzz check ui clean-venv

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("tracker needs Python 3.11 or newer, found " + sys.version.split()[0] + "; try: make repro PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

repro: $(VENV)/.installed  ## data in, studies tuned, every trial in MLflow, reports/final.json out
	@git rev-parse --git-dir >/dev/null 2>&1 || grep -qs no_scm .dvc/config .dvc/config.local || \
		{ echo "dvc wants a git repository, and this folder is in none: run git init, then make repro again"; exit 2; }
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	@$(BIN)/tracker done

test: $(VENV)/.installed  ## all tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

fuzz: $(VENV)/.installed  ## every reader against inputs with bytes changed, two minutes
	TRACKER_FUZZ=1000 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q tests/test_fuzz.py

check: $(VENV)/.installed  ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(VENV)/.installed  ## MLflow on 127.0.0.1
	$(BIN)/tracker ui

clean-venv:
	rm -rf $(VENV)
