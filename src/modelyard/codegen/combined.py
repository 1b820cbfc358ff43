"""Plan `all/`: one predict module, environment, requirements, setup.sh and Makefile for many model directories."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from modelyard.codegen import files
from modelyard.codegen.environments import EnvironmentsPlan, plan_environments
from modelyard.codegen.modules import (
    find_bad_names,
    find_clashes,
    find_hidden_packages,
    group_functions,
    plan_table,
    staged_module,
)
from modelyard.codegen.setup_script import merge_scripts
from modelyard.codegen.tree import GeneratedFile, GeneratedTree
from modelyard.codegen.variables import find_disagreements, plan_variables
from modelyard.context.grouping import ENVIRONMENTS, GROUPING_FILE, Grouping, format_grouping, read_grouping
from modelyard.errors import InputError, WorkspaceError
from modelyard.probe.imports import ImportCheck
from modelyard.probe.layout import Layout, layout_of_combined
from modelyard.probe.model import find_entries, raise_findings, read_setup
from modelyard.requirements.grouping import Needs
from modelyard.requirements.merge import merge_requirements
from modelyard.requirements.parse import read_requirements
from modelyard.requirements.resolve import Resolve
from modelyard.requirements.together import find_conflicts
from modelyard.runtime.application import DEFAULT_ENVIRONMENT
from modelyard.runtime.assembling.pythons import PYTHON_VERSION_FILE, describe_asked
from modelyard.workspace import CombinedDirectory, ModelDirectory, Workspace, describe

PREDICT, ENVIRONMENT, SETUP, MAKEFILE = map(PurePosixPath, ("predict.py", ".s2i/environment", "setup.sh", "Makefile"))


def generate(
    workspace: Workspace, combined: CombinedDirectory, *, resolve: Resolve | None = None, trusts_record: bool = False
) -> GeneratedTree:
    """Plan the files of an `all/` from its model directories; nothing is written.

    `resolve` decides which models share an environment; see `plan_environments` for what happens without it and for
    `trusts_record`. Raises InputError naming everything that keeps the models from being combined.
    """
    models = combined.models
    if not models:
        raise WorkspaceError(f"{combined.path}: no model directory to combine", hint="make one: modelyard new model")
    raise_findings([*find_bad_names(workspace, models), *_find_broken_models(workspace, models)])
    table = plan_table(models)
    layout = layout_of_combined(workspace, models, generated=group_functions(table))
    needs = _read_needs(workspace, combined)
    raise_findings(
        [
            *find_clashes(workspace, models, layout),
            *find_disagreements(workspace, models),
            *find_hidden_packages(
                workspace, models, layout, merge_requirements(line for each in needs for line in each.lines)
            ),
            *_find_broken_imports(workspace, models, layout),
            *(error for each in needs for error in find_conflicts(merge_requirements(each.lines))),
        ]
    )
    environments = plan_environments(needs, resolve, recorded=_read_record(combined), trusts_record=trusts_record)
    sections = merge_scripts(_read_scripts(workspace, combined))
    planned = {
        PREDICT: GeneratedFile(files.render_predict(table)),
        ENVIRONMENT: GeneratedFile(files.render_environment(plan_variables(models))),
        **_plan_requirements(environments),
        MAKEFILE: GeneratedFile(
            files.render_makefile(
                names=[_relative_name(combined, model) for model in models],
                container_name=files.check_container_name(
                    combined.container_name, place=combined.makefile_variables.where("CONTAINER_NAME")
                ),
                depth=len(combined.path.relative_to(workspace.projects_root).parts),
            )
        ),
    }
    if sections:
        planned[SETUP] = GeneratedFile(files.render_setup(sections), executable=True)
    return GeneratedTree(
        root=combined.path,
        files=planned,
        absent=tuple(name for name in (SETUP, GROUPING_FILE, *_find_generated(combined)) if name not in planned),
        notes=(*_find_left_out(workspace, combined), *environments.notes),
    )


def _read_record(combined: CombinedDirectory) -> Grouping | None:
    """What was worked out before; None also where that file is broken (by a merge, say), as it is written again."""
    try:
        return read_grouping(combined.path)
    except InputError:
        return None


def _plan_requirements(environments: EnvironmentsPlan) -> Mapping[PurePosixPath, GeneratedFile]:
    """The requirements file of each environment and, where that is not all there is to say, environments.json."""
    grouping = environments.grouping
    planned = {
        group.requirements: GeneratedFile(files.render_requirements(merged, group=group, grouping=grouping))
        for group, merged in zip(grouping.groups, environments.merged, strict=True)
    }
    if not grouping.is_plain:
        planned[GROUPING_FILE] = GeneratedFile(format_grouping(grouping))
    return planned


def _find_generated(combined: CombinedDirectory) -> Iterator[PurePosixPath]:
    """The requirements files of environments that were generated before."""
    for path in sorted(combined.path.glob(f"{ENVIRONMENTS}/*.txt")):
        if files.is_generated(path):
            yield ENVIRONMENTS / path.name


def _find_broken_models(workspace: Workspace, models: Sequence[ModelDirectory]) -> Iterator[InputError]:
    for model in models:
        try:
            _ = model.package
            find_entries(workspace, model, ("predict",))
        except InputError as error:
            yield error


def _find_broken_imports(
    workspace: Workspace, models: Sequence[ModelDirectory], layout: Layout
) -> Iterator[InputError]:
    check = ImportCheck(layout, workspace.root)
    for model in models:
        try:
            yield from check.find_broken(model, [staged_module(model, route) for route in model.served_routes])
        except InputError as error:  # a syntax error in a module that is imported
            yield error


def _find_left_out(workspace: Workspace, combined: CombinedDirectory) -> Iterator[str]:
    folder = combined.path.parent
    everyone = (
        workspace.all_model_directories()
        if folder == workspace.projects_root
        else workspace.model_directories(folder.name)
    )
    names = [_relative_name(combined, model) for model in everyone if model not in combined.models]
    if names:
        makefile = describe(combined.path / MAKEFILE, root=workspace.root)
        yield f"{makefile}: MODEL_DIRS leaves out {', '.join(names)}"


def _read_needs(workspace: Workspace, combined: CombinedDirectory) -> tuple[Needs, ...]:
    return tuple(_read_needs_of(workspace, model, _relative_name(combined, model)) for model in combined.models)


def _read_needs_of(workspace: Workspace, model: ModelDirectory, name: str) -> Needs:
    path = model.requirements("predict")
    shown = describe(path, root=workspace.root)
    return Needs(
        name=name,
        lines=read_requirements(path, shown=shown, origin=name),
        python=model.python_version,
        python_file=describe(model.path / PYTHON_VERSION_FILE, root=workspace.root),
        asked=describe_asked(model.path, environment=DEFAULT_ENVIRONMENT, requirements_file=shown),
    )


def _read_scripts(workspace: Workspace, combined: CombinedDirectory) -> Iterator[tuple[str, str]]:
    for model in combined.models:
        text = read_setup(model, root=workspace.root)
        if text is not None:
            yield _relative_name(combined, model), text


def _relative_name(combined: CombinedDirectory, model: ModelDirectory) -> str:
    """How MODEL_DIRS names a model directory: from the folder that holds all/."""
    return model.path.relative_to(combined.path.parent).as_posix()
