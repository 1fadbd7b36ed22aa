# Two commands set a fresh machine up: `make demo` and `make test`. Both install what they need from the lock.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
comma := ,

export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib

.PHONY: help
help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements/tidegate.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tidegate needs Python 3.11 or newer; set PYTHON=python3.11"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements/tidegate.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: install
install: $(READY)  ## install everything from the lock into .venv

# Hashes of every file of every package, and no registry's address.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.PHONY: lock
lock:  ## write requirements/*.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --all-extras --group dev pyproject.toml -o requirements/tidegate.lock
	$(MAKE) lock-image

# The images install the very versions that the tests run with.
.PHONY: lock-image
lock-image:  ## write the images' locks anew from requirements/tidegate.lock
	$(COMPILE) --extra serving --constraints requirements/tidegate.lock pyproject.toml -o requirements/serving.lock
	$(COMPILE) --extra stack --constraints requirements/tidegate.lock pyproject.toml -o requirements/pipeline.lock
	echo 'hatchling>=1.27' | $(COMPILE) --constraints requirements/tidegate.lock - -o requirements/build.lock

# Debian's client knows BuildKit; another one that comes first on PATH may not.
DOCKER ?= $(firstword $(wildcard /usr/bin/docker) docker)
BASE_IMAGE ?= python:3.13-slim
IMAGE ?= tidegate-serving
PIPELINE_IMAGE ?= tidegate-pipeline
DEBIAN_BASE ?= debian:trixie-slim
CA_BUNDLE ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)

.PHONY: image-serving
image-serving:  ## build the serving container's image (BASE_IMAGE, IMAGE, CA_BUNDLE and PIP_CONFIG_FILE may be set)
	DOCKER_BUILDKIT=1 $(DOCKER) build --build-arg BASE_IMAGE=$(BASE_IMAGE) $(if $(CA_BUNDLE),--secret id=ca$(comma)src=$(CA_BUNDLE)) \
	  $(if $(PIP_CONFIG_FILE),--secret id=pip$(comma)src=$(PIP_CONFIG_FILE)) -f docker/serving/Dockerfile -t $(IMAGE) .

.PHONY: image-pipeline
image-pipeline:  ## build the pipeline container's image, as image-serving does (its name: PIPELINE_IMAGE)
	DOCKER_BUILDKIT=1 $(DOCKER) build --build-arg BASE_IMAGE=$(BASE_IMAGE) $(if $(CA_BUNDLE),--secret id=ca$(comma)src=$(CA_BUNDLE)) \
	  $(if $(PIP_CONFIG_FILE),--secret id=pip$(comma)src=$(PIP_CONFIG_FILE)) -f docker/pipeline/Dockerfile -t $(PIPELINE_IMAGE) .

.PHONY: image-debian
image-debian:  ## build PostgreSQL, HAProxy, Prometheus and Alertmanager from Debian's packages (DEBIAN_BASE may be set)
	DOCKER_BUILDKIT=1 $(DOCKER) build --build-arg BASE_IMAGE=$(DEBIAN_BASE) -f docker/debian/Dockerfile -t tidegate-debian .

.PHONY: stack-secrets
stack-secrets: $(READY)  ## make what is missing of the stack's secrets (root)
	$(BIN)/python docker/make_secrets.py

# STACK adds files, such as STACK="-f docker/compose.debian.yaml".
STACK ?=
STRATEGIES ?=
COMPOSE = STRATEGIES=$(STRATEGIES) $(DOCKER) compose -f docker/compose.yaml $(STACK)

.PHONY: stack-up
stack-up:  ## start the whole stack in containers (STRATEGIES=name,name)
	@test -n "$(STRATEGIES)" || { echo "name the strategies: STRATEGIES=simulated-demo make stack-up"; exit 2; }
	@cd docker && test -e "$${SECRETS:-./secrets}/backup-password" || { echo "secrets are missing: make stack-secrets, as root"; exit 2; }
	$(COMPOSE) up --detach --wait

.PHONY: stack-down
stack-down:  ## stop the stack; what it keeps stays in its volumes
	STRATEGIES=none $(DOCKER) compose -f docker/compose.yaml $(STACK) down

.PHONY: demo
demo: $(READY)  ## real EUR/USD is refused, the simulated market is promoted: the main job, whole
	$(BIN)/tidegate demo

.PHONY: up
up: $(READY)  ## start Prefect, MLflow and a worker; Ctrl-C stops them
	$(BIN)/tidegate up

# Whole files go to one worker or the other: what a file's tests share is made once.
TEST_WORKERS ?= 2

# Before the tests, so that no test waits for a build of everything.
.PHONY: build-rust
build-rust: lock-rust
ifneq ($(CARGO),)
	cd clients/rust && "$(CARGO)" test --quiet --locked --all-features --all-targets --no-run
	cd clients/rust && "$(CARGO)" build --quiet --locked --all-features --bins --examples
endif

# The record of the tests names what they ran on; `tidegate checklist` takes it for no other commit, nor for a changed checkout.
COMMIT = $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2> /dev/null || echo unknown)

.PHONY: test
test: $(READY) build-rust  ## run all tests that this machine can run (TEST_WORKERS=0: one after another)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --junitxml runs/checklist/tests.xml -o junit_suite_name=$(COMMIT)

# CHAOS="--minutes 5 --seed 2" bounds it otherwise, and draws other faults.
CHAOS ?= --minutes 30

.PHONY: chaos
chaos: $(READY)  ## inject faults into real operations for half an hour, and say what held (root, Linux)
	$(BIN)/python -m tests.chaos --report runs/chaos/report.json $(CHAOS)

.PHONY: test-stack
test-stack: $(READY)  ## build the whole stack's images and run its story, and flows as containers, in a container engine (root, up to a quarter of an hour)
	TIDEGATE_TEST_STACK=1 $(BIN)/python -m pytest tests/container/test_stack.py tests/container/test_work_pool.py

# Debian's packages that some tests need: a program that shows that a package is there already, and the package's name.
SYSTEM := /usr/lib/postgresql/*/bin/initdb=postgresql /usr/sbin/dockerd=docker.io /usr/bin/mmdebstrap=mmdebstrap /usr/bin/prometheus=prometheus \
  /usr/bin/prometheus-alertmanager=prometheus-alertmanager /usr/sbin/rsyslogd=rsyslog /usr/bin/chromium=chromium /usr/bin/npm=npm \
  /usr/bin/restic=restic /usr/sbin/haproxy=haproxy /usr/bin/strace=strace /usr/bin/cc=gcc /usr/include/stdio.h=libc6-dev
# What Debian releases that split docker.io up have beside it.
SYSTEM_OPTIONAL := docker-cli docker-buildx

.PHONY: system
system:  ## add Debian's packages for the tests that need them (root)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  missing=""; \
	  for entry in $(SYSTEM); do ls $${entry%%=*} > /dev/null 2>&1 || missing="$$missing $${entry##*=}"; done; \
	  if [ -n "$$missing" ]; then \
	    apt-get update -q; \
	    case "$$missing" in *docker*) for name in $(SYSTEM_OPTIONAL); do \
	      if apt-cache show $$name > /dev/null 2>&1; then missing="$$missing $$name"; fi; done;; esac; \
	    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $$missing; \
	  fi; \
	else echo "make system needs root and apt-get; skipped"; fi

# Rust's programs, also where rustup put them and the PATH does not know it. What is built lies in .cache, and may lie elsewhere.
CARGO ?= $(firstword $(shell command -v cargo) $(wildcard $(HOME)/.cargo/bin/cargo))
export CARGO_TARGET_DIR ?= $(CURDIR)/.cache/cargo
ifneq ($(CARGO),)
export PATH := $(PATH):$(dir $(CARGO))
endif

.PHONY: check
check: $(READY) check-rust  ## format, lint with security rules, secrets, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m supply.secrets
	$(BIN)/mypy
	cd docker/grafana && $(CURDIR)/$(BIN)/mypy --strict build.py
	cd clients/conformance && $(CURDIR)/$(BIN)/mypy --strict --config-file= kit.py
	$(BIN)/mypy --strict --config-file= clients/rust/lock.py
	$(BIN)/lint-imports --config pyproject.toml

.PHONY: secrets
secrets: $(READY)  ## look for secrets in every tracked file, as check does
	$(BIN)/python -m supply.secrets

.PHONY: sbom
sbom: $(READY)  ## write both images' bills of materials to runs/sbom; without an engine, those of their locks
	$(BIN)/python -m supply.sbom --docker $(DOCKER) serving=$(IMAGE) pipeline=$(PIPELINE_IMAGE)

# The lock of everything; AUDIT_OPTIONS adds words of pip-audit.
AUDIT_LOCK ?= requirements/tidegate.lock
AUDIT_OPTIONS ?=

.PHONY: audit
audit: $(READY)  ## ask OSV over the network for known faults of what the lock names
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --vulnerability-service osv $(AUDIT_OPTIONS) -r $(AUDIT_LOCK)

.PHONY: lock-rust
lock-rust:
ifneq ($(CARGO),)
	@$(PYTHON) clients/rust/lock.py --cargo "$(CARGO)"
endif

.PHONY: check-rust
check-rust: lock-rust  ## format, lint and documentation of the Rust client
ifeq ($(CARGO),)
	@test "$(CI)" != true || { echo "cargo is not on this machine, and CI=true needs it"; exit 1; }
	@echo "cargo is not on this machine; the Rust client is not checked"
else
	cd clients/rust && "$(CARGO)" fmt --check
	cd clients/rust && "$(CARGO)" clippy --quiet --locked --all-targets --all-features -- -D warnings
	cd clients/rust && RUSTDOCFLAGS="-D warnings" "$(CARGO)" doc --quiet --locked --no-deps --all-features
endif

.PHONY: format
format: $(READY)  ## format and fix what can be fixed
	$(if $(CARGO),cd clients/rust && "$(CARGO)" fmt)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --exit-zero .

# Warnings are errors: a link that leads nowhere, a page that is in no list, a docstring that cannot be read.
.PHONY: docs
docs: $(READY)  ## build the documentation site into .cache/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d .cache/docs-state docs .cache/docs
	@echo "open .cache/docs/index.html"

.PHONY: dashboards
dashboards:  ## write Grafana's dashboards anew from docker/grafana
	$(PYTHON) docker/grafana/build.py --write

.PHONY: screenshots
screenshots: $(READY)  ## take the documentation's pictures anew, of real servers, with Chromium (many minutes)
	$(BIN)/python -m docs.screenshots

.PHONY: bench
bench: $(READY)  ## measure speed and memory, how often the gates promote, and how often monitoring errs
	$(BIN)/python -m benchmarks.window --threads 1
	$(BIN)/python -m benchmarks.window --threads 2
	$(BIN)/python -m benchmarks.retraining
	$(BIN)/python -m benchmarks.side_by_side
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.backtest
	$(BIN)/python -m benchmarks.validation
	$(BIN)/python -m benchmarks.features
	$(BIN)/python -m benchmarks.prediction_log
	$(BIN)/python -m benchmarks.promotion_rate
	$(BIN)/python -m benchmarks.monitoring
	$(BIN)/python -m benchmarks.monitoring_errors
	$(BIN)/python -m benchmarks.statistics_errors
	$(BIN)/python -m benchmarks.proposal_errors

.PHONY: bench-bot
bench-bot: $(READY)  ## measure what the clients cost, and a day of faults
	$(BIN)/python -m benchmarks.bot

.PHONY: bench-serving
bench-serving: $(READY)  ## measure the service and its rivals, each in an environment of its own
	$(BIN)/python -m benchmarks.serving
