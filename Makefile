# Two commands set everything up on a machine with Python (3.11 or newer) and make: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKOV := $(VENV)/checkov
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run down test check unit docker cluster checkov bench lock clean

help: ## what can be typed
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

run: $(READY) ## the reference workflow becomes a running platform on this machine
	@stepflow run examples/microservices/workflow.md
	@echo '  first    `. .venv/bin/activate`, so that this shell finds `stepflow`'

down: $(READY) ## take it down again; its data and the rendered source stay
	@stepflow down --name microservices-architecture-development-workflow

test: check unit checkov cluster docker ## everything that CI runs

check: $(READY) ## lint, types, layers
	@ruff check . && ruff format --check . && mypy src playbooks && lint-imports

unit: $(READY) ## all tests without Docker: first the quick ones on all cores, then those that start servers
	@pytest -q -n 2 --dist loadfile -m "not platform and not template and not docker and not checkov and not cluster"
	@pytest -q -n 2 --dist worksteal -m template
	@pytest -q -m "platform and not docker"

checkov: $(CHECKOV)/.ready ## the Kubernetes bundle before checkov, which has an environment of its own: it pins what it needs
	@CHECKOV=$(CHECKOV)/bin/checkov pytest -q -m checkov

docker: $(READY) ## the tests with a Docker engine of their own; on Linux, as root
	@pytest -q -m docker

cluster: $(READY) ## the tests in a real cluster, the one that STEPFLOW_TEST_KUBECONFIG names; without it they are skipped
	@pytest -q -m cluster

bench: $(READY) ## the figures of bench/, with how each was measured
	@for file in bench/*.py; do echo "== $$file"; python $$file || exit 1; done

LOCK := uv pip compile -q --universal --generate-hashes --no-strip-extras --no-emit-index-url --python-version 3.11 \
  --custom-compile-command "make lock"
TEMPLATES := $(patsubst %/pyproject.toml,%,$(wildcard templates/stepflow_templates/*/pyproject.toml))

lock: $(READY) ## resolve requirements.lock anew, then the templates' from it
	@$(LOCK) --upgrade --all-extras --group dev pyproject.toml -o requirements.lock
	@for each in $(TEMPLATES); do $(LOCK) --upgrade --no-annotate --constraints requirements.lock \
	  $$(printf '%s\n' $$each/pyproject.toml templates/stepflow_templates/chassis/pyproject.toml | sort -u) \
	  -o $$each/requirements.lock || exit 1; done
	@$(LOCK) --upgrade --no-annotate --constraints requirements.lock tests/data/hello/pyproject.toml \
	  -o tests/data/hello/requirements.lock
	@$(LOCK) --upgrade --no-annotate tests/checkov/requirements.in -o tests/checkov/requirements.lock

clean: ## remove the environment and the caches, but no platform's state
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: stepflow needs Python 3.11 or newer, and \`$(PYTHON)\` is $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "hint: \`make run PYTHON=python3.13\`, or whatever the newer one is called" >&2; exit 3; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
	  echo "error: \`$(PYTHON) -m venv\` does not work here" >&2; \
	  echo "hint: on Debian and Ubuntu, \`apt-get install python3-venv\`" >&2; exit 3; }
	@echo "installing what requirements.lock names into $(VENV) (once)"
	@if command -v uv >/dev/null; \
	  then uv pip install -q --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock; \
	  else $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; fi
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(CHECKOV)/.ready: $(READY) tests/checkov/requirements.lock
	@$(BIN)/python -m venv --clear $(CHECKOV)
	@echo "installing what tests/checkov/requirements.lock names into $(CHECKOV) (once)"
	@$(CHECKOV)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/checkov/requirements.lock
	@touch $@
