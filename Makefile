# Thin: the work is in the packages. `make demo` and `make test` need Python 3.11 and the package registries only.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# CHX runs Python 3.12: where an interpreter is found, the core's tests pass there too. Those of tests/physics, which
# compare numbers with closed forms for minutes, run on 3.11 alone: the same numpy makes the numbers.
PYTHON312 ?= $(shell for candidate in python3.12 "$$(pyenv prefix 3.12 2>/dev/null)/bin/python"; do \
	"$$candidate" -c '' 2>/dev/null && { echo "$$candidate"; break; }; done)
PYTEST_ARGS ?=
# Tests of one file share their servers, so they stay in one worker.
PYTEST_WORKERS ?= -n auto --dist loadfile
BENCH_ARGS ?= --write

.PHONY: setup demo test test-312 test-long system check docs bench clean

# pip compiles twenty thousand files on one core, compileall on all of them; some files are templates and do not compile.
INSTALL := pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
COMPILE := python -W ignore -m compileall -q -q -j 0

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/$(INSTALL) --editable '.[dev]'
	@$(BIN)/$(COMPILE) $(VENV)/lib || true
	touch $@

demo: setup
	$(BIN)/gbx demo

test: setup
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest $(PYTEST_WORKERS) $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory test-312

ifeq ($(PYTHON312),)
test-312:
	@echo "no Python 3.12 here: the core's tests were run on 3.11 only"
else
test-312: .venv312/.installed
	.venv312/bin/python -m pytest $(PYTEST_WORKERS) $(PYTEST_ARGS) --allowed-skips tests/allowed_skips_core.txt \
		tests/unit tests/reference tests/architecture

.venv312/.installed: pyproject.toml constraints.txt
	test -x .venv312/bin/python || $(PYTHON312) -m venv .venv312
	.venv312/bin/$(INSTALL) --editable '.[test]'
	@.venv312/bin/$(COMPILE) .venv312/lib || true
	touch $@
endif

# Tests of parts that run for a while beside each other: what is killed, restarted, retrained, restored.
test-long: setup
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest $(PYTEST_WORKERS) -m 'long and not slow' $(PYTEST_ARGS) tests/system

# What the catalog is for, once more with PostgreSQL and Redis, as deploy/tiled.yml has them. The long tests of it
# (averages, groups, samples, reprocessing) can be run so by hand, with -m 'not slow'.
ON_POSTGRESQL = catalog inference_records traces end_of_run

# On services of its own from the system's packages, which .ci/system-packages installs. Without them tests skip, unless
# GBX_SYSTEM=1.
system: setup
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest $(PYTEST_WORKERS) -m 'system and not slow' $(PYTEST_ARGS) tests
	GBX_TEST_CATALOG=deployed $(BIN)/python -m pytest $(PYTEST_WORKERS) $(PYTEST_ARGS) $(ON_POSTGRESQL:%=tests/system/test_%.py)

# The site in docs/_build/html; a warning (a broken link, a name that is gone) is an error.
docs: setup
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto docs docs/_build/html

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	@$(MAKE) --no-print-directory docs

# Peers live in an environment of their own: they pin other versions, and boost-corr asks for a newer Python than it needs.
bench: setup .venv-peers/.installed
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

.venv-peers/.installed: benchmarks/peers-requirements.txt benchmarks/peers.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement benchmarks/peers-requirements.txt
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
		--requirement benchmarks/peers.txt
	touch $@

clean:
	rm -rf $(VENV) .venv312 .venv-peers
