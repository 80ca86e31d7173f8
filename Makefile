# Needs Python 3.11 or newer and make, nothing else. `make help` lists the targets.
.DEFAULT_GOAL := help

BIN := .venv/bin
INSTALLED := .venv/.installed
CODE := app tools tests migrations run.py gunicorn.conf.py
# Two processes share the test files; each has a PostgreSQL and an Apache Kafka of its own.
TWO_AT_A_TIME := -n 2 --dist loadfile
COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-strip-extras --generate-hashes --universal --python-version 3.11

# PG_BIN takes the programs of another PostgreSQL, such as PG_BIN=/usr/lib/postgresql/15/bin.
ifdef PG_BIN
export PG_BIN
endif

.PHONY: run stack test check bench chaos chaos-quick chaos-ablation fuzz mutation lint format documents requirements sbom audit clean help

run: $(INSTALLED) ## start PostgreSQL, Apache Kafka and the service on port 3000
	@exec $(BIN)/python -m tools.stack run

stack: $(INSTALLED) ## start PostgreSQL and Apache Kafka, print their addresses
	@exec $(BIN)/python -m tools.stack up

test: $(INSTALLED) ## all tests; TESTS=tests/contract for some; PG_BIN=/usr/lib/postgresql/15/bin on another PostgreSQL
	$(BIN)/python -m pytest $(TWO_AT_A_TIME) $(TESTS)

check: lint ## format, lint, types, all tests with coverage; CI runs this
	$(BIN)/python -m pytest $(TWO_AT_A_TIME) --cov --cov-report=term --durations=15

bench: $(INSTALLED) ## measure this service beside its peers, half an hour; CASE=create,get for some; growth, scaling, profile
	$(BIN)/python -m tests.benchmarks --write $(if $(CASE),--case $(CASE))

chaos: $(INSTALLED) ## the fault matrix, over an hour; ROW=2,17 for some rows; SECONDS=60; SEED=1
	$(BIN)/python -m tests.faults.matrix $(if $(ROW),--row $(ROW),--write) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

chaos-quick: $(INSTALLED) ## six rows in their short form, some minutes; ROW=4,17 for others
	$(BIN)/python -m tests.faults.matrix --quick $(if $(ROW),--row $(ROW)) $(if $(SEED),--seed $(SEED))

chaos-ablation: $(INSTALLED) ## take out one protection at a time: its row must turn red
	$(BIN)/python -m tests.faults.ablation --write $(if $(SEED),--seed $(SEED))

fuzz: $(INSTALLED) ## fuzz what reads bytes of others, some minutes; TARGET=decoder, heads, commands, records, credentials; RUNS=1000000
	@$(BIN)/python -c 'import atheris' 2> /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r tests/fuzz/requirements.txt
	@set -e; for target in $(or $(TARGET),decoder heads commands records credentials); do \
		$(BIN)/python -m tests.fuzz $$target $(if $(RUNS),--runs $(RUNS)); done

mutation: $(INSTALLED) ## mutation test of the rules: how many planted faults the tests find
	$(BIN)/mutmut run
	$(BIN)/mutmut export-cicd-stats
	@cat mutants/mutmut-cicd-stats.json

lint: $(INSTALLED) ## format, lint and types only
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

format: $(INSTALLED) ## format the code and order its imports
	$(BIN)/ruff check --select I --fix $(CODE)
	$(BIN)/ruff format $(CODE)

documents: $(INSTALLED) ## write docs/openapi.json, docs/asyncapi.json with its page, and docs/settings.md anew
	@$(BIN)/python -m tools.documents

requirements: $(INSTALLED) ## compile pyproject.toml's lists into requirements*.txt; UPGRADE=--upgrade takes newer versions
	$(COMPILE) $(UPGRADE) pyproject.toml -o requirements.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --extra tracing -c requirements.txt -o requirements-tracing.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --group dev -c requirements-tracing.txt -o requirements-dev.txt
	$(COMPILE) $(UPGRADE) --group supply -o requirements-supply.txt
	$(COMPILE) $(UPGRADE) --group peers -c requirements.txt -o tests/benchmarks/requirements.txt
	$(COMPILE) $(UPGRADE) --group fuzz -o tests/fuzz/requirements.txt

sbom: $(INSTALLED) ## write build/sbom.json (CycloneDX) and build/licences.md of what the service is made of
	@$(BIN)/python -m tools.supply sbom

audit: $(INSTALLED) ## ask the package index for known vulnerabilities of requirements.txt
	@$(BIN)/python -m tools.supply audit

clean: ## remove the environment, the stack with its data, and caches
	rm -rf .venv .stack build .mypy_cache .pytest_cache .ruff_cache .fuzz .hypothesis .schemathesis mutants htmlcov .coverage .coverage.*

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 16

$(INSTALLED): requirements.txt requirements-dev.txt tools/install.sh
	@tools/install.sh
	@touch $@
