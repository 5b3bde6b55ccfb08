# Every target, with what it does: `make help`.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The interpreter that makes the virtual environment: PYTHON=… overrides the first one found that is new enough.
CANDIDATES := python3 python3.13 python3.12 python3.11
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
# The names carry the checksum of what was installed: a changed lock file installs again, an unchanged one never does.
INSTALLED := $(VENV)/.installed-$(shell cksum < requirements.txt | tr -d ' ')
INSTALLED_DEV := $(VENV)/.installed-dev-$(shell cat requirements.txt requirements-dev.txt | cksum | tr -d ' ')
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
NOT_INSTALLED := echo "weir: the packages cannot be installed, for the reason above; this wants a network once, or a mirror: PIP_INDEX_URL=…" >&2; exit 1

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Installing -------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "weir: no Python 3.11 or newer found (looked for: $(CANDIDATES)); install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "weir: PYTHON=$(PYTHON) does not run, or is older than Python 3.11" >&2; exit 1; }
	@echo "Making the virtual environment $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "weir: 'python -m venv' failed; on Debian and Ubuntu the package python3-venv is needed" >&2; exit 1; }

$(INSTALLED): | $(BIN)/python
	@echo "Installing requirements.txt (a minute, the first time)"
	@$(PIP) install -r requirements.txt || { $(NOT_INSTALLED); }
	@rm -f $(filter-out $@,$(wildcard $(VENV)/.installed-[0-9]*))
	@touch $@

$(INSTALLED_DEV): | $(BIN)/python
	@echo "Installing requirements-dev.txt (a minute or two, the first time)"
	@$(PIP) install -r requirements-dev.txt || { $(NOT_INSTALLED); }
	@rm -f $(filter-out $@,$(wildcard $(VENV)/.installed-*))
	@touch $@ $(INSTALLED)

.PHONY: install
install: $(INSTALLED_DEV) ## Install everything for working on Weir

# --- Running ----------------------------------------------------------------------------------------------------------

.PHONY: up
up: $(INSTALLED) ## Run all of Weir here, with demo data and one demo booking; Ctrl-C stops it
	@exec $(BIN)/python -m project.up

# Two processes: one runs the tests that start workers, and mostly waits; the other runs the rest, and mostly computes.
PARALLEL ?= -n 2 --dist loadgroup

# --- Checking ---------------------------------------------------------------------------------------------------------

.PHONY: test
test: $(INSTALLED_DEV) ## Run all tests, on real PostgreSQL, Redis and worker processes
	@exec $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-sqlite
test-sqlite: $(INSTALLED_DEV) ## Run the fast tests on SQLite
	@TEST_DATABASE_URL=sqlite:// exec $(BIN)/python -m pytest $(PARALLEL) -m "not real and not faults" $(ARGS)

.PHONY: check
check: $(INSTALLED_DEV) ## Lint, formatting, types, the layers' contracts, missing migrations; all of them, always
	@status=0; \
	for part in "ruff check ." "ruff format --check ." "mypy" "lint-imports" "python manage.py makemigrations --check --dry-run"; do \
		echo "-- $$part"; DATABASE_URL=sqlite:// $(BIN)/$$part || status=1; \
	done; exit $$status

.PHONY: fmt
fmt: $(INSTALLED_DEV) ## Format the code, and mend what the linter can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(INSTALLED_DEV) ## Measure against plain Celery; without ARGS, with a million executions behind it as well
	@status=0; $(BIN)/python -m bench $(ARGS) || status=$$?; \
	if [ -z "$(ARGS)" ]; then $(BIN)/python -m bench.volume || status=$$?; fi; exit $$status

.PHONY: faults
faults: $(INSTALLED_DEV) ## Kill everything that can be killed, for as long as it takes
	@WEIR_FAULTS=long exec $(BIN)/python -m pytest -m faults $(ARGS)

.PHONY: screenshots
screenshots: $(INSTALLED_DEV) ## Take pictures of the pages and of a mail with an installed Chromium, into var/screenshots
	@exec $(BIN)/python -m project.screenshots $(ARGS)
