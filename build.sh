#!/usr/bin/env bash
# build.sh <target> <model-dir> <train|predict>
#
# What goes into a container, and which builder image makes it: the place to change either. As it stands it does what
# `modelyard build` does by itself; as soon as you edit it, `modelyard build` (and so every make target) runs it instead.
set -euo pipefail

target=${1:?usage: build.sh <target> <model-dir> <train|predict>}
model_dir=${2:?usage: build.sh <target> <model-dir> <train|predict>}
kind=${3:?usage: build.sh <target> <model-dir> <train|predict>}
modelyard=${MODELYARD:-modelyard}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# 1. The builder image: a folder of builders/, or name your own.
case $kind in
    train) builder=train ;;
    predict) builder=daemon ;;
    *) echo "build.sh: '$kind' is neither train nor predict" >&2 && exit 2 ;;
esac

# 2. Stage: the model directory under its package, common_utils/, utils/, kubeml/, requirements, setup.sh, .s2i/environment.
"$modelyard" stage "$model_dir" "$kind" "$context" --builder "$builder"

# 3. Yours: whatever else should be in the container, below upload/src. It counts towards the image's digest.
# cp -R "$(dirname "$0")/lookup_tables" "$context/upload/src/lookup_tables"

# 4. Build.
"$modelyard" build --context "$context" --tag "$target"
