"""What a person pointed at: a model directory, a project, an `all/`, or every project."""

from pathlib import Path

from modelyard.engines.reference import check_container_name, normalise_tag
from modelyard.errors import InputError, WorkspaceError
from modelyard.workspace import COMBINED, CombinedDirectory, Kind, ModelDirectory, Workspace

Subject = ModelDirectory | CombinedDirectory


def find_models(workspace: Workspace, path: Path) -> tuple[ModelDirectory, ...]:
    """Every model directory that `path` stands for.

    A model directory stands for itself, a project for all of its own, an `all/` for its MODEL_DIRS, and `projects/`
    or the workspace's root for those of every project.
    """
    folder = path.resolve()
    if folder in (workspace.root, workspace.projects_root):
        return _not_empty(workspace.all_model_directories(), folder)
    if folder.name == COMBINED:
        return _not_empty(workspace.combined_directory(folder).models, folder)
    if folder.parent == workspace.projects_root:
        return _not_empty(workspace.model_directories(folder.name), folder)
    return (workspace.model_directory(folder),)


def find_projects(workspace: Workspace, path: Path) -> tuple[str, ...]:
    """Every project that `path` stands for; a project's own folder may be without models yet."""
    folder = path.resolve()
    if folder.parent == workspace.projects_root and folder.name != COMBINED and folder.is_dir():
        return (folder.name,)
    return tuple(dict.fromkeys(model.project for model in find_models(workspace, folder)))


def find_subject(workspace: Workspace, path: Path) -> Subject:
    """The one thing to build or serve at `path`: a model directory, or the `all/` of a project or the workspace."""
    folder = path.resolve()
    if folder == workspace.root:
        return workspace.combined_directory(workspace.projects_root)
    if folder.name == COMBINED or folder.parent == workspace.projects_root or folder == workspace.projects_root:
        return workspace.combined_directory(folder)
    return workspace.model_directory(folder)


def find_combined(workspace: Workspace, path: Path) -> tuple[CombinedDirectory, ...]:
    """Every `all/` that `path` stands for: that of a project, or of each project and the workspace itself."""
    folder = path.resolve()
    if folder in (workspace.root, workspace.projects_root):
        folders = [workspace.projects_root / project for project in workspace.projects()]
        return tuple(workspace.combined_directory(folder) for folder in (*folders, workspace.projects_root))
    subject = find_subject(workspace, folder)
    if isinstance(subject, ModelDirectory):
        subject = workspace.combined_directory(subject.path.parent)
    return (subject,)


def models_of(subject: Subject) -> tuple[ModelDirectory, ...]:
    """The model directories that a subject serves."""
    return (subject,) if isinstance(subject, ModelDirectory) else subject.models


def default_tag(subject: Subject, kind: Kind) -> str:
    """The tag of a subject's image where the caller names none."""
    return f"{subject.container_name}-{kind}"


def choose_tag(subject: Subject, kind: Kind, asked: str | None) -> str:
    """The tag that the caller names, else the default one; raise InputError saying where what is none comes from."""
    default = default_tag(subject, kind)
    tag = asked or default
    normalise_tag(tag, source=_origin(subject) if tag == default else "option --tag: ")
    return tag


def choose_container_name(subject: Subject, asked: str | None) -> str:
    """The name that the caller asks for, else CONTAINER_NAME; raise InputError saying where what is none comes from."""
    default = subject.container_name
    name = asked or default
    check_container_name(name, source=_origin(subject) if name == default else "option --name: ")
    return name


def choose_model_name(model: ModelDirectory, asked: str | None) -> str:
    """The name that the caller asks for, else MODEL_NAME; raise InputError for one that is no file name."""
    name = asked or model.model_name
    if "/" in name:
        is_own = name == model.makefile_variables.get("MODEL_NAME")
        place = (
            f"{model.makefile_variables.where('MODEL_NAME')}: MODEL_NAME"
            if is_own
            else "option --model-name (make: MODEL_NAME)"
        )
        raise InputError(
            f"{place}: {name!r} is no name for a model", hint="its files lie in models/: leave out the '/'"
        )
    return name


def _origin(subject: Subject) -> str:
    """Where the name of a subject's images and container comes from: its Makefile, else its folders."""
    variables = subject.makefile_variables
    if variables.get("CONTAINER_NAME"):
        return f"{variables.where('CONTAINER_NAME')}: CONTAINER_NAME: "
    return f"{subject.path}: of its folders' names, as no Makefile sets CONTAINER_NAME: "


def _not_empty(models: tuple[ModelDirectory, ...], folder: Path) -> tuple[ModelDirectory, ...]:
    if not models:
        raise WorkspaceError(f"{folder}: no model directory here", hint="make one: modelyard new model")
    return models
