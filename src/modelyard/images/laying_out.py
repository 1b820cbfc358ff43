"""Lay requirements out as layers without a container: install here, and write what the engine has not got."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from modelyard.images.configuration import Change
from modelyard.images.dependencies import LAYERS_LABEL, DependencyPlan
from modelyard.images.distributions import Distribution, find_stray, read_distributions
from modelyard.images.interpreter import Interpreter
from modelyard.images.layer import find_modules
from modelyard.images.shelves import arrange, chain_keys
from modelyard.images.staging import NeedsContainerError, open_stage
from modelyard.machine.output import OnOutput

FindLayers = Callable[[Sequence[str]], Sequence[str]]
"""Looks up layers by their keys, from the bottom up: returns the digests of as many as are there, above each other."""


def lay_out(
    plan: DependencyPlan,
    base: str,
    interpreter: Interpreter,
    folder: Path,
    *,
    environ: Mapping[str, str],
    network: Mapping[str, str],
    find_layers: FindLayers,
    on_output: OnOutput,
) -> Change:
    """Install the requirements in `folder`, and write the layers of them that no image on `base` has.

    Raises NeedsContainerError where that is impossible.
    `network` are the variables of the user's network settings.
    """
    stage = open_stage(folder / "environments", plan.context, interpreter, environ)
    stage.install(plan.context, network, on_output)
    installed = {each.name: read_distributions(stage.root / each.name) for each in plan.context.environments}
    for name, found in installed.items():
        if stray := find_stray(stage.root / name, found):
            raise NeedsContainerError(f"no package has {stray} on its list of files")
    shelves = arrange(installed)
    keys = chain_keys([base, interpreter.version, stage.compiler], shelves)
    known = find_layers(keys)
    new = shelves[len(known) :]
    layers = "1 layer" if len(shelves) == 1 else f"{len(shelves)} layers"
    on_output(f"---> requirements: {layers}, {len(new)} of them new")
    stage.compile(name for shelf in new for name in shelf.modules)
    modules = {name: _modules(distributions) for name, distributions in installed.items()}
    return Change(
        known=[(shelf.title, digest) for shelf, digest in zip(shelves, known, strict=False)],
        layers=[(shelf.title, stage.write(folder / f"{number}.tar", shelf)) for number, shelf in enumerate(new)],
        labels={**plan.label(modules), LAYERS_LABEL: " ".join(keys)},
    )


def _modules(distributions: Sequence[Distribution]) -> frozenset[str]:
    files = (PurePosixPath(name) for each in distributions for name in each.files)
    return frozenset(module for file in files for module in find_modules(file))
