"""Build an image: stage the context, let the engine assemble it, or run the workspace's own build.sh."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelyard.commands.locking import use_locks
from modelyard.commands.reporter import OnOutput, Reporter
from modelyard.commands.script import run_script
from modelyard.commands.subject import Subject, choose_tag, find_combined, find_models
from modelyard.context.build_context import BuildContext
from modelyard.context.lock import lock_path
from modelyard.context.staging import REQUIREMENTS, SETUP, stage_combined, stage_model
from modelyard.engines.parts import require_builder, require_store
from modelyard.engines.protocols import Engine, Image
from modelyard.errors import BuildError, InputError, WorkspaceError
from modelyard.house import house_root
from modelyard.probe.model import check_model
from modelyard.runtime.scratch import scratch_folder
from modelyard.workspace import COMBINED, ENVIRONMENT_FILE, Kind, ModelDirectory, Workspace

BUILD_SCRIPT = "build.sh"
# Set while build.sh runs: a `modelyard build` in it builds, and does not run build.sh again.
_INSIDE = "MODELYARD_INSIDE_BUILD_SCRIPT"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a build must not do, and may: `max_size` is in bytes."""

    locked: bool = False
    """Not be of requirements without fresh locks."""
    max_size: int | None = None
    runs_setup: bool = False
    """It may run setup.sh on this machine, where the engine has no container for it."""


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build, and how its image is to be called."""

    workspace: Workspace
    subject: Subject
    kind: Kind
    tag: str | None = None
    variant: str = "cpu"
    with_models: bool = False
    builder: str | None = None
    limits: Limits = Limits()

    @property
    def image_tag(self) -> str:
        """The tag asked for, else the default one."""
        return choose_tag(self.subject, self.kind, self.tag)


@contextmanager
def staged(request: BuildRequest) -> Iterator[BuildContext]:
    """Stage the context in a temporary directory that is gone afterwards."""
    with scratch_folder() as folder:
        yield stage(request, folder)


def stage(request: BuildRequest, root: Path) -> BuildContext:
    """Lay out the build context below `root`; raise InputError for everything that is wrong in the model directory."""
    if isinstance(request.subject, ModelDirectory):
        check_model(request.workspace, request.subject, kind=request.kind)
        return stage_model(
            request.workspace,
            request.subject,
            request.kind,
            root,
            variant=request.variant,
            with_models=request.with_models,
            builder=request.builder,
        )
    if request.kind == "train":
        raise InputError(f"{request.subject.path}: an all/ has no train image", hint="train its models: make train-all")
    if not (request.subject.path / ENVIRONMENT_FILE).is_file():
        raise WorkspaceError(f"{request.subject.path}: not generated yet", hint="make generate, or modelyard generate")
    return stage_combined(
        request.workspace,
        request.subject,
        root,
        variant=request.variant,
        with_models=request.with_models,
        builder=request.builder,
    )


def build_image(request: BuildRequest, engine: Engine, reporter: Reporter) -> Image:
    """Build the image of a subject; an edited build.sh of the workspace decides how.

    Raises InputError for what is wrong in the model directory, BuildError where assembling failed.
    """
    require_builder(engine)  # before anything is staged
    if not is_build_script_edited(request.workspace):
        with staged(request) as context:
            return build_staged(context, request.limits, tag=request.image_tag, engine=engine, reporter=reporter)
    with reporter.step(f"building {request.image_tag}") as step:
        _run_build_script(request, engine, step.output)
        step.done(f"built {request.image_tag}")
    return require_store(engine).inspect(request.image_tag)


def build_staged(context: BuildContext, limits: Limits, *, tag: str, engine: Engine, reporter: Reporter) -> Image:
    """Build an image of a context that was staged before, and perhaps edited since, of its locks where it has some."""
    builder = require_builder(engine)
    context = use_locks(context, builder, reporter, required=limits.locked)
    context = replace(context, runs_setup=limits.runs_setup)
    build = builder.build if limits.max_size is None else _bounded(engine, limits.max_size)
    with reporter.step(f"building {tag}") as step:
        image = build(context, tag=tag, on_output=step.output)
        step.done(f"{tag} is unchanged" if image.reused else f"built {tag}")
    return image


def _bounded(engine: Engine, most: int) -> Callable[..., Image]:
    from modelyard.commands.sizing import build_within

    return partial(build_within, most, engine=engine)


def find_lockable(workspace: Workspace, path: Path, *, variant: str) -> Iterator[BuildRequest]:
    """A request for each image at `path` that has requirements to lock: of a model directory, an `all/`, or both."""
    request = partial(BuildRequest, workspace=workspace, variant=variant)
    kinds: tuple[Kind, ...] = ("train", "predict")
    models = () if path.name == COMBINED else find_models(workspace, path)
    for model in models:
        yield from (request(subject=model, kind=kind) for kind in kinds if model.requirements(kind).is_file())
    if [model.path for model in models] != [path]:
        for combined in find_combined(workspace, path):
            if (combined.path / REQUIREMENTS).is_file():
                yield request(subject=combined, kind="predict")


def is_build_script_edited(workspace: Workspace) -> bool:
    """Tell whether the workspace's build.sh does something else than the one that comes with the tool."""
    script = workspace.root / BUILD_SCRIPT
    if os.environ.get(_INSIDE) == str(script):
        return False
    return script.is_file() and script.read_bytes() != (house_root() / BUILD_SCRIPT).read_bytes()


def describe_build(request: BuildRequest) -> list[str]:
    """Say what a build would do, without an engine: the plan of `--dry-run`."""
    if is_build_script_edited(request.workspace):
        return [
            f"run {request.workspace.root / BUILD_SCRIPT} {request.image_tag} {request.subject.path} {request.kind}"
        ]
    with staged(request) as context:
        files = sorted(path for path in context.source.rglob("*") if path.is_file())
        return [
            f"stage {len(files)} files as upload/src (digest {context.source_digest[:12]}):",
            *(f"  {path.relative_to(context.source)}" for path in files),
            f"assemble with {context.about.builder}, variant {request.variant}:",
            *_describe_setup(context, request.limits),
            *_describe_environments(context),
            f"tag the image {request.image_tag}",
        ]


def _describe_setup(context: BuildContext, limits: Limits) -> Iterator[str]:
    if (context.source / SETUP).is_file():
        yield "  run setup.sh" + ("" if limits.runs_setup else " (the embedded engine leaves it out without SETUP=1)")


def _describe_environments(context: BuildContext) -> Iterator[str]:
    for environment in context.environments:
        if len(context.environments) > 1 or environment.python:
            python = f" of Python {environment.python}" if environment.python else ""
            yield f"  make the environment {environment.name}{python}"
        yield from (f"  install {line}" for line in environment.requirements)
        lock = lock_path(context, environment)
        if lock.is_file():
            yield f"    as {lock.name} has them, where that is fresh"


def _run_build_script(request: BuildRequest, engine: Engine, output: OnOutput) -> None:
    script = request.workspace.root / BUILD_SCRIPT
    if request.builder is not None:
        raise InputError(f"--builder {request.builder}: {script} is edited and names the builder", hint="edit it there")
    environ = {
        **os.environ,
        _INSIDE: str(script),
        "MODELYARD": str(Path(sys.executable).with_name("modelyard")),
        "MODELYARD_ENGINE": engine.name,
        "VARIANT": request.variant,
        "MODELYARD_WITH_MODELS": str(int(request.with_models)),
        "MODELYARD_LOCKED": str(int(request.limits.locked)),
        "MODELYARD_SETUP": str(int(request.limits.runs_setup)),
        "MODELYARD_MAX_SIZE": "" if request.limits.max_size is None else str(request.limits.max_size),
    }
    code = run_script(
        [str(script), request.image_tag, str(request.subject.path), request.kind], environ=environ, output=output
    )
    if code != 0:
        raise BuildError(f"{script} exited with {code}", hint="what it printed stands above; bash -x shows more")
