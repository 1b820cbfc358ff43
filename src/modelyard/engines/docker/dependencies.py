"""The dependency image: a builder's platform with the layers of setup.sh and requirements, shared by all equal ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from modelyard.context.requirements import without_hashes
from modelyard.engines.docker.archive import Change
from modelyard.engines.docker.assembling import assemble_requirements, make_setup
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dependency_plan import DependencyPlan
from modelyard.engines.docker.laying_out import lay_out
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.stack import stack_layers
from modelyard.engines.docker.staging import NeedsContainerError
from modelyard.engines.local.home import Home, explaining_disk_errors, remove_tree
from modelyard.engines.protocols import OnOutput


def make_dependencies(client: Client, plan: DependencyPlan, profile: ContainerProfile, on_output: OnOutput) -> str:
    """Install what setup.sh and the requirements ask for, in layers; return the tagged image's id."""
    base = make_setup(client, plan, profile, on_output) if plan.has_setup else plan.platform.id
    # Not in /tmp, which may be in memory: the home and uv's cache are most often on one file system, so files link.
    home = Home.from_environ(client.environ).root
    home.mkdir(parents=True, exist_ok=True)
    with (
        explaining_disk_errors(),
        TemporaryDirectory(prefix=".layers-", dir=home) as folder,
        ThreadPoolExecutor(1) as aside,
    ):
        change = _install(client, plan, base, profile, on_output, Path(folder))
        aside.submit(remove_tree, Path(folder, "environments"))  # while the engine reads the layers
        image = stack_layers(client, base, change)
    with client.talking(f"tag {plan.tag}"):
        client.api.tag(image, *plan.tag.split(":"))
    return image


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
