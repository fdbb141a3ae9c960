# Bare `make` prints this menu. Everything is installed into .venv by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/contracts libs/chassis libs/providers libs/telephony services/call-orchestrator services/voice \
	services/conversation services/campaign-stats services/edge tools/simulators tools

# Tests wait more than they work: one process more than there are cores.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.DEFAULT_GOAL := menu
.PHONY: menu install demo up test lint format bench chaos docs dashboards contracts lock clean

menu: ## this menu
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## everything into .venv, locked by hashes

$(VENV)/.installed: requirements/uv.txt requirements/development.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/development.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

demo: install ## a campaign of 25 calls on this machine: no account, no Docker (FAULTS=1: vendors fail in the middle)
	$(BIN)/centralita demo $(if $(FAULTS),--faults)

up: install ## the same system, staying up on fixed ports, data in .data/
	$(BIN)/centralita up

test: install ## every test, in random order, on loopback
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup

lint: install ## ruff, mypy, the rooms, the contracts, compose and Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy libs services tools tests bench
	$(BIN)/lint-imports --verbose --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	$(BIN)/python -m contracts check
	$(BIN)/python -m centralita.monitoring check
	$(BIN)/python -m contracts.nats_configuration | diff deploy/nats/permissions.conf - || { echo 'run make contracts'; exit 1; }
	$(BIN)/hadolint deploy/Dockerfile
# The package's own command swallows the exit code: run the program inside it.
	compose="$$($(BIN)/python -c 'import compose; print(compose.__path__[0])')/docker-compose"; \
	env GRAFANA_PASSWORD=lint $$(sed -n 's/^\(NATS_PASSWORD_[A-Z_]*\)=$$/\1=lint/p' .env.example) \
		"$$compose" --env-file .env.example config -q

format: install ## what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## figures as ratios to a baseline of the same run
	$(BIN)/python -m bench

chaos: install ## kill -9 of each service, and of each node of a NATS cluster, in turn during a running campaign
	$(BIN)/pytest -q tests/chaos

docs: install ## what is generated: the state machine's page, the README's picture
	$(BIN)/python -m centralita.docs.event_flow README.md README.es.md
	$(BIN)/python -m centralita.docs.state_machine > docs/state-machine.md

dashboards: install ## stores Grafana's dashboards as the code has them
	$(BIN)/python -m centralita.monitoring store

contracts: install ## stores the schemas and the AsyncAPI document; refuses a breaking change
	$(BIN)/python -m contracts store
	$(BIN)/python -m contracts.nats_configuration > deploy/nats/permissions.conf

lock: install ## resolves every dependency anew, with hashes
	UV=$(BIN)/uv sh requirements/lock.sh

clean: ## forget the environment and all data
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .lint-imports.log
