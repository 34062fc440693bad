# make demo   predict the ELF of a real structure, compare it with DFT, draw a picture
# make test   run the tests
# make lint   style and types
# make docs   build the documentation into build/docs
# make leaderboard   measure every release and floor on every task, render the tables, build the page (hours)
# make wheel  build the wheel and run it alone in a clean environment

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint wheel docs leaderboard clean

demo: .venv/installed
	$(BIN)/elfzoo demo --out demo

test: .venv/test-extra
	$(BIN)/python -m pytest -q

lint: .venv/lint-extra
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: .venv/lint-extra
	rm -rf build dist && $(BIN)/python -m build --wheel --no-isolation
	PYTHON=$(PYTHON) bash .ci/wheel

docs: .venv/docs-extra
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

FLOORS := $(foreach floor,mean radial_mean promolecular,-m benchmarks/floors.py:$(floor))

BY_GPAW := -m harris_pw.solids-v1 -m harris_pw_delta.solids-v1
BASES := -m harris_pw_delta.base-v1 -m probe_graph.base-v1

leaderboard: .venv/reference-extra
	$(BIN)/elfzoo benchmark -m all $(FLOORS) -t all --workers 2
	$(BIN)/elfzoo benchmark $(BY_GPAW) -t hydrides-zero-shot -t metals -t template-ranking --workers 2
	$(BIN)/elfzoo benchmark $(BASES) -t hydrides-few-shot --workers 2
	$(BIN)/elfzoo benchmark -m all -t speed
	$(BIN)/python benchmarks/render.py
	$(BIN)/elfzoo leaderboard --format html -o site

# torch comes first and pinned: left to itself, pip would fetch gigabytes of GPU libraries
.venv/torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) "setuptools>=77" wheel
	$(PIP) torch
	touch $@

.venv/installed: .venv/torch pyproject.toml setup.py $(wildcard elfzoo/*/native/*)
	$(PIP) --no-build-isolation -e .
	touch $@

.venv/test-extra: .venv/installed
	$(PIP) --no-build-isolation -e ".[test,docs]"
	touch $@

.venv/docs-extra: .venv/installed
	$(PIP) --no-build-isolation -e ".[docs]"
	touch $@

.venv/lint-extra: .venv/installed
	$(PIP) --no-build-isolation -e ".[lint]"
	touch $@

# GPAW is compiled here, and needs a compiler, libxc, BLAS and FFTW with their headers
.venv/reference-extra: .venv/installed
	$(PIP) --prefer-binary "elfzoo[reference]"
	touch $@

clean:
	rm -rf .venv build dist demo *.egg-info
