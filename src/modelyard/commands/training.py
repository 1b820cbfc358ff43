"""Train a model: build its train image, run it with the project's data and models folders, report what came out."""

import hashlib
import json
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.commands.building import BuildRequest, Limits, build_image, describe_build
from modelyard.commands.data import ensure_data
from modelyard.commands.reporter import OnOutput, Reporter
from modelyard.commands.subject import choose_model_name
from modelyard.context.build_context import digest_parts
from modelyard.engines.parts import require_runner
from modelyard.engines.protocols import ContainerRunner, ContainerSpec, Engine, Image, Mount
from modelyard.errors import InputError, RunError
from modelyard.workspace import ModelDirectory, Workspace

SIGKILL_EXIT = 137
SIGBUS_EXIT = 135
SOURCE_DIGEST = "MODELYARD_SOURCE_DIGEST"
_TAIL = 15
# What torch, Python and the C library say of a full /dev/shm, in whichever process of the training it was.
_SHARED_MEMORY_SIGNS = ("shared memory (shm)", "Bus error", "bus error", "'/dev/shm/")


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
            return dict(self.payload)
        reference = {"$ref": f"data/{self.dataset_name}"} if self.dataset_name else {}
        return {**reference, "model_name": self.binary_name}

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
    with reporter.step(f"training {request.model.full_name}") as step:
        result = _run(request, image, runner, step.output)
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


def read_manifest(folder: Path, name: str) -> Mapping[str, Any] | None:
    """The manifest of a model binary, or None where there is none; raise InputError for a file that is cut off.

    A train function may use the name for something else: XGBoost's own model files are JSON as well.
    """
    path = folder / f"{name}.json"
    content = _read_json(path) if path.is_file() else None
    return content if _is_manifest(content) else None


def parse_manifest(path: Path) -> Mapping[str, Any]:
    """Read the manifest at `path`; raise InputError for one that names no binary and digest."""
    content: Mapping[str, Any] = _read_json(path)
    if not _is_manifest(content):
        raise InputError(f"{path}: no manifest of a model binary", hint="only save_model of utils/ writes these")
    return content


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({error})", hint="remove the file and train the model again") from None


def _is_manifest(content: Any) -> bool:
    return isinstance(content, dict) and {"file", "sha256"} <= content.keys()


def _written_at(request: TrainRequest) -> int | None:
    path = request.models_folder / f"{request.binary_name}.json"
    return path.stat().st_mtime_ns if path.is_file() else None


def _run(request: TrainRequest, image: Image, runner: ContainerRunner, output: OnOutput) -> Any:
    for folder in (request.data_folder, request.models_folder):
        folder.mkdir(exist_ok=True)
    run_id = secrets.token_hex(4)
    part = f".result.{run_id}.part"
    lines: deque[str] = deque(maxlen=200)

    def keep(line: str) -> None:
        lines.append(line)
        output(line)

    spec = ContainerSpec(
        image.id,
        environment={
            "TRAIN": "1",
            "PAYLOAD": json.dumps(request.train_payload),
            "MODEL_NAME": request.binary_name,
            "MODElNAME": request.binary_name,
            "MODELYARD_RUN_ID": run_id,
            "MODELYARD_RESULT": f"models/{part}",
            SOURCE_DIGEST: _digest_of_run(request, image),
        },
        mounts=[
            Mount(source=request.data_folder, target="data", read_only=True),
            Mount(source=request.models_folder, target="models"),
        ],
    )
    try:
        code = runner.run(spec, on_output=keep)
        result = _read_result(request.models_folder / part, lines)
    finally:
        _sweep(request.models_folder, run_id)
    if code != 0:
        raise _training_failed(request, code, list(lines))
    return _parse_result(result, request)


def _sweep(models: Path, run_id: str) -> None:
    """Remove the temporary files that a killed run left behind."""
    for path in models.glob(f".*.{run_id}.part"):
        path.unlink(missing_ok=True)


def _training_failed(request: TrainRequest, code: int, lines: list[str]) -> RunError:
    said = "".join([":", *(f"\n  {line}" for line in lines[-_TAIL:])]) if lines else ""
    hint = f"read {request.model.path / 'train.py'}; no half-written binary is left"
    if code == SIGKILL_EXIT:
        hint = "it was killed (signal 9), most often for want of memory: train on less data or a larger machine"
    if code == SIGBUS_EXIT or any(sign in line for line in lines for sign in _SHARED_MEMORY_SIGNS):
        hint = "/dev/shm was full: a container has 64 MiB of shared memory; more: --shm-size 2GiB (make: SHM_SIZE=2GiB)"
    return RunError(f"training {request.model.full_name} exited with {code}{said}", hint=hint)


def _read_result(path: Path, lines: Sequence[str]) -> str:
    """What a run left as its result, empty where that is nothing; an image with a `run` script of its own prints it."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return lines[-1] if lines else ""


def _parse_result(result: str, request: TrainRequest) -> Any:
    """The train function's result, one JSON document.

    A process that ended without one did not do its work, whatever its exit code says (`os._exit(0)` in user code).
    """
    try:
        return json.loads(result)
    except ValueError:
        raise RunError(
            f"training {request.model.full_name} exited with 0 and no result",
            hint=f"something in {request.model.path / 'train.py'} ended the process before the train function returned",
        ) from None


def _digest_of_run(request: TrainRequest, image: Image) -> str:
    """What a model comes of beside its data: source, requirements and payload, not the modelyard that ran it."""
    source = image.environment.get(SOURCE_DIGEST, image.id)
    return digest_parts(part.encode() for part in (source, json.dumps(request.train_payload, sort_keys=True)))


def _is_current(request: TrainRequest, manifest: Mapping[str, Any], image: Image) -> bool:
    if request.payload is not None or manifest.get("source_digest") != _digest_of_run(request, image):
        return False
    binary = request.models_folder / str(manifest.get("file"))
    if not binary.is_file() or _digest(binary) != manifest.get("sha256"):
        return False
    if not request.dataset_name:
        return True
    dataset = request.data_folder / request.dataset_name
    return dataset.is_file() and _digest(dataset) == (manifest.get("data") or {}).get("sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
