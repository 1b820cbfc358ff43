# modelyard, from a fresh clone:  make demo   (four models trained and served)   make test   (the whole suite)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ENGINE ?= $(MODELYARD_ENGINE)
# not ?=: some shells export HOST, the name of this machine
HOST   = $(or $(MODELYARD_HOST),127.0.0.1)
PORT   ?= 5111
export MODELYARD_ENGINE := $(strip $(ENGINE))
LOCKED ?= $(MODELYARD_LOCKED)
export MODELYARD_LOCKED := $(strip $(LOCKED))
MAX_SIZE ?= $(MODELYARD_MAX_SIZE)
export MODELYARD_MAX_SIZE := $(strip $(MAX_SIZE))
SHM_SIZE ?= $(MODELYARD_SHM_SIZE)
export MODELYARD_SHM_SIZE := $(strip $(SHM_SIZE))
SETUP ?= $(MODELYARD_SETUP)
export MODELYARD_SETUP := $(strip $(SETUP))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit lint data generate check-generated train-all build-all predict-all push test-all logs \
        stop doctor base-image pin-gateway clean pipeline pipeline-status

help:             ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' Makefile
	@echo "Per model: make -C projects/<project>/<model> help.  Variables: ENGINE=local|docker|podman|oci HOST PORT PYTHON"

setup: $(VENV)/.tool ## make .venv with the tool in it
demo: $(VENV)/.tool ## train four models, build one daemon, send it requests, show one table, stop
	@$(BIN)/modelyard demo --engine "$(or $(ENGINE),local)" --host "$(strip $(HOST))" --port "$(strip $(PORT))"
test: $(VENV)/.dev lint ## run the whole test suite
	@$(BIN)/pytest $(PYTEST_OPTIONS) -n auto --hypothesis-profile=thorough tests/unit tests/component; code=$$?; \
	  [ $$code -le 1 ] || exit $$code; $(BIN)/pytest $(PYTEST_OPTIONS) -n auto --dist loadscope tests/integration || exit; exit $$code
test-unit: $(VENV)/.dev ## run the unit tests only: no process, no framework, a few seconds
	@$(BIN)/pytest $(PYTEST_OPTIONS) -n auto tests/unit
lint: $(VENV)/.dev ## run ruff, mypy, import-linter and shellcheck
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache
	@$(BIN)/shellcheck build.sh .ci/run builders/*/s2i/bin/* builders/base/make-base-image

data: $(VENV)/.tool ## get every project's data
	@$(BIN)/modelyard data projects
generate: $(VENV)/.tool ## write every all/ from the model directories
	@$(BIN)/modelyard generate projects
check-generated: $(VENV)/.tool ## fail, with a diff, when an all/ is stale
	@$(BIN)/modelyard generate projects --check
pipeline: $(VENV)/.tool ## run what has changed of the flow of PROJECT (default: the one that has a flow.yaml)
	@$(BIN)/modelyard flow run $(if $(PROJECT),"projects/$(strip $(PROJECT))",projects)
pipeline-status: $(VENV)/.tool ## say which steps of that flow are up to date
	@$(BIN)/modelyard flow status $(if $(PROJECT),"projects/$(strip $(PROJECT))",projects)
train-all: $(VENV)/.tool ## train every model of every project
	@$(BIN)/modelyard train projects
build-all:        ## build one daemon image for every model of every project
predict-all:      ## serve every model of every project on PORT, return when all are ready
push:             ## push that image to REGISTRY=host/name
test-all:         ## send every model of every project its test instances
logs:             ## follow that daemon's log
stop:             ## stop that daemon
build-all predict-all push test-all logs stop: $(VENV)/.tool
	@$(MAKE) --no-print-directory -C projects/all $@
doctor: $(VENV)/.tool ## say what is missing on this machine and in this workspace, and how to mend it
	@$(BIN)/modelyard doctor
base-image: $(if $(filter oci,$(ENGINE)),$(VENV)/.tool) ## make modelyard-base:bookworm of Debian packages [PACKAGES="libgomp1 ..."], where no image registry is in reach
	@ENGINE=$(or $(filter podman oci,$(ENGINE)),docker) PYTHON=$(BIN)/python PACKAGES="$(strip $(PACKAGES))" builders/base/make-base-image
pin-gateway: $(VENV)/.tool ## write the newest versions that builders/daemon/requirements.in allows into requirements.txt
	@$(BIN)/uv pip compile --no-config --quiet --upgrade --universal --python-version 3.11 \
	  builders/daemon/requirements.in --output-file builders/daemon/requirements.txt
clean:            ## remove .venv and caches (images and environments: modelyard prune)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

# The tool's own virtual environment. pip reads the user's own settings: index, proxy, certificates.
$(VENV)/.tool: pyproject.toml | $(VENV)/bin/pip
	@echo "---> installing modelyard into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[data,docker]' && touch $@
$(VENV)/.dev: pyproject.toml $(VENV)/.tool
	@echo "---> installing what the tests need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]' && touch $@
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "modelyard needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "---> making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) has no venv module: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
