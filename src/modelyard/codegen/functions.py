"""A model directory of a kubeml function file: what `kubeml function create` deployed, as any other model."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from modelyard.codegen.modules import check_package_name
from modelyard.codegen.render import render
from modelyard.codegen.scaffold import new_project
from modelyard.codegen.tree import GeneratedFile, GeneratedTree, write_tree
from modelyard.errors import InputError, WorkspaceError
from modelyard.runtime.assembling.inspection import DISTRIBUTIONS
from modelyard.workspace import ModelDirectory, Workspace, as_container_name

FUNCTION = "function.py"
_FILES = {
    ".s2i/environment": "environment",
    "Makefile": "Makefile",
    "predict.py": "predict.py",
    "requirements_train.txt": "requirements.txt",
    "requirements_predict.txt": "requirements.txt",
    "test/test_instances.json": "test_instances.json",
}
_TORCH = {"torch": "torch>=2.6,<3", "numpy": "numpy>=2.0,<3"}
_HOUSE = frozenset({"kubeml", "utils", "common_utils", "torch", "numpy"})


def as_folder_name(name: str) -> str:
    """The model directory of a function: its name, as a package may be called.

    >>> as_folder_name("resnet-34")
    'resnet_34'
    """
    return name.replace("-", "_").replace(".", "_")


def new_function(workspace: Workspace, project: str, name: str, code: Path) -> ModelDirectory:
    """Make a model directory of a function file, and its project too, if need be.

    Raises InputError for a file that has no `main()`, WorkspaceError where a function of that name is there.
    """
    folder_name = as_folder_name(name)
    check_package_name(folder_name, what="function", taken=("all", "data", "models", "runs"))
    text = _read_code(code)
    folder = workspace.projects_root / project / folder_name
    if folder.exists():
        raise WorkspaceError(f"{folder}: already there", hint=f"modelyard kubeml function delete --name {name}")
    if not folder.parent.is_dir():
        new_project(workspace, project)
    values = {
        "package": f"{project}.{folder_name}",
        "model_name": f"{project}_{folder_name}",
        "container_name": as_container_name(f"{project}-{folder_name}"),
        "route": as_container_name(folder_name),
        "requirements": [*_TORCH.values(), *_find_requirements(text)],
    }
    planned = {
        PurePosixPath(name): GeneratedFile(render(f"function/{kind}", **values)) for name, kind in _FILES.items()
    }
    planned[PurePosixPath(FUNCTION)] = GeneratedFile(text)
    write_tree(GeneratedTree(root=folder, files=planned))
    return ModelDirectory(folder)


def find_functions(workspace: Workspace, project: str) -> list[ModelDirectory]:
    """The model directories of a project that are made of a function file."""
    folder = workspace.projects_root / project
    models = workspace.model_directories(project) if folder.is_dir() else ()
    return [model for model in models if model.environment.get("TRAIN_FUNCTION") == "main"]


def _read_code(code: Path) -> str:
    try:
        text = code.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except OSError as error:
        raise InputError(f"{code}: can't be read ({error.strerror})", hint="name a Python file: --code") from None
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{code}: no Python ({error})") from None
    if not any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
        raise InputError(
            f"{code}: has no function main()", hint="a function file ends with: def main(): return ...start()"
        )
    return text


def _find_requirements(text: str) -> list[str]:
    found = {name for name in _imports(ast.parse(text)) if name not in sys.stdlib_module_names | _HOUSE}
    return sorted(DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in found)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
