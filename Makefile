# Everything runs in .venv, built from pyproject.toml; nothing else is needed but Python 3.11-3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2
CUDA ?= cuda13

.PHONY: help demo test test-slow docs lint bench gpu gpu-bundle gallery clean

help:            ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

ROOMS := $(shell find generator kinematics physics -type d -not -name __pycache__)

.venv/installed: pyproject.toml $(ROOMS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: .venv/installed   ## generate, validate and plot the demonstration sample in outputs/
	$(BIN)/darkpenguin generate demo --overwrite

test: .venv/tested      ## run the tests and the docstring examples, without the closures
	$(BIN)/python -m pytest tests --doctest-modules --pyargs darkpenguin -m 'not slow' -n $(JOBS) --dist loadfile

test-slow: .venv/tested ## run the large statistical closures: about ten minutes
	$(BIN)/python -m pytest tests -m slow -n $(JOBS) --dist loadfile

lint: .venv/tested      ## ruff, mypy --strict, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed   ## the documentation's site, docs/_build/html, and a look at each page in Chromium
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python -m sphinx --jobs $(JOBS) --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	$(BIN)/python -m pytest tests/docs tests/generator/explore/test_page.py -n $(JOBS) --dist loadfile

bench: .venv/installed  ## rates beside NumPy accept-reject; AGAINST=COMMIT compares with another commit
	$(BIN)/python tests/bench $(if $(AGAINST),--against $(AGAINST))

gpu: .venv/installed    ## the proof with a card, exit code 1 on any failure; CUDA=cuda12 where the driver has CUDA 12
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(CUDA)]'
	rm -rf outputs/gpu && $(BIN)/python tests/gpu/bundle.py outputs/gpu --events 1000000
	$(BIN)/python tests/gpu outputs/gpu --json outputs/gpu.json

gpu-bundle: .venv/tested ## outputs/gpu-bundle.zip, below 60 MB: the proof for a machine with a card, CuPy and NumPy alone
	rm -f outputs/gpu-bundle.zip && $(BIN)/python tests/gpu/bundle.py outputs/gpu-bundle.zip

gallery: .venv/tested ## every figure of outputs/README.md
	for data in $(basename $(notdir $(wildcard physics/experiment/data/*.yml))); do \
	  $(BIN)/darkpenguin figure 1 --data $$data --output outputs --overwrite && \
	  $(BIN)/darkpenguin figure 2 --data $$data --output outputs --overwrite || exit 1; \
	done
	$(BIN)/darkpenguin figure 2 --data 2017 --x light_vectors.0.mass,1.5,3.2 --y light_vectors.0.g_bs,-5e-8,5e-8 \
	  --points 200 --output outputs --overwrite
	$(BIN)/darkpenguin figure spectrum --output outputs --overwrite
	$(BIN)/darkpenguin figure leakage --output outputs --overwrite
	$(BIN)/darkpenguin constraints belle2-2.1gev-mu --figure outputs/belle2.png --overwrite
	$(BIN)/darkpenguin recast tests/generator/scans/data/belle2_knunu --coefficients --bias 1e5 --figure outputs/recast.png --overwrite
	$(BIN)/darkpenguin generate --channel 'B0->K*0mumu' --channel 'B+->K+mumu' --model fig2 --q2 1.1,8 --events 2e4 --seed 3 \
	  --output outputs/fit.root --overwrite
	$(BIN)/darkpenguin fit outputs/fit.root example --figure outputs/fit.png --overwrite
	$(BIN)/darkpenguin generate --channel 'B0->K*0mumu' --channel 'B0->K*0ee' --model fig1-2.5gev --kpi swave \
	  --beam lhcb-13tev --resolution lhcb --select lhcb --events 1e6 --precision float32 \
	  --output outputs/detector.root --overwrite
	$(BIN)/darkpenguin bin outputs/detector.root --migration --bins 0.1,1.1,2.5,4,6,8 --figure outputs/migration.png --overwrite
	$(BIN)/darkpenguin toys --toys 1e3 --output outputs/toys.root --figure outputs/toys.png --overwrite
	$(BIN)/darkpenguin sensitivity --figure outputs/sensitivity.png --overwrite

clean:           ## remove the environment and build products
	rm -rf .venv .venv-* build *.egg-info
