# Pixref: `make` lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check --no-input
# Test processes that run side by side.
JOBS ?= 2
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate

.DEFAULT_GOAL := help
.PHONY: help run test faults lint format bench reference env requirements clean
.DELETE_ON_ERROR:

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter of a new $(VENV); PIXREF_PORT, S3_PORT and DB_PORT the ports of make run."

run: $(VENV)/.runtime ## Start everything on this machine and print a sign-in link; Ctrl-C stops it
	@exec $(BIN)/pixref dev

test: $(VENV)/.dev ## Run the tests on real servers; T=path runs one path in one process
	@$(BIN)/python -m service.embedded.minio "$(MINIO_BIN)" > /dev/null
	@$(BIN)/pytest $(if $(T),$(T),-n $(JOBS))

N ?= 10000
SEED ?= 1
faults: $(VENV)/.dev ## Break things N times and look whether anything was lost; writes tests/faults/results/
	@$(BIN)/python -m service.embedded.minio "$(MINIO_BIN)" > /dev/null
	@$(BIN)/python -m tests.faults --count $(N) --seed $(SEED)

lint: $(VENV)/.dev ## Check style, types and imports, Python and JavaScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/oxlint --deny-warnings service/web/static tests/javascript
	$(BIN)/mypy --strict service storage schema pixref
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/oxlint --fix service/web/static tests/javascript

bench: $(VENV)/.dev ## Measure, and print ratios; BENCH="predict --quick" names scenarios
	@$(BIN)/python -m bench $(BENCH)

reference: $(VENV)/.dev ## Write docs/api.md anew from the endpoints
	@$(BIN)/python -m service.web.api.reference > docs/api.md.new && mv docs/api.md.new docs/api.md

env: ## Make .env for docker compose from .env.example, with random secrets; an .env that exists is left as it is
	@if [ -e .env ]; then echo ".env exists and was left as it is."; exit 0; fi; \
	umask 077 && $(PYTHON) -c 'import re, secrets, sys; \
	sys.stdout.write(re.sub(r"(?m)^(\w+=)change-me$$", lambda match: match[1] + secrets.token_hex(20), sys.stdin.read()))' \
	< .env.example > .env.new && mv .env.new .env && echo "Wrote .env with random secrets. Once docker compose up --build -d has ended, sign in by" && \
	sed -n 's|^PIXREF_ADMIN_TOKEN=\(.*\)|  http://127.0.0.1:8000/sign-in?token=\1|p' .env

requirements: ## Pin every dependency anew, with hashes, from pyproject.toml
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --group dev --constraint requirements.txt --output-file requirements-dev.txt

clean: ## Remove caches and build products; var/, .env and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -path ./$(VENV) -prune -o -path ./var -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null || { \
	echo "Pixref needs Python 3.11 to 3.13, and $(PYTHON) is none of them ($$($(PYTHON) --version 2>&1 | head -n 1)):" \
	"name another as in make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)

# $(call install,FILE) installs one set of pinned requirements and this project, silent unless it fails.
define install
	@echo "Installing $(1) (minutes at the first time)"
	@{ $(BIN)/pip install $(PIP_FLAGS) --require-hashes -r $(1) \
	&& $(BIN)/pip install $(PIP_FLAGS) --no-deps --no-build-isolation --config-settings editable_mode=compat -e .; } > $(VENV)/install.log 2>&1 \
	|| { cat $(VENV)/install.log >&2; echo "The requirements could not be installed; the reason stands above." >&2; exit 1; }
	@touch $@
endef

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/python
	$(call install,requirements.txt)

# The development requirements hold the runtime's, at the same versions.
$(VENV)/.dev: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.txt)
	@touch $(VENV)/.runtime
