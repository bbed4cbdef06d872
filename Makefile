# Drover: what to type. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Outside the tree, so that every clone of it shares what is compiled.
export DROVER_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/drover
export CARGO_TARGET_DIR ?= $(DROVER_CACHE)/target
export PATH := $(HOME)/.cargo/bin:$(PATH)
ifdef CI
export CARGO_INCREMENTAL ?= 0
endif

# Arguments of `make demo`, as in: make demo ARGS=--once
ARGS ?=

.PHONY: help setup build demo test lint fmt deny arrows openapi bench clean-cache

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and testing need (as root: also the system packages)
	@scripts/setup.sh test

build: ## Build the server and the device daemon, unoptimised
	@scripts/setup.sh build
	@cargo build --locked -p drover -p drover-agent

demo: build ## Watch a fleet be updated: a good firmware lands, a bad one stops itself (ARGS=--once to end)
	@"$(CARGO_TARGET_DIR)/debug/drover" demo $(ARGS)

test: setup ## Everything that proves the project
	@scripts/test.sh

lint: ## Format, arrows between crates, licences, clippy, documentation
	@scripts/test.sh fmt arrows deny clippy doc

fmt: ## Format the code
	@cargo fmt --all

deny: ## Check licences, banned crates and sources
	@scripts/test.sh deny

arrows: ## Check which crate uses which
	@scripts/test.sh arrows

openapi: ## Write openapi/v1.json from the code
	@cargo xtask openapi

bench: ## Measure sizes and idle memory
	@cargo xtask bench footprint

clean-cache: ## Remove everything that was compiled or installed into the cache
	@test "$(notdir $(DROVER_CACHE))" = drover || { echo "not removed: $(DROVER_CACHE) does not end in /drover" >&2; exit 1; }
	rm -rf -- "$(DROVER_CACHE)"
