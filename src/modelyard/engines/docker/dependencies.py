"""The dependency image: a builder's platform with the layers of setup.sh and requirements, shared by all equal ones."""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from modelyard.context.requirements import without_hashes
from modelyard.engines.docker.assembling import assemble_requirements, make_setup
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.interpreter import find_interpreter
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.stack import stack_layers
from modelyard.engines.docker.workshop import is_abandoned, make_name
from modelyard.engines.protocols import OnOutput
from modelyard.images.configuration import Change
from modelyard.images.dependencies import LAYERS_LABEL, DependencyPlan
from modelyard.images.laying_out import lay_out
from modelyard.images.shelves import count_shared
from modelyard.images.staging import NeedsContainerError
from modelyard.machine.home import Home, explaining_disk_errors, measure_tree, remove_tree


def make_dependencies(client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Install what setup.sh and the requirements ask for, in layers; return the tagged image's id."""
    base = make_setup(client, plan, profile, on_output) if plan.has_setup else plan.platform.id
    # Not in /tmp, which may be in memory: the home and uv's cache are most often on one file system, so files link.
    home = Home.from_environ(client.environ)
    remove_abandoned(home)
    with explaining_disk_errors(), _open_folder(home) as folder, ThreadPoolExecutor(1) as aside:
        change = _install(client, plan, base, profile, on_output, folder)
        aside.submit(remove_tree, folder / "environments")  # while the engine reads the layers
        image = stack_layers(client, base, change)
    with client.talking(f"tag {plan.tag}"):
        client.asks.tag(image, *plan.tag.split(":"))
    return image


def remove_abandoned(home: Home) -> int:
    """Remove the folders of processes that were killed while they laid out layers; return how many bytes they had."""
    folders = [path for path in home.layers.glob("*") if is_abandoned(path.name)]
    freed = sum(map(measure_tree, folders))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return freed


@contextmanager
def _open_folder(home: Home) -> Iterator[Path]:
    folder = home.layers / make_name()
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _install(
    client: Client, plan: DependencyPlan, base: str, profile: ContainerProfile, on_output: OnOutput, folder: Path
) -> Change:
    try:
        if profile.network not in (None, "host"):
            raise NeedsContainerError(f"builds use the engine's network {profile.network}")
        return lay_out(
            plan,
            base,
            find_interpreter(client, plan.platform.id),
            folder,
            environ=client.environ,
            network=profile.host,
            find_layers=partial(_find_layers, client, base),
            on_output=on_output,
        )
    except NeedsContainerError as error:
        on_output(f"---> requirements: {error.message}: install them in a container, as one layer")
    layer = assemble_requirements(client, plan, base, profile, on_output, folder / "layer.tar")
    lines = [without_hashes(line) for each in plan.context.environments for line in each.requirements]
    title = f"requirements: {', '.join(lines) or 'none'}"
    return Change(layers=[(title, layer)], labels=plan.label(layer.modules))


def _find_layers(client: Client, base: str, keys: Sequence[str]) -> Sequence[str]:
    """The digests of the layers that some image of the engine has on `base` already, from the bottom up."""
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
        below = len(client.asks.inspect_image(base)["RootFS"]["Layers"])
        digests: list[str] = client.asks.inspect_image(best)["RootFS"]["Layers"][below : below + counts[best]]
    return digests
