# `make help` lists what there is to make. What is installed here goes into .venv.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 5000
WORKERS ?= 3
FUZZED ?= syntax typed words ignore lint planned options shell
FUZZ_SECONDS ?= 60
ARGS ?=

# Debian's names. The demo needs the first for its base image; a user who is not root needs the next two.
DEMO_PACKAGES := mmdebstrap uidmap passt crun git
TEST_PACKAGES := $(DEMO_PACKAGES) curl runc slirp4netns skopeo umoci podman buildah qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross

# A machine with certificates of its own (a proxy that reads TLS) lends them to what runs in a build.
ifneq ($(SSL_CERT_FILE)$(REQUESTS_CA_BUNDLE)$(PIP_CERT),)
export WHERRY_HOST_CA ?= 1
endif

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/wherry $(VENV)/demo-packages ## build a Flask image, run it, ask it over HTTP (PORT=5000)
	@PATH="$(abspath $(BIN)):$$PATH" tools/demo.sh $(PORT)

.PHONY: sizes
sizes: $(VENV)/wherry $(VENV)/demo-packages ## print the sizes of single-stage and multi-stage images side by side
	@PATH="$(abspath $(BIN)):$$PATH" tools/sizes.sh

.PHONY: test
test: $(VENV)/test-tools $(VENV)/test-packages ## run the whole test suite (ARGS="-k name")
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: test-modes
test-modes: $(VENV)/test-tools $(VENV)/test-packages ## run the end-to-end tests in each mode, and through crun and runc
	@for mode in userns single-id; do WHERRY_ISOLATION=$$mode $(E2E) || exit 1; done
	@for runtime in crun runc; do WHERRY_TEST_RUNTIME=$$runtime $(E2E) || exit 1; done

.PHONY: lint
lint: $(VENV)/test-tools ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

.PHONY: bench
bench: $(VENV)/test-tools $(VENV)/test-packages ## measure, and compare with other builders (ARGS="--quick --with buildah")
	@PYTHONPATH=tests $(BIN)/python -m bench.bench $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/test-tools ## feed what reads text with odd inputs, FUZZ_SECONDS=60 each (x86-64 only)
	@for target in $(FUZZED); do echo "fuzzing $$target"; \
		PYTHONPATH=tests $(BIN)/python -m fuzz.run $$target .fuzz/$$target \
		-max_total_time=$(FUZZ_SECONDS) -verbosity=0; done

.PHONY: clean
clean: ## remove .venv and the tools' caches; images stay
	rm -rf $(VENV) .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/wherry: pyproject.toml tools/venv.sh tools/compile.py $(wildcard src/wherry/runtime/init/*.[ch])
	@tools/venv.sh $(VENV) .
	@touch $@

$(VENV)/test-tools: pyproject.toml $(VENV)/wherry
	@tools/venv.sh $(VENV) '.[dev]'
	@touch $@

$(VENV)/demo-packages: Makefile tools/packages.sh $(VENV)/wherry
	@tools/packages.sh $(DEMO_PACKAGES)
	@touch $@

$(VENV)/test-packages: Makefile tools/packages.sh tools/registry.sh $(VENV)/wherry
	@tools/packages.sh $(TEST_PACKAGES)
	@tools/registry.sh $(BIN)
	@touch $@
