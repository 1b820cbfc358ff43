"""What is missing on this machine and in this workspace, each with the way to mend it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from modelyard.commands.data import has_data_script
from modelyard.commands.generating import check_combined
from modelyard.commands.manifest import read_manifest
from modelyard.engines import choose_engine
from modelyard.engines.local.setup import WAYS_ON
from modelyard.errors import ModelyardError
from modelyard.machine.uv import find_uv
from modelyard.probe.model import SETUP_FILE, check_model
from modelyard.workspace import ModelDirectory, Workspace

State = Literal["ok", "warning", "missing"]
LEAST_FREE = 5 * 10**9


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; `fix` says what to do where it is not ok."""

    state: State
    what: str
    fix: str | None = None


def examine_machine(home: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what the tool needs of this machine."""
    yield _at_least(
        sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}", "install Python 3.11 or newer: make PYTHON=..."
    )
    for command, fix in (("bash", "assemble and run are bash scripts"), ("make", "the recipes are make targets")):
        path = shutil.which(command, path=environ.get("PATH"))
        yield _at_least(path is not None, f"{command}: {path or 'not on PATH'}", f"install {command}: {fix}")
    yield _examine_uv(environ)
    yield _examine_home(home)
    yield _examine_engine(environ)


def examine_workspace(workspace: Workspace) -> Iterator[Finding]:
    """Look at every project: environment files, entries, test instances, data, trained models, generated folders."""
    for model in workspace.all_model_directories():
        yield _tried(f"{model.full_name}: sources", partial(check_model, workspace, model))
        yield _examine_training(model)
    for project in workspace.projects():
        if has_data_script(workspace, project) and not any((workspace.projects_root / project / "data").glob("*")):
            yield Finding(state="warning", what=f"{project}: no data yet", fix=f"make -C projects/{project} data")
        yield _tried(f"{project}/all", partial(check_combined, workspace, workspace.projects_root / project))


def examine_setup(workspace: Workspace, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Name every setup.sh that the engine leaves out, unless the user has settled that."""
    if environ.get("MODELYARD_SKIP_SETUP") or choose_engine(None, environ).name != "local":
        return
    for model in workspace.all_model_directories():
        if (model.path / SETUP_FILE).is_file():
            yield Finding(
                state="warning", what=f"{model.full_name}: setup.sh is not run by the embedded engine", fix=WAYS_ON
            )


def _examine_training(model: ModelDirectory) -> Finding:
    what = f"{model.full_name}: model binary {model.model_name}"
    fix = f"make -C projects/{model.full_name} train"
    try:
        manifest = read_manifest(model.path.parent / "models", model.model_name)
    except ModelyardError as error:
        return Finding(state="missing", what=error.message, fix=error.hint)
    if manifest is None:
        return Finding(state="warning", what=f"{what} is not trained yet", fix=fix)
    if manifest.get("synthetic"):
        fix = f"nothing, where the project has no others; else get the real data, then {fix}"
        return Finding(state="warning", what=f"{what} was trained on synthetic data", fix=fix)
    return Finding(state="ok", what=what)


def _examine_uv(environ: Mapping[str, str]) -> Finding:
    try:
        path = find_uv(environ)
    except FileNotFoundError as error:
        return Finding(state="missing", what=str(error), fix="install modelyard again, or set UV to a uv of your own")
    found = shutil.which(path, path=environ.get("PATH"))
    return _at_least(found is not None, f"uv: {found or f'no program {path}'}", "unset UV, or name a uv that is there")


def _examine_home(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    what = f"{home}: {free / 1e9:.1f} GB free"
    if not os.access(place, os.W_OK):
        return Finding(
            state="missing", what=f"{home}: not writable", fix="set MODELYARD_HOME to a folder you may write to"
        )
    if free < LEAST_FREE:
        return Finding(state="warning", what=what, fix="modelyard prune, or set MODELYARD_HOME to a larger disk")
    return Finding(state="ok", what=what)


def _examine_engine(environ: Mapping[str, str]) -> Finding:
    choice = choose_engine(None, environ)
    found = f"engine: {choice.name} ({choice.found or 'MODELYARD_ENGINE'})"
    if choice.name == "local" and choice.found:
        fix = "nothing, unless you want OCI images: then start Docker or Podman, or install what is missing"
        return Finding(state="warning", what=f"{found}: only the embedded engine can be used", fix=fix)
    return Finding(state="ok", what=found)


def _tried(what: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except ModelyardError as error:
        return Finding(state="missing", what=error.message, fix=error.hint)
    return Finding(state="ok", what=what)


def _at_least(is_met: bool, what: str, fix: str) -> Finding:
    return Finding(state="ok", what=what) if is_met else Finding(state="missing", what=what, fix=fix)
