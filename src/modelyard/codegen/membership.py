"""Which model directories an `all/` combines: MODEL_DIRS of its Makefile."""

import re
from pathlib import Path

from modelyard.workspace import COMBINED, ModelDirectory, Workspace, read_makefile_variables

_MODEL_DIRS = re.compile(r"^(MODEL_DIRS[ \t]*[:?]?=).*$", re.MULTILINE)


def join_combined(workspace: Workspace, model: ModelDirectory) -> tuple[Path, ...]:
    """Add a new model directory to each `all/` that combined every other one; return the Makefiles that changed.

    An `all/` whose MODEL_DIRS leaves a model out is somebody's choice, and stays as it is.
    """
    changed = []
    for folder in (model.path.parent, workspace.projects_root):
        makefile = folder / COMBINED / "Makefile"
        listed = read_makefile_variables(makefile).get("MODEL_DIRS", "").split()
        candidates = _combinable(workspace, folder)
        names = [str(other.path.relative_to(folder)) for other in candidates]
        own = str(model.path.relative_to(folder))
        if listed and set(listed) == {*names} - {own}:
            text = makefile.read_text(encoding="utf-8", errors="surrogateescape")
            text = _MODEL_DIRS.sub(rf"\1 {' '.join(names)}", text)
            makefile.write_text(text, encoding="utf-8", errors="surrogateescape")
            changed.append(makefile)
    return tuple(changed)


def _combinable(workspace: Workspace, folder: Path) -> tuple[ModelDirectory, ...]:
    if folder == workspace.projects_root:
        return workspace.all_model_directories()
    return workspace.model_directories(folder.name)
