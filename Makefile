# Everything runs in .venv, built from pyproject.toml; nothing else is needed but Python 3.11-3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

.PHONY: help demo test lint bench gallery clean

help:            ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

.venv/installed: pyproject.toml generator generator/_root kinematics physics
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: .venv/installed   ## generate, validate and plot the demonstration sample in outputs/
	$(BIN)/darkpenguin generate demo --overwrite

test: .venv/tested      ## run the whole test suite, docstring examples included
	$(BIN)/python -m pytest tests --doctest-modules --pyargs darkpenguin -n $(JOBS)

lint: .venv/tested      ## ruff, mypy --strict, import contract
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## events a second, beside NumPy accept-reject
	$(BIN)/python -m darkpenguin.generator.bench

gallery: .venv/installed ## every figure of outputs/README.md
	$(BIN)/darkpenguin figure 1 --data 2017 --output outputs --overwrite
	$(BIN)/darkpenguin figure 2 --data 2017 --output outputs --overwrite

clean:           ## remove the environment and build products
	rm -rf .venv build *.egg-info
