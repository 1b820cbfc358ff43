"""What `modelyard init`, `new project` and `new model` write: a workspace, a project, a model directory that works."""

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from modelyard.codegen.membership import join_combined
from modelyard.codegen.modules import check_package_name
from modelyard.codegen.render import render
from modelyard.codegen.tree import GeneratedFile, GeneratedTree, write_tree
from modelyard.errors import WorkspaceError
from modelyard.house import house_root
from modelyard.workspace import COMBINED, ModelDirectory, Workspace, as_container_name, find_workspace

Framework = Literal["sklearn", "xgboost", "catboost", "torch", "kubeml"]

# What a workspace is copied from, and where in it.
HOUSE = ("builders", "common_utils", "utils", "kubeml", "build.sh", "projects/recipes.mk")
_WORKSPACE_FILES = {"Makefile": "Makefile", "README.md": "README.md", ".gitignore": "gitignore"}
_PROJECT_FILES = {"Makefile": "Makefile", "README.md": "README.md"}
_MODEL_FILES = {
    "Makefile": "Makefile",
    "README.md": "README.md",
    ".s2i/environment": "environment",
    "features.py": "features.py",
    "test/test_instances.json": "test_instances.json",
}
_FRAMEWORK_FILES = {
    "train.py": "train.py",
    "predict.py": "predict.py",
    "requirements_train.txt": "requirements.txt",
    "requirements_predict.txt": "requirements.txt",
}
_TORCH_FILES = {"network.py": "network.py"}
_KUBEML_FILES = {
    "Makefile": "Makefile",
    "README.md": "README.md",
    ".s2i/environment": "environment",
    "function.py": "function.py",
    "predict.py": "predict.py",
    "requirements_train.txt": "requirements.txt",
    "requirements_predict.txt": "requirements.txt",
}
# Folders of a project that are no model directories.
_NOT_A_MODEL = frozenset({COMBINED, "common_utils", "kubeml", "data", "models", "runs"})


def init_workspace(path: Path) -> Workspace:
    """Make a workspace at `path`: the house, a Makefile, a README, a .gitignore and an empty projects/.

    Raises WorkspaceError where anything of that is already there, and inside the projects/ of another workspace.
    """
    root = path.resolve()
    _check_no_workspace(root)
    for name in (*HOUSE, *_WORKSPACE_FILES):
        _check_free(root / name)
    (root / "projects").mkdir(parents=True, exist_ok=True)
    for name in HOUSE:
        _copy(house_root() / name, root / name)
    _write(root, "workspace", _WORKSPACE_FILES, {})
    return Workspace(root)


def new_project(workspace: Workspace, name: str) -> Path:
    """Make a project: its folder, with a Makefile and a README; return it."""
    check_package_name(name, what="project", taken={COMBINED})
    folder = workspace.projects_root / name
    _check_free(folder)
    _write(folder, "project", _PROJECT_FILES, {"name": name})
    return folder


def new_model(workspace: Workspace, project: str, name: str, framework: Framework) -> ModelDirectory:
    """Make a model directory that trains, serves and passes its own test as it stands; its project too, if need be.

    An `all/` that combines every other model directory gets the new one, too.
    """
    check_package_name(name, what="model directory", taken=_NOT_A_MODEL)
    folder = workspace.projects_root / project / name
    _check_free(folder)
    if not folder.parent.is_dir():
        new_project(workspace, project)
    container_name = as_container_name(f"{project}-{name}")
    values = {
        "name": name,
        "package": f"{project}.{name}",
        "model_name": f"{project}_{name}",
        "dataset": "",
        "container_name": container_name,
        "route": container_name,
    }
    files = _FRAMEWORK_FILES | (_TORCH_FILES if framework == "torch" else {})
    if framework == "kubeml":
        files = _KUBEML_FILES
    shared = {name: template for name, template in _MODEL_FILES.items() if name not in files}
    if framework == "kubeml":
        del shared["features.py"]
    _write(folder, "model", shared, values)
    _write(folder, f"model/{framework}", files, values)
    model = ModelDirectory(folder)
    join_combined(workspace, model)
    return model


def _write(folder: Path, templates: str, files: Mapping[str, str], values: Mapping[str, str]) -> None:
    planned = {
        PurePosixPath(name): GeneratedFile(render(f"{templates}/{template}", **values))
        for name, template in files.items()
    }
    write_tree(GeneratedTree(root=folder, files=planned))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy2(source, target)


def _check_no_workspace(root: Path) -> None:
    try:
        found = find_workspace(root)
    except WorkspaceError:
        return
    if root == found.root or root.is_relative_to(found.projects_root):
        where = "this is a workspace already" if root == found.root else f"already in the workspace {found.root}"
        raise WorkspaceError(
            f"{root}: {where}",
            hint="add to it: modelyard new project NAME, or modelyard new model PROJECT NAME; "
            "or name another folder: modelyard init FOLDER",
        )


def _check_free(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise WorkspaceError(f"{path}: already there", hint="choose another name, or remove it first")
