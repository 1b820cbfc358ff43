"""A flow as a pipeline of Kubeflow Pipelines: a component a step, its image by digest; compiled by its own compiler."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.commands.flow_request import Prepared
from modelyard.errors import InputError
from modelyard.flows.definition import PLACEHOLDER, Source, Step
from modelyard.flows.search import merge_params, plan_trials

# What the train builder's run script is started by, in whichever image: inputs are links, outputs are moved at the end.
_FUNCTION = """\
set -euo pipefail
cd "${APP_ROOT:=/model}"
mkdir -p inputs outputs
while [[ "$1" != -- ]]; do rm -rf "inputs/$1"; ln -s "$2" "inputs/$1"; shift 2; done
shift
/usr/libexec/s2i/run
while [[ $# -gt 0 ]]; do mkdir -p "$(dirname "$2")"; cp -R "outputs/$1" "$2"; shift 2; done
"""
_COMMAND = '"$@"'


def export_kfp(prepared: Prepared, images: Mapping[str, str], target: Path) -> int:
    """Compile the flow to `target` and load it back; return how many components it has.

    `images` are references by digest: of each model directory by its name, and for the commands by `command`. Raises
    InputError for an image that is missing or has no digest, and for what a pipeline can't say.
    """
    try:
        from kfp import compiler, components, dsl
    except ModuleNotFoundError as error:
        raise InputError(
            f"the Python package {error.name!r} is not installed", hint="pip install 'modelyard[kfp]'"
        ) from None
    specs = {name: describe_component(step, prepared, images) for name, step in prepared.flow.steps.items()}
    made = {name: components.load_component_from_text(json.dumps(spec)) for name, spec in specs.items()}

    def build() -> None:
        tasks: dict[str, Any] = {}
        for name, step in prepared.flow.steps.items():
            given = {key: _take(source, tasks, dsl) for key, source in step.inputs.items()}
            task = made[name](**given).set_display_name(name)
            tasks[name] = task.set_retry(num_retries=step.retries) if step.retries else task

    pipeline = dsl.pipeline(name=prepared.flow.project.name.replace("_", "-"))(build)
    compiler.Compiler().compile(pipeline, str(target))
    loaded = components.load_component_from_file(str(target))
    return len(loaded.pipeline_spec.components)


def _take(source: Source, tasks: Mapping[str, Any], dsl: Any) -> Any:
    if source.step is None:
        raise InputError(
            f"{source.path}: a file of the project is not on the cluster", hint="make a step that gets it from a bucket"
        )
    return tasks[source.step].outputs[source.output]


def describe_component(step: Step, prepared: Prepared, images: Mapping[str, str]) -> dict[str, Any]:
    """A step as a component: what it takes, makes and runs."""
    image = _find_image(step, prepared, images)
    container = _describe_function(step, prepared) if step.run else _describe_command(step, prepared)
    return {
        "name": step.name,
        "inputs": [{"name": name, "type": "Artifact"} for name in step.inputs],
        "outputs": [{"name": name, "type": "Artifact"} for name in step.outputs],
        "implementation": {"container": {"image": image, **container}},
    }


def _find_image(step: Step, prepared: Prepared, images: Mapping[str, str]) -> str:
    name = prepared.sources.models[step.name].name if step.run else "command"
    image = images.get(name)
    if image is None:
        raise InputError(f"step {step.name}: no image for {name}", hint=f"--image {name}=HOST/NAME@sha256:...")
    if "@sha256:" not in image:
        raise InputError(
            f"--image {name}={image}: no digest, so that it may be another tomorrow",
            hint="`modelyard build --push` prints it",
        )
    return image


def _describe_function(step: Step, prepared: Prepared) -> dict[str, Any]:
    module, function = prepared.sources.entry(step)
    payload = {
        "params": _params(step, prepared),
        "inputs": {name: f"inputs/{name}" for name in step.inputs},
        "outputs": {name: f"outputs/{file}" for name, file in step.outputs.items()},
    }
    arguments: list[Any] = [part for name in step.inputs for part in (name, {"inputPath": name})]
    arguments += ["--"]
    arguments += [part for name, file in step.outputs.items() for part in (file, {"outputPath": name})]
    variables = {"TRAIN": "1", "TRAIN_MODULE": module, "TRAIN_FUNCTION": function, "PAYLOAD": json.dumps(payload)}
    return {"command": ["bash", "-c", _FUNCTION, "bash"], "args": arguments, "env": variables}


def _params(step: Step, prepared: Prepared) -> dict[str, Any]:
    params = prepared.config.pick(step.params)
    if step.search is None:
        return params
    trials = plan_trials(step.search, prepared.config) if step.search.method != "optuna" else []
    if len(trials) != 1:
        raise InputError(
            f"step {step.name} searches, which a pipeline of its own components does not",
            hint="export it with the best values: --set train.lr=0.01",
        )
    return merge_params(params, trials[0])


def _describe_command(step: Step, prepared: Prepared) -> dict[str, Any]:
    return {"command": ["bash", "-c", _COMMAND, "bash"], "args": [_word(word, step, prepared) for word in step.words]}


def _word(word: str, step: Step, prepared: Prepared) -> Any:
    match = PLACEHOLDER.fullmatch(word)
    if match and match["kind"] != "params":
        return {f"{match['kind'].removesuffix('s')}Path": match["name"]}
    if any(each["kind"] != "params" for each in PLACEHOLDER.finditer(word)):
        raise InputError(f"step {step.name}: {word}: a path must be a word of its own", hint="split the word")
    return PLACEHOLDER.sub(lambda found: str(prepared.config.get(found["name"])), word)
