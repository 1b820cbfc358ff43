"""Make the builder images that are missing, and find those that are there."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dockerfile import run_build
from modelyard.engines.docker.profile import ContainerProfile, container_profile
from modelyard.engines.docker.pulling import ensure_base, find_image
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError, EngineError
from modelyard.images.builder import BASE_LABEL, BUILDER_LABEL, ROLE_LABEL, BuilderPlan, Platform, Role
from modelyard.images.layer import pack
from modelyard.network import read_network_profile

WHEELS = "/tmp/modelyard-wheels"
_PIP = "python3 -m venv /tmp/pip && exec /tmp/pip/bin/pip download --disable-pip-version-check --quiet --dest "


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
    """Get the image's wheels in a container of the base image, then build it with no network."""
    on_output(f"---> builder image {plan.tag(role)}: get what it needs ({' and '.join(plan.wanted)})")
    base = ensure_base(client, plan.base, on_output)
    with container_profile(read_network_profile(client.environ), client.environ) as profile:
        wheels = _download_wheels(client, plan, profile, on_output)
    on_output(f"---> builder image {plan.tag(role)}: build it of builders/{plan.name}/Dockerfile")
    _build(client, plan, role, base=base, wheels=wheels, on_output=on_output)
    found = _find_role(client, plan, role)
    if found is None:
        raise EngineError(f"{plan.tag(role)} is gone as soon as it was built", hint="build again")
    return found


def _download_wheels(
    client: Client, plan: BuilderPlan, profile: ContainerProfile, on_output: OnOutput
) -> dict[str, bytes]:
    lists = {name.replace("/", "-"): plan.files[name] for name in plan.wanted}
    with open_workshop(client, plan.base, folders=profile.folders, network=profile.network) as workshop:
        workshop.upload(pack(lists), "/tmp")
        command = _PIP + " ".join([WHEELS, *(f"-r /tmp/{name}" for name in sorted(lists))])
        code, last = workshop.execute(
            ["sh", "-c", command], user="0", environment=profile.variables, on_output=on_output
        )
        if code:
            raise BuildError(
                f"{plan.base}: pip could not get what {' and '.join(plan.wanted)} ask for (exit code {code}):\n"
                + "\n".join(f"  {line}" for line in last[-15:]),
                hint="`modelyard doctor` shows the network settings; the base image needs Python 3.11 with venv",
            )
        with workshop.download(WHEELS) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            return {
                f"wheels/{Path(member.name).name}": archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
                if member.isreg()
            }


def _build(
    client: Client, plan: BuilderPlan, role: Role, *, base: str, wheels: Mapping[str, bytes], on_output: OnOutput
) -> None:
    archive = pack({**plan.files, **wheels}, executable=plan.executable)
    run_build(
        client,
        io.BytesIO(archive),
        action=f"build {plan.tag(role)}",
        on_output=on_output,
        dockerfile=f"builders/{plan.name}/Dockerfile",
        buildargs={**plan.arguments, "PIP_NO_INDEX": "1"},
        target=role,
        tag=plan.tag(role),
        labels={
            BUILDER_LABEL: plan.key_of(role),
            BASE_LABEL: base,
            ROLE_LABEL: role,
            "io.modelyard.variant": plan.variant,
        },
        network_mode="none",
    )
