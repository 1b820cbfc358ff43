"""Adopt a repository of the field: look at it, plan what it lacks, then write that; nothing that is there is lost."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modelyard.codegen.adoption import OLD_MAKEFILE, ModelFiles, check_no_old_makefile, find_own_names, plan_model
from modelyard.codegen.modules import check_package_name, suggest_identifier
from modelyard.codegen.render import render
from modelyard.codegen.tree import GeneratedFile, GeneratedTree, diff_tree, write_tree
from modelyard.commands.data import has_data_script
from modelyard.context.ignore import parse_ignore_rules
from modelyard.context.plan import Plan
from modelyard.errors import WorkspaceError
from modelyard.probe.model import probe_model
from modelyard.probe.old_makefile import includes_recipes, read_text
from modelyard.runtime.beside import SHARED
from modelyard.workspace import COMBINED, ENVIRONMENT_FILE, Kind, ModelDirectory, Workspace, find_workspace

_NO_MODELS = frozenset(
    {COMBINED, "common_utils", "utils", "kubeml", "data", "models", "runs", "test", "tests", "docs", "venv"}
)
# Not brought in: what belongs to the machine or is made again.
_LEFT_OUT = parse_ignore_rules(".venv\nvenv\n*/.venv\n*/venv\nnode_modules\n")
_NAMED_BY: Mapping[Kind, set[str]] = {"train": {"TRAIN_MODULE"}, "predict": {"ROUTES", "PREDICT_MODULE"}}
_OF_A_PROJECT = ("data", "models")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model directory to be: where its files are, where they will be, and what it lacks."""

    source: Path
    target: Path
    lacks: ModelFiles


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What adopting does. `brought` are whole folders to make, by their place; `trees` is what is written in place."""

    workspace: Workspace
    models: tuple[Found, ...]
    brought: Mapping[Path, Plan] = field(default_factory=dict)
    trees: tuple[GeneratedTree, ...] = ()
    notes: tuple[str, ...] = ()


def plan_adoption(workspace: Workspace, path: Path, *, project: str | None = None, force: bool = False) -> Adoption:
    """Look at the repository at `path` and plan what makes it models of the workspace; write nothing.

    What lies below projects/ is completed where it is; anything else is copied there, as `project`. `force` replaces
    Makefiles that have recipes of their own, and keeps them as Makefile.old. Raises WorkspaceError or InputError for
    what can't be adopted, before anything is written.
    """
    _check_place(workspace, path)
    if path in (workspace.root, workspace.projects_root) or path.is_relative_to(workspace.projects_root):
        if project is not None:
            raise WorkspaceError(f"{path}: in a project already", hint="leave --project out")
        return _plan_in_place(workspace, path, force=force)
    return _plan_to_bring(workspace, path, project=project)


def describe_adoption(adoption: Adoption) -> Iterator[str]:
    """Say what was found, and what a person should know."""
    root = adoption.workspace.root
    for found in adoption.models:
        yield f"{found.target.relative_to(root)}: {found.lacks.found}"
        yield from (f"  {note}" for note in found.lacks.notes)
    yield from adoption.notes


def diff_adoption(adoption: Adoption) -> Iterator[str]:
    """Say what would be written, without writing it."""
    root = adoption.workspace.root
    for target, plan in adoption.brought.items():
        yield from (f"copy {source} to {(target / name).relative_to(root)}" for name, source in plan.copies.items())
        files = {name: GeneratedFile(text) for name, text in plan.texts.items()}
        yield diff_tree(GeneratedTree(root=target, files=files), relative_to=root).rstrip()
    for tree in adoption.trees:
        yield diff_tree(tree, relative_to=root).rstrip()


def write_adoption(adoption: Adoption) -> tuple[Path, ...]:
    """Do it: each folder that is brought, and each file that is written in place, appears whole or not at all."""
    parts = {target: target.with_name(f".{target.name}.{os.getpid()}.part") for target in adoption.brought}
    try:
        for target, plan in adoption.brought.items():
            plan.apply(parts[target])
        for target, part in parts.items():
            part.rename(target)
    finally:
        for part in parts.values():
            shutil.rmtree(part, ignore_errors=True)
    for found in adoption.models:
        if found.lacks.keeps_makefile and found.source == found.target:
            shutil.copy2(found.target / "Makefile", found.target / OLD_MAKEFILE)
    changed = [path for tree in adoption.trees for path in write_tree(tree)]
    return (*adoption.brought, *changed)


def find_left(adoption: Adoption) -> Iterator[str]:
    """Say what is still wrong in the model directories, once it is written."""
    for found in adoption.models:
        model = ModelDirectory(found.target)
        kinds = [kind for kind, names in _NAMED_BY.items() if names & model.environment.keys()]
        errors = [error for kind in kinds for error in probe_model(adoption.workspace, model, kind=kind)]
        dataset = model.makefile_variables.get("DATASET_NAME")
        data = model.path.parent / "data" / (dataset or "")
        if dataset and not data.is_file() and not has_data_script(adoption.workspace, model.project):
            yield f"{data}: the data set that {model.path / 'Makefile'} names is not there"
        yield from dict.fromkeys(f"{error.message} ({error.hint})" if error.hint else error.message for error in errors)


def name_next(adoption: Adoption) -> Iterator[str]:
    """Say what to do next with each model: to train it, or to serve what nothing here trains."""
    for found in adoption.models:
        trains = _NAMED_BY["train"] & ModelDirectory(found.target).environment.keys()
        path = found.target.relative_to(adoption.workspace.root)
        yield f"Next: modelyard {'train' if trains else 'serve'} {path}"


def _check_place(workspace: Workspace, path: Path) -> None:
    if not path.is_dir():
        what = "a file" if path.exists() else "there is no such folder"
        raise WorkspaceError(f"{path}: {what}", hint="name the folder of a repository, or of one model's files")
    if workspace.root.is_relative_to(path) and path != workspace.root:
        raise WorkspaceError(f"{path}: holds this workspace", hint="name the folder of the models alone")
    if any(path.is_relative_to(workspace.root / name) for name in ("builders", *SHARED)):
        raise WorkspaceError(f"{path}: belongs to the workspace itself", hint="name a folder of models")
    try:
        other = find_workspace(path)
    except WorkspaceError:
        return
    if other != workspace and (other.projects_root / "recipes.mk").is_file():
        raise WorkspaceError(
            f"{path}: in another workspace, {other.root}", hint=f"work there: modelyard -C {other.root} adopt {path}"
        )


def _plan_in_place(workspace: Workspace, path: Path, *, force: bool) -> Adoption:
    depth = len(path.relative_to(workspace.projects_root).parts) if path != workspace.root else 0
    if depth > 2:
        raise WorkspaceError(f"{path}: too deep", hint="a model directory is projects/<project>/<model>")
    if depth == 2:
        folders = [path]
    else:
        projects = [path] if depth == 1 else list(_subfolders(workspace.projects_root))
        folders = [model for one in projects for model in _find_models(one)]
    if not folders:
        raise _no_model(path)
    models, trees = [], []
    for folder in folders:
        _check_names(folder.parent.name, folder.name)
        _check_links(folder)
        lacks = plan_model(folder, project=folder.parent.name, name=folder.name, replaces=force)
        models.append(Found(source=folder, target=folder, lacks=lacks))
        trees.append(GeneratedTree(root=folder, files=lacks.files))
    notes: list[str] = []
    for one in dict.fromkeys(folder.parent for folder in folders):
        old = read_text(one / "Makefile")
        if old is None:
            trees.append(GeneratedTree(root=one, files={PurePosixPath("Makefile"): _project_makefile()}))
        elif not includes_recipes(old):
            notes.append(f"{one.relative_to(workspace.root)}/Makefile: kept; it does not include ../recipes.mk")
    return Adoption(workspace=workspace, models=tuple(models), trees=tuple(trees), notes=tuple(notes))


def _plan_to_bring(workspace: Workspace, path: Path, *, project: str | None) -> Adoption:
    if _is_model(path):
        return _bring_model(workspace, path, project=project)
    if list(_find_models(path)):
        return _bring_projects(workspace, {path: project})
    above = path / "projects" if (path / "projects").is_dir() else path
    projects = [folder for folder in _subfolders(above) if list(_find_models(folder))]
    if projects:
        if project is not None and len(projects) > 1:
            raise WorkspaceError(
                f"{path}: holds {len(projects)} projects", hint="leave --project out, or name one folder"
            )
        return _bring_projects(workspace, dict.fromkeys(projects, project))
    if any(path.glob("*.py")):
        return _bring_model(workspace, path, project=project)
    raise _no_model(path)


def _bring_model(workspace: Workspace, path: Path, *, project: str | None) -> Adoption:
    """Bring one model's folder in, as the only one of a new project or as another one of a project that is there."""
    own = find_own_names(path)
    name = own[1] if len(own) == 2 else suggest_identifier(path.name)
    home = project or (own[0] if own and own[0] else suggest_identifier(path.name))
    _check_names(home, name)
    folder = workspace.projects_root / home
    target = folder / name
    is_new = not folder.exists()
    _check_free(target)
    lacks = plan_model(path, project=home, name=name, replaces=True)
    plan, inside = Plan(), PurePosixPath(name) if is_new else PurePosixPath()
    _plan_files(plan, path, inside, lacks)
    notes = []
    if is_new:
        for part in _OF_A_PROJECT:
            _lift(plan, inside / part, PurePosixPath(part))
        plan.write(PurePosixPath("Makefile"), _project_makefile().text)
    else:
        parts = [part for part in _OF_A_PROJECT if (path / part).is_dir()]
        notes += [f"move what {target / part} holds into {folder / part}, where runs find it" for part in parts]
    models = (Found(source=path, target=target, lacks=lacks),)
    brought = {folder if is_new else target: plan}
    return Adoption(workspace=workspace, models=models, brought=brought, notes=tuple(notes))


def _bring_projects(workspace: Workspace, projects: Mapping[Path, str | None]) -> Adoption:
    models: list[Found] = []
    brought: dict[Path, Plan] = {}
    notes: list[str] = []
    for source, asked in projects.items():
        name = asked or suggest_identifier(source.name)
        target = workspace.projects_root / name
        _check_free(target)
        plan = brought[target] = Plan()
        plan.copy_tree(source, PurePosixPath(), _LEFT_OUT)
        for folder in _find_models(source):
            own = suggest_identifier(folder.name)
            _check_names(name, own)
            lacks = plan_model(folder, project=name, name=own, replaces=True)
            _lift(plan, PurePosixPath(folder.name), PurePosixPath(own))
            _plan_texts(plan, folder, PurePosixPath(own), lacks)
            models.append(Found(source=folder, target=target / own, lacks=lacks))
        _lift(plan, PurePosixPath(COMBINED), None)
        if (source / COMBINED).is_dir():
            notes.append(f"{source / COMBINED} is not taken: write it again with modelyard generate {name}")
        if not includes_recipes(read_text(source / "Makefile") or ""):
            _keep_old(plan, source / "Makefile", PurePosixPath("Makefile"))
            plan.write(PurePosixPath("Makefile"), _project_makefile().text)
    return Adoption(workspace=workspace, models=tuple(models), brought=brought, notes=tuple(notes))


def _plan_files(plan: Plan, source: Path, inside: PurePosixPath, lacks: ModelFiles) -> None:
    plan.copy_tree(source, inside, _LEFT_OUT)
    _plan_texts(plan, source, inside, lacks)


def _plan_texts(plan: Plan, source: Path, inside: PurePosixPath, lacks: ModelFiles) -> None:
    if lacks.keeps_makefile:
        _keep_old(plan, source / "Makefile", inside / "Makefile")
    for name, file in lacks.files.items():
        plan.write(inside / name, file.text)


def _keep_old(plan: Plan, source: Path, target: PurePosixPath) -> None:
    if source.is_file():
        check_no_old_makefile(source.parent)
        plan.copies[target.with_name(OLD_MAKEFILE)] = source


def _lift(plan: Plan, folder: PurePosixPath, target: PurePosixPath | None) -> None:
    """Have what would be copied into `folder` of the plan copied to `target`, or left out."""
    for name in [name for name in plan.copies if name.is_relative_to(folder)]:
        source = plan.copies.pop(name)
        if target is not None:
            plan.copies[target / name.relative_to(folder)] = source


def _project_makefile() -> GeneratedFile:
    return GeneratedFile(render("project/Makefile"))


def _is_model(folder: Path) -> bool:
    return (folder / ENVIRONMENT_FILE).is_file() or any(
        (folder / f"{name}.py").is_file() for name in ("train", "predict")
    )


def _find_models(project: Path) -> Iterator[Path]:
    yield from (folder for folder in _subfolders(project) if _is_model(folder))


def _subfolders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in _NO_MODELS:
            yield path


def _check_names(project: str, model: str) -> None:
    check_package_name(project, what="project", taken={COMBINED})
    check_package_name(model, what="model directory", taken=_NO_MODELS)


def _check_free(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise WorkspaceError(
            f"{path}: already there", hint=f"complete it there: modelyard adopt {path}; or --project NAME"
        )


def _check_links(folder: Path) -> None:
    """Raise WorkspaceError where what is written would land outside the model directory."""
    for name in (".", ".s2i", "test", "Makefile", ENVIRONMENT_FILE):
        path = folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise WorkspaceError(f"{path}: a link that leaves the model directory", hint="copy what it points to")


def _no_model(path: Path) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: no model here: no train.py, predict.py or {ENVIRONMENT_FILE}, nor in a folder below",
        hint="name the folder of a model's files, or of a project with such folders",
    )
