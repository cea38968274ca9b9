# SPDX-License-Identifier: Apache-2.0
# Developers' verbs. Users need only ./sennit.
FUZZ_SECONDS ?= 600
HOURS ?= 1
KIND ?= tcp
JOBS ?= 1
CLANG_FORMAT ?= clang-format-14

.PHONY: help build lint format test unit net matrix fuzz scale soak congestion bench coverage demo clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' $(MAKEFILE_LIST) | expand -t 12

build: ## compile the extension and make .venv
	@./sennit help >/dev/null

lint: ## ruff, mypy --strict, clang-format
	@./sennit test --only lint

format: ## clang-format and ruff's safe fixes, in place
	@find native tests -name '*.[ch]' | xargs $(CLANG_FORMAT) -i
	@.venv/bin/ruff check --fix .

test: ## everything CI runs
	@./sennit test

unit: ## C tests, sanitizers, unit and simulator tests
	@./sennit test --only c,san,unit

net: ## the runtime against the kernel in network namespaces (root)
	@./sennit test --only net

fuzz: ## every fuzz target for FUZZ_SECONDS each (600); TARGET=fuzz_x for one
	@./sennit test --only fuzz --seconds $(FUZZ_SECONDS) $(if $(TARGET),--target $(TARGET))

scale: ## 10000 connections held, 100000 opened and closed against the kernel (root)
	@./sennit help >/dev/null
	@SENNIT_CHURN=100000 .venv/bin/python -P -m pytest -v tests/net/test_scale.py

matrix: ## every cell of the interoperability matrix against the kernel (root); goes on where it stopped; JOBS=N (1)
	@./sennit matrix --jobs $(JOBS)

congestion: ## docs/congestion.md and its pictures from the simulator
	@./sennit sim --congestion-report docs/

bench: ## instructions per segment, ACK and connection into docs/performance.md
	@./sennit bench cost --record

coverage: ## lines of native/tcp and native/wire that tests reach; JSON=1; RECORD=1 writes docs/coverage.md
	@./sennit test --coverage $(if $(JSON),--json) $(if $(RECORD),--record)

soak: ## random scenarios for HOURS (1); KIND=tcp or mptcp
	@./sennit sim --soak $(HOURS) --kind $(KIND)

demo: ## three paths to a Linux kernel peer (root)
	@./sennit demo

clean: ## remove build/; .venv stays
	@rm -rf build
