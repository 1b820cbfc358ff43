"""Lay requirements out as layers without a container: install here, and write what the engine has not got."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.images.configuration import Change
from modelyard.images.dependencies import LAYERS_LABEL, DependencyPlan
from modelyard.images.distributions import Distribution, find_stray, read_distributions
from modelyard.images.interpreter import Interpreter
from modelyard.images.layer import Layer, find_modules
from modelyard.images.shelves import Shelf, arrange, chain_keys
from modelyard.images.staging import NeedsContainerError, Stage, open_stage
from modelyard.machine.output import OnOutput

FindLayers = Callable[[Sequence[str]], Sequence[str]]
"""Looks up layers by their keys, from the bottom up: returns the digests of as many as are there, above each other."""


@dataclass(frozen=True, kw_only=True)
class Laid:
    """Requirements that are installed in a folder of this machine, and the layers that they will be."""

    stage: Stage
    shelves: Sequence[Shelf]
    keys: Sequence[str]
    labels: Mapping[str, str]

    def write(self, shelves: Iterable[Shelf], folder: Path) -> list[tuple[str, Layer]]:
        """Compile what is in some of the layers, and write them."""
        chosen = list(shelves)
        self.stage.compile(name for shelf in chosen for name in shelf.modules)
        return [(shelf.title, self.stage.write(folder / f"{number}.tar", shelf)) for number, shelf in enumerate(chosen)]


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
    laid = install(plan, base, interpreter, folder, environ=environ, network=network, on_output=on_output)
    known = find_layers(laid.keys)
    new = laid.shelves[len(known) :]
    on_output(describe_layers(len(laid.shelves), len(new)))
    return Change(
        known=[(shelf.title, digest) for shelf, digest in zip(laid.shelves, known, strict=False)],
        layers=laid.write(new, folder),
        labels=laid.labels,
    )


def install(
    plan: DependencyPlan,
    base: str,
    interpreter: Interpreter,
    folder: Path,
    *,
    environ: Mapping[str, str],
    network: Mapping[str, str],
    on_output: OnOutput,
) -> Laid:
    """Install the requirements in `folder`; raise NeedsContainerError where that is impossible."""
    stage = open_stage(folder / "environments", plan.context, interpreter, environ)
    stage.install(plan.context, network, on_output)
    installed = {each.name: read_distributions(stage.root / each.name) for each in plan.context.environments}
    for name, found in installed.items():
        if stray := find_stray(stage.root / name, found):
            raise NeedsContainerError(f"no package has {stray} on its list of files")
    shelves = arrange(installed)
    keys = chain_keys([base, interpreter.version, stage.compiler], shelves)
    modules = {name: _modules(distributions) for name, distributions in installed.items()}
    labels = {**plan.label(modules), LAYERS_LABEL: " ".join(keys)}
    return Laid(stage=stage, shelves=shelves, keys=keys, labels=labels)


def describe_layers(count: int, new: int) -> str:
    """The line of progress that says how many layers there are, and how many of them are new."""
    return f"---> requirements: {'1 layer' if count == 1 else f'{count} layers'}, {new} of them new"


def _modules(distributions: Sequence[Distribution]) -> frozenset[str]:
    files = (PurePosixPath(name) for each in distributions for name in each.files)
    return frozenset(module for file in files for module in find_modules(file))
