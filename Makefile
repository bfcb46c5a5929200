# Each target does its own set-up on a fresh machine: Python >= 3.11, Node >= 20 and make are all
# that must be there. uv goes into the project's own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEVNET := deploy/devnet

SEED ?= 1
ACCOUNTS ?= 300
BLOCKS ?= 120
PACE ?= 1.0
SEEDS ?= 100
FIRST ?= 1
RUNS ?= 100
CONFIG ?= config.toml
SECONDS ?= 1800
PULLS ?= 5

# Float results of numpy differ by one ulp between CPU paths; the journal's digests do not, but
# recorded floats are compared, so every run of ours takes the same path.
export NPY_DISABLE_CPU_FEATURES ?= X86_V4 AVX512_ICL AVX512_SPR

.PHONY: help setup demo drill test check bench simulate golden contracts kill9 plugs soak clean

help: ## Show this list
	@grep -hE '^[a-z0-9_]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVNET)/node_modules/.ready: $(DEVNET)/package-lock.json $(DEVNET)/package.json
	cd $(DEVNET) && npm ci --no-fund --no-audit --loglevel=error
	@touch $@

# The compiled margin kernel's disk cache is filled once, here, and not in a keeper's first block.
$(VENV)/.warm: $(VENV)/.ready $(wildcard keeper/margin/kernel/*.py)
	$(BIN)/python -m keeper.margin.kernel.warm
	@touch $@

setup: $(VENV)/.ready $(VENV)/.warm $(DEVNET)/node_modules/.ready ## Install Python and Node packages, locked

contracts: setup ## Compile the development venue's contracts
	$(BIN)/python -m deploy.devnet.chain.artifacts

demo: contracts ## Crash a market on a local node and watch the keeper keep it solvent
	$(BIN)/python -m deploy.devnet.demo --seed $(SEED) --accounts $(ACCOUNTS) --blocks $(BLOCKS) --pace $(PACE)

drill: setup ## Run the whole path on a fork of the endpoint of CONFIG
	$(BIN)/keeper drill -c $(CONFIG) --anvil "$$($(BIN)/python -c 'from deploy.devnet.chain.node import find_anvil; print(find_anvil())')"

test: contracts ## Run every test, and the checks
	$(MAKE) check
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup ## Lint, types, import contracts, purity
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/architecture

GOLDEN := vectors margin_pmrm1 margin_pmrm2 reference_grids contract_pmrm2 contract_auction contract_interest

golden: contracts ## Golden vectors only (KEEPER_VECTORS=DIR for another set)
	$(BIN)/python -m pytest $(GOLDEN:%=tests/golden/test_%.py)

bench: contracts ## Measure, and write build/bench.json
	$(BIN)/python -m tests.performance.bench

simulate: setup ## Deterministic simulation (SEEDS, FIRST)
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --first $(FIRST)

kill9: contracts ## Kill the sender at random places (RUNS kills) and judge by the chain
	$(BIN)/python -m tests.kill9 --kills $(RUNS)

plugs: contracts ## Pull plugs while a market crashes (PULLS runs of each) and judge by the chain
	$(BIN)/python -m tests.integration.plugs --runs $(PULLS)

soak: setup ## A keeper at 1,000 logs a block for SECONDS; its memory must not grow
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

clean: ## Remove what was built, keep what was installed
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
