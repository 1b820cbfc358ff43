"""The names of a combined application: which generated module stands for which staged one, and where two clash."""

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from keyword import iskeyword

from modelyard.errors import InputError
from modelyard.probe.layout import Layout
from modelyard.probe.model import where
from modelyard.requirements.merge import MergedLine
from modelyard.runtime.assembling.inspection import DISTRIBUTIONS
from modelyard.runtime.routes import Route
from modelyard.workspace import ModelDirectory, Workspace, describe

Table = Mapping[tuple[str, str], str]
# Top-level names of an application that are taken.
_TAKEN = frozenset({"common_utils", "utils", "kubeml", "modelyard"}) | sys.stdlib_module_names


def staged_module(model: ModelDirectory, route: Route) -> str:
    """The module path at which all/ stages the module that a route of `model` names."""
    return f"{model.project}.{model.name}.{route.module.rpartition('.')[2]}"


def plan_table(models: Iterable[ModelDirectory]) -> dict[tuple[str, str], str]:
    """What the generated module looks names up in: (module path, function) to the module that defines it.

    A module that ROUTES name by the very path it is staged at needs no entry.
    """
    table = {}
    for model in models:
        for route in model.served_routes:
            module = staged_module(model, route)
            if module != route.module:
                table[route.module, route.function] = module
    return dict(sorted(table.items()))


def group_functions(table: Table) -> dict[str, frozenset[str]]:
    """The functions of each generated module."""
    functions: dict[str, set[str]] = {}
    for module, function in table:
        functions.setdefault(module, set()).add(function)
    return {module: frozenset(names) for module, names in functions.items()}


def check_package_name(name: str, *, what: str, taken: Collection[str] = ()) -> None:
    """Raise InputError where `name` can't be that of a package in all/, or is among `taken`."""
    if not name.isidentifier() or iskeyword(name):
        raise InputError(
            f"{what} {name!r}: the name is no Python identifier, but in all/ it must be that of a package",
            hint=f"name it, for example, {suggest_identifier(name)!r}",
        )
    if name in taken or (what == "project" and name in _TAKEN):
        raise InputError(f"{what} {name!r}: the name is taken by another module", hint="choose another name")


def find_bad_names(workspace: Workspace, models: Iterable[ModelDirectory]) -> Iterator[InputError]:
    """Yield an error for each project and model directory whose name can't be that of a package."""
    for folder in sorted({path for model in models for path in (model.path.parent, model.path)}):
        is_project = folder.parent == workspace.projects_root
        try:
            check_package_name(folder.name, what="project" if is_project else "model directory")
        except InputError as error:
            yield InputError(f"{describe(folder, root=workspace.root)}: {error.message}", hint=error.hint)


def find_clashes(workspace: Workspace, models: Sequence[ModelDirectory], layout: Layout) -> Iterator[InputError]:
    """Yield an error for each name that two things in the application would need; each names both."""
    claims: dict[tuple[str, str], tuple[ModelDirectory, str]] = {}
    routes: dict[str, str] = {}
    for model in models:
        place = where(model, "ROUTES" if model.routes else "PREDICT_MODULE", root=workspace.root)
        for route in model.served_routes:
            if (first := routes.setdefault(route.name, place)) is not place:
                yield InputError(
                    f"{place}: claims the route {route.name!r}, and so does {first}",
                    hint="give one of the two another route",
                )
            if staged_module(model, route) == route.module:
                continue
            other, first = claims.setdefault((route.module, route.function), (model, place))
            if other is not model:
                yield InputError(
                    f"{place}: needs the name {route.module}.{route.function}, and so does {first}",
                    hint="rename the function or its module in one of the two model directories",
                )
            yield from _find_occupant(workspace, route, place, layout)


def find_hidden_packages(
    workspace: Workspace, models: Sequence[ModelDirectory], layout: Layout, merged: Iterable[MergedLine]
) -> Iterator[InputError]:
    """Yield an error for each required package that a package or module of the application would hide."""
    tops = {name.partition(".")[0] for name in (*layout.folders, *layout.generated)}
    for line in merged:
        imported = {line.first.name.replace("-", "_"), *_imported_as(line.first.name)}
        for top in sorted(tops & imported):
            makers = (model for model in models if top in (model.project, model.package.partition(".")[0]))
            culprit = next((_describe_model(workspace, model) for model in makers), "a route")
            yield InputError(
                f"{culprit}: puts {top!r} into the application, which hides what {line.where} installs",
                hint="rename the project, or the package that ROUTES names",
            )


def suggest_identifier(name: str) -> str:
    """A name like `name` that Python takes for an identifier.

    >>> suggest_identifier("random-forest"), suggest_identifier("2nd")
    ('random_forest', 'model_2nd')
    """
    text = re.sub(r"\W", "_", name)
    return text if text.isidentifier() and not iskeyword(text) else f"model_{text}"


def _find_occupant(workspace: Workspace, route: Route, place: str, layout: Layout) -> Iterator[InputError]:
    """Yield an error where a generated module can't stand at the path that a route names."""
    module = route.module
    top = module.partition(".")[0]
    path = layout.find(module)
    if path is not None:
        occupant = f"{describe(path, root=workspace.root)} is staged there"
    elif layout.is_package(module):
        occupant = "a package of that name holds other modules"
    elif (above := layout.find_above(module)) is not None:
        occupant = f"{above} is a module, not a package"
    elif top in sys.stdlib_module_names or top == "modelyard":
        occupant = f"{top!r} is Python's own" if top != "modelyard" else "it is the runtime's own"
    else:
        return
    yield InputError(
        f"{place}: in all/ the module {module!r} would be generated, but {occupant}",
        hint="name another module in ROUTES",
    )


def _imported_as(distribution: str) -> Iterator[str]:
    return (name for name, known in DISTRIBUTIONS.items() if known == distribution)


def _describe_model(workspace: Workspace, model: ModelDirectory) -> str:
    return describe(model.path, root=workspace.root)
