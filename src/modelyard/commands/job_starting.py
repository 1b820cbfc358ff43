"""Start a training in the background: its image is built first, so that what is wrong with it is said at once."""

import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from modelyard.commands.building import build_image
from modelyard.commands.data import ensure_data
from modelyard.commands.function_run import FunctionRun
from modelyard.commands.jobs import launch
from modelyard.commands.reporter import Reporter
from modelyard.commands.training import TrainRequest, make_run
from modelyard.engines.parts import require_runner
from modelyard.engines.protocols import Engine, Mount
from modelyard.jobs import shelf
from modelyard.jobs.record import Job, write_job
from modelyard.runtime.cores import count_cores

EVENTS = "MODELYARD_EVENTS"
_EVENTS_TARGET = ".modelyard-events.jsonl"
# What leads to an engine and its things: whoever looks at a job from another shell must find the same.
_LEADING = (
    "MODELYARD_HOME",
    "MODELYARD_NAMESPACE",
    "MODELYARD_SHM_SIZE",
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "HOME",
)


def start_job(request: TrainRequest, engine: Engine, environ: Mapping[str, str], reporter: Reporter) -> Job:
    """Build the train image, start the training in the background, and return the job when it runs.

    Raises what a build raises, and RunError where the training does not start.
    """
    require_runner(engine)
    if request.payload is None and request.dataset_name:
        ensure_data(request.model, request.dataset_name, request.workspace, reporter)
    image = build_image(request.build, engine, reporter)
    for folder in (request.data_folder, request.models_folder):
        folder.mkdir(exist_ok=True)
    run = make_run(request, image)
    _tell_others(request.workspace.projects_root, reporter)
    folder = shelf.make_folder(request.workspace.projects_root, request.model.project)
    job = Job(
        folder=folder,
        model=request.model.full_name,
        model_name=request.binary_name,
        engine=engine.name,
        variables={key: environ[key] for key in _LEADING if environ.get(key)},
        container=f"job-{folder.name}-{secrets.token_hex(2)}",
        run=_as_record(run, folder),
        created=time.time(),
    )
    (folder / "events.jsonl").touch()
    with shelf.held(folder) as descriptor:
        assert descriptor is not None
        job = write_job(job)
        return launch(job, descriptor, environ)


def _as_record(run: FunctionRun, folder: Path) -> dict[str, object]:
    """What `job_watching.as_run` makes the run of again."""
    events = Mount(source=folder / "events.jsonl", target=_EVENTS_TARGET)
    return {
        "path": str(run.subject.path),
        "image": run.image,
        "payload": dict(run.payload),
        "environment": {**run.environment, EVENTS: _EVENTS_TARGET},
        "inputs": [_as_list(mount) for mount in (*run.inputs, events)],
        "output": _as_list(run.output),
    }


def _as_list(mount: Mount) -> list[object]:
    return [str(mount.source), mount.target, mount.read_only]


def _tell_others(projects_root: Path, reporter: Reporter) -> None:
    """Say which jobs will share the cores with a new one."""
    others = [job.id for job in shelf.find_jobs(projects_root) if not job.has_ended]
    if others:
        cores = count_cores()
        reporter.note(
            f"{len(others)} other job{'s' if len(others) > 1 else ''} ({', '.join(others)}) and this one share "
            f"{cores} core{'s' if cores > 1 else ''}: each takes longer"
        )
