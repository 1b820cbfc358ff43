"""Train a model: build its train image, run it with the project's data and models folders, report what came out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.commands.building import BuildRequest, Limits, build_image, describe_build
from modelyard.commands.data import ensure_data
from modelyard.commands.function_run import FunctionRun, run_function
from modelyard.commands.manifest import has_binary, is_trained_on, read_manifest
from modelyard.commands.reporter import Reporter
from modelyard.commands.subject import choose_model_name
from modelyard.context.build_context import digest_parts
from modelyard.engines.parts import require_runner
from modelyard.engines.protocols import Engine, Image, Mount
from modelyard.workspace import ModelDirectory, Workspace

SOURCE_DIGEST = "MODELYARD_SOURCE_DIGEST"
IMAGE_DIGEST = "MODELYARD_IMAGE_DIGEST"
# Variables of the Makefile that are keys of the payload, in small letters; what kubeml reads of them is its own affair.
DISTRIBUTED = (
    "PARALLELISM",
    "K",
    "EPOCHS",
    "BATCH",
    "LR",
    "VALIDATE_EVERY",
    "GOAL_ACCURACY",
    "STATIC",
    "SEED",
    "SYNC",
    "AVERAGE",
    "RESET_OPTIMIZER",
    "WARM_UP",
    "OUTER_LR",
    "OUTER_MOMENTUM",
)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Which model to train, on what; `payload` replaces the one made of data set and model name."""

    workspace: Workspace
    model: ModelDirectory
    tag: str | None = None
    model_name: str | None = None
    dataset: str | None = None
    payload: Mapping[str, Any] | None = None
    variant: str = "cpu"
    reuse: bool = False
    distributed: Mapping[str, Any] = field(default_factory=dict)
    """What kubeml is told, on top of the Makefile's."""
    limits: Limits = field(default_factory=Limits)

    @property
    def binary_name(self) -> str:
        """The name the model binary gets."""
        return choose_model_name(self.model, self.model_name)

    @property
    def dataset_name(self) -> str:
        """The file below the project's data/ to train on; empty where the model makes its own data."""
        return self.dataset if self.dataset is not None else self.model.makefile_variables.get("DATASET_NAME", "")

    @property
    def train_payload(self) -> dict[str, Any]:
        """What `msg.payload` is in the train function."""
        if self.payload is not None:
            return {**self.payload, **self.distributed}
        reference = {"$ref": f"data/{self.dataset_name}"} if self.dataset_name else {}
        variables = self.model.makefile_variables
        told = {name.lower(): variables[name] for name in DISTRIBUTED if variables.get(name)}
        return {**reference, "model_name": self.binary_name, **told, **self.distributed}

    @property
    def build(self) -> BuildRequest:
        """The train image it runs."""
        return BuildRequest(
            workspace=self.workspace,
            subject=self.model,
            kind="train",
            tag=self.tag,
            variant=self.variant,
            limits=self.limits,
        )

    @property
    def models_folder(self) -> Path:
        """The project's models/."""
        return self.model.path.parent / "models"

    @property
    def data_folder(self) -> Path:
        """The project's data/."""
        return self.model.path.parent / "data"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came out: the train function's result, the manifest of the binary, and whether it was there before."""

    model: str
    result: Any
    manifest: Mapping[str, Any] | None
    reused: bool

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics in the manifest."""
        metrics: Mapping[str, Any] = (self.manifest or {}).get("metrics", {})
        return metrics


def train_model(request: TrainRequest, engine: Engine, reporter: Reporter) -> Trained:
    """Build and run the train image; raise RunError with the user's own traceback's last lines where it failed."""
    runner, name = require_runner(engine), request.binary_name
    if request.payload is None and request.dataset_name:
        ensure_data(request.model, request.dataset_name, request.workspace, reporter)
    image = build_image(request.build, engine, reporter)
    manifest = read_manifest(request.models_folder, name)
    if request.reuse and manifest is not None and _is_current(request, manifest, image):
        reporter.note(f"{request.model.full_name}: source and data are unchanged, the trained model is reused")
        return Trained(model=request.model.full_name, result=None, manifest=manifest, reused=True)
    before = _written_at(request)
    for folder in (request.data_folder, request.models_folder):
        folder.mkdir(exist_ok=True)
    with reporter.step(f"training {request.model.full_name}") as step:
        result = run_function(make_run(request, image), runner, step.output).result
        step.done(f"trained {request.model.full_name}")
    written = read_manifest(request.models_folder, name)
    if _written_at(request) == before:
        reporter.note(f"{request.model.full_name}: the train function saved no model named {name}")
        written = None
    return Trained(model=request.model.full_name, result=result, manifest=written, reused=False)


def describe_train(request: TrainRequest) -> list[str]:
    """Say what a training run would do, without an engine."""
    module, function = request.model.train_entry
    return [
        *describe_build(request.build),
        f"run {module}.{function} with the payload {json.dumps(request.train_payload)}",
        f"  data   {request.data_folder} (read only)",
        f"  models {request.models_folder}",
    ]


def _written_at(request: TrainRequest) -> int | None:
    path = request.models_folder / f"{request.binary_name}.json"
    return path.stat().st_mtime_ns if path.is_file() else None


def make_run(request: TrainRequest, image: Image) -> FunctionRun:
    """The run of the train function in its image, with the project's data and models folders."""
    return FunctionRun(
        subject=request.model,
        image=image.id,
        payload=request.train_payload,
        inputs=[Mount(source=request.data_folder, target="data", read_only=True)],
        output=Mount(source=request.models_folder, target="models"),
        environment={
            "MODEL_NAME": request.binary_name,
            "MODElNAME": request.binary_name,
            SOURCE_DIGEST: _digest_of_run(request, image),
            IMAGE_DIGEST: image.environment.get(SOURCE_DIGEST, image.id),
        },
    )


def _digest_of_run(request: TrainRequest, image: Image) -> str:
    """What a model comes of beside its data: source, requirements and payload, not the modelyard that ran it."""
    source = image.environment.get(SOURCE_DIGEST, image.id)
    return digest_parts(part.encode() for part in (source, json.dumps(request.train_payload, sort_keys=True)))


def _is_current(request: TrainRequest, manifest: Mapping[str, Any], image: Image) -> bool:
    if request.payload is not None or manifest.get("source_digest") != _digest_of_run(request, image):
        return False
    if not has_binary(request.models_folder, manifest):
        return False
    return not request.dataset_name or is_trained_on(request.data_folder / request.dataset_name, manifest)
