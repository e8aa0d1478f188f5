# Two commands set everything up on a machine with Python (3.11 or newer) and make: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKOV := $(VENV)/checkov
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run down test check quick unit fast slow coverage docker cluster checkov mutants bench size lock upgrade clean

help: ## what can be typed
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

run: $(READY) ## the reference workflow becomes a running platform on this machine
	@stepflow run examples/microservices/workflow.md
	@echo '  first    `. .venv/bin/activate`, so that this shell finds `stepflow`'

down: $(READY) ## take it down again; its data and the rendered source stay
	@stepflow down --name microservices-architecture-development-workflow

test: check unit checkov cluster docker ## everything that CI runs

check: $(READY) ## lint, types, layers, wording
	@ruff check . && ruff format --check . && mypy src playbooks && lint-imports && pytest -q tests/unit/test_wording.py

FAST := -q -n 2 --dist loadfile -m "not platform and not template and not docker and not checkov and not cluster and not install"

quick: check ## while working: lint, types, layers and most tests, in under two minutes on 2 cores
	@pytest $(FAST) --ignore tests/scenario --ignore tests/packaging
	@echo 'left out: tests/scenario and tests/packaging (`make fast`), service templates, real servers and fresh'
	@echo '          environments (`make slow`), checkov, Docker, a cluster (`make checkov docker cluster`)'

unit: fast slow ## all tests without Docker

fast: $(READY) ## the tests that start no server, on two cores
	@pytest $(FAST)

slow: $(READY) ## the service templates' own tests, those that start real servers, and fresh environments
	@pytest -q -n 2 --dist worksteal -m template
	@pytest -q -m "platform and not docker"
	@pytest -q -m install

coverage: $(READY) ## `make fast` with what it covers of stepflow and its playbooks, in lines and branches
	@coverage erase
	@coverage run -m pytest $(FAST)
	@coverage combine -q
	@coverage report
	@echo "the fast tests cover $$(coverage report --format=total) % of lines and branches"

checkov: $(CHECKOV)/.ready ## the Kubernetes bundle before checkov, which has an environment of its own: it pins what it needs
	@CHECKOV=$(CHECKOV)/bin/checkov pytest -q -m checkov

docker: $(READY) ## the tests with a Docker engine of their own; on Linux, as root
	@pytest -q -m docker

cluster: $(READY) ## the tests in a real cluster, the one that STEPFLOW_TEST_KUBECONFIG names; without it they are skipped
	@pytest -q -m cluster

mutants: $(READY) ## change the code in many small ways and see which changes no test notices; `MUTANTS="plan journal"`: these modules only
	@python tests/mutants.py $(MUTANTS)

bench: $(READY) ## the figures of bench/, with how each was measured
	@for file in bench/*.py; do echo "== $$file"; python $$file || exit 1; done

size: $(READY) ## the figures of docs/architecture.md: files, lines, import cycles, rooms
	@python bench/size.py

LOCK := uv pip compile -q --universal --generate-hashes --no-strip-extras --no-emit-index-url --python-version 3.11 \
  --custom-compile-command "make lock"
TEMPLATES := $(patsubst %/pyproject.toml,%,$(wildcard templates/stepflow_templates/*/pyproject.toml))

upgrade: UPGRADE := --upgrade
upgrade: lock ## `make lock` with the newest version of everything

lock: $(READY) ## resolve requirements.lock after a change in pyproject.toml, then the templates' from it; pins stay
	@$(LOCK) $(UPGRADE) --all-extras --group dev pyproject.toml -o requirements.lock
	@for each in $(TEMPLATES); do $(LOCK) $(UPGRADE) --no-annotate --constraints requirements.lock \
	  $$(printf '%s\n' $$each/pyproject.toml templates/stepflow_templates/chassis/pyproject.toml | sort -u) \
	  -o $$each/requirements.lock || exit 1; done
	@$(LOCK) $(UPGRADE) --no-annotate --constraints requirements.lock tests/data/hello/pyproject.toml \
	  -o tests/data/hello/requirements.lock
	@$(LOCK) $(UPGRADE) --no-annotate tests/checkov/requirements.in -o tests/checkov/requirements.lock

clean: ## remove the environment and the caches, but no platform's state
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

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
