# Everything runs in a virtual environment of this folder: nothing is installed elsewhere.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := adapters api bench cli datasets deploy recommender reports schemas stream trainer
# Slow measurements are run by hand.
TESTS := $(PACKAGES) tests --doctest-modules --ignore=tests/benchmarks

IS_RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(IS_RECENT)' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help install demo cluster check test chaos bench benchmarks format lint types imports fast constraints

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the virtual environment, with .venv/bin/coursestream in it

$(STAMP): pyproject.toml constraints.txt
	@test -n '$(PYTHON)' && $(PYTHON) -c '$(IS_RECENT)' || { \
		echo "coursestream needs Python 3.11 or newer, found: $$(python3 --version 2>&1)." \
			"Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -n '$(UV_TORCH_BACKEND)' -o -f $(STAMP) || { \
		echo 'The first installation downloads about 3 GB and takes 6 GB of disk: PyTorch comes with its CUDA libraries.'; \
		echo 'UV_TORCH_BACKEND=cpu make install  leaves those out, where the index for it can be reached.'; \
		echo 'Kafka itself (44 MB of jars) is downloaded at the first start.'; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	$(BIN)/uv pip install --python $(BIN)/python --editable '.[dev]' --constraint constraints.txt
	@touch $(STAMP)

demo: $(STAMP) ## Start everything with learners in it: make demo [DATA=path]
	$(BIN)/coursestream demo $(if $(DATA),--data '$(DATA)')

NODES ?= 3
CLUSTER_DIR ?= .coursestream-cluster

cluster: $(STAMP) ## Three brokers, a Redis Cluster of three nodes, three workers, two APIs: make cluster [DATA=path] [NODES=3]
	$(BIN)/coursestream up --state-dir '$(CLUSTER_DIR)' --nodes $(NODES) --workers 3 --apis 2 $(if $(DATA),--data '$(DATA)')

check: format-check lint types imports fast ## Format, lint, types, import rules, unit and contract tests, doctests

test: format-check lint types imports ## Everything: `check`, and the tests on a real Kafka, Redis and browser
	$(BIN)/python -m pytest $(TESTS)

KILLS ?= 50
SEED ?= 1
CHAOS_DIR ?= .chaos

chaos: $(STAMP) ## Faults in a whole system under traffic: make chaos [KILLS=50] [SEED=1] [JSON=file]; interrupted, it is resumed
	$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED) --folder '$(CHAOS_DIR)' $(if $(JSON),--json '$(JSON)')

bench: $(STAMP) ## Every figure of speed, about a quarter of an hour on a quiet machine, into docs/performance.md: make bench [ONLY=bench]
	$(BIN)/coursestream bench all $(if $(ONLY),--only '$(ONLY)')

benchmarks: $(STAMP) ## Every figure of quality, an hour on two cores, into docs/benchmarks.md: make benchmarks [DATA=path] [ONLY=bench]
	$(BIN)/coursestream bench quality $(if $(DATA),--data '$(DATA)') $(if $(ONLY),--only '$(ONLY)')

format: $(STAMP) ## Format the code, and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: format-check
format-check: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

fast: $(STAMP)
	$(BIN)/python -m pytest $(TESTS) --ignore=tests/integration --ignore=tests/browser \
		--ignore=tests/chaos/test_short.py

constraints: $(STAMP) ## Renew constraints.txt with the newest versions that pyproject.toml allows
	echo '# Versions that are known to work together; `make constraints` renews them.' > constraints.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade --quiet \
		--no-emit-index-url --no-header --no-annotate >> constraints.txt
