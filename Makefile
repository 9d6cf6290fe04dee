# Everything a developer does, by one name each. `make` alone prints this list.
# A fresh machine needs python3 (3.11 or newer), git and a package registry; the rest is done here.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PY     := $(BIN)/python

# make test T=tests/unit/core   ·   make bench ARGS="--quick --tools dvc"
T    ?= tests
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check fix format lint types imports docs docs-check bench bench-remotes bench-anchors bench-tracker soak services devnet contracts constraints setup clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## show the whole story on a throw-away repository
	$(BIN)/gitprov demo

test: $(READY) services ## run the tests; T=path for some of them
	$(PY) -m pytest -n auto --dist worksteal -rs $(T)

check: format lint types imports test docs-check ## everything that must hold before a push

fix: $(READY) ## format, and repair what ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

format: $(READY) ## is everything formatted?
	$(BIN)/ruff format --check

lint: $(READY) ## ruff
	$(BIN)/ruff check

types: $(READY) ## mypy, strict, package and tests
	$(BIN)/mypy

imports: $(READY) ## do imports point downwards only?
	$(BIN)/lint-imports

docs: $(READY) ## write docs/cli.md and the README's tour anew from what the commands say
	$(PY) scripts/gen_cli_docs.py
	PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/tour.sh --write

docs-check: $(READY) ## does docs/cli.md say what the command line says?
	$(PY) scripts/gen_cli_docs.py --check

bench: $(READY) ## measure gitprov and its peers side by side (an hour; ARGS=--quick for a trial)
	$(PY) bench/run.py $(ARGS)
	$(PY) -m bench.remotes $(if $(findstring --quick,$(ARGS)),--quick)

bench-remotes: $(READY) services ## measure push and pull beside the peers, to a folder and to S3 (half an hour; ARGS=--quick)
	$(PY) -m bench.remotes $(ARGS)

bench-anchors: $(READY) services ## measure anchors on local nodes (some minutes); writes docs/benchmarks-anchors.md
	$(PY) -m bench.anchors

bench-tracker: $(READY) services ## measure the tracker with torch (a minute); writes docs/benchmarks-tracker.md
	$(PY) -m bench.tracker

soak: $(READY) services ## the tests that run for minutes
	GITPROV_SOAK=1 $(PY) -m pytest -n auto --dist worksteal -rs -m soak --timeout=3600 $(T)

services: $(READY) ## what tests like to have: Debian packages, nodes, servers for remotes and torch in a cache; never fails
	@sh scripts/services.sh
	@sh scripts/services_nodes.sh
	@sh scripts/services_remotes.sh
	@PYTHON=$(PY) sh scripts/services_migration.sh
	@PYTHON=$(PY) sh scripts/services_torch.sh

devnet: $(READY) services ## the nodes, and what to do with them: gitprov devnet up
	@echo "now, in a repository with gitprov: $(CURDIR)/$(BIN)/gitprov devnet up"

contracts: $(READY) services ## compile contracts/MLProvenance.sol anew
	node contracts/compile.cjs "$${GITPROV_SERVICES:-$${XDG_CACHE_HOME:-$$HOME/.cache}/gitprov/services}/npm/node_modules" >contracts/MLProvenance.json.new
	mv contracts/MLProvenance.json.new contracts/MLProvenance.json

constraints: $(READY) ## look for newer versions and write constraints.txt anew
	sh scripts/constraints.sh

setup: $(READY) ## only the virtual environment

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/setup.sh
	@touch $@

clean: ## remove what make made
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
