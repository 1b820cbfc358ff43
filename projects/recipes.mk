# The recipes of every model directory, every project and every all/. A directory's own Makefile sets the names and
# includes this file. What a recipe uses may be set on the command line:
#   make train MODEL_NAME=adult_income_rf2      make predict PORT=8080      make build-predict ENGINE=docker
#   make train MODEL=s3://bucket/folder/rf      make predict MODEL=s3://bucket/folder/rf
#   make data dataSource=s3://bucket/folder/            make train LOCKED=1   (fail unless lock files are fresh)
#   make build-predict MAX_SIZE=500MB   (fail where the image is larger)
#   make push REGISTRY=host/name TAG=v1   (images of an engine of images, to a registry)
#   make pipeline SET="train.lr=0.01 data.seed=2" JOBS=2
#   make train SETUP=1   (show setup.sh and run it on this machine, which the embedded engine never does otherwise)

# Values are stripped where they are used: of `MODEL_NAME = rf   # a comment`, make takes the blanks for a part of the name.
# Relative, as a Makefile includes it: the workspace's own path may hold spaces.
RECIPES   := $(lastword $(MAKEFILE_LIST))
WORKSPACE := $(dir $(RECIPES))..
MODELYARD ?= $(or $(wildcard $(WORKSPACE)/.venv/bin/modelyard),modelyard)
ENGINE    ?= $(MODELYARD_ENGINE)
# not ?=: some shells export HOST, the name of this machine
HOST       = $(or $(MODELYARD_HOST),127.0.0.1)
PORT      ?= 5111
export MODELYARD_ENGINE := $(strip $(ENGINE))
LOCKED    ?= $(MODELYARD_LOCKED)
export MODELYARD_LOCKED := $(strip $(LOCKED))
MAX_SIZE  ?= $(MODELYARD_MAX_SIZE)
export MODELYARD_MAX_SIZE := $(strip $(MAX_SIZE))
SHM_SIZE  ?= $(MODELYARD_SHM_SIZE)
export MODELYARD_SHM_SIZE := $(strip $(SHM_SIZE))
SETUP     ?= $(MODELYARD_SETUP)
export MODELYARD_SETUP := $(strip $(SETUP))
TAG       ?= latest
PUSHED     = $(strip $(or $(REGISTRY),REGISTRY))/$(strip $(CONTAINER_NAME))

# What kubeml is told: make train PARALLELISM=4 K=16. Of the command line only: shells export such short names, and what
# the Makefile of a model directory sets, the command reads there.
TOLD = PARALLELISM=parallelism K=k EPOCHS=epochs BATCH=batch LR=lr VALIDATE_EVERY=validate-every SEED=seed SYNC=sync \
    GOAL_ACCURACY=goal-accuracy AVERAGE=average WARM_UP=warm-up OUTER_LR=outer-lr OUTER_MOMENTUM=outer-momentum
TOLD_FLAGS = STATIC=static RESET_OPTIMIZER=reset-optimizer FRESH=fresh
TYPED = $(and $(filter command,$(origin $(1))),$(strip $($(1))))
DISTRIBUTED = $(foreach pair,$(TOLD),$(if $(call TYPED,$(firstword $(subst =, ,$(pair)))),--$(lastword $(subst =, ,$(pair))) \
    "$(call TYPED,$(firstword $(subst =, ,$(pair))))")) \
    $(foreach pair,$(TOLD_FLAGS),$(if $(filter-out 0 no false,$(call TYPED,$(firstword $(subst =, ,$(pair))))),--$(lastword $(subst =, ,$(pair)))))

# A model directory has an .s2i/environment, or at least its Makefile sets MODEL_NAME; an all/ is called so.
IS_MODEL := $(wildcard .s2i/environment)$(filter file,$(origin MODEL_NAME))
LEVEL := $(if $(filter all,$(lastword $(subst /, ,$(CURDIR)))),all,$(if $(IS_MODEL),model,project))

.DEFAULT_GOAL := help
.PHONY: help

help:
	@awk -F ':.*## $(LEVEL): ' '/^[a-z-]+:.*## $(LEVEL): / {printf "  %-16s %s\n", $$1, $$2}' "$(RECIPES)" $(filter-out $(RECIPES),$(MAKEFILE_LIST))

# Phony where there is a recipe and nowhere else: make says that a phony target without one is done.
ifeq ($(LEVEL),model)

.PHONY: build-train train build-predict predict push test-endpoint logs stop
build-train:      ## model: build the train image
	@"$(MODELYARD)" build . train --tag "$(strip $(CONTAINER_NAME))-train"
train:            ## model: build, train, write the model binary and its manifest
	@"$(MODELYARD)" train . --tag "$(strip $(CONTAINER_NAME))-train" --model-name "$(strip $(MODEL_NAME))" --dataset "$(strip $(DATASET_NAME))" $(DISTRIBUTED) $(if $(MODEL),--push "$(strip $(MODEL))")
build-predict:    ## model: build the predict image
	@"$(MODELYARD)" build . predict --tag "$(strip $(CONTAINER_NAME))-predict"
predict:          ## model: build, serve on PORT, return when the model is ready
	@"$(MODELYARD)" serve . --tag "$(strip $(CONTAINER_NAME))-predict" --name "$(strip $(CONTAINER_NAME))" --model-name "$(strip $(MODEL_NAME))" $(if $(MODEL),--pull "$(strip $(MODEL))") --host "$(strip $(HOST))" --port "$(strip $(PORT))"
push:             ## model: build both images and push them to REGISTRY=host/name
	@"$(MODELYARD)" build . train --tag "$(strip $(CONTAINER_NAME))-train" --push "$(PUSHED)-train:$(strip $(TAG))"
	@"$(MODELYARD)" build . predict --tag "$(strip $(CONTAINER_NAME))-predict" --push "$(PUSHED)-predict:$(strip $(TAG))"
test-endpoint:    ## model: send test/test_instances.json to what predict serves
	@"$(MODELYARD)" test . --host "$(strip $(HOST))" --port "$(strip $(PORT))"
logs:             ## model: follow the log of what predict serves
	@"$(MODELYARD)" logs -f "$(strip $(CONTAINER_NAME))"
stop:             ## model: stop what predict serves
	@"$(MODELYARD)" stop "$(strip $(CONTAINER_NAME))"

else ifeq ($(LEVEL),all)

.PHONY: train-all generate check-generated build-all predict-all push test-all logs stop
train-all:        ## all: train every model of MODEL_DIRS
	@"$(MODELYARD)" train $(or $(addprefix ../,$(MODEL_DIRS)),$(error MODEL_DIRS is empty))
generate:         ## all: write this folder again from the models of MODEL_DIRS
	@"$(MODELYARD)" generate . --models "$(strip $(MODEL_DIRS))"
check-generated:  ## all: fail, with a diff, when this folder is stale
	@"$(MODELYARD)" generate . --models "$(strip $(MODEL_DIRS))" --check
build-all:        ## all: build the daemon's image
	@"$(MODELYARD)" build . predict --tag "$(strip $(CONTAINER_NAME))-predict"
predict-all:      ## all: build, serve every model on PORT, return when all are ready
	@"$(MODELYARD)" serve . --tag "$(strip $(CONTAINER_NAME))-predict" --name "$(strip $(CONTAINER_NAME))" --host "$(strip $(HOST))" --port "$(strip $(PORT))"
push:             ## all: build the daemon's image and push it to REGISTRY=host/name
	@"$(MODELYARD)" build . predict --tag "$(strip $(CONTAINER_NAME))-predict" --push "$(PUSHED)-predict:$(strip $(TAG))"
test-all:         ## all: send every model its test instances
	@"$(MODELYARD)" test . --host "$(strip $(HOST))" --port "$(strip $(PORT))"
logs:             ## all: follow the daemon's log
	@"$(MODELYARD)" logs -f "$(strip $(CONTAINER_NAME))"
stop:             ## all: stop the daemon
	@"$(MODELYARD)" stop "$(strip $(CONTAINER_NAME))"

else

.PHONY: data train-all generate check-generated build-all predict-all push test-all logs stop pipeline pipeline-status
data:             ## project: get the project's data into data/
	@"$(MODELYARD)" data . $(if $(dataSource),--source "$(strip $(dataSource))")
pipeline:         ## project: run the steps of flow.yaml that something has changed for
	@"$(MODELYARD)" flow run . $(foreach item,$(SET),--set "$(item)") $(if $(JOBS),--jobs "$(strip $(JOBS))")
pipeline-status:  ## project: say which steps are up to date
	@"$(MODELYARD)" flow status .
train-all:        ## project: train every model
	@"$(MODELYARD)" train .
generate:         ## project: write all/ from the model directories
	@"$(MODELYARD)" generate .
check-generated:  ## project: fail, with a diff, when all/ is stale
	@"$(MODELYARD)" generate . --check
build-all:        ## project: build one daemon image for every model
predict-all:      ## project: serve every model on PORT, return when all are ready
push:             ## project: push the daemon's image to REGISTRY=host/name
test-all:         ## project: send every model its test instances
logs:             ## project: follow the daemon's log
stop:             ## project: stop the daemon
build-all predict-all push test-all logs stop:
	@$(MAKE) --no-print-directory -C all $@

endif
