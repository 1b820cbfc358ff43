"""Make the builder images that are missing, and find those that are there."""

from collections.abc import Mapping
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.pulling import find_image
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError
from modelyard.images.builder import BASE_LABEL, BuilderPlan, Platform, Role


def ensure_platform(client: Client, plan: BuilderPlan, on_output: OnOutput) -> Platform:
    """The platform as a plan would make it, on the base image of today."""
    found = ensure_role(client, plan, "platform", on_output)
    return Platform(key=plan.platform_on(found["Config"]["Labels"][BASE_LABEL]), id=found["Id"])


def ensure_role(client: Client, plan: BuilderPlan, role: Role, on_output: OnOutput) -> Mapping[str, Any]:
    """The image of one role, built where it is missing."""
    found = _find_role(client, plan, role)
    if found is None:
        with client.lock(f"{role}-{plan.key_of(role)}", on_output):
            found = _find_role(client, plan, role) or _make_role(client, plan, role, on_output)
    return found


def _find_role(client: Client, plan: BuilderPlan, role: Role) -> Mapping[str, Any] | None:
    """The image of one role, unless the base image is another by now."""
    found, base = find_image(client, plan.tag(role)), find_image(client, plan.base)
    if found is None or (base is not None and base["Id"] != found["Config"]["Labels"].get(BASE_LABEL)):
        return None
    return found


def _make_role(client: Client, plan: BuilderPlan, role: Role, on_output: OnOutput) -> Mapping[str, Any]:
    from modelyard.engines.docker.builder_making import make_builder  # what a build without a change has no use for

    make_builder(client, plan, role, on_output)
    found = _find_role(client, plan, role)
    if found is None:
        raise EngineError(f"{plan.tag(role)} is gone as soon as it was built", hint="build again")
    return found
