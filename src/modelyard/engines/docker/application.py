"""Make an application image in the engine without starting a container."""

from collections.abc import Mapping
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.stack import stack_layers
from modelyard.images.application import ApplicationPlan, write_application
from modelyard.runtime.scratch import scratch_folder


def make_application(client: Client, plan: ApplicationPlan, dependencies: str) -> str:
    """Lay the source on the dependency image and return the new image's id."""
    with client.talking("look at the dependency image"):
        below: Mapping[str, Any] = client.asks.inspect_image(dependencies)
    with scratch_folder() as folder:
        return stack_layers(client, dependencies, write_application(plan, below["Config"], folder))
