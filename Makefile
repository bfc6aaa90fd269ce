# Thin: what happens is in scripts/bootstrap.py (.venv) and `stumble run`.
PYTHON ?= python3
STATE ?= .state
WORKERS ?= 2

VENV_BIN = .venv/bin
NEED_PYTHON = command -v $(PYTHON) >/dev/null || \
	{ echo "stumble: there is no $(PYTHON) here; install one: sudo apt-get install python3-venv" >&2; exit 1; }
BOOTSTRAP = $(NEED_PYTHON); STUMBLE_MAKE_TARGET=$@ $(PYTHON) scripts/bootstrap.py
RUN_OPTIONS = $(if $(INSTANCES),--instances $(INSTANCES)) $(if $(RATE),--rate $(RATE)) \
	$(if $(FAILURES),--failures $(FAILURES)) $(if $(SEED),--seed $(SEED))

.DEFAULT_GOAL := help
.PHONY: help docs run clean-state test test-unit check newcomer chaos lint format bench nova nova-matrix nova-restart nova-functional wheel lock

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

run:  ## Everything at once, fed by a simulated fleet (INSTANCES= RATE= FAILURES= SEED= STATE=)
	@$(BOOTSTRAP) local && exec $(VENV_BIN)/stumble run --state $(STATE) $(RUN_OPTIONS) $(ARGS)

clean-state:  ## Forget everything that `make run` recorded
	@$(NEED_PYTHON); $(PYTHON) scripts/clean_state.py $(STATE)

test:  ## All tests, with real Kafka, PostgreSQL and Nova (ARGS= for pytest)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-unit:  ## Tests without servers and network, in seconds
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/pytest -n $(WORKERS) tests/unit tests/contract -m "not slow" $(ARGS)

check:  ## ruff, mypy and the unit tests: before a commit
	@$(MAKE) --no-print-directory lint && $(MAKE) --no-print-directory test-unit

newcomer:  ## `make run` in new clones, in every kind of place where one may clone (ARGS="--only ROW")
	@$(NEED_PYTHON); exec $(PYTHON) -m tests.newcomer $(ARGS)

chaos:  ## Kill everything, again and again, then compare with the truth (MINUTES=5 SEED=)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

lint:  ## ruff and mypy --strict
	@$(BOOTSTRAP) dev && $(VENV_BIN)/ruff check . && $(VENV_BIN)/ruff format --check . && $(VENV_BIN)/mypy

format:  ## Put all code into its canonical form
	@$(BOOTSTRAP) dev && $(VENV_BIN)/ruff check --fix-only --quiet . && $(VENV_BIN)/ruff format .

bench:  ## The figures, against peers (ARGS= for a choice)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m bench $(ARGS)

nova:  ## A tour of real Nova with stumble switched on (NOVA=34.0.0)
	@$(BOOTSTRAP) local && exec $(VENV_BIN)/python scripts/nova_tour.py $(if $(NOVA),--nova $(NOVA)) $(ARGS)

nova-matrix:  ## Every scenario on three releases of Nova, by every way, recorded (ARGS="--nova 34.0.0")
	@$(BOOTSTRAP) local && exec $(VENV_BIN)/python scripts/nova_matrix.py $(ARGS)

nova-restart:  ## kill -9 of real computes in the middle of their work: the whole table, into docs/nova-restarts.md
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m tests.nova.services

nova-functional:  ## Nova's own functional tests without stumble and with it, into docs/nova-functional.md (ARGS=modules)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m tests.nova.functional $(ARGS)

docs:  ## Write the documents that come from the code
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python scripts/generate_docs.py

wheel:  ## Build the wheel into dist/
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m build --no-isolation --wheel --outdir dist .

lock:  ## Choose the newest versions of all libraries anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade --strip-extras \
		--no-emit-index-url --no-header --no-annotate --output-file constraints.txt pyproject.toml
