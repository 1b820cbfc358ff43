"""The dependency image: a builder's platform with the layers of setup.sh and requirements, shared by all equal ones."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from modelyard.context.requirements import without_hashes
from modelyard.engines.docker.assembling import assemble_requirements, make_setup
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dependency_plan import DependencyPlan
from modelyard.engines.docker.laying_out import lay_out
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.stack import stack_layers
from modelyard.engines.docker.staging import NeedsContainerError
from modelyard.engines.docker.workshop import is_abandoned, make_name
from modelyard.engines.protocols import OnOutput
from modelyard.images.archive import Change
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
        client.api.tag(image, *plan.tag.split(":"))
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
        return lay_out(client, plan, base, profile, on_output, folder)
    except NeedsContainerError as error:
        on_output(f"---> requirements: {error.message}: install them in a container, as one layer")
    layer = assemble_requirements(client, plan, base, profile, on_output, folder / "layer.tar")
    lines = [without_hashes(line) for each in plan.context.environments for line in each.requirements]
    title = f"requirements: {', '.join(lines) or 'none'}"
    return Change(layers=[(title, layer)], labels=plan.label(layer.modules))
