"""Where the files of model directories stand in an application source: which folder is staged as which package."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.runtime.assembling.inspection import find_module
from modelyard.runtime.beside import SHARED
from modelyard.workspace import ModelDirectory, Workspace


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`folders` by the package they are staged as (`""` is the root), and what each generated module defines."""

    folders: Mapping[str, Path]
    generated: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def find(self, module: str) -> Path | None:
        """The file that a staged module comes from; None where no file is staged as that module."""
        for package, rest in _splits(module):
            folder = self.folders.get(package)
            path = find_module(folder, rest) if folder else None
            if path is not None:
                return path
        return None

    def holds(self, module: str) -> bool:
        """Tell whether `module` can be imported from the application source: a file, a package, a generated module."""
        return module in self.generated or self.find(module) is not None or self.is_package(module)

    def is_package(self, module: str) -> bool:
        """Tell whether other modules stand below `module`."""
        if any(name == module or name.startswith(f"{module}.") for name in self.folders):
            return True
        if any(name.startswith(f"{module}.") for name in self.generated):
            return True
        return any(
            folder.joinpath(*rest.split(".")).is_dir()
            for package, rest in _splits(module)
            if rest and (folder := self.folders.get(package))
        )

    def find_above(self, module: str) -> str | None:
        """The module, no package, that stands where a package above `module` would have to; None where none does."""
        parts = module.split(".")
        for count in range(1, len(parts)):
            above = ".".join(parts[:count])
            path = self.find(above)
            if above in self.generated or (path is not None and path.name != "__init__.py"):
                return above
        return None


def layout_of_model(workspace: Workspace, model: ModelDirectory) -> Layout:
    """The application source of one model directory: its files are where its environment file says."""
    return Layout(folders={**_shared_folders(workspace, {model.project}), model.package: model.path})


def layout_of_combined(
    workspace: Workspace, models: Iterable[ModelDirectory], *, generated: Mapping[str, frozenset[str]]
) -> Layout:
    """The application source of an `all/`: every model directory stands at `<project>.<model>`."""
    own = {f"{model.project}.{model.name}": model.path for model in models}
    projects = {package.partition(".")[0] for package in own}
    return Layout(folders={**_shared_folders(workspace, projects), **own}, generated=generated)


def _shared_folders(workspace: Workspace, projects: Iterable[str]) -> dict[str, Path]:
    folders = {name: workspace.root / name for name in SHARED}
    folders |= {f"{project}.common_utils": workspace.projects_root / project / "common_utils" for project in projects}
    return {package: folder for package, folder in folders.items() if folder.is_dir()}


def _splits(module: str) -> Iterable[tuple[str, str]]:
    """Every way to read `a.b.c` as a package and the rest below it, the longest package first."""
    parts = module.split(".")
    for count in range(len(parts), -1, -1):
        yield ".".join(parts[:count]), ".".join(parts[count:])
