# Two commands do everything on a machine with Python >= 3.11 and make: `make verify` and `make test`.
PYTHON ?= python3
WORKERS ?= 2
THREADS ?= 1
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
DOCS_STAMP := $(VENV)/.installed-docs

.PHONY: verify test slow mutants lint notebooks docs bench clean

verify: $(STAMP)  ## reproduce every theorem (quick budget), print the verdict table, and re-decide its proof files
	$(BIN)/momlp verify --proofs results/proofs
	$(BIN)/momlp recheck results/proofs

test: $(STAMP)  ## tests and notebooks, by WORKERS processes (2 unless given)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
	$(MAKE) notebooks

slow: $(STAMP)  ## what `make test` leaves out: long tests, the full budget
	$(BIN)/python -m pytest -m slow
	$(BIN)/momlp verify --budget full

mutants: $(STAMP)  ## do the tests notice a wrong checker? 400 changes of one operator or number, about an hour
	$(BIN)/python tests/mutants.py --count 400

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# kernels with several threads each wait for one another where the processes share the cores
notebooks: $(STAMP)  ## run every notebook and compare all outputs, by WORKERS processes with THREADS threads each
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest -m '' --nbval --nbval-cell-timeout=300 -n $(WORKERS) --dist loadfile notebooks

docs: $(DOCS_STAMP)  ## the documentation as a site in site/; a warning or a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(BENCH_STAMP)  ## measure against named peers, all in one run
	$(BIN)/python benchmarks/run.py --out results

clean:
	rm -rf $(VENV) results build dist site .cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# installs again only when the requirements changed
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,bench]'
	touch $@
