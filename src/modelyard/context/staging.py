"""Stage model directories as a build context: where each file belongs, and what the runtime must know of it."""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from modelyard.context.build_context import About, BuildContext, load_context, write_about
from modelyard.context.grouping import GROUPING_FILE, read_grouping
from modelyard.context.ignore import IGNORE_FILE, IgnoreRules, parse_ignore_rules, read_ignore_rules
from modelyard.context.plan import Plan
from modelyard.context.requirements import check_requirements
from modelyard.context.scripts import check_script, find_builder, plan_scripts
from modelyard.errors import InputError
from modelyard.runtime.application import (
    APPLICATION_FILE,
    DEFAULT_ENVIRONMENT,
    Application,
    Model,
    format_application,
)
from modelyard.runtime.assembling.pythons import PYTHON_VERSION_FILE
from modelyard.runtime.beside import SHARED
from modelyard.runtime.environment import check_variables, format_environment
from modelyard.runtime.groups import GROUPS
from modelyard.runtime.routes import is_module_path
from modelyard.workspace import (
    ENVIRONMENT_FILE,
    INSTANCES_FILE,
    CombinedDirectory,
    Kind,
    ModelDirectory,
    Workspace,
)

ROOT = PurePosixPath()
REQUIREMENTS = PurePosixPath("requirements.txt")
SETUP = PurePosixPath("setup.sh")
# At the top of a model directory: read by the tool, mounted, or for people. The first two are staged at the root.
_NOT_STAGED = parse_ignore_rules(
    f"setup.sh\n.s2i\nMakefile\nREADME*\nrequirements_*.txt\nrequirements_*.lock\nrequirements.txt\n.python-version\n{IGNORE_FILE}\ndata\nmodels\n.venv"
)


def stage_model(
    workspace: Workspace,
    model: ModelDirectory,
    kind: Kind,
    root: Path,
    *,
    variant: str = "cpu",
    with_models: bool = False,
    builder: str | None = None,
) -> BuildContext:
    """Stage one model directory below `root`, in place of what was staged there, and return its build context.

    `with_models` puts the model's binary and its manifest into `models/`; `builder` names a folder of `builders/` other
    than the kind's own. Raises InputError for what can't be staged.
    """
    about = About(
        name=model.full_name,
        kind=kind,
        builder=find_builder(workspace, kind, builder),
        variant=variant,
        requirements=model.requirements(kind).relative_to(workspace.root).as_posix(),
    )
    check_variables(model.environment)
    package = PurePosixPath(*model.package.split(".")) if model.package else ROOT
    plan = Plan()
    _plan_model(plan, model, package)
    _plan_requirements(plan, model.requirements(kind), model.path / SETUP)
    if model.python_version is not None:
        plan.copy(model.path / PYTHON_VERSION_FILE, PurePosixPath(PYTHON_VERSION_FILE))
    _plan_shared(plan, workspace, {model.project})
    if with_models:
        _plan_binaries(plan, model)
    names = {"MODEL_NAME": model.model_name, "MODElNAME": model.model_name}
    _plan_about(
        plan,
        Application(name=model.full_name, kind=kind, models=(_describe_model(plan, model, package),)),
        environment={**names, **model.environment},
    )
    return _write(plan, plan_scripts(about.builder, model.path), root, about)


def stage_combined(
    workspace: Workspace,
    combined: CombinedDirectory,
    root: Path,
    *,
    variant: str = "cpu",
    with_models: bool = False,
    builder: str | None = None,
) -> BuildContext:
    """Stage an `all/` with every model directory it combines, in place of what was staged below `root`.

    Each model directory goes to `<project>/<model>/`, and the generated predict module to each module path that
    their ROUTES name. Raises InputError for names that are no identifiers and for places that two files need.
    """
    about = About(
        name=combined.full_name,
        kind="predict",
        builder=find_builder(workspace, "predict", builder),
        variant=variant,
        requirements=(combined.path / REQUIREMENTS).relative_to(workspace.root).as_posix(),
    )
    check_variables(combined.environment)
    plan = Plan()
    packages = {model: _combined_package(model) for model in combined.models}
    environments = _plan_environments(plan, combined)
    for model, package in packages.items():
        _plan_model(plan, model, package)
        if with_models:
            _plan_binaries(plan, model)
    _plan_generated(plan, combined)
    _plan_requirements(plan, combined.path / REQUIREMENTS, combined.path / SETUP)
    _plan_shared(plan, workspace, {model.project for model in combined.models})
    models = tuple(_describe_model(plan, model, package, environments[model]) for model, package in packages.items())
    application = Application(name=combined.full_name, kind="predict", models=models)
    _plan_about(plan, application, environment=combined.environment)
    return _write(plan, plan_scripts(about.builder, combined.path), root, about)


def _plan_model(plan: Plan, model: ModelDirectory, package: PurePosixPath) -> None:
    own = read_ignore_rules(model.path)
    plan.copy_tree(model.path, package, IgnoreRules(own.rules + _NOT_STAGED.rules))


def _plan_shared(plan: Plan, workspace: Workspace, projects: Iterable[str]) -> None:
    shared = [(workspace.root / name, PurePosixPath(name)) for name in SHARED]
    for project in sorted(projects):
        shared.append((workspace.projects_root / project / "common_utils", PurePosixPath(project, "common_utils")))
    for folder, target in shared:
        if folder.is_dir():
            plan.copy_tree(folder, target, read_ignore_rules(folder))


def _plan_requirements(plan: Plan, requirements: Path, setup: Path) -> None:
    if requirements.is_file():
        check_requirements(requirements)
        plan.copy(requirements, REQUIREMENTS)
    if setup.is_file():
        check_script(setup)
        plan.copy(setup, SETUP)


def _plan_environments(plan: Plan, combined: CombinedDirectory) -> dict[ModelDirectory, str]:
    """Stage what describes each environment but `default`'s requirements; return which one each model runs in."""
    names = {model: model.path.relative_to(combined.path.parent).as_posix() for model in combined.models}
    grouping = read_grouping(combined.path)
    if grouping is None:
        return dict.fromkeys(names, DEFAULT_ENVIRONMENT)
    for group in grouping.groups:
        folder = ROOT if group.name == DEFAULT_ENVIRONMENT else GROUPS / group.name
        if group.python is not None:
            plan.write(folder / PYTHON_VERSION_FILE, f"{group.python}\n")
        if group.name != DEFAULT_ENVIRONMENT:
            path = combined.path / group.requirements
            if not path.is_file():
                raise InputError(
                    f"{path}: no such file, but {combined.path / GROUPING_FILE} names the environment {group.name!r}",
                    hint=f"write it again: modelyard generate {combined.path}",
                )
            check_requirements(path)
            plan.copy(path, folder / REQUIREMENTS)
    homes = {name: group.name for group in grouping.groups for name in group.models}
    for name in names.values():
        if name not in homes:
            raise InputError(
                f"{combined.path / GROUPING_FILE}: says of no environment that {name} runs in it",
                hint=f"write it again: modelyard generate {combined.path}",
            )
    return {model: homes[name] for model, name in names.items()}


def _plan_binaries(plan: Plan, model: ModelDirectory) -> None:
    folder = model.path.parent / "models"
    binaries = sorted(folder.glob(f"{model.model_name}.*"))
    if not binaries:
        raise InputError(
            f"{folder}: has no model binary {model.model_name}.*, which the image should carry",
            hint=f"train it first: make -C {model.path} train",
        )
    for path in binaries:
        plan.copy(path, PurePosixPath("models", path.name))


def _plan_generated(plan: Plan, combined: CombinedDirectory) -> None:
    """Put the generated module at each module path that ROUTES name and that is not the model's own staged module."""
    generated = combined.path / "predict.py"
    claims: dict[tuple[str, str], ModelDirectory] = {}
    for model in combined.models:
        for route in model.served_routes:
            target = PurePosixPath(*route.module.split(".")).with_suffix(".py")
            staged = plan.copies.get(target)
            if staged is not None and staged.is_relative_to(model.path):
                continue
            other = claims.setdefault((route.module, route.function), model)
            if other is not model:
                _refuse_name(model, f"{route.module}.{route.function}", f"that of {other.environment.source}")
            if staged not in (None, generated):
                _refuse_name(model, route.module, f"the staged {staged}")
            if not generated.is_file():
                raise InputError(f"{generated}: no such file", hint=f"generate it: modelyard generate {combined.path}")
            plan.copy(generated, target)


def _refuse_name(model: ModelDirectory, name: str, other: str) -> None:
    raise InputError(
        f"{model.environment.source}: the combined daemon would need the name {name} twice, for this and for {other}",
        hint="rename the module or the function in one of the two model directories",
    )


def _describe_model(
    plan: Plan, model: ModelDirectory, package: PurePosixPath, environment: str = DEFAULT_ENVIRONMENT
) -> Model:
    instances = package / INSTANCES_FILE
    return Model(
        name=model.full_name,
        path=package.as_posix(),
        environment=environment,
        routes=tuple(route.name for route in model.served_routes),
        instances=instances.as_posix() if instances in plan.copies else None,
    )


def _plan_about(plan: Plan, application: Application, *, environment: Mapping[str, str]) -> None:
    plan.write(PurePosixPath(ENVIRONMENT_FILE), format_environment(environment))
    plan.write(PurePosixPath(APPLICATION_FILE), format_application(application))


def _write(plan: Plan, scripts: Plan, root: Path, about: About) -> BuildContext:
    plan.add_packages()
    plan.check_modules()
    shutil.rmtree(root / "upload", ignore_errors=True)
    plan.apply(root / "upload" / "src")
    scripts.apply(root / "upload" / "scripts")
    write_about(root, about)
    return load_context(root)


def _combined_package(model: ModelDirectory) -> PurePosixPath:
    for name in (model.project, model.name):
        if not is_module_path(name) or "." in name:
            raise InputError(
                f"{model.path}: {name!r} is no Python identifier, but in all/ it must be the name of a package",
                hint=f"rename it, for example to {re.sub('[^A-Za-z0-9_]', '_', name)!r}",
            )
    return PurePosixPath(model.project, model.name)
