# Causeway. `make up` starts it on a bare machine with Python 3.11+; `make test` and `make check` are what CI runs.
.DEFAULT_GOAL := help
.PHONY: help up test check docs lock clean

PYTHON ?= python3
BIN := .venv/bin
PACKAGES_STAMP := .venv/.packages
RUN_STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(RUN_STAMP) ## Install what is missing, start everything, load the sample company
	@$(BIN)/causeway up --demo $(ARGS)

test: $(DEV_STAMP) $(RUN_STAMP) ## Run the tests
	$(BIN)/pytest $(ARGS)

check: $(DEV_STAMP) $(RUN_STAMP) ## Format, lint, types, architecture, dependencies, generated pages, dead links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python docs/build_reference.py --check
	$(BIN)/python docs/check_links.py

docs: $(DEV_STAMP) $(RUN_STAMP) ## Write the generated reference pages anew
	$(BIN)/python docs/build_reference.py

lock: $(DEV_STAMP) ## Resolve the dependencies anew, with hashes and without addresses
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --extra install pyproject.toml -o constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --extra install --extra dev -c constraints.txt pyproject.toml -o constraints-dev.txt

clean: ## Remove the environment (not your data)
	rm -rf .venv

$(PACKAGES_STAMP): constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Causeway needs Python 3.11 or newer; set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian, apt install python3-venv"; exit 1; }
	@echo "installing pinned packages (once, a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@touch $@

$(RUN_STAMP): $(PACKAGES_STAMP) pyproject.toml hatch_build.py causeway/compiled.py $(shell $(PYTHON) causeway/compiled.py)
	@echo "installing Causeway itself and compiling its busiest modules (half a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): constraints-dev.txt $(PACKAGES_STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-dev.txt
	@touch $@
