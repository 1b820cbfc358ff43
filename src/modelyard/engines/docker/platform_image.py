"""The platform in an engine, laid on the base image without a container wherever that can be."""

import tarfile

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.interpreter import find_interpreter
from modelyard.engines.docker.profile import ContainerProfile
from modelyard.engines.docker.stack import stack_layers
from modelyard.engines.docker.workshop import Workshop, open_workshop
from modelyard.engines.protocols import OnOutput
from modelyard.errors import EngineError
from modelyard.images.builder import BuilderPlan
from modelyard.images.platform import PASSWD, SHADOW, OldFile, plan_platform, write_platform
from modelyard.images.staging import NeedsContainerError
from modelyard.machine.home import Home, explaining_disk_errors
from modelyard.runtime.scratch import scratch_folder


def lay_platform(
    client: Client, plan: BuilderPlan, base: str, profile: ContainerProfile, on_output: OnOutput
) -> str | None:
    """Make the platform on the image of the id `base`; None, with a line that says why, where the engine has to."""
    try:
        if not client.loads_parts:
            raise NeedsContainerError("this engine takes no parts of images")
        if profile.network not in (None, "host"):
            raise NeedsContainerError(f"builds use the engine's network {profile.network}")
        return _lay(client, plan, base, profile, on_output)
    except NeedsContainerError as error:
        on_output(f"---> builder image {plan.tag('platform')}: {error.message}: the engine builds it")
        return None


def _lay(client: Client, plan: BuilderPlan, base: str, profile: ContainerProfile, on_output: OnOutput) -> str:
    platform = plan_platform(plan)
    home = Home.from_environ(client.environ)
    interpreter = find_interpreter(client, base)
    on_output(f"---> builder image {plan.tag('platform')}: build it of builders/{plan.name}/Dockerfile")
    with open_workshop(client, base, start=False) as workshop:
        files = {name: found for name in (PASSWD, SHADOW) if (found := _read_old(workshop, name))}
    with explaining_disk_errors(), scratch_folder(home.layers) as folder:
        change = write_platform(
            *(platform, base, files, interpreter, folder),
            environ=client.environ,
            network=profile.host,
            on_output=on_output,
        )
        image = stack_layers(client, base, change)
    with client.talking(f"tag {plan.tag('platform')}"):
        client.api.tag(image, *plan.tag("platform").split(":"))
    return image


def _read_old(workshop: Workshop, name: str) -> OldFile | None:
    from docker.errors import NotFound

    try:
        with workshop.download(f"/{name}") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None:
                    return OldFile(content=file.read(), mode=member.mode, uid=member.uid, gid=member.gid)
    except EngineError as error:
        if not isinstance(error.__cause__, NotFound):
            raise
    return None
