# The work is done by scripts/bootstrap.py (.venv) and `stumble run`.
PYTHON ?= python3
STATE ?= .state
WORKERS ?= 2

VENV_BIN = .venv/bin
NEED_PYTHON = command -v $(PYTHON) >/dev/null || \
	{ echo "stumble: $(PYTHON) is not installed here; install it: sudo apt-get install python3-venv" >&2; exit 1; }
BOOTSTRAP = $(NEED_PYTHON); STUMBLE_MAKE_TARGET=$@ $(PYTHON) scripts/bootstrap.py
RUN_OPTIONS = $(if $(INSTANCES),--instances $(INSTANCES)) $(if $(RATE),--rate $(RATE)) \
	$(if $(FAILURES),--failures $(FAILURES)) $(if $(SEED),--seed $(SEED))

.DEFAULT_GOAL := help
.PHONY: help docs run clean-state test test-unit check newcomer chaos lint format bench nova nova-matrix nova-restart nova-functional wheel lock

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

run:  ## Run everything, with a simulated fleet (INSTANCES= RATE= FAILURES= SEED= STATE=)
	@$(BOOTSTRAP) local && exec $(VENV_BIN)/stumble run --state $(STATE) $(RUN_OPTIONS) $(ARGS)

clean-state:  ## Delete everything that `make run` recorded
	@$(NEED_PYTHON); $(PYTHON) scripts/clean_state.py $(STATE)

test:  ## Run all tests, with real Kafka, PostgreSQL and Nova (ARGS= for pytest)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-unit:  ## Run the tests without servers and network, in seconds
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/pytest -n $(WORKERS) tests/unit tests/contract -m "not slow" $(ARGS)

check:  ## Run ruff, mypy and the unit tests: before a commit
	@$(MAKE) --no-print-directory lint && $(MAKE) --no-print-directory test-unit

newcomer:  ## Test `make run` in new clones, in every kind of environment (ARGS="--only ROW")
	@$(NEED_PYTHON); exec $(PYTHON) -m tests.newcomer $(ARGS)

chaos:  ## Kill processes repeatedly, then compare the result with the truth (MINUTES=5 SEED=)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

lint:  ## Run ruff and mypy --strict
	@$(BOOTSTRAP) dev && $(VENV_BIN)/ruff check . && $(VENV_BIN)/ruff format --check . && $(VENV_BIN)/mypy

format:  ## Fix and format all code with ruff
	@$(BOOTSTRAP) dev && $(VENV_BIN)/ruff check --fix-only --quiet . && $(VENV_BIN)/ruff format .

bench:  ## Run the benchmarks against peers (ARGS= selects some)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m bench $(ARGS)

nova:  ## Run some scenarios on real Nova with stumble (NOVA=34.0.0)
	@$(BOOTSTRAP) local && exec $(VENV_BIN)/python scripts/nova_tour.py $(if $(NOVA),--nova $(NOVA)) $(ARGS)

nova-matrix:  ## Run and record every scenario on three releases of Nova (ARGS="--nova 34.0.0")
	@$(BOOTSTRAP) local && exec $(VENV_BIN)/python scripts/nova_matrix.py $(ARGS)

nova-restart:  ## Kill real computes with -9 during their work, write docs/nova-restarts.md
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m tests.nova.services

nova-functional:  ## Run Nova's functional tests without and with stumble, write docs/nova-functional.md (ARGS=modules)
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python -m tests.nova.functional $(ARGS)

docs:  ## Write the documents that are generated from the code
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python scripts/generate_docs.py

wheel:  ## Write the wheel, its bill of materials and its requirement files into dist/
	@$(BOOTSTRAP) dev && exec $(VENV_BIN)/python scripts/build_wheel.py

lock:  ## Lock the newest versions of all libraries, with hashes (needs uv)
	@$(NEED_PYTHON); exec $(PYTHON) scripts/lock.py --upgrade
