# Two commands: `make demo` and `make test`. Both work from a fresh clone with a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

demo: $(VENV)/demo.stamp
	rm -rf demo
	$(BIN)/edge-cns demo --out demo

# Two at a time where only results count, one after the other where moments do.
COMPUTING := $(wildcard tests/test_*.py) $(addprefix tests/,converters data decision evaluation signing training \
  $(addprefix firmware_bridge/,dicom igtl micro sdk))

test: lint
	$(BIN)/pytest -n 2 --dist loadfile $(COMPUTING)
	$(BIN)/pytest $(addprefix --ignore=,$(COMPUTING))

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[train,lite0,live]'
	touch $@

$(VENV)/dev.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
