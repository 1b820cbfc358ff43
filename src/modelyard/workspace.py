"""The workspace: a checkout with `projects/` and `builders/`, its projects and their model directories."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from modelyard.errors import InputError, WorkspaceError, at
from modelyard.runtime.assembling.pythons import PYTHON_VERSION_FILE, read_python_version
from modelyard.runtime.environment import Environment, read_environment
from modelyard.runtime.nearest import ask_whether_meant, describe_choices
from modelyard.runtime.routes import Route, check_function_name, check_module_path, parse_routes

Kind = Literal["train", "predict"]

ENVIRONMENT_FILE = ".s2i/environment"
INSTANCES_FILE = "test/test_instances.json"
COMBINED = "all"
_MAKE_LINE = re.compile(r"(?:.*\\\n)*.*")
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*[:?]?=[ \t]*(?P<value>.*)")


@dataclass(frozen=True)
class ModelDirectory:
    """`projects/<project>/<model>/`: train.py, predict.py, requirements, `.s2i/environment`, test instances."""

    path: Path

    @property
    def name(self) -> str:
        """The directory's own name, for example randomForest."""
        return self.path.name

    @property
    def project(self) -> str:
        """The name of the project it belongs to."""
        return self.path.parent.name

    @property
    def full_name(self) -> str:
        """`<project>/<model>`, the name that no other model directory of the workspace has."""
        return f"{self.project}/{self.name}"

    @cached_property
    def environment(self) -> Environment:
        """The parsed `.s2i/environment`."""
        return read_environment(self.path / ENVIRONMENT_FILE)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """ROUTES; empty where the environment names PREDICT_MODULE only."""
        if "ROUTES" not in self.environment:
            return ()
        return parse_routes(self.environment["ROUTES"], place=self.environment.where("ROUTES"))

    @cached_property
    def served_routes(self) -> tuple[Route, ...]:
        """ROUTES, or the one route `predict` that PREDICT_MODULE and PREDICT_FUNCTION stand for."""
        if self.routes or "PREDICT_MODULE" not in self.environment:
            return self.routes
        function = self.environment.get("PREDICT_FUNCTION", "predict")
        return (
            Route(
                name="predict",
                module=check_module_path(
                    self.environment["PREDICT_MODULE"], place=self.environment.where("PREDICT_MODULE")
                ),
                function=check_function_name(function, place=self.environment.where("PREDICT_FUNCTION")),
            ),
        )

    @cached_property
    def train_entry(self) -> tuple[str, str]:
        """TRAIN_MODULE and TRAIN_FUNCTION; raise InputError where the environment names none."""
        if "TRAIN_MODULE" not in self.environment:
            raise InputError(
                f"{self.environment.source}: TRAIN_MODULE is not set",
                hint=f"add a line such as TRAIN_MODULE={self.project}.{self.name}.train",
            )
        where = self.environment.where
        module = check_module_path(self.environment["TRAIN_MODULE"], place=where("TRAIN_MODULE"))
        function = self.environment.get("TRAIN_FUNCTION", "train")
        return module, check_function_name(function, place=where("TRAIN_FUNCTION"))

    @cached_property
    def package(self) -> str:
        """The dotted package that its files belong to: the parent of the modules its environment names.

        `income.predict` gives `income`, `income.rf.predict` gives `income.rf`, a bare `predict` gives ``""``.
        Raises InputError where the modules name different packages, or no module is named.
        """
        modules = self._named_modules()
        if not modules:
            raise InputError(
                f"{self.environment.source}: names no module", hint="set TRAIN_MODULE, and ROUTES or PREDICT_MODULE"
            )
        (first_key, first), *others = modules
        package = first.rpartition(".")[0]
        for key, module in others:
            if module.rpartition(".")[0] != package:
                raise InputError(
                    f"{self.environment.where(key)}: {key} puts the model directory into the package of {module!r}, "
                    f"but {first_key} (line {self.environment.lines[first_key]}) into that of {first!r}",
                    hint="a model directory is staged into one package: use the same parent in both",
                )
        return package

    def requirements(self, kind: Kind) -> Path:
        """The requirements file for training or predicting (it may be missing)."""
        return self.path / f"requirements_{kind}.txt"

    @cached_property
    def python_version(self) -> str | None:
        """The Python that its `.python-version` asks for; None is the builder's own."""
        return read_python_version(self.path / PYTHON_VERSION_FILE)

    @cached_property
    def makefile_variables(self) -> Environment:
        """MODEL_NAME, DATASET_NAME, CONTAINER_NAME and other plain assignments of the Makefile."""
        return read_makefile_variables(self.path / "Makefile")

    @property
    def model_name(self) -> str:
        """The name of its model binary: MODEL_NAME of its Makefile, else its own full name with `_`."""
        return self.makefile_variables.get("MODEL_NAME") or f"{self.project}_{self.name}"

    @property
    def container_name(self) -> str:
        """CONTAINER_NAME of its Makefile, else its full name as an image reference allows it."""
        return self.makefile_variables.get("CONTAINER_NAME") or as_container_name(self.full_name)

    def _named_modules(self) -> list[tuple[str, str]]:
        named = [("ROUTES", route.module) for route in self.routes]
        for key in ("TRAIN_MODULE", "PREDICT_MODULE"):
            if key in self.environment:
                module = check_module_path(self.environment[key], place=self.environment.where(key))
                named.append((key, module))
        return named


@dataclass(frozen=True)
class CombinedDirectory:
    """`projects/<project>/all/`, or `projects/all/` for the whole workspace: generated, serves every model of it."""

    path: Path
    models: tuple[ModelDirectory, ...]

    @property
    def full_name(self) -> str:
        """`<project>/all`, or `all` for the whole workspace."""
        return COMBINED if self.path.parent.name == "projects" else f"{self.path.parent.name}/{COMBINED}"

    @cached_property
    def environment(self) -> Environment:
        """The parsed, generated `.s2i/environment`."""
        return read_environment(self.path / ENVIRONMENT_FILE)

    @cached_property
    def makefile_variables(self) -> Environment:
        """MODEL_DIRS and CONTAINER_NAME of its Makefile."""
        return read_makefile_variables(self.path / "Makefile")

    @property
    def container_name(self) -> str:
        """CONTAINER_NAME of its Makefile, else its full name as an image reference allows it."""
        return self.makefile_variables.get("CONTAINER_NAME") or as_container_name(self.full_name)


@dataclass(frozen=True)
class Workspace:
    """A directory that holds `projects/`; `root` is absolute."""

    root: Path

    @property
    def projects_root(self) -> Path:
        """The folder that holds the projects."""
        return self.root / "projects"

    def projects(self) -> tuple[str, ...]:
        """The names of all projects, sorted: folders that hold a model directory."""
        folders = sorted(path for path in self.projects_root.iterdir() if path.is_dir())
        return tuple(folder.name for folder in folders if any(_model_paths(folder)))

    def model_directories(self, project: str) -> tuple[ModelDirectory, ...]:
        """Every model directory of a project, sorted by name."""
        folder = self.projects_root / project
        if not folder.is_dir():
            meant = ask_whether_meant(project, self.projects())
            known = describe_choices(project, self.projects(), none="none yet")
            raise WorkspaceError(
                f"{folder}: no such project{meant} (projects here: {known})",
                hint=f"check the name, or make it: modelyard new project {project}",
            )
        return tuple(ModelDirectory(path) for path in _model_paths(folder))

    def all_model_directories(self) -> tuple[ModelDirectory, ...]:
        """Every model directory of every project."""
        return tuple(model for project in self.projects() for model in self.model_directories(project))

    def model_directory(self, path: Path) -> ModelDirectory:
        """The model directory at `path`; raise WorkspaceError where there is none."""
        resolved = self._inside(path)
        if not (resolved / ENVIRONMENT_FILE).is_file() or resolved.name == COMBINED:
            wanted = str(resolved.relative_to(self.projects_root))
            names = [model.full_name for model in self.all_model_directories()]
            known = describe_choices(wanted, names, none="none yet")
            meant = ask_whether_meant(wanted, names)
            what = f"it has no {ENVIRONMENT_FILE}" if resolved.is_dir() else f"there is no such folder{meant}"
            raise WorkspaceError(
                f"{path}: no model directory, {what} (model directories here: {known})",
                hint="name one of these as projects/<project>/<model>, or make one: modelyard new model, "
                "or modelyard adopt where its files are there already",
            )
        return ModelDirectory(resolved)

    def combined_directory(self, path: Path, *, names: Sequence[str] | None = None) -> CombinedDirectory:
        """The `all/` at `path` with the model directories it combines.

        `path` is `projects/<project>/all`, `projects/<project>`, `projects/all` or `projects`. The models are those of
        `names` (relative to the folder that holds `all/`), else MODEL_DIRS of its Makefile, else all there are.
        """
        resolved = self._inside(path)
        home = resolved if resolved.name == COMBINED else resolved / COMBINED
        available = self._combinable(home.parent)
        makefile = read_makefile_variables(home / "Makefile")
        listed = makefile.get("MODEL_DIRS")
        chosen = list(names) if names is not None else None if listed is None else listed.split()
        if chosen is None:
            return CombinedDirectory(home, available)
        by_path = {str(model.path.relative_to(home.parent)): model for model in available}
        missing = [name for name in chosen if name not in by_path]
        if missing:
            is_own = listed is not None and chosen == listed.split()
            place = f"{makefile.where('MODEL_DIRS')}: MODEL_DIRS" if is_own else "option --models (make: MODEL_DIRS)"
            raise WorkspaceError(
                f"{place} names {missing[0]!r}, which is no model directory of {home.parent}",
                hint=f"there are: {describe_choices(missing[0], by_path)}",
            )
        return CombinedDirectory(home, tuple(by_path[name] for name in chosen))

    def is_combined(self, path: Path) -> bool:
        """Tell whether `path` names an `all/` directory, not a model directory."""
        return path.resolve().name == COMBINED

    def _combinable(self, folder: Path) -> tuple[ModelDirectory, ...]:
        if folder == self.projects_root:
            return self.all_model_directories()
        return self.model_directories(folder.name)

    def _inside(self, path: Path) -> Path:
        resolved = path.resolve()
        if not resolved.is_relative_to(self.projects_root):
            raise WorkspaceError(
                f"{path}: not below {self.projects_root}", hint="name a directory of this workspace's projects/"
            )
        return resolved


def find_workspace(start: Path) -> Workspace:
    """Find the workspace that holds `start`: the nearest folder upwards with `projects/` and `builders/`."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "projects").is_dir() and (folder / "builders").is_dir():
            return Workspace(folder)
    raise WorkspaceError(
        f"{start}: no workspace here or above (a folder with projects/ and builders/)",
        hint="change into one, or make one: modelyard init",
    )


def read_makefile_variables(path: Path) -> Environment:
    """Read the plain `NAME = value` assignments of a Makefile, `\\` continuations joined; none where there is no file.

    Only what needs no make to understand: lines that start with a tab, and values that hold `$`, are passed over.
    """
    variables = Environment(source=path)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in _MAKE_LINE.finditer(text):
        match = _ASSIGNMENT.match(line[0].replace("\\\n", " "))
        if match and "$" not in match["value"]:
            variables[match["name"]] = " ".join(match["value"].partition("#")[0].split())
            variables.lines[match["name"]] = text.count("\n", 0, line.start()) + 1
    return variables


def as_container_name(name: str) -> str:
    """Make a name that image references and container names allow.

    >>> as_container_name("finance_income_prediction/randomForest")
    'finance-income-prediction-randomforest'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def describe(path: Path, line: int | None = None, *, root: Path) -> str:
    """Name a file the way a person in `root` would."""
    return at(path.relative_to(root) if path.is_relative_to(root) else path, line)


def _model_paths(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name != COMBINED and (path / ENVIRONMENT_FILE).is_file():
            yield path
