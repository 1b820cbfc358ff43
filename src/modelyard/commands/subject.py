"""What a person pointed at: a model directory, a project, an `all/`, or every project."""

from pathlib import Path, PurePath

from modelyard.engines.reference import check_container_name, normalise_tag
from modelyard.errors import InputError, WorkspaceError
from modelyard.runtime.nearest import ask_whether_meant, describe_choices
from modelyard.workspace import COMBINED, ENVIRONMENT_FILE, CombinedDirectory, Kind, ModelDirectory, Workspace

Subject = ModelDirectory | CombinedDirectory


def locate(workspace: Workspace, text: str, *, start: Path) -> Path:
    """The folder that a person in `start` means by `text`: a path, or a name that holds in the whole workspace.

    `iris`, `flowers/iris`, `flowers` and `all` are looked for in `start` and every folder above it, then in projects/;
    a model directory's own name is enough where only one has it. Raises WorkspaceError where nothing is called so, or
    several are; what is there and no model directory comes back, for its reader to say what it lacks.
    """
    written = (start / text).resolve()
    if _is_subject(workspace, written) or not _is_name(text):
        return written
    above = [folder for folder in (start, *start.parents) if folder.is_relative_to(workspace.root)]
    candidates = [(folder / text).resolve() for folder in (*above, workspace.projects_root)]
    models = workspace.all_model_directories()
    named = [model.path for model in models if model.name == text.rstrip("/")]
    found = next((path for path in candidates if _is_subject(workspace, path)), None)
    if found is None and len(named) > 1:
        names = ", ".join(model.full_name for model in models if model.path in named)
        raise WorkspaceError(f"{text!r} is the name of several model directories: {names}", hint="name one of these")
    lacking = (path for path in candidates if path.exists() and path.is_relative_to(workspace.projects_root))
    path = found or next(iter(named), None) or next(lacking, None) or (written if written.exists() else None)
    if path is None:
        raise _nothing_called(text, workspace, models)
    return path


def find_project(workspace: Workspace, text: str, *, start: Path) -> str:
    """The name of a project that is given by its name, or by its path from `start`."""
    path = (start / text).resolve()
    return path.name if path.parent == workspace.projects_root else text


def choose_project(workspace: Workspace, asked: str | None, *, start: Path) -> Path:
    """The folder of the project that is asked for, else of the one that `start` lies in, else of the only one.

    Raises WorkspaceError where there is none of that name, or where it is not clear which is meant.
    """
    if asked is not None:
        folder = workspace.projects_root / find_project(workspace, asked, start=start)
        if folder.parent != workspace.projects_root or not folder.is_dir():
            workspace.model_directories(asked)  # says which there are
        return folder
    inside = [folder for folder in (start, *start.parents) if folder.parent == workspace.projects_root]
    if inside and inside[0].name != COMBINED:
        return inside[0]
    names = workspace.projects()
    if len(names) == 1:
        return workspace.projects_root / names[0]
    raise WorkspaceError(
        f"{start}: which project is meant? (projects here: {', '.join(names) or 'none yet'})",
        hint="name it: --project NAME, or change into its folder",
    )


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


def _is_name(text: str) -> bool:
    """Tell whether `text` may be a name: neither absolute nor written as a path from the current folder."""
    parts = PurePath(text).parts
    return bool(parts) and not text.startswith((".", "/")) and ".." not in parts


def _is_subject(workspace: Workspace, path: Path) -> bool:
    """Tell whether a resolved path is what commands work on: model directory, project, `all/`, projects/, the root."""
    if path in (workspace.root, workspace.projects_root):
        return True
    if path.name == COMBINED:
        return workspace.projects_root in (path.parent, path.parent.parent)
    if path.parent == workspace.projects_root:
        return path.is_dir()
    return path.is_relative_to(workspace.projects_root) and (path / ENVIRONMENT_FILE).is_file()


def _nothing_called(text: str, workspace: Workspace, models: tuple[ModelDirectory, ...]) -> WorkspaceError:
    wanted = text.removeprefix("projects/").rstrip("/")
    names = [model.full_name for model in models]
    meant = ask_whether_meant(wanted, [*names, *workspace.projects()])
    known = describe_choices(wanted, names, none="none yet")
    return WorkspaceError(
        f"{text}: no model directory, there is no such folder{meant} (model directories here: {known})",
        hint="name a model directory as <project>/<model>, a project or all/; or make one: modelyard new model",
    )


def _not_empty(models: tuple[ModelDirectory, ...], folder: Path) -> tuple[ModelDirectory, ...]:
    if not models:
        raise WorkspaceError(f"{folder}: no model directory here", hint="make one: modelyard new model")
    return models
