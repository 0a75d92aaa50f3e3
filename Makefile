# Every command of the project. What one needs it installs first: scripts/setup.py, each step only when it is due.
.DEFAULT_GOAL := help
SHELL := /bin/sh
# The first Python that is new enough; asked, not trusted: a pyenv shim may stand for nothing.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
# As many test processes as cores. `make test ARGS="tests/keyspace -k ttl"` runs some of them.
WORKERS ?= auto
ARGS ?=
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# What `manage.py check --deploy` looks at is a console behind TLS; none of it is used to run one.
DEPLOYED := CONSOLE_DATA_DIR=.mypy_cache/data CONSOLE_ORIGIN=https://console.example.org

.PHONY: help run dev test lint format bench lock clean python

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: python ## install, build, migrate and start; HOST, PORT, KEYS and the REDIS_* variables are respected
	@$(PYTHON) scripts/setup.py run
	@exec $(BIN)/python manage.py serve

dev: python ## as run, with CSS and JavaScript rebuilt whenever they change
	@$(PYTHON) scripts/setup.py dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" node scripts/build.mjs --watch & watcher=$$!; \
	trap 'kill $$watcher 2>/dev/null' EXIT INT TERM; $(BIN)/python manage.py serve

test: python ## install what tests need, then run all of them against real servers
	@$(PYTHON) scripts/setup.py test
	@PATH="$(CURDIR)/$(BIN):$$PATH" node scripts/test.mjs
ifeq ($(ARGS),)
	@# The browser's apart: Playwright leaves a running event loop behind, which the tests of asyncio cannot have.
	@$(PYTEST) --ignore=tests/browser; first=$$?; $(PYTEST) tests/browser && exit $$first
else
	@$(PYTEST) $(ARGS)
endif

lint: python ## style, types, who imports whom, Django's own checks, missing migrations
	@$(PYTHON) scripts/setup.py lint
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(DEPLOYED) $(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(DEPLOYED) $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(DEPLOYED) $(BIN)/python manage.py makemigrations --check --dry-run

format: python ## put imports and layout in order
	@$(PYTHON) scripts/setup.py lint
	$(BIN)/python -m ruff check --fix --exit-zero
	$(BIN)/python -m ruff format

bench: python ## measure against bare loops beside us; prints a table, writes bench.json
	@$(PYTHON) scripts/setup.py test
	@$(BIN)/python -m tests.bench $(ARGS)

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile $(LOCK) pyproject.toml -o requirements.lock
	uv pip compile $(LOCK) pyproject.toml --extra dev -o requirements-dev.lock
	uv pip compile $(LOCK) requirements-node.in -o requirements-node.lock
LOCK := --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --universal

clean: ## remove everything that was made, except data/
	rm -rf .venv node_modules static/build staticfiles test-results bench.json
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@test -n "$(PYTHON)" || { echo "Keyspace Console needs Python 3.11 or newer, and there is none on PATH."; exit 1; }
