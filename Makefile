# Payspool. `make demo` and `make test` need Python 3.11 to 3.14 and make; everything else they install
# into .venv, wheels only. `make help` lists the rest.
SHELL := /bin/sh
VENV  := .venv
PY    := $(VENV)/bin/python
ONCE  ?=
ARGS  ?=
ONLY  ?=
OUT   ?=

# Commands and tests start many processes: none of them should compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo up test check lint types imports fast faults outages bench pages screenshots openapi lock clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

$(VENV)/.runtime: requirements.txt pyproject.toml clients/python/pyproject.toml .ci/venv
	@sh .ci/venv requirements.txt runtime
$(VENV)/.dev: requirements-dev.txt pyproject.toml clients/python/pyproject.toml .ci/venv
	@sh .ci/venv requirements-dev.txt dev

install: $(VENV)/.runtime ## make the virtual environment
install-dev: $(VENV)/.dev

demo: install ## from nothing to a running pipeline with real purchases (ONCE=1 ends after the summary)
	@$(PY) -m payspool demo $(if $(ONCE),--once,) $(ARGS)

up: install ## the pipeline for your own events
	@$(PY) -m payspool up $(ARGS)

test: install-dev ## everything: lint, types, import rules, the whole suite
	@$(MAKE) --no-print-directory check
	@$(PY) -m pytest -n 3 --dist loadgroup -q $(ARGS)

faults: install-dev ## 21,000 payouts over three gateways amid faults and kills, and longer storms (FAULTS_SEED, FAULTS_CAMPAIGN, FAULTS_PAYOUTS, FAULTS_ROUNDS)
	@FAULTS_CAMPAIGN=$${FAULTS_CAMPAIGN:-21000} FAULTS_PAYOUTS=$${FAULTS_PAYOUTS:-5000} FAULTS_ROUNDS=$${FAULTS_ROUNDS:-20} $(PY) -m pytest -q -s tests/faults $(ARGS)

bench: install-dev ## the figures beside their peers (ONLY=ingest,publish,latency,runs,sending,limited,expiry,validate,cards,dashboard OUT=file.jsonl; ARGS=--help for sizes)
	@$(PY) -m bench --only "$(ONLY)" $(if $(OUT),--out $(OUT),) $(ARGS)

pages: install-dev ## how long the server takes for each page of the dashboard, a million rows behind it (ARGS=--rows 100000)
	@$(PY) -m bench.pages $(ARGS)

screenshots: install-dev ## the pictures of docs/how-to/dashboard.md anew
	@$(PY) -m pytest -q tests/browser/screenshots.py

outages: install-dev ## servers stopped for 30 s, killed, filled and emptied amid 200,000 events (OUTAGES_EVENTS, OUTAGES_SECONDS)
	@OUTAGES_EVENTS=$${OUTAGES_EVENTS:-200000} OUTAGES_SECONDS=$${OUTAGES_SECONDS:-30} $(PY) -m pytest -q -s tests/faults/test_outages.py $(ARGS)

check: lint types imports

lint: install-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
types: install-dev
	@$(PY) -m mypy
imports: install-dev
	@$(PY) -c "import sys; sys.path[:0] = ['.']; from importlinter.cli import lint_imports_command; lint_imports_command()"

openapi: install-dev ## write docs/reference/openapi.json anew
	@$(PY) -m web.describe > docs/reference/openapi.json

lock: install-dev ## pin the newest allowed versions again (needs uv on the PATH)
	@sh .ci/lock

clean: ## remove the virtual environment and caches (data stays; see `payspool doctor`)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: teeth
teeth: install-dev ## take each guard of the money away, in a copy, and see a test fail
	@TEETH=1000 $(PY) -m pytest -q tests/guards/test_teeth.py $(ARGS)

.PHONY: fuzz
fuzz: install-dev ## 200,000 wrong events, queue messages and lines of files (FUZZ_INPUTS), then 10,000 requests (FUZZ_REQUESTS)
	@FUZZ_INPUTS=$${FUZZ_INPUTS:-200000} $(PY) -m pytest -n 2 --dist loadgroup -q tests/fuzz $(ARGS)
	@FUZZ_INPUTS=$${FUZZ_REQUESTS:-10000} $(PY) -m pytest -q tests/web/test_fuzz.py $(ARGS)
