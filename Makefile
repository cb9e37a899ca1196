# molt-market. Every target sets up what it needs. Needed on the machine: Python 3.11 or 3.12, and GNU make 4.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Set-up is one thing after the other, whatever -j says; stages of the tests are two at a time.
$(if $(TWO_AT_A_TIME),,$(eval .NOTPARALLEL:))
MAKEFLAGS += --no-print-directory --no-builtin-rules
$(if $(filter oneshell,$(.FEATURES)),,$(error GNU make 4 or newer is needed, this is $(MAKE_VERSION)))

# Environments that cannot be one (pyproject.toml, [dependency-groups]): the product and its tests; ape with the
# contract tests; the provers; what the matcher is measured against, which only `make bench` makes. Each is made again
# when its lock changes, and only then.
PRODUCT := .venv/.ready
APE := .venv-ape/.ready
PROVE := .venv-prove/.ready
BENCH := .venv-bench/.ready
# The chain, the compiler and the Solidity libraries come from npm; node itself comes with the product's environment.
NODE := node_modules/.ready

# The tools of the checkout go before those of the machine; nothing but package caches is written outside it.
export PATH := $(CURDIR)/.toolchain/bin:$(PATH)
export SOLCX_BINARY_PATH := $(CURDIR)/.toolchain
export APE_DATA_FOLDER := $(CURDIR)/.toolchain/ape
export UV_PYTHON_DOWNLOADS := never
# Many containers set this. Here it costs much: tests start hundreds of processes, and each would compile again all that
# it imports, which takes longer than what it then does.
unexport PYTHONDONTWRITEBYTECODE

python := .venv/bin/python
pytest := .venv/bin/python -m pytest
step := scripts/make/step
stage := scripts/make/stage
# What a stage says is held back until it is over, so as not to be mixed with the other one's; that it begins, it says at
# once (on descriptor 9: make 4.3 has its jobserver on low ones).
two_at_a_time = exec 9>&1; $(MAKE) TWO_AT_A_TIME=yes -j2 --output-sync
install := scripts/make/install

.PHONY: help demo test check deep bench dev
help:
	@echo 'make demo            signed offers become settled money on a local chain, in one command'
	@echo 'make test            everything that CI runs: the checks below and all tests, until the first failure'
	@echo 'make check           format, lint, types, import layers, slither, and that the exported ABIs fit the contracts'
	@echo 'make deep            the property, fuzz and invariant tests with many more examples, coverage, proofs, all mutants'
	@echo 'make bench NAME=...  one benchmark of benchmarks/, or all of them'
	@echo 'make dev             set up all environments, and say what to do next'

demo: $(PRODUCT) $(NODE)
	@$(python) -m scripts.demo

# --- tests: each stage is also a target of its own: make test-unit ARGS='-k price' ---

# Two run at a time, in this order: each keeps about one core busy, and the last two take as long. What runs with two
# tokens is two stages (tests/tokens.py).
STAGES := unit integration-18 integration-6 agent parity forge wheel e2e kills hardhat mutation contracts-18 contracts-6
.PHONY: $(STAGES:%=test-%) test-contracts test-integration compiled
test: $(PRODUCT) $(NODE) $(APE) $(PROVE)
	@echo 'Two stages at a time; each shows what it said when it is over, and until then in .cache/stages/.'
	@$(two_at_a_time) check compiled $(STAGES:%=test-%) && $(stage) --total $$SECONDS check $(STAGES)

test-contracts test-integration:
	@$(two_at_a_time) $@-18 $@-6

check: $(PRODUCT) $(NODE) $(PROVE)
	@$(stage) check scripts/make/check

# all but the gateway's: many of those wait for jobs of theirs
test-unit: $(PRODUCT) $(NODE)
	@$(stage) unit $(pytest) tests/unit --ignore=tests/unit/agent $(ARGS)

test-agent: $(PRODUCT) $(NODE)
	@$(stage) agent $(pytest) tests/unit/agent $(ARGS)

# ape compiles a file again when it changed itself, not when a library that it imports or a setting did: without what it
# remembers it asks for everything, which the compiler's own cache (scripts/make/solc.js) answers at once. In a checkout
# inside the system's temporary folder ape would compile in place, and leave a copy of its dependency in contracts/. It
# compiles before both runs start: side by side they would take each other's files away.
compiled: $(APE) $(NODE)
	@mkdir -p .cache/tmp
	@rm -f .build/__local__.json
	@TMPDIR=$(CURDIR)/.cache/tmp $(step) 'compiling the contracts with ape' .venv-ape/bin/ape compile

test-contracts-18 test-contracts-6: test-contracts-%: compiled
	@TOKEN_DECIMALS=$* TMPDIR=$(CURDIR)/.cache/tmp $(stage) contracts-$* .venv-ape/bin/ape test tests/contracts $(ARGS)

# fuzz tests and invariants in Solidity: make test-forge ARGS='--match-contract Claim'
test-forge: $(PRODUCT) $(NODE)
	@$(stage) forge scripts/make/forge $(ARGS)

test-parity: $(PRODUCT) $(NODE)
	@$(stage) parity $(pytest) tests/parity $(ARGS)

test-integration-18 test-integration-6: test-integration-%: $(PRODUCT) $(NODE)
	@TOKEN_DECIMALS=$* $(stage) integration-$* $(pytest) tests/integration $(ARGS)

# the same against Hardhat's node, which differs from Anvil in what it knows and in how it says things: here some of it,
# all of it in deep (what it cannot do is in tests/nodes/hardhat.txt)
HARDHAT := MOLT_ANVIL=$(CURDIR)/tests/nodes/hardhat.mjs
SOME := create_job_escrow settle_job endings_disputes endings_split client indexer
test-hardhat: $(PRODUCT) $(NODE)
	@$(HARDHAT) $(stage) hardhat $(pytest) $(SOME:%=tests/integration/test_%.py) $(ARGS)

# processes are killed at random moments, until payments were in every state at some death
test-kills: $(PRODUCT) $(NODE)
	@$(stage) kills $(pytest) tests/kills $(ARGS)

test-e2e: $(PRODUCT) $(NODE)
	@$(stage) e2e $(pytest) tests/e2e $(ARGS)

test-wheel: $(PRODUCT) $(NODE)
	@$(stage) wheel $(pytest) tests/wheel $(ARGS)

# four small faults in the escrow, each of which the forge tests must notice (docs/mutation.md); all of the sample: deep
test-mutation: $(PRODUCT) $(NODE)
	@$(stage) mutation $(python) -m scripts.make.mutate few

deep: $(PRODUCT) $(NODE) $(APE) $(PROVE)
	@HYPOTHESIS_PROFILE=deep $(stage) deep $(pytest) tests/unit
	@BOTH_TOKENS=yes HYPOTHESIS_PROFILE=deep $(MAKE) test-integration
	@BOTH_TOKENS=yes $(MAKE) test-contracts
	@$(HARDHAT) $(stage) hardhat-deep $(pytest) tests/integration
	@MOLT_KILLS=250 MOLT_ORDERS=20000 $(stage) kills-deep $(pytest) tests/kills
	@$(stage) forge-deep scripts/make/forge deep
	@$(stage) coverage $(python) -m scripts.make.coverage
	@$(stage) proofs $(python) -m scripts.make.prove
	@$(stage) mutants $(python) -m scripts.make.mutate again

# the matcher's rivals are in an environment of their own, made when they are wanted
bench: $(PRODUCT) $(NODE) $(if $(filter-out matcher,$(or $(NAME),matcher)),,$(BENCH))
	@for file in $(if $(NAME),benchmarks/$(NAME).py,benchmarks/[!_]*.py); do name=$$(basename "$$file" .py); \
	  $$([ "$$name" = matcher ] && echo .venv-bench/bin/python || echo $(python)) -m "benchmarks.$$name"; done

# --- set-up ---

dev: $(PRODUCT) $(NODE) $(APE) $(PROVE)
	@echo 'Ready. Next: `make demo` shows the market at work, `make test` proves it.'
	@echo 'Python: .venv/bin/python. Tools (anvil, forge, cast, node): .toolchain/bin.'

.venv/bin/uv: requirements/setup.txt
	@python=$$(scripts/make/check-machine) && rm -rf .venv && \
	  $(step) 'making the product environment (.venv)' "$$python" -m venv .venv
	@$(step) 'installing uv, which installs the rest' .venv/bin/pip install --require-hashes -r requirements/setup.txt
	@touch $@

$(PRODUCT): requirements/dev.txt pyproject.toml .venv/bin/uv
	@$(install) .venv requirements/dev.txt 'installing the product and its tools (.venv, 920 MB)'
	@scripts/make/link-tools node
	@touch $@

$(NODE): package-lock.json package.json | $(PRODUCT)
	@$(step) 'installing the chain, the compiler and Solidity libraries (node_modules, 380 MB)' npm ci --ignore-scripts
	@scripts/make/link-tools packages
	@touch $@

$(APE): requirements/ape.txt pyproject.toml | $(PRODUCT)
	@$(install) .venv-ape requirements/ape.txt 'installing ape for the contract tests (.venv-ape, 210 MB)'
	@touch $@

$(PROVE): requirements/prove.txt | $(PRODUCT)
	@$(install) .venv-prove requirements/prove.txt 'installing the provers (.venv-prove, 180 MB)'
	@touch $@

$(BENCH): requirements/bench.txt pyproject.toml | $(PRODUCT)
	@$(install) .venv-bench requirements/bench.txt 'installing what the matcher is measured against (.venv-bench, 670 MB)'
	@touch $@

# --- files that are made and committed ---

.PHONY: abi mutants lock
abi: $(PRODUCT) $(NODE) # after a change of a contract
	@$(python) scripts/export_abi.py

mutants: $(PRODUCT) $(NODE) # after a change of the escrow
	@$(python) -m scripts.make.mutate list

# after a change of dependencies in pyproject.toml or package.json; UPGRADE=--upgrade takes the newest of each
lock: $(PRODUCT)
	@scripts/make/lock $(UPGRADE)
