# What one does with this repository. Each target installs what it needs first and can be run again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help setup build lint test test-rust demo bench oracle reference regress fuzz-smoke storm

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

setup: ## install what is missing (packages, test servers, test clients)
	@scripts/setup.sh

build: setup ## build the binary, for release
	$(CARGO) build --locked --release --package gatepost

lint: setup ## formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings

test: lint test-rust ## everything that has to hold
	@echo "make test: all passed"

test-rust: setup ## all Rust tests, documentation's included
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --locked --workspace --no-fail-fast
else
	$(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast
endif
	$(CARGO) test --locked --workspace --doc

storm: setup ## connects and disconnects for a minute, with a crash of the gateway in the middle
	GATEPOST_STORM=60 $(CARGO) test --locked --package gatepost --test it roles::a_storm -- --nocapture

demo: setup ## a tour against a throwaway shop; ONCE=1 leaves after it
	@scripts/demo.sh

bench: setup ## compare with no proxy, a plain relay and PgBouncer; writes docs/benchmarks.md
	$(CARGO) build --locked --release --package gatepost --package xtask
	$(CARGO) run --locked --release --quiet --package xtask -- bench

oracle: setup ## compare with what PostgreSQL itself checks, 14 to 18; writes docs/exactness.md (ORACLE="--seed 2" and so on)
	@scripts/corpora.sh
	$(CARGO) run --locked --release --quiet --package xtask -- oracle $(ORACLE)

reference: setup ## write docs/reference/ from what the program itself obeys
	@mkdir -p docs/reference
	$(CARGO) run --locked --quiet --package gatepost -- docs-reference docs/reference

regress: setup ## PostgreSQL's own regression suite, directly and through Gatepost; FILES="rules ..." compares only these
	@scripts/corpora.sh
	$(CARGO) build --locked --package gatepost --package xtask
	target/debug/xtask regress "$${GATEPOST_TOOLS:-/opt/gatepost-tools}/regression-15" $(FILES)

fuzz-smoke: setup ## the fuzz targets on many more generated inputs than `make test` takes
	FUZZ_ITERATIONS=$${FUZZ_ITERATIONS:-300000} $(CARGO) test --locked --package fuzz --test smoke
