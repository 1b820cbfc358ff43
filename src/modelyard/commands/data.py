"""Get a project's data: run its make_data.py with what its requirements_data.txt asks for."""

import os
import sys
from pathlib import Path

from modelyard.commands.reporter import OnOutput, Reporter
from modelyard.commands.script import run_script
from modelyard.errors import RunError, WorkspaceError
from modelyard.workspace import ModelDirectory, Workspace

SCRIPT = "make_data.py"


def has_data_script(workspace: Workspace, project: str) -> bool:
    """Tell whether a project can make its own data."""
    return (workspace.projects_root / project / SCRIPT).is_file()


def prepare_data(workspace: Workspace, project: str, reporter: Reporter) -> Path:
    """Fill `projects/<project>/data` and return it; what is there and unchanged is kept, the script says so."""
    folder = workspace.projects_root / project
    script = folder / SCRIPT
    if not script.is_file():
        raise WorkspaceError(
            f"{folder}: the project has no {SCRIPT}", hint=f"put its data into {folder / 'data'}, or write {SCRIPT}"
        )
    data = folder / "data"
    data.mkdir(exist_ok=True)
    python = _python_for(folder / "requirements_data.txt", reporter)
    with reporter.step(f"getting the data of {project}") as step:
        # -P: without it the script's own folder comes first, and the project's common_utils hides the shared one.
        _run_data_script([str(python), "-P", str(script), str(data)], workspace, reporter.note)
        step.done(f"the data of {project} are in {data}")
    return data


def ensure_data(model: ModelDirectory, dataset: str, workspace: Workspace, reporter: Reporter) -> None:
    """Make sure that the data set a model trains on is there; get it where the project can."""
    path = model.path.parent / "data" / dataset
    if path.exists():
        return
    if has_data_script(workspace, model.project):
        prepare_data(workspace, model.project, reporter)
    if not path.exists():
        raise WorkspaceError(
            f"{path}: no such data set (DATASET_NAME of {model.path / 'Makefile'})",
            hint="put the file there, or correct DATASET_NAME",
        )


def _python_for(requirements: Path, reporter: Reporter) -> Path:
    if not requirements.is_file():
        return Path(sys.executable)
    from modelyard.engines.local import LocalEngine

    with reporter.step(f"making the environment of {requirements.name}") as step:
        environment = LocalEngine.from_environ(os.environ).environment_for(requirements, on_output=step.output)
        step.done(f"the environment of {requirements.name} is ready")
    return environment / "bin" / "python"


def _run_data_script(command: list[str], workspace: Workspace, output: OnOutput) -> None:
    path = os.pathsep.join([str(workspace.root), str(workspace.projects_root)])
    code = run_script(command, environ={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, output=output)
    if code != 0:
        raise RunError(f"{command[-2]} exited with {code}", hint="what it printed stands above")
