# The commands a contributor and CI run. They create .venv by themselves; nothing but Python 3.11+ and make is needed.

# The first that runs and is new enough; a name on the path may be a launcher for a version that is not there.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
FUZZ_MINUTES ?= 10

ifdef UV
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo test check fuzz audit package bench bench-lipsync docs proto clean lock
.DEFAULT_GOAL := help

help:
	@echo "make demo           animate the bundled speech with the embedded model"
	@echo "make test           install and run every test"
	@echo "make check          formatting, lint and types"
	@echo "make fuzz           damaged input to every parser, for FUZZ_MINUTES=10 in all"
	@echo "make audit          licences of what is installed with facewave, and known weaknesses where pip-audit is there"
	@echo "make package        build wheel and sdist, and try them with every extra in clean environments"
	@echo "make bench          all benchmarks; make bench-lipsync: the lip-sync yardstick alone"
	@echo "make docs           check that the documents are true, and build the site"
	@echo "make proto          write src/facewave/wire/_proto from proto/"
	@echo "make lock           renew the pinned versions in constraints/ (needs uv)"
	@echo "make clean          remove what the others made"

demo: $(VENV)/.run
	$(BIN)/facewave demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --minutes $(FUZZ_MINUTES)

audit: $(VENV)/.dev
	$(BIN)/python -m tools.audit

package: $(VENV)/.dev
	$(BIN)/python -m tools.package

bench: bench-lipsync
	$(BIN)/python -m benchmarks.speed

bench-lipsync: $(VENV)/.dev
	$(BIN)/python -m benchmarks.lipsync

docs: $(VENV)/.dev
	$(BIN)/python -m pytest tests/test_docs.py tests/test_snippets.py tests/test_layers.py tests/test_public_api.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

proto: $(VENV)/.dev
	$(BIN)/python proto/generate.py

clean:
	rm -rf $(VENV) out build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/results

# Versions and hashes only, no addresses: the installer asks whatever index the user has set.
lock:
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
		--upgrade pyproject.toml constraints/build.in -o constraints/run.txt
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
		--upgrade --extra dev --extra server --extra studio --extra telemetry -c constraints/run.txt pyproject.toml constraints/build.in -o constraints/dev.txt
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
		--extra server --extra telemetry -c constraints/dev.txt pyproject.toml -o constraints/server.txt
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
		--extra server --extra telemetry -c constraints/dev.txt --no-emit-package onnxruntime pyproject.toml constraints/cuda.in \
		-o constraints/cuda.txt

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one or set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# First every pinned dependency with its hash, then this package alone, with the pinned build tool.
$(VENV)/.run: $(BIN)/python constraints/run.txt pyproject.toml
	$(INSTALL) --require-hashes -r constraints/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run constraints/dev.txt
	$(INSTALL) --require-hashes -r constraints/dev.txt
	@touch $@
