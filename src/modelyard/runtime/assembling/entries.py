"""Check an assembled application, without running any of it: its entry points exist and its imports resolve."""

import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelyard.runtime.application import APPLICATION_FILE, DEFAULT_ENVIRONMENT, Model, parse_application
from modelyard.runtime.assembling.inspection import BESIDE, check_entry, find_lazy_functions, find_missing_imports
from modelyard.runtime.environment import Environment, read_environment
from modelyard.runtime.errors import InputError
from modelyard.runtime.routes import check_function_name, check_module_path, parse_routes

ENVIRONMENT_FILE = ".s2i/environment"
_KEYS = ("ROUTES", "TRAIN_MODULE", "TRAIN_FUNCTION", "PREDICT_MODULE", "PREDICT_FUNCTION")
# Runs in the environment that the application will have; looks for modules, imports none of them. Python 3.9 has no
# list of its library's names.
_FIND_ABSENT = """
import importlib.util, sys
library = getattr(sys, "stdlib_module_names", ())
for name in sys.argv[1:]:
    if name not in library and importlib.util.find_spec(name) is None:
        print(name)
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A function that is called from outside: where it is named, and by which route, if it is by one."""

    module: str
    function: str
    place: str
    route: str | None = None


def check_source(root: Path, environments: Path, environ: Mapping[str, str]) -> None:
    """Check what the application's environment file and `environ` name (ROUTES, TRAIN_MODULE, ...) in `root`.

    `environments` holds a virtual environment for each name. Raises InputError naming every import that does not
    resolve in the environment that its model runs in.
    """

    def find_missing(environment: str, names: Collection[str]) -> Collection[str]:
        return find_absent(environments / environment / "bin" / "python", names)

    check_entries(root, environ, find_missing)


def check_entries(
    root: Path, environ: Mapping[str, str], find_missing: Callable[[str, Collection[str]], Collection[str]]
) -> None:
    """Do so without environments at hand: `find_missing` tells which of some top-level modules one has not."""
    modules: dict[str, list[str]] = {}
    environments = find_route_environments(root)
    for entry in read_entries(root, environ):
        path = check_entry(root, entry.module, entry.function, place=entry.place)
        own = modules.setdefault(environments.get(entry.route or "", DEFAULT_ENVIRONMENT), [])
        own.append(entry.module)
        real = find_lazy_functions(path).get((entry.module, entry.function))
        if real is not None:
            check_entry(root, real, entry.function, place=entry.place)
            own.append(real)
    folders = find_own_folders(root)
    problems = [
        problem if name == DEFAULT_ENVIRONMENT else f"{problem} in the environment {name!r}"
        for name, own in modules.items()
        for problem in find_missing_imports(root, own, partial(find_missing, name), own_folders=folders)
    ]
    if problems:
        is_beside = all(BESIDE in problem for problem in problems)
        hint = "correct the import" if is_beside else "add what is missing to the requirements file"
        raise InputError("\n".join(problems), hint=f"{hint} and build again")


def read_entries(root: Path, environ: Mapping[str, str]) -> list[Entry]:
    """The entry points of the kind that is assembled (MODELYARD_KIND)."""
    path = root / ENVIRONMENT_FILE
    read = read_environment(path) if path.is_file() else Environment()
    written = Environment(
        read, source=ENVIRONMENT_FILE if path.is_file() else "the image's environment", lines=read.lines
    )
    values = {**written, **{key: environ[key] for key in _KEYS if key in environ}}
    serves = "ROUTES" in values or "PREDICT_MODULE" in values
    if environ.get("MODELYARD_KIND", "predict" if serves else "train") == "train":
        return [_entry("TRAIN", values, written)]
    if "ROUTES" in values:
        place = written.where("ROUTES")
        return [
            Entry(module=route.module, function=route.function, place=place, route=route.name)
            for route in parse_routes(values["ROUTES"], place=place)
        ]
    return [_entry("PREDICT", values, written)]


def find_own_folders(root: Path) -> tuple[Path, ...]:
    """The folders of the models that are served; each is on its worker's path."""
    return tuple(root / model.path for model in _served_models(root))


def find_route_environments(root: Path) -> dict[str, str]:
    """The environment that each route's model runs in."""
    return {route: model.environment for model in _served_models(root) for route in model.routes}


def _served_models(root: Path) -> tuple[Model, ...]:
    path = root / APPLICATION_FILE
    if not path.is_file():
        return ()
    application = parse_application(path.read_text(encoding="utf-8"), source=APPLICATION_FILE)
    return application.models if application.kind == "predict" else ()


def find_absent(python: Path, names: Collection[str]) -> tuple[str, ...]:
    """Tell which top-level modules an environment has not."""
    if not names:
        return ()
    command = [str(python), "-I", "-c", _FIND_ABSENT, *names]
    return tuple(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def _entry(kind: str, values: Mapping[str, str], written: Environment) -> Entry:
    module, function = f"{kind}_MODULE", f"{kind}_FUNCTION"
    if module not in values:
        raise InputError(f"{written.source}: {module} is not set", hint=f"add a line {module}=package.module")
    return Entry(
        module=check_module_path(values[module], place=written.where(module)),
        function=check_function_name(values.get(function, kind.lower()), place=written.where(function)),
        place=written.where(module),
    )
