"""Make a builder image: laid on the base image, or its wheels got in a container of that and built with no network."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.dockerfile import run_build
from modelyard.engines.docker.platform_image import lay_platform
from modelyard.engines.docker.profile import ContainerProfile, container_profile
from modelyard.engines.docker.pulling import ensure_base
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import BuildError
from modelyard.images.builder import BASE_LABEL, BUILDER_LABEL, ROLE_LABEL, BuilderPlan, Role
from modelyard.images.layer import pack
from modelyard.network import read_network_profile

WHEELS = "/tmp/modelyard-wheels"
_PIP = "python3 -m venv /tmp/pip && exec /tmp/pip/bin/pip download --disable-pip-version-check --quiet --dest "


def make_builder(client: Client, plan: BuilderPlan, role: Role, on_output: OnOutput) -> None:
    """Lay it on the base image, or get its wheels in a container of that, then build it with no network."""
    on_output(f"---> builder image {plan.tag(role)}: get what it needs ({' and '.join(plan.wanted)})")
    base = ensure_base(client, plan.base, on_output)
    with container_profile(read_network_profile(client.environ), client.environ) as profile:
        if role == "platform" and lay_platform(client, plan, base, profile, on_output):
            return
        wheels = _download_wheels(client, plan, profile, on_output)
    on_output(f"---> builder image {plan.tag(role)}: build it of builders/{plan.name}/Dockerfile")
    _build(client, plan, role, base=base, wheels=wheels, on_output=on_output)


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
