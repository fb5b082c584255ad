# Everything is made below this directory: .venv (tools), build (simulations), .cache (downloads).
PYTHON ?= python3
JOBS ?= 2
DESIGN ?= designs/dnn_a.toml
NETWORK ?= $(DESIGN:.toml=.npz)
TEST_ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
QUANT := .venv/.installed-quant
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export YOWASP_CACHE_DIR ?= $(CURDIR)/build/yowasp

.DEFAULT_GOAL := help
.PHONY: help setup quant sim test lint full bench docs clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

setup: $(STAMP) ## the tools and the package, in .venv

quant: $(QUANT) ## the same with torch, Brevitas and Ray, for training and searching

sim: $(STAMP) ## DNN-A's full frame at all three levels, compared (DESIGN=FILE for another design)
	@$(BIN)/tandem verify $(DESIGN) $(if $(wildcard $(NETWORK)),--network $(NETWORK))

test: $(QUANT) ## the tests (TEST_ARGS="-k word" for some, JOBS=N processes)
	@$(BIN)/python -m pytest -n $(JOBS) $(TEST_ARGS)

lint: $(QUANT) ## ruff, mypy, Verilator -Wall, Yosys check
	@$(BIN)/ruff check --quiet --output-format concise . && echo "ruff: clean"
	@$(BIN)/mypy
	@$(BIN)/python -m rtl_sim.lint

full: $(QUANT) ## the long campaign of generated cases
	@$(BIN)/python -m pytest -n $(JOBS) -m full $(TEST_ARGS)

bench: $(STAMP) ## the project's measured numbers
	@$(BIN)/tandem bench

docs: $(STAMP) ## the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "build/site/index.html"

clean: ## removes all of .venv, build, .cache and what the tools left
	@rm -rf .venv build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an interrupted installation is begun again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	  "Tandem needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": set PYTHON")'
	@echo "installing into .venv (a minute or two) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install -qq -e '.[dev]'
	@touch $@

$(QUANT): $(STAMP)
	@echo "installing torch, Brevitas and Ray into .venv (a minute or two) ..."
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install -qq -e '.[dev,quant,cluster]'
	@touch $@
