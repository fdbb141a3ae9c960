# Bare `make` prints this menu. Everything is installed into .venv by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEECH_VENV := .speech
SPEECH_PROGRAM := $(CURDIR)/$(SPEECH_VENV)/bin/python $(CURDIR)/tools/speech/speak.py
PACKAGES := libs/contracts libs/sealing libs/chassis libs/providers libs/records libs/telephony services/call-orchestrator services/voice \
	services/conversation services/campaign-stats services/edge tools/simulators tools/console tools

# Tests mostly wait, so there is one process more than there are cores.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.DEFAULT_GOAL := menu
.PHONY: menu install demo speech up test lint ruff-check ruff-format mypy import-linter format bench bench-calls bench-live chaos docs pictures site dashboards contracts sbom lock clean

menu: ## print this menu
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## install everything into .venv, locked by hashes

$(VENV)/.installed: requirements/uv.txt requirements/development.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/development.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

demo: install $(if $(SPEECH),speech) ## a campaign of 25 calls on this machine: no account, no Docker (FAULTS=1: vendors fail; LIVE=1: live conversations, SPEECH=1: with real speech; CAMPAIGN=1: two campaigns, FORGET=leslie: erases her at the end)
	$(if $(SPEECH),SPEECH_PROGRAM="$(SPEECH_PROGRAM)" )$(BIN)/centralita demo $(if $(FAULTS),--faults) $(if $(LIVE),--live) $(if $(CAMPAIGN),--campaigns) $(if $(FORGET),--forget $(FORGET))

speech: $(SPEECH_VENV)/.installed ## install programs that speak for the simulators (GPL, 130 MB, in .speech), for SPEECH=1

$(SPEECH_VENV)/.installed: requirements/speech.txt
	$(PYTHON) -m venv $(SPEECH_VENV)
	$(SPEECH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/speech.txt
	@touch $@

up: install ## the same system on fixed ports until Ctrl-C, data in .data/
	$(BIN)/centralita up

test: install ## run all tests, in random order, on loopback
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup

lint: ruff-check ruff-format mypy import-linter ## ruff, mypy, the layers, the contracts, compose, Dockerfile and Caddyfile
	$(BIN)/python -m contracts check
	$(BIN)/python -m centralita.monitoring check
	$(BIN)/python -m contracts.nats_configuration | diff deploy/nats/permissions.conf - || { echo 'run make contracts'; exit 1; }
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/caddy fmt --diff deploy/Caddyfile > .caddy.log || { cat .caddy.log; exit 1; }
	APP_BASE_URL=https://calls.example.com $(BIN)/caddy validate --config deploy/Caddyfile > .caddy.log 2>&1 || { cat .caddy.log; exit 1; }
# The package's own command swallows the exit code: run the program inside it.
	compose="$$($(BIN)/python -c 'import compose; print(compose.__path__[0])')/docker-compose"; \
	env GRAFANA_PASSWORD=lint $$(sed -n 's/^\(NATS_PASSWORD_[A-Z_]*\)=$$/\1=lint/p' .env.example) \
		"$$compose" --env-file .env.example config -q

ruff-check: install
	$(BIN)/ruff check .

ruff-format: install
	$(BIN)/ruff format --check .

mypy: install
	$(BIN)/mypy libs services tools tests bench

import-linter: install
	$(BIN)/lint-imports --verbose --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }

format: install ## apply the corrections of ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## measure, as ratios to a baseline of the same run; and the console with 50 browsers
	$(BIN)/python -m bench
	$(BIN)/python -m bench.console

bench-calls: install ## measure whole calls (quick: CALLS=1000 ROUNDS=1; BEFORE=<checkout>; OPTIONS=--help)
	$(BIN)/python -m bench.calls $(if $(CALLS),--calls $(CALLS)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(BEFORE),--before $(BEFORE)) $(OPTIONS)

bench-live: install ## measure live conversations at real time, beside a bare bot (quick: CALLS=10 OPTIONS='--runs conversations')
	$(BIN)/python -m bench.live $(if $(CALLS),--calls $(CALLS)) $(OPTIONS)

chaos: install ## faults during a running campaign (CALLS=1000 FAULTS=100 SEED=7: one large run)
	CALLS=$(CALLS) FAULTS=$(FAULTS) SEED=$(SEED) $(BIN)/pytest -q \
		$(if $(CALLS)$(FAULTS)$(SEED),tests/chaos/test_faults.py,-n 2 --dist loadfile tests/chaos)

docs: install ## generate the page of the state machine and the README's diagram
	$(BIN)/python -m centralita.docs.event_flow README.md README.es.md
	$(BIN)/python -m centralita.docs.state_machine > docs/state-machine.md

pictures: install ## take the pictures in docs/pictures with Chromium
	PICTURES=docs/pictures $(BIN)/pytest -q -n 0 tests/browser/test_pictures.py

site: install ## build the documentation site in build/site, offline
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Open build/site/index.html'

dashboards: install ## write the Grafana dashboards from the code
	$(BIN)/python -m centralita.monitoring store

contracts: install ## write the schemas and the AsyncAPI document; refuse a breaking change
	$(BIN)/python -m contracts store
	$(BIN)/python -m contracts.nats_configuration > deploy/nats/permissions.conf

sbom: install ## write sbom.json: a CycloneDX list of the production packages
	$(BIN)/cyclonedx-py requirements requirements/production.txt --output-reproducible --output-format JSON --output-file sbom.json

lock: install ## resolve every dependency again, with hashes
	UV=$(BIN)/uv sh requirements/lock.sh

clean: ## delete the environment and all data
	rm -rf $(VENV) $(SPEECH_VENV) sbom.json build/site .data .mypy_cache .ruff_cache .pytest_cache .lint-imports.log .caddy.log
