"""Lay requirements out as layers without a container: install here, and write what the engine has not got."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dependency_plan import LAYERS_LABEL, DependencyPlan
from modelyard.engines.docker.interpreter import find_interpreter
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.staging import NeedsContainerError, open_stage
from modelyard.engines.protocols import OnOutput
from modelyard.images.archive import Change
from modelyard.images.distributions import Distribution, find_stray, read_distributions
from modelyard.images.layer import find_modules
from modelyard.images.shelves import arrange, chain_keys, count_shared


def lay_out(
    client: Client, plan: DependencyPlan, base: str, profile: ContainerProfile, on_output: OnOutput, folder: Path
) -> Change:
    """Install the requirements in `folder`, and write the layers of them that no image on `base` has.

    Raises NeedsContainerError where that is impossible.
    """
    if profile.network not in (None, "host"):
        raise NeedsContainerError(f"builds use the engine's network {profile.network}")
    interpreter = find_interpreter(client, plan.platform.id)
    stage = open_stage(folder / "environments", plan.context, interpreter, client.environ)
    stage.install(plan.context, profile.host, on_output)
    installed = {each.name: read_distributions(stage.root / each.name) for each in plan.context.environments}
    for name, found in installed.items():
        if stray := find_stray(stage.root / name, found):
            raise NeedsContainerError(f"no package has {stray} on its list of files")
    shelves = arrange(installed)
    keys = chain_keys([base, interpreter.version, stage.compiler], shelves)
    known = _find_layers(client, base, keys)
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


def _find_layers(client: Client, base: str, keys: Sequence[str]) -> list[str]:
    """The digests of the layers that some image has already, from the bottom up."""
    if not client.loads_parts:
        return []
    counts = {
        item["Id"]: count_shared(keys, item["Labels"][LAYERS_LABEL].split())
        for item in client.list_images(LAYERS_LABEL)
    }
    best = max(counts, key=lambda id: counts[id], default=None)
    if best is None or not counts[best]:
        return []
    with client.talking("look at the layers that are there"):
        below = len(client.api.inspect_image(base)["RootFS"]["Layers"])
        digests: list[str] = client.api.inspect_image(best)["RootFS"]["Layers"][below : below + counts[best]]
    return digests


def _modules(distributions: Sequence[Distribution]) -> frozenset[str]:
    files = (PurePosixPath(name) for each in distributions for name in each.files)
    return frozenset(module for file in files for module in find_modules(file))
